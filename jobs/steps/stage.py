"""stage: one scan per table, from the sealed landing to typed, pseudonymised, counted rows that wait for their gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from catalogue.db import records
from jobs.delivery import DeliveryId
from jobs.errors import UnexpectedState
from jobs.lake import tables as lake
from jobs.spark.session import safely
from jobs.steps.hub import Hub
from schemas.loader import Table, load, load_source, load_table, load_tables

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row

Progress = Callable[[str], None]
STATES = ("kept", "quarantined", "duplicate", "settled")
ROWS, MARKS = "rows", "marks"
"""Folders of a staged table: its rows as each says alone, written once, and what others make of a few of them."""
CONTENT = "content"


def staging(hub: Hub, delivery: DeliveryId, table: str = "") -> str:
    """Where a delivery's staged table waits."""
    return lake.path(hub.settings.lake, "/".join(("staging", *delivery.parts, table)).rstrip("/"))


def stage(hub: Hub, delivery: DeliveryId, progress: Progress | None = None) -> dict[str, Any]:
    """Stages every table of a pulled delivery, parents first, and records its books and the counts of its rules."""
    files = pulled_files(hub, delivery)
    source = load_source(delivery.source)
    spark = hub.spark  # checks the keys before any data is read
    books: list[dict[str, Any]] = []
    content: dict[str, str] = {}
    for name, table in load_tables(source.source).items():
        if progress:
            progress(f"{delivery.source}/{name}")
        received = [f for f in files if f["table"] == name]
        with safely(f"stage of {delivery.source}/{name}"):
            found, content[f"{delivery.source}/{name}"] = _stage_table(hub, delivery, table, received)
            books += found
    records.set_books(hub.engine, delivery, books)
    records.record_event(hub.engine, delivery, "staged", run=hub.run, detail={"content": content})
    del spark
    return {
        "id": str(delivery),
        "period": delivery.period,
        "state": "staged",
        "rows_in": sum(b["rows_in"] for b in books),
        "rows_kept": sum(b["rows_published"] for b in books),
        "rows_quarantined": sum(sum(b["rows_quarantined"].values()) for b in books),
    }


def pulled_files(hub: Hub, delivery: DeliveryId) -> list[dict[str, Any]]:
    """What the last pull received: table, file, rows, malformed and its reasons. Raises ``UnexpectedState``."""
    return list(_last(hub, delivery, "pulled", "pull")["files"])


def staged_content(hub: Hub, delivery: DeliveryId) -> dict[str, str]:
    """By table, the number of rows that the last stage kept and a sum of what they hold. Raises ``UnexpectedState``."""
    return dict(_last(hub, delivery, "staged", "stage")["content"])


def _last(hub: Hub, delivery: DeliveryId, state: str, step: str) -> dict[str, Any]:
    known = records.get_delivery(hub.engine, delivery)
    for event in reversed(known["events"] if known else []):
        if event["state"] == state:
            return dict(event["detail"])
    raise UnexpectedState(f"{delivery} was not {state}.", next_step=f"run `hub delivery {step}` first")


def staged(hub: Hub, delivery: DeliveryId, table: Table) -> DataFrame:
    """The rows of a staged table with their states, as ``with_state`` gives them."""
    from pyspark.sql import functions as F

    from jobs.stage.marks import PLACE, has_marks
    from jobs.stage.rows import with_state

    where = staging(hub, delivery, table.table)
    rows = lake.read_staged(hub.spark, f"{where}/{ROWS}")
    if has_marks(table):
        rows = rows.join(F.broadcast(lake.read_staged(hub.spark, f"{where}/{MARKS}")), list(PLACE), "left")
    return with_state(rows, table)


def _stage_table(
    hub: Hub, delivery: DeliveryId, table: Table, files: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], str]:
    """Writes one staged table, and its marks beside it: its books, and the number and a sum of the rows kept.

    What each row says alone is counted in the pass that writes it. The few rows that others make an exception are then
    taken out of those counts and put into the counts where they belong.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.observation import Observation

    from jobs.quality import counters
    from jobs.quality.rules import load_rules
    from jobs.stage.marks import has_marks
    from jobs.stage.rows import KEPT, with_state
    from jobs.stage.typed import typed

    name, where = f"{delivery.source}/{table.table}", staging(hub, delivery, table.table)
    raw = landed(hub, delivery, table)
    rules = load_rules(name)

    def staged_kept(other: str) -> DataFrame:
        return counters.kept(staged(hub, delivery, load(other)))

    kept = F.col("_status") == KEPT
    content = F.bit_xor(F.when(kept, F.col("_content"))).alias(CONTENT)
    counted = [content, *counters.counters(rules, kept), *_file_counters(files)]
    seen = Observation("stage")
    alone = with_state(
        counters.annotate(typed(raw, table, load_source(delivery.source).csv), rules, staged_kept), table
    )
    rows = lake.write_staged(hub.spark, alone.observe(seen, *counted).drop("_status"), f"{where}/{ROWS}")
    found = dict(seen.get)
    if has_marks(table):
        found = _corrected(hub, delivery, table, rows, counted, found)
    after = staged(hub, delivery, table)
    quarantined = sum(found[f"f/{i}/quarantined"] for i in range(len(files)))
    reasons = _reasons(after) if quarantined else {}
    books = [
        _book(f, {s: found[f"f/{i}/{s}"] for s in STATES}, reasons.get(f["file"], {})) for i, f in enumerate(files)
    ]
    if quarantined:
        _seal_quarantine(hub, delivery, table, raw, after)
    malformed = sum(f["malformed"] for f in files)
    landed_rows = sum(b["rows_in"] for b in books)
    extra = {"quarantined": (quarantined + malformed, landed_rows)}
    extra |= {s: (sum(found[f"f/{i}/{s}"] for i in range(len(files))), landed_rows) for s in ("duplicate", "settled")}
    rows_kept = sum(b["rows_published"] for b in books)
    counts = counters.counts(rules, found, after, extra, rows=rows_kept)
    records.set_counts(hub.engine, delivery, name, counts)
    return books, f"{rows_kept}:{found[CONTENT]}"


def _corrected(
    hub: Hub, delivery: DeliveryId, table: Table, rows: DataFrame, counted: list[Column], found: dict[str, int]
) -> dict[str, int]:
    """Writes the marks of a table; the counts of its rows as the marks make them. ``found``: of the rows alone."""
    from pyspark.sql import functions as F
    from pyspark.sql.observation import Observation

    from jobs.stage.marks import PLACE, marks
    from jobs.stage.rows import with_state

    parent = staged(hub, delivery, load_table(delivery.source, table.parent.table)) if table.parent else None
    number = Observation("marks")
    told = marks(rows, table, parent).coalesce(1).observe(number, F.count(F.lit(1)).alias("n"))
    written = lake.write_staged(hub.spark, told, f"{staging(hub, delivery, table.table)}/{MARKS}")
    if not number.get["n"]:
        return found

    def count(some: DataFrame) -> Row:
        return with_state(some, table).agg(*counted).collect()[0]  # an aggregate: one row of counts

    with _on_disk(rows.join(F.broadcast(written), list(PLACE))) as few:
        was, now = count(few.select(*rows.columns)), count(few)
    return {
        n: (found[n] or 0) ^ (was[n] or 0) ^ (now[n] or 0) if n == CONTENT else found[n] - was[n] + now[n]
        for n in found
    }


@contextmanager
def _on_disk(rows: DataFrame) -> Iterator[DataFrame]:
    """Rows that are made once however often they are read. They lie in the server's local directory, encrypted with its
    own key, until the end."""
    from pyspark.storagelevel import StorageLevel

    held = rows.persist(StorageLevel.DISK_ONLY)
    try:
        yield held
    finally:
        held.unpersist()


def landed(hub: Hub, delivery: DeliveryId, table: Table) -> DataFrame:
    """The landed rows of a table as text, with ``_file`` (the contributor's file name) and ``_row``."""
    from pyspark.sql import functions as F

    schema = ", ".join(f"`{c}` string" for c in table.names) + ", _row bigint"
    folder = delivery.under(hub.settings.landing) / table.table
    stem = F.regexp_replace(F.col("_metadata.file_name"), r"\.parquet$", ".csv")
    return hub.spark.read.schema(schema).parquet(str(folder)).select("*", stem.alias("_file"))


def _file_counters(files: list[dict[str, Any]]) -> list[Column]:
    from pyspark.sql import functions as F

    return [
        F.count_if((F.col("_file") == f["file"]) & (F.col("_status") == state)).alias(f"f/{i}/{state}")
        for i, f in enumerate(files)
        for state in STATES
    ]


def _reasons(staged: DataFrame) -> dict[str, dict[str, int]]:
    """Quarantined rows by file and reason: reads three columns of the staged table."""
    found: dict[str, dict[str, int]] = {}
    for row in staged.where("_status = 'quarantined'").groupBy("_file", "_reason").count().collect():
        found.setdefault(row["_file"], {})[row["_reason"]] = int(row["count"])
    return found


def _book(file: Mapping[str, Any], states: Mapping[str, int], reasons: Mapping[str, int]) -> dict[str, Any]:
    return {
        "table": file["table"],
        "file": file["file"],
        "rows_in": file["rows"] + file["malformed"],
        "rows_published": states["kept"],
        "rows_duplicate": states["duplicate"],
        "rows_settled": states["settled"],
        "rows_quarantined": {**reasons, **({"malformed": file["malformed"]} if file["malformed"] else {})},
    }


def _seal_quarantine(hub: Hub, delivery: DeliveryId, table: Table, raw: DataFrame, staged: DataFrame) -> None:
    """Keeps the quarantined rows as they were received, sealed to the stewards' key: this server cannot read them."""
    from pyspark.sql import functions as F

    bad = staged.where("_status = 'quarantined'").select("_file", "_row", "_reason")
    target = delivery.under(hub.settings.quarantine) / table.table / "rows"
    sealed = raw.join(F.broadcast(bad), ["_file", "_row"])
    sealed.write.option("parquet.encryption.uniform.key", "quarantine").mode("overwrite").parquet(str(target))
