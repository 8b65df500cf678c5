"""The rest of a table: the rows that stay beside those that a step is about to put in. A key must be alone in both."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from jobs.delivery import DeliveryId
from jobs.hub import Hub
from jobs.lake import tables as lake
from jobs.lake.commits import last_commit, live_files
from jobs.lake.layout import table_path
from jobs.quality.counters import only_kept
from jobs.quality.rule import Rule
from schemas.loader import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Slice = tuple[str, str]
"""Source and period."""


def published_beside(
    hub: Hub, delivery: DeliveryId, table: Table, rules: Sequence[Rule], staged: DataFrame
) -> DataFrame | None:
    """The published rows of the other months; None when there are none, or no rule asks for a key.

    Files whose extremes (``stats`` of the contract) lie outside those of the staged keys are not read: of a table whose
    key holds the month of its flow, next to nothing is.
    """

    unique = [rule.columns for rule in rules if rule.kind == "unique"]
    where = table_path(hub.settings.lake, f"{delivery.source}/{table.table}")
    if not unique or last_commit(where) is None:
        return None
    others = lake.read(hub.spark, where).where(F.col("_period") != delivery.period)
    if ranged := [name for name in table.stats if all(name in key for key in unique)]:
        ends = only_kept(staged).agg(*map(F.min, ranged), *map(F.max, ranged)).collect()[0]
        for name, low, high in zip(ranged, ends, ends[len(ranged) :], strict=False):
            others = others.where(F.col(name).between(low, high))
    return None if others.isEmpty() else others


def released_beside(hub: Hub, table: str, slices: Collection[Slice]) -> DataFrame | None:
    """The released rows of an OMOP table that is kept by slices, without the slices that are made again; None when
    there are none."""
    return slices_beside(hub, f"omop/{table}", slices)


def slices_beside(hub: Hub, name: str, slices: Collection[Slice]) -> DataFrame | None:
    """The rows of a table that is kept by slices, without some; None when there are none: its log says so."""
    where = table_path(hub.settings.lake, name)
    held = {(file.partition["_source"], file.partition["_period"]) for file in live_files(where)}
    return lake.read(hub.spark, where).where(f"NOT ({lake.slices(sorted(slices))})") if held - set(slices) else None
