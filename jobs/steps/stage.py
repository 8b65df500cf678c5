"""stage: what does not go on is found first, then every other row is written once, pseudonymised and counted, where it
waits for its gate."""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
from collections.abc import Sequence
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any, NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catalogue import db
from jobs.delivery import OPEN, DeliveryId, Subject, may_act, never_announced, not_ready, require_move
from jobs.errors import NotReady
from jobs.hub import Hub, Progress
from jobs.lake import tables as lake
from jobs.lake.commits import WrittenFile, live_files
from jobs.lake.sealed import found_folder, landed_files, read_landed, write_landed
from jobs.lake.staged import StagedTable
from jobs.lake.waiting import WaitingTable
from jobs.quality import counters
from jobs.quality.counting import of_rows
from jobs.quality.denominators import ROWS
from jobs.quality.rule import Rule
from jobs.quality.rules import load_rules
from jobs.rows.apart import PLACE, only_going, to_apart, to_notes
from jobs.rows.books import DUPLICATE, KEPT, QUARANTINED, STATUS, Book, Ended, books_of, refused_of, totals_of
from jobs.rows.counted import CONTENT, content_of
from jobs.rows.typed import reader_of
from jobs.spark.session import safely
from jobs.steps.whole import published_beside
from jobs.tasks.landed import Report, Work
from schemas.loader import Table, in_levels, load, load_source, load_table, load_tables, spark_type

Record = dict[str, Any]


class Staged(NamedTuple):
    """One staged table."""

    name: str
    books: list[Book]
    counts: counters.Counts
    """Of its rules."""
    content: str
    """What its commit will say of its rows."""


def stage(hub: Hub, delivery: DeliveryId, progress: Progress | None = None) -> dict[str, Any]:
    """Stages every table of a pulled delivery, parents first, and records its books and the counts of its rules."""
    pulled = last_pulled(hub, delivery)
    require_move(delivery, db.delivery_state(hub.engine, delivery), "staged")
    _require_reader(delivery, db.delivery_state(hub.engine, delivery), pulled)
    _ = hub.spark  # checks the keys before any data is read
    # a delivery that is staged again is written beside what was written before: a commit may name that
    writer = f"{delivery.period}-v{delivery.version}-{secrets.token_hex(4)}"

    tables = load_tables(delivery.source)
    lake.remove_staged(hub.settings.lake, Subject(delivery))
    for level in in_levels(tables):
        doubtful = [table for table in level if table.table in pulled["doubts"]]
        lake.at_once(lambda table: _set_apart(hub, delivery, table, pulled), doubtful)

    def of_table(table: Table) -> Staged:
        if progress:
            progress(f"{delivery.source}/{table.table}")
        with safely(f"stage of {delivery.source}/{table.table}"):
            return _stage_table(hub, delivery, writer, table, pulled)

    staged = lake.at_once(of_table, tables.values())
    for one in staged:
        db.set_counts(hub.engine, delivery, one.name, one.counts)
    books = [book for one in staged for book in one.books]
    db.set_books(hub.engine, delivery, books)
    content = {one.name: one.content for one in staged}
    db.record_event(hub.engine, delivery, "staged", run=hub.run, detail={"content": content, "writer": writer})
    totals = totals_of(books)
    return {
        "id": str(delivery),
        "period": delivery.period,
        "state": "staged",
        "rows_in": totals["rows_in"],
        "rows_kept": totals[KEPT],
        "rows_quarantined": totals[QUARANTINED],
    }


def last_pulled(hub: Hub, delivery: DeliveryId) -> Record:
    """What the last pull left: ``files`` (table, file, rows, malformed and its reasons, refused by reason), and
    ``doubts``, the tables that may hold copies or orphans. Raises ``NotReady``."""
    return _last(hub, delivery, "pulled")


def _require_reader(delivery: DeliveryId, state: str | None, pulled: Record) -> None:
    """Raises ``NotReady`` when the landed rows are not what this code and this contract make of the texts that came."""
    if pulled.get("reader") != reader_of(load_source(delivery.source).csv, load_tables(delivery.source).values()):
        again = "" if may_act("pull", state) else " --again"
        raise NotReady(
            f"{delivery} was pulled by another contract or by another version of the hub than these.",
            reason="not_ready",
            next_step=f"`hub delivery pull --source {delivery.source} --period {delivery.period}{again}` comes first",
        )


def last_staged(hub: Hub, delivery: DeliveryId) -> dict[str, Any]:
    """What the last stage left: ``writer``, the name under which its rows wait; ``content``, by table how many rows go
    on and a sum of what they hold. Raises ``NotReady``."""
    staged = _last(hub, delivery, "staged")
    if "writer" not in staged:
        raise NotReady(
            f"{delivery} was staged by another version of the hub than this.",
            reason="not_ready",
            next_step=f"`hub delivery stage {delivery}` comes first",
        )
    return staged


def waiting(lake: Path, delivery: DeliveryId, writer: str, table: Table) -> WaitingTable:
    """The rows of a delivery's table that go on."""
    columns = {c.name: spark_type(c) for c in table.lake_columns} | {"_file": "string", "_row": "bigint"}
    name, month = f"{delivery.source}/{table.table}", {counters.PERIOD: delivery.period}
    return WaitingTable.of(lake, name, writer, columns, partition_by=(*month,), slice=month, stats=table.stats)


def staged_rows(hub: Hub, delivery: DeliveryId, table: Table) -> DataFrame | None:
    """All rows of a staged table with ``_status`` and ``_reason``, of those that do not go on only these; None when
    nothing waits of it."""
    if db.delivery_state(hub.engine, delivery) not in OPEN:
        return None
    made = waiting(hub.settings.lake, delivery, last_staged(hub, delivery)["writer"], table)
    if not made.is_whole:
        return None
    apart = StagedTable.apart(hub.settings.lake, delivery, table.table)
    if apart.place.is_dir():
        ended = apart.read(hub.spark).drop("_said")
    else:
        refused = _landed(hub, delivery, table).where(F.col("_reason").isNotNull())
        ended = refused.select(*PLACE, "_reason").withColumn(STATUS, F.lit(QUARANTINED))
    rows = made.read(hub.spark).withColumns({STATUS: F.lit(KEPT), "_reason": F.lit(None).cast("string")})
    return rows.unionByName(ended, allowMissingColumns=True)


def remove_staged(hub: Hub, delivery: DeliveryId) -> None:
    """Removes what the last stage left, but for files that a table's log names: nobody reads it any more."""
    lake.remove_staged(hub.settings.lake, Subject(delivery))
    writer = _last(hub, delivery, "staged").get("writer", "")
    for table in load_tables(delivery.source).values() if writer else ():
        made = waiting(hub.settings.lake, delivery, writer, table)
        below = str(made.folder.relative_to(made.root))
        if not any(file.path.startswith(f"{below}/") for file in live_files(made.root)):
            shutil.rmtree(made.folder, ignore_errors=True)


def _last(hub: Hub, delivery: DeliveryId, state: str) -> dict[str, Any]:
    known = db.get_delivery(hub.engine, delivery)
    if known is None:
        raise never_announced(delivery)
    for event in reversed(known["events"]):
        if event["state"] == state:
            return dict(event["detail"] or {})
    raise not_ready(delivery, known["state"], f"was not {state} yet")


def _stage_table(hub: Hub, delivery: DeliveryId, writer: str, table: Table, pulled: Record) -> Staged:
    """Stages one table: its books, the counts of its rules, and what its commit will say of its rows."""
    name, made = f"{delivery.source}/{table.table}", waiting(hub.settings.lake, delivery, writer, table)
    rules, received = load_rules(name), [f for f in pulled["files"] if f["table"] == table.table]
    ended, notes = refused_of(received), None
    if table.table in pulled["doubts"]:
        apart = StagedTable.apart(hub.settings.lake, delivery, table.table).read(hub.spark)
        ended, notes = _ended(apart), to_notes(apart)
    reports = _write(hub, delivery, table, made, rules, notes)
    books, counted = books_of(received, ended), Counter[str]()
    totals = totals_of(books)
    shares = {state: (totals[state], totals["rows_in"]) for state in (QUARANTINED, DUPLICATE)}
    for report in reports:
        counted.update(report.counts)
    staged = made.read(hub.spark)
    if looking := [rule for rule in rules if rule.looks_into]:
        counted.update(_looked_up(staged, looking, lambda other: _staged_as(hub, delivery, writer, other)))
    beside = published_beside(hub, delivery, table, rules, staged)
    counts = counters.counts(rules, counted, staged, shares, rows=totals[KEPT], beside=beside, key=table.key)
    content = reduce(xor, (report.content for report in reports), 0)
    return Staged(name, books, counts, content_of(totals[KEPT], {CONTENT: content}))


def _set_apart(hub: Hub, delivery: DeliveryId, table: Table, pulled: Record) -> None:
    """Keeps the places of the rows of a table that do not go on."""
    parents = None
    if table.parent:
        parent = load_table(delivery.source, table.parent.table)
        rows, apart = _landed(hub, delivery, parent), StagedTable.apart(hub.settings.lake, delivery, parent.table)
        doubtful = parent.table in pulled["doubts"]
        parents = only_going(rows, apart.read(hub.spark)) if doubtful else rows.where(F.col("_reason").isNull())
    with safely(f"stage of {delivery.source}/{table.table}"):
        found = to_apart(_landed(hub, delivery, table), table, parents, pulled["doubts"][table.table]).coalesce(1)
        StagedTable.apart(hub.settings.lake, delivery, table.table).write(found)


def _ended(apart: DataFrame) -> dict[Ended, int]:
    """How many rows ended how."""
    groups = apart.groupBy("_file", STATUS, "_reason").count().collect()
    return {(g["_file"], g[STATUS], g["_reason"]): g["count"] for g in groups}


def _write(
    hub: Hub, delivery: DeliveryId, table: Table, made: WaitingTable, rules: Sequence[Rule], notes: DataFrame | None
) -> list[Report]:
    """Writes the rows that go on and seals those that are to be; what was sealed before goes."""
    found = found_folder(delivery.under(hub.settings.quarantine), table)
    shutil.rmtree(found, ignore_errors=True)
    work = Work(
        table=table,
        rules=tuple(of_rows(rules)),
        period=delivery.period,
        files=landed_files(delivery.under(hub.settings.landing), table),
        target=str(made.folder),
        sealed=str(found),
        checks=hub.key_checks,
    )
    reports = write_landed(hub.spark, work, notes)
    below = made.folder.relative_to(made.root)
    made.keep(
        WrittenFile(
            path=str(below / r.file),
            rows=r.rows,
            bytes=r.bytes,
            partition=dict(made.slice),
            extremes={name: tuple(ends) for name, ends in r.extremes.items() if ends[0] is not None},
        )
        for r in reports
    )
    for path in {*found.glob("*")} - {found / r.sealed for r in reports if r.sealed}:
        path.unlink()  # of a task that was repeated
    return reports


def _looked_up(staged: DataFrame, rules: Sequence[Rule], read: counters.Read) -> dict[str, int]:
    """The counts of rules that look into another table."""
    counted = counters.annotate(staged, rules, read).agg(*counters.counters(rules)).collect()[0].asDict()
    return {name: int(n) for name, n in counted.items() if name != ROWS}


def _staged_as(hub: Hub, delivery: DeliveryId, writer: str, name: str) -> DataFrame:
    return waiting(hub.settings.lake, delivery, writer, load(name)).read(hub.spark)


def _landed(hub: Hub, delivery: DeliveryId, table: Table) -> DataFrame:
    return read_landed(hub.spark, delivery.under(hub.settings.landing), table)
