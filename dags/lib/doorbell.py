"""Rings when a complete delivery lies in the outboxes that was not announced yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dags.lib.watch import Watch
from jobs.delivery import OPEN, UNANNOUNCED, DeliveryId
from jobs.intake.arrivals import complete_deliveries, incomplete_deliveries
from jobs.intake.connectors import MANIFEST, connect
from schemas.loader import source_names

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from jobs.intake.connectors import Connector


def unannounced(waiting: Iterable[DeliveryId], states: Mapping[str, str], sources: Iterable[str]) -> list[DeliveryId]:
    """Deliveries that can be announced once they are complete. ``states``: id -> state, of all that the hub knows."""
    # of several versions of a month one is on its way at a time
    busy = {DeliveryId.parse(name).slice for name, state in states.items() if state in OPEN}
    return [d for d in waiting if d.source in sources and states.get(str(d)) in UNANNOUNCED and d.slice not in busy]


def news(outboxes: Path | Connector, states: Mapping[str, str]) -> frozenset[str]:
    """Ids of the deliveries that are complete and not announced, or lack a file and are not known yet.

    Raises ``StorageError`` when the outboxes do not answer.
    """

    # what is known is not opened again: years of manifests lie there
    unknown = unannounced(connect(outboxes).deliveries(), states, source_names())
    complete = complete_deliveries(outboxes, unknown)
    lacking = {str(d) for d, names in incomplete_deliveries(outboxes, unknown).items() if MANIFEST not in names}
    return frozenset(map(str, complete)) | (lacking - states.keys())


def states_of(engine: Engine) -> dict[str, str]:
    """Every delivery that the hub knows -> its state. Raises ``StorageError``."""
    from catalogue.db import list_deliveries

    return {str(d["id"]): str(d["state"]) for d in list_deliveries(engine)}


class Doorbell(Watch):
    """Rings for deliveries that can be announced, again after a minute when nobody came."""

    def look(self, outboxes: Path | Connector, engine: Engine) -> frozenset[str]:
        return news(outboxes, states_of(engine))
