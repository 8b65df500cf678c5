"""The first half of a build: what published slices say of persons and of events, each written once for all tables."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from jobs.harmonise.build import EVENTS, to_events
from jobs.harmonise.evidence import RESOLVED, only_unattributable
from jobs.harmonise.settle import act_columns, to_all_acts
from jobs.harmonise.stem import EVIDENCE, PERIOD, SOURCE
from jobs.hub import Hub
from jobs.lake import tables as lake
from jobs.lake.commits import live_files
from jobs.lake.layout import table_path
from jobs.lake.staged import StagedTable
from jobs.sources.filters import read_books
from jobs.sources.harmonisable import to_harmonisable
from jobs.sources.protocol import Tables
from jobs.steps.whole import Slice
from schemas.loader import Table, load_source, load_tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Given = Mapping[str, Tables]
"""Source -> its published tables, the slices that are built alone."""
Books = list[dict[str, Any]]
EVIDENCE_COLUMNS = {f.name: f.dataType.simpleString() for f in EVIDENCE.fields} | dict.fromkeys(
    (SOURCE, PERIOD), "string"
)


def _read_slices(hub: Hub, slices: set[Slice], versions: Mapping[str, int]) -> dict[str, Tables]:
    """The published rows of some slices, by source and table."""

    def read(source: str, table: str) -> DataFrame:
        name = f"{source}/{table}"
        rows = lake.read(hub.spark, table_path(hub.settings.lake, name), versions[name])
        return rows.where(F.col(PERIOD).isin(sorted(p for s, p in slices if s == source)))

    return {s: {t: read(s, t) for t in load_source(s).tables} for s in sorted({s for s, _ in slices})}


def stage_persons(hub: Hub, number: int, slices: set[Slice], versions: Mapping[str, int]) -> DataFrame:
    """Writes what some slices say of persons (EVIDENCE, with lineage); their dates are not filled yet."""
    given = _read_slices(hub, slices, versions)
    rows = [to_harmonisable(source, tables).evidence for source, tables in given.items()]
    return _stage(hub, number, "persons", EVIDENCE_COLUMNS, reduce(_both, rows))


def stage_resolved(hub: Hub, number: int, resolved: DataFrame) -> DataFrame:
    """Writes one row per person (``evidence.resolve``)."""
    return _stage(hub, number, "resolved", RESOLVED, resolved)


def stage_events(
    hub: Hub, number: int, slices: set[Slice], versions: Mapping[str, int], lookup: DataFrame, evidence: DataFrame
) -> tuple[DataFrame, Books]:
    """Writes the events of some slices (``build.to_events``), each once, by table. With them, what settlement and the
    sources' filters left out (``filters.read_books``). ``evidence``: of all published deliveries."""
    given = _read_slices(hub, slices, versions)
    acts = _stage_acts(hub, number, given)
    made = [to_harmonisable(source, tables, acts[source]) for source, tables in given.items()]
    events = to_events(reduce(_both, [one.stem for one in made]), lookup, only_unattributable(evidence))
    staged = StagedTable.of_build(hub.settings.lake, number, "events", EVENTS, partition_by=("table",))

    def write() -> Books:
        staged.write(events)
        return []

    def count() -> Books:
        return read_books(rows_published(hub, slices, versions), reduce(_both, [one.outcomes for one in made]))

    _, books = lake.at_once(lambda work: work(), (write, count))
    return staged.read(hub.spark), books


def _stage_acts(hub: Hub, number: int, given: Given) -> dict[str, dict[str, DataFrame]]:
    """Writes the acts that settlement looks at, by source and table: a table without any is not there."""
    found: dict[str, dict[str, DataFrame]] = {source: {} for source in given}

    def stage(of: tuple[str, Table, DataFrame]) -> None:
        source, contract, acts = of
        name, columns = f"acts/{source}/{contract.table}", act_columns(contract)
        staged = StagedTable.of_build(hub.settings.lake, number, name, columns)
        if staged.write(acts):
            found[source][contract.table] = staged.read(hub.spark)

    contracts = {source: load_tables(source) for source in given}
    acts = [(s, contracts[s][t], a) for s in given for t, a in to_all_acts(given[s], contracts[s]).items()]
    lake.at_once(stage, acts)
    return found


def rows_published(hub: Hub, slices: set[Slice], versions: Mapping[str, int]) -> dict[tuple[str, str], int]:
    """Published rows of some slices, by table and period, as the logs tell them."""
    rows: dict[tuple[str, str], int] = {}
    for source in sorted({s for s, _ in slices}):
        for name in [f"{source}/{table}" for table in load_source(source).tables]:
            for file in live_files(table_path(hub.settings.lake, name), versions[name]):
                at = name, file.partition[PERIOD]
                if (source, at[1]) in slices:
                    rows[at] = rows.get(at, 0) + file.rows
    return rows


def _stage(hub: Hub, number: int, name: str, columns: Mapping[str, str], rows: DataFrame) -> DataFrame:
    staged = StagedTable.of_build(hub.settings.lake, number, name, columns)
    staged.write(rows)
    return staged.read(hub.spark)


def _both(one: DataFrame, other: DataFrame) -> DataFrame:
    return one.unionByName(other)
