"""Which deliveries can be pulled now: manifests and sizes only, so it may be asked every minute. No heavy import."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from jobs.delivery import DeliveryId
from jobs.errors import ContractRefused, Incomplete
from jobs.intake.connectors import Connector, connect
from jobs.intake.manifest import is_complete, missing_files, read_manifest


def complete_deliveries(outboxes: Path | Connector, among: Iterable[DeliveryId] | None = None) -> list[DeliveryId]:
    """Deliveries that wait for nothing, sorted. ``among``: only these are opened, of all that are there.

    One whose manifest breaks the contract is among them: waiting would not mend it, ``pull`` refuses it.
    """
    connector = connect(outboxes)
    found = connector.deliveries() if among is None else sorted(among)
    return [d for d in found if not _waits_for(connector, d)]


def incomplete_deliveries(
    outboxes: Path | Connector, among: Iterable[DeliveryId] | None = None
) -> dict[DeliveryId, tuple[str, ...]]:
    """Deliveries that are still arriving, with the names of what they wait for."""
    connector = connect(outboxes)
    found = connector.deliveries() if among is None else sorted(among)
    waiting = {d: _waits_for(connector, d) for d in found}
    return {d: names for d, names in waiting.items() if names}


def _waits_for(connector: Connector, delivery: DeliveryId) -> tuple[str, ...]:
    try:
        manifest, _ = read_manifest(connector, delivery)
        sizes = connector.files(delivery)
        return () if is_complete(manifest, sizes) else tuple(missing_files(manifest, sizes))
    except Incomplete:
        return ("manifest.json",)
    except ContractRefused:
        return ()
