"""Which deliveries can be pulled now: manifests and sizes only, so it may be asked every minute. No heavy import."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from jobs.delivery import DeliveryId
from jobs.errors import ContractRefused, Incomplete, StorageError
from jobs.intake.connectors import MANIFEST, Connector, connect
from jobs.intake.manifest import awaited, missing_files, read_manifest


@dataclass(frozen=True)
class Waiting:
    """What a delivery still waits for: names of files, and in words."""

    files: tuple[str, ...]
    said: str


@dataclass
class Arrivals:
    """Deliveries by what can be done with them now. None of them stands in the way of another."""

    complete: list[DeliveryId] = field(default_factory=list)
    """Sorted. One whose manifest breaks the contract is among them: waiting would not fix it, ``pull`` refuses it."""
    waiting: dict[DeliveryId, Waiting] = field(default_factory=dict)
    unread: dict[DeliveryId, StorageError] = field(default_factory=dict)
    """Those whose folder or manifest did not answer: trying again may help."""


def arrivals(outboxes: Path | Connector, among: Iterable[DeliveryId] | None = None) -> Arrivals:
    """Looks at the deliveries in the outboxes. ``among``: only these are opened, of all that are there."""
    connector = connect(outboxes)
    made = Arrivals()
    for delivery in connector.deliveries() if among is None else sorted(among):
        try:
            waiting = _waiting(connector, delivery)
        except StorageError as error:
            made.unread[delivery] = error
            continue
        if waiting is None:
            made.complete.append(delivery)
        else:
            made.waiting[delivery] = waiting
    return made


def complete_deliveries(outboxes: Path | Connector, among: Iterable[DeliveryId] | None = None) -> list[DeliveryId]:
    """Deliveries that wait for nothing, sorted."""
    return arrivals(outboxes, among).complete


def incomplete_deliveries(
    outboxes: Path | Connector, among: Iterable[DeliveryId] | None = None
) -> dict[DeliveryId, tuple[str, ...]]:
    """Deliveries that are still arriving, with the names of what they wait for."""
    return {d: waiting.files for d, waiting in arrivals(outboxes, among).waiting.items()}


def _waiting(connector: Connector, delivery: DeliveryId) -> Waiting | None:
    try:
        manifest, _ = read_manifest(connector, delivery)
        sizes = connector.files(delivery)
    except Incomplete:
        return Waiting((MANIFEST,), f"{MANIFEST} is not there")
    except ContractRefused:
        return None
    files = tuple(missing_files(manifest, sizes))
    return Waiting(files, awaited(manifest, sizes)) if files else None
