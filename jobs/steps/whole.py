"""The rest of a table: the rows that stay beside those that a step is about to put in. A key must be alone in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from jobs.delivery import DeliveryId
from jobs.hub import Hub
from jobs.lake import tables as lake
from jobs.lake.commits import last_commit
from jobs.lake.layout import table_path
from jobs.quality.counters import only_kept
from jobs.quality.rule import Rule
from schemas.loader import Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


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


def released_beside(hub: Hub, table: str, slices: Sequence[tuple[str, str]]) -> DataFrame | None:
    """The released rows of an OMOP table that is kept by slices, without the slices that are made again; None when
    there are none."""
    where = table_path(hub.settings.lake, f"omop/{table}")
    if last_commit(where) is None:
        return None
    return lake.read(hub.spark, where).where(f"NOT ({lake.slices(slices)})")
