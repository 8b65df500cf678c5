"""stage: one scan per table, from the sealed landing to pseudonymised, counted rows that wait for their gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from catalogue import db
from jobs.delivery import DeliveryId, may_act, never_announced, not_ready, require_move
from jobs.errors import NotReady
from jobs.hub import Hub, Progress
from jobs.lake.sealed import found_folder, read_landed, write_quarantined
from jobs.lake.staged import StagedTable
from jobs.quality import counters
from jobs.quality.rules import load_rules
from jobs.rows.books import DUPLICATE, KEPT, QUARANTINED, STATUS, Book, StateCounts, books_of, totals_of
from jobs.rows.counted import content_of, content_sum, corrected, state_counters, state_counts
from jobs.rows.exceptions import PLACE, to_exceptions
from jobs.rows.found import to_found
from jobs.rows.pseudonymised import pseudonymised
from jobs.rows.state import with_state
from jobs.rows.typed import reader_of
from jobs.spark.session import safely
from jobs.steps.whole import published_beside
from schemas.loader import Table, load, load_source, load_table, load_tables

Files = list[dict[str, Any]]


def stage(hub: Hub, delivery: DeliveryId, progress: Progress | None = None) -> dict[str, Any]:
    """Stages every table of a pulled delivery, parents first, and records its books and the counts of its rules."""
    files = pulled_files(hub, delivery)
    require_move(delivery, db.delivery_state(hub.engine, delivery), "staged")
    _require_reader(hub, delivery)
    _ = hub.spark  # checks the keys before any data is read
    books: list[Book] = []
    content: dict[str, str] = {}
    for table in load_tables(delivery.source).values():
        name = f"{delivery.source}/{table.table}"
        if progress:
            progress(name)
        with safely(f"stage of {name}"):
            received = [f for f in files if f["table"] == table.table]
            of_table, content[name] = _stage_table(hub, delivery, table, received)
            books += of_table
    db.set_books(hub.engine, delivery, books)
    db.record_event(hub.engine, delivery, "staged", run=hub.run, detail={"content": content})
    totals = totals_of(books)
    return {
        "id": str(delivery),
        "period": delivery.period,
        "state": "staged",
        "rows_in": totals["rows_in"],
        "rows_kept": totals[KEPT],
        "rows_quarantined": totals[QUARANTINED],
    }


def pulled_files(hub: Hub, delivery: DeliveryId) -> Files:
    """What the last pull received: table, file, rows, malformed and its reasons. Raises ``NotReady``."""
    return list(_last(hub, delivery, "pulled")["files"])


def _require_reader(hub: Hub, delivery: DeliveryId) -> None:
    """Raises ``NotReady`` when the landed rows are not what this code and this contract make of the texts that came."""
    if _last(hub, delivery, "pulled").get("reader") != reader_of(
        load_source(delivery.source).csv, load_tables(delivery.source).values()
    ):
        again = "" if may_act("pull", db.delivery_state(hub.engine, delivery)) else " --again"
        raise NotReady(
            f"{delivery} was pulled by another contract or by another version of the hub than these.",
            reason="not_ready",
            next_step=f"`hub delivery pull --source {delivery.source} --period {delivery.period}{again}` comes first",
        )


def staged_content(hub: Hub, delivery: DeliveryId) -> dict[str, str]:
    """By table, the number of rows that the last stage kept and a sum of what they hold. Raises ``NotReady``."""
    return dict(_last(hub, delivery, "staged")["content"])


def _last(hub: Hub, delivery: DeliveryId, state: str) -> dict[str, Any]:
    known = db.get_delivery(hub.engine, delivery)
    if known is None:
        raise never_announced(delivery)
    for event in reversed(known["events"]):
        if event["state"] == state:
            return dict(event["detail"])
    raise not_ready(delivery, known["state"], f"was not {state} yet")


def _stage_table(hub: Hub, delivery: DeliveryId, table: Table, files: Files) -> tuple[list[Book], str]:
    """Stages one table, and records the counts of its rules: its books, and what its commit will say of its rows."""
    name, spark, names = f"{delivery.source}/{table.table}", hub.spark, [f["file"] for f in files]
    rules = load_rules(name)

    def staged(other: Table) -> StagedTable:
        return StagedTable.of_delivery(hub.settings.lake, delivery, other)

    landed = read_landed(spark, delivery.under(hub.settings.landing), table)
    apart = delivery.under(hub.settings.quarantine)
    parent = staged(load_table(delivery.source, table.parent.table)).read(spark) if table.parent else None
    made = pseudonymised(landed, table).withColumn(counters.PERIOD, F.lit(delivery.period))
    alone = with_state(counters.annotate(made, rules, lambda other: staged(load(other)).read_kept(spark)), table)
    kept = F.col(STATUS) == KEPT
    content = content_sum(F.when(kept, F.col("_content")))
    aggregates = [content, *counters.counters(rules, kept), *state_counters(names)]

    counts = write_counted(staged(table), alone, table, parent, aggregates)
    rows, states, reasons = staged(table).read(spark), state_counts(names, counts), {}
    if any(states[file, QUARANTINED] for file in names):
        reasons = _count_reasons(rows.where(F.col(STATUS) == QUARANTINED).select(*PLACE, "_reason"))
    if _may_have_found(staged(table), states, files) or found_folder(apart, table).exists():
        write_quarantined(landed, to_found(staged(table).read_few(spark), table), apart, table)
    books = books_of(files, states, reasons)
    totals = totals_of(books)
    shares = {state: (totals[state], totals["rows_in"]) for state in (QUARANTINED, DUPLICATE)}
    beside = published_beside(hub, delivery, table, rules, rows)
    counted = counters.counts(rules, counts, rows, shares, rows=totals[KEPT], beside=beside, key=table.key)
    db.set_counts(hub.engine, delivery, name, counted)
    return books, content_of(totals[KEPT], counts)


def write_counted(
    staged: StagedTable, alone: DataFrame, table: Table, parent: DataFrame | None, aggregates: Sequence[Column]
) -> dict[str, Any]:
    """Writes rows as each says ``alone``, then the exceptions that others make of a few: the aggregates of all rows.

    They are taken in the pass that writes the rows. Those of the few exceptions are then taken out, and put in again as
    the exceptions make them.
    """
    counts = staged.write_rows(alone, aggregates, without=[STATUS])
    if not staged.has_exceptions:
        return counts
    rows = staged.read_rows(alone.sparkSession)
    if not staged.write_exceptions(to_exceptions(rows, table, parent)):
        return counts

    def count(few: DataFrame) -> dict[str, Any]:
        return with_state(few, table).agg(*aggregates).collect()[0].asDict()  # an aggregate: one row

    with _on_disk(staged.read_few(alone.sparkSession)) as few:
        return corrected(counts, before=count(few.select(*rows.columns)), after=count(few))


@contextmanager
def _on_disk(rows: DataFrame) -> Iterator[DataFrame]:
    """Rows that are made once however often they are read. They lie in the server's local directory, encrypted with its
    own key, until the end."""
    held = rows.persist(StorageLevel.DISK_ONLY)
    try:
        yield held
    finally:
        held.unpersist()


def _may_have_found(staged: StagedTable, states: StateCounts, files: Files) -> bool:
    """Whether there are rows whose end differs from what the pull said of them: it counted those that it refused."""
    quarantined = sum(states[f["file"], QUARANTINED] - f["refused"] for f in files)
    return staged.has_exceptions and bool(quarantined or any(states[f["file"], DUPLICATE] for f in files))


def _count_reasons(refused: DataFrame) -> dict[tuple[str, str], int]:
    """(file, reason) to rows: reads three columns of the staged table."""
    return {(r["_file"], r["_reason"]): r["count"] for r in refused.groupBy("_file", "_reason").count().collect()}
