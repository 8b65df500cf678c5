"""stage: what does not go on is found first, then every other row is written once, pseudonymised and counted, where it
waits for its gate."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from catalogue import db
from jobs.delivery import DeliveryId, Subject, may_act, never_announced, not_ready, require_move
from jobs.errors import NotReady
from jobs.hub import Hub, Progress
from jobs.lake import tables as lake
from jobs.lake.commits import live_files
from jobs.lake.sealed import found_folder, read_landed, write_quarantined
from jobs.lake.staged import StagedTable
from jobs.lake.waiting import WaitingTable
from jobs.quality import counters
from jobs.quality.rules import load_rules
from jobs.rows.apart import only_going, to_apart, to_found
from jobs.rows.books import DUPLICATE, KEPT, QUARANTINED, STATUS, Book, Ended, books_of, totals_of
from jobs.rows.counted import content_of, content_sum
from jobs.rows.pseudonymised import pseudonymised
from jobs.rows.typed import reader_of
from jobs.spark.session import safely
from jobs.steps.whole import published_beside
from schemas.loader import Table, load, load_source, load_table, load_tables, spark_type

Files = list[dict[str, Any]]


def stage(hub: Hub, delivery: DeliveryId, progress: Progress | None = None) -> dict[str, Any]:
    """Stages every table of a pulled delivery, parents first, and records its books and the counts of its rules."""
    files = pulled_files(hub, delivery)
    require_move(delivery, db.delivery_state(hub.engine, delivery), "staged")
    _require_reader(hub, delivery)
    _ = hub.spark  # checks the keys before any data is read
    # a delivery that is staged again is written beside what was written before: a commit may name that
    writer = f"{delivery.period}-v{delivery.version}-{secrets.token_hex(4)}"
    books: list[Book] = []
    content: dict[str, str] = {}
    for table in load_tables(delivery.source).values():
        name = f"{delivery.source}/{table.table}"
        if progress:
            progress(name)
        with safely(f"stage of {name}"):
            received = [f for f in files if f["table"] == table.table]
            of_table, content[name] = _stage_table(hub, delivery, writer, table, received)
            books += of_table
    db.set_books(hub.engine, delivery, books)
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
    apart = StagedTable.apart(hub.settings.lake, delivery, table.table)
    if not apart.place.is_dir():
        return None
    made = waiting(hub.settings.lake, delivery, last_staged(hub, delivery)["writer"], table)
    rows = made.read(hub.spark).withColumns({STATUS: F.lit(KEPT), "_reason": F.lit(None).cast("string")})
    return rows.unionByName(apart.read(hub.spark).drop("_said"), allowMissingColumns=True)


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


def _stage_table(hub: Hub, delivery: DeliveryId, writer: str, table: Table, files: Files) -> tuple[list[Book], str]:
    """Stages one table, and records the counts of its rules: its books, and what its commit will say of its rows."""
    name, spark = f"{delivery.source}/{table.table}", hub.spark
    rules, made = load_rules(name), waiting(hub.settings.lake, delivery, writer, table)
    landed = _landed(hub, delivery, table)
    ended = _set_apart(hub, delivery, landed, table)
    going = only_going(landed, _apart(hub, delivery, table)) if ended else landed
    rows = pseudonymised(going, table).withColumn(counters.PERIOD, F.lit(delivery.period))
    rows = counters.annotate(
        rows, rules, lambda other: waiting(hub.settings.lake, delivery, writer, load(other)).read(spark)
    )
    counts = made.write(rows, [content_sum(F.col("_content")), *counters.counters(rules)])
    books = books_of(files, ended)
    totals = totals_of(books)
    shares = {state: (totals[state], totals["rows_in"]) for state in (QUARANTINED, DUPLICATE)}
    staged = made.read(spark)
    beside = published_beside(hub, delivery, table, rules, staged)
    counted = counters.counts(rules, counts, staged, shares, rows=totals[KEPT], beside=beside, key=table.key)
    db.set_counts(hub.engine, delivery, name, counted)
    return books, content_of(totals[KEPT], counts)


def _set_apart(hub: Hub, delivery: DeliveryId, landed: DataFrame, table: Table) -> Mapping[Ended, int]:
    """Keeps the places of the rows that do not go on, and seals those that the pull could not know of; how many rows
    ended how."""
    parents = None
    if table.parent:
        parent = load_table(delivery.source, table.parent.table)
        parents = only_going(_landed(hub, delivery, parent), _apart(hub, delivery, parent))
    StagedTable.apart(hub.settings.lake, delivery, table.table).write(to_apart(landed, table, parents).coalesce(1))
    apart, folder = _apart(hub, delivery, table), delivery.under(hub.settings.quarantine)
    by_pull = F.col("_said").isNotNull().alias("by_pull")
    groups = apart.groupBy("_file", STATUS, "_reason", by_pull).count().collect()
    if found_folder(folder, table).exists() or any((g[STATUS] == QUARANTINED) != g["by_pull"] for g in groups):
        write_quarantined(landed, to_found(apart), folder, table)
    ended: dict[Ended, int] = {}
    for g in groups:
        end = (g["_file"], g[STATUS], g["_reason"])
        ended[end] = ended.get(end, 0) + g["count"]
    return ended


def _landed(hub: Hub, delivery: DeliveryId, table: Table) -> DataFrame:
    return read_landed(hub.spark, delivery.under(hub.settings.landing), table)


def _apart(hub: Hub, delivery: DeliveryId, table: Table) -> DataFrame:
    return StagedTable.apart(hub.settings.lake, delivery, table.table).read(hub.spark)
