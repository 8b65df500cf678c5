"""stage: what does not go on is found first, then every other row is written once, pseudonymised and counted, where it
waits for its gate."""

from __future__ import annotations

import secrets
import shutil
from collections import Counter
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
from jobs.lake.sealed import found_folder, landed_files, noted_path, read_landed, read_noted, write_landed
from jobs.lake.staged import StagedTable
from jobs.lake.waiting import WaitingTable
from jobs.quality import counters
from jobs.quality.counting import of_rows
from jobs.quality.denominators import ROWS
from jobs.quality.rules import load_rules
from jobs.rows.apart import PLACE, only_going, to_apart, to_notes
from jobs.rows.books import DUPLICATE, KEPT, QUARANTINED, STATUS, Book, Ended, books_of, totals_of
from jobs.rows.counted import CONTENT, content_of
from jobs.rows.typed import reader_of
from jobs.spark.session import safely
from jobs.steps.whole import published_beside
from jobs.tasks.landed import Report, Work
from schemas.loader import Table, in_levels, load, load_source, load_table, load_tables, spark_type

Record = dict[str, Any]


class Written(NamedTuple):
    """One table that was written."""

    table: Table
    books: list[Book]
    reports: list[Report]
    """What its tasks said."""

    @property
    def content(self) -> str:
        """What its commit will say of its rows."""
        return content_of(totals_of(self.books)[KEPT], {CONTENT: reduce(xor, (r.content for r in self.reports), 0)})


def stage(hub: Hub, delivery: DeliveryId, progress: Progress | None = None) -> dict[str, Any]:
    """Stages every table of a pulled delivery, and records its books and the counts of its rules."""
    pulled, state = last_pulled(hub, delivery), db.delivery_state(hub.engine, delivery)
    require_move(delivery, state, "staged")
    _require_reader(delivery, state, pulled)
    _ = hub.spark  # checks the keys before any data is read
    # a delivery that is staged again is written beside what was written before: a commit may name that
    writer = f"{delivery.period}-v{delivery.version}-{secrets.token_hex(4)}"

    tables = load_tables(delivery.source)
    lake.remove_staged(hub.settings.lake, Subject(delivery))
    for level in in_levels(tables):
        unknown = [table for table in level if table.table in pulled["unknown"]]
        lake.at_once(lambda table: _set_apart(hub, delivery, table, pulled), unknown)

    def write(table: Table) -> Written:
        if progress:
            progress(f"{delivery.source}/{table.table}")
        with safely(f"stage of {delivery.source}/{table.table}"):
            return _write_table(hub, delivery, writer, table, pulled)

    def count(written: Written) -> counters.Counts:
        with safely(f"counts of {delivery.source}/{written.table.table}"):
            return _counts(hub, delivery, writer, written)

    written = lake.at_once(write, tables.values())
    names = [f"{delivery.source}/{one.table.table}" for one in written]
    for name, counts in zip(names, lake.at_once(count, written), strict=True):
        db.set_counts(hub.engine, delivery, name, counts)
    books = [book for one in written for book in one.books]
    db.set_books(hub.engine, delivery, books)
    content = {name: one.content for name, one in zip(names, written, strict=True)}
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
    """What the last pull left: ``files`` (table, file, rows, malformed and its reasons, refused); how the rows
    ``ended`` that do not go on, by table; and the tables of which this is ``unknown``. Raises ``NotReady``."""
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
    ended = _apart(hub, delivery, table, last_pulled(hub, delivery)).drop("_said")
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


def _write_table(hub: Hub, delivery: DeliveryId, writer: str, table: Table, pulled: Record) -> Written:
    """Writes the rows of one table that go on; its books."""
    received, notes = [f for f in pulled["files"] if f["table"] == table.table], None
    if table.table in pulled["unknown"]:
        apart = _apart(hub, delivery, table, pulled)
        ended, notes = _ended(apart), to_notes(apart)
    else:
        ended = {(file, state, reason): rows for file, state, reason, rows in pulled["ended"][table.table]}
    return Written(table, books_of(received, ended), _write(hub, delivery, writer, table, notes))


def _counts(hub: Hub, delivery: DeliveryId, writer: str, written: Written) -> counters.Counts:
    """The counts of a table's rules: what its tasks counted, and what only other tables tell."""
    table, totals, counted = written.table, totals_of(written.books), Counter[str]()
    rules = load_rules(f"{delivery.source}/{table.table}")
    for report in written.reports:
        counted.update(report.counts)

    def read(name: str) -> DataFrame:
        return waiting(hub.settings.lake, delivery, writer, load(name)).read(hub.spark)

    staged = read(f"{delivery.source}/{table.table}")
    if looking := [rule for rule in rules if rule.looks_into]:
        told = counters.annotate(staged, looking, read).agg(*counters.counters(looking)).collect()[0].asDict()
        counted.update({name: int(n) for name, n in told.items() if name != ROWS})
    shares = {state: (totals[state], totals["rows_in"]) for state in (QUARANTINED, DUPLICATE)}
    beside = published_beside(hub, delivery, table, rules, staged)
    return counters.counts(rules, counted, staged, shares, rows=totals[KEPT], beside=beside, key=table.key)


def _set_apart(hub: Hub, delivery: DeliveryId, table: Table, pulled: Record) -> None:
    """Finds the rows of a table that do not go on, and keeps their places."""
    parents = None
    if table.parent:
        parent = load_table(delivery.source, table.parent.table)
        parents = only_going(_landed(hub, delivery, parent), _apart(hub, delivery, parent, pulled))
    with safely(f"stage of {delivery.source}/{table.table}"):
        found = to_apart(_landed(hub, delivery, table), table, parents).coalesce(1)
        StagedTable.apart(hub.settings.lake, delivery, table.table).write(found)


def _apart(hub: Hub, delivery: DeliveryId, table: Table, pulled: Record) -> DataFrame:
    """The rows of a table that do not go on (``rows.apart.APART``): as this stage found them, or as the pull noted
    those that others tell against, beside those that break the contract."""
    if table.table in pulled["unknown"]:
        return StagedTable.apart(hub.settings.lake, delivery, table.table).read(hub.spark)
    noted = read_noted(hub.spark, delivery.under(hub.settings.landing), table.table)
    said = _landed(hub, delivery, table).where(F.col("_reason").isNotNull()).select(*PLACE, "_reason")
    refused = said.join(noted, list(PLACE), "left_anti").withColumns(
        {STATUS: F.lit(QUARANTINED), "_said": F.col("_reason")}
    )
    return refused.unionByName(noted)


def _ended(apart: DataFrame) -> dict[Ended, int]:
    """How many rows ended how."""
    groups = apart.groupBy("_file", STATUS, "_reason").count().collect()
    return {(g["_file"], g[STATUS], g["_reason"]): g["count"] for g in groups}


def _write(hub: Hub, delivery: DeliveryId, writer: str, table: Table, notes: DataFrame | None) -> list[Report]:
    """Writes the rows that go on and seals those that are to be; what was sealed before goes."""
    made = waiting(hub.settings.lake, delivery, writer, table)
    found = found_folder(delivery.under(hub.settings.quarantine), table)
    shutil.rmtree(found, ignore_errors=True)
    work = Work(
        table=table,
        rules=tuple(of_rows(load_rules(f"{delivery.source}/{table.table}"))),
        period=delivery.period,
        files=landed_files(delivery.under(hub.settings.landing), table),
        noted=None if notes is not None else noted_path(delivery.under(hub.settings.landing)),
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


def _landed(hub: Hub, delivery: DeliveryId, table: Table) -> DataFrame:
    return read_landed(hub.spark, delivery.under(hub.settings.landing), table)
