"""Every asset and pool, named once. An asset is the interface between two DAGs; a pool lets one writer in."""

from __future__ import annotations

from airflow.sdk import Asset, AssetWatcher

from dags.lib.doorbell import Doorbell
from dags.lib.quiet import Quiet
from schemas.loader import source_names

SOURCES = source_names()

ARRIVED = {
    source: Asset(name=f"arrived/{source}", uri=f"hub://arrived/{source}", group="arrived") for source in SOURCES
}
"""A delivery of the month (the partition key) waits in the outbox."""

SOURCE = {source: Asset(name=f"source/{source}", uri=f"hub://lake/source/{source}", group="lake") for source in SOURCES}
"""The month (the partition key) of a source was replaced in the lake. Its name is also the tables' path."""

OMOP = Asset(name="omop", uri="hub://lake/omop", group="lake")
"""A release of the OMOP tables: readers see it whole."""

CATALOGUE = Asset(name="catalogue", uri="hub://catalogue", group="catalogue")
"""The figures that the catalogue shows of a release."""

DOORBELL = Asset(
    name="outboxes",
    uri="hub://outboxes",
    group="arrived",
    watchers=[AssetWatcher(name="complete_deliveries", trigger=Doorbell())],
)
"""Something waits in the outboxes: which deliveries these are is read from the folders, never from the event."""


QUIET = Asset(
    name="source",
    uri="hub://lake/source",
    group="lake",
    watchers=[AssetWatcher(name="quiet", trigger=Quiet())],
)
"""Published deliveries wait for a build, and nothing more is under way."""


def writer(target: str) -> str:
    """Name of the pool of one slot that a writer of ``target`` (a source, or ``omop``) holds."""
    return f"writer_{target}"


POOLS = {writer(target): f"one writer of the {target} tables at a time" for target in (*SOURCES, "omop")}
"""Name -> description of the pools, of one slot each. Made before the scheduler starts."""
