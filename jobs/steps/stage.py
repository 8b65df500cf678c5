"""stage: one scan per table, from the sealed landing to typed, pseudonymised, counted rows that wait for their gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from catalogue.db import records
from jobs.errors import UnexpectedState
from jobs.intake.delivery import DeliveryId
from jobs.lake import tables as lake
from jobs.spark.session import safely
from jobs.steps.hub import Hub
from schemas.loader import Table, load_source, load_tables

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Progress = Callable[[str], None]
STATES = ("kept", "quarantined", "duplicate", "settled")


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


def _stage_table(
    hub: Hub, delivery: DeliveryId, table: Table, files: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], str]:
    """Writes one staged table: its books, and the number and a sum of the rows kept; all from the same pass."""
    from pyspark.sql import functions as F
    from pyspark.sql.observation import Observation

    from jobs.quality import counters
    from jobs.quality.rules import load_rules
    from jobs.stage.rows import KEPT, to_staged
    from jobs.stage.typed import typed

    name = f"{delivery.source}/{table.table}"
    raw = landed(hub, delivery, table)
    parent = lake.read_staged(hub.spark, staging(hub, delivery, table.parent.table)) if table.parent else None
    rules = load_rules(name)

    def staged_kept(other: str) -> DataFrame:
        return counters.kept(lake.read_staged(hub.spark, staging(hub, delivery, other.partition("/")[2])))

    seen = Observation("stage")
    kept = F.col("_status") == KEPT
    content = F.bit_xor(F.when(kept, F.xxhash64(*[c.name for c in table.lake_columns]))).alias("content")
    counted = [content, *counters.counters(rules, kept), *_file_counters(files)]
    with _on_disk(typed(raw, table, load_source(delivery.source).csv)) as rows:
        marked = counters.annotate(to_staged(rows, table, parent), rules, staged_kept)
        flags = [c for c in marked.columns if c.startswith("_ok_")]
        observed = marked.observe(seen, *counted).drop(*flags)
        staged = lake.write_staged(hub.spark, observed, staging(hub, delivery, table.table))
    found = seen.get
    quarantined = sum(found[f"f/{i}/quarantined"] for i in range(len(files)))
    reasons = _reasons(staged) if quarantined else {}
    books = [
        _book(f, {s: found[f"f/{i}/{s}"] for s in STATES}, reasons.get(f["file"], {})) for i, f in enumerate(files)
    ]
    if quarantined:
        _seal_quarantine(hub, delivery, table, raw, staged)
    malformed = sum(f["malformed"] for f in files)
    landed_rows = sum(b["rows_in"] for b in books)
    extra = {"quarantined": (quarantined + malformed, landed_rows)}
    extra |= {s: (sum(found[f"f/{i}/{s}"] for i in range(len(files))), landed_rows) for s in ("duplicate", "settled")}
    rows_kept = sum(b["rows_published"] for b in books)
    counts = counters.counts(rules, found, staged, extra, rows=rows_kept)
    records.set_counts(hub.engine, delivery, name, counts)
    return books, f"{rows_kept}:{found['content']}"


@contextmanager
def _on_disk(rows: DataFrame) -> Iterator[DataFrame]:
    """Rows that are made once however often they are read: copies and reversals look at them again. They lie in the
    server's local directory, encrypted with its own key, until the end."""
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
