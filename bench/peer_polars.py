"""The peer Polars, streaming, with its ``sink_delta``: the same work, as its experts would write it.

One scan of the CSV files casts, checks and pseudonymises into an IPC file; exceptions come from its key columns; a
second look at the CSV files takes the lines that were put aside as they came.
"""

from __future__ import annotations

import hashlib
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import deltalake
import polars as pl

from bench import sql
from bench.data import PERIOD, SOURCE, TABLE, Data
from bench.outcome import Outcome
from jobs.quality.rule import Rule
from jobs.quality.rules import load_rules
from schemas.forms import form, latest
from schemas.loader import Column, load_source, load_table
from schemas.values import BLANKS

CONTRACT, CSV = load_table(SOURCE, TABLE), load_source(SOURCE).csv
RULES = sql.row_rules(list(load_rules(f"{SOURCE}/{TABLE}")))
DOMAIN = b"hub/p2/v1\0"


def run(data: Data, out: Path, lap: Any) -> Outcome:
    """Loads ``data`` into ``out/lake`` and ``out/quarantine``. ``lap(name)`` ends a step of the clock."""

    (out / "quarantine").mkdir(parents=True)
    work = out / "work.arrow"
    _cast(_csv(data), data.key).sink_ipc(work)
    lap("parse, cast, rules, pseudonymise")
    typed = pl.scan_ipc(work)
    copies = _copies(typed)
    lap("copies")
    lines = _rows(typed, copies)
    status = pl.col("_status")
    books = lines.group_by(pl.when(status == "quarantined").then(pl.col("_reason")).otherwise(status).alias("state"))
    kept = lines.filter(status == "kept")
    asked = [e for r in RULES for e in (_violated(r).sum().alias(f"v/{r.id}"), _asked(r).sum().alias(f"d/{r.id}"))]
    bad = lines.filter(status == "quarantined").select("_row", "_reason")
    counted, numbers, aside = pl.collect_all([books.len(), kept.select(asked), bad], engine="streaming")
    lap("count")
    _csv(data).join(aside.lazy(), on="_row").sink_parquet(out / "quarantine" / "rows.parquet", compression="zstd")
    lap("quarantine")
    _publish(kept, out / "lake")
    lap("publish")
    row = numbers.row(0, named=True)
    counts = {r.id: [int(row[f"v/{r.id}"] or 0), int(row[f"d/{r.id}"] or 0)] for r in RULES}
    return Outcome({str(k): int(n) for k, n in sorted(counted.iter_rows())}, counts, 0, "")


def _csv(data: Data) -> Any:
    return pl.scan_csv(
        list(data.files),
        separator=CSV.delimiter,
        quote_char=CSV.quote,
        schema=dict.fromkeys(CONTRACT.names, pl.String),
        row_index_name="_row",
        include_file_paths="_file",
    )


def _text(column: Column) -> Any:
    value = pl.col(column.name).str.strip_chars(BLANKS)
    nothing = value.is_in(["", *column.null_values])
    if column.no_value:
        nothing |= value.str.contains(_whole(column.no_value))
    return pl.when(nothing).then(None).otherwise(value)


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _typed(column: Column) -> Any:
    sent = pl.col(column.name)
    if column.type == "date":
        return sent.str.to_date(sql.STRPTIME[CSV.date_format], strict=False)
    if column.type == "decimal":
        return sent.cast(pl.Decimal(column.precision, column.scale), strict=False)
    return sent.cast(pl.Int32, strict=False) if column.type == "integer" else sent


def _reason(column: Column) -> list[tuple[Any, str]]:
    sent, value, reasons = pl.col(column.name), _typed(column), []
    pattern = form(column, CSV)
    misshapen = ~sent.str.contains(_whole(pattern)) if pattern else pl.lit(False)
    if column.required:
        reasons.append((sent.is_null(), "missing"))
    if column.type != "string":
        reasons.append((sent.is_not_null() & (value.is_null() | misshapen), "unparsable"))
    if column.length and column.type in ("string", "integer"):
        digits = sent if column.type == "string" else sent.str.strip_chars_start("-")
        reasons.append((digits.str.len_chars() > column.length, "too_long"))
    if column.type == "string" and pattern:
        reasons.append((misshapen, "form"))
    if column.values:
        reasons.append((~sent.is_in(list(column.values)), "code"))
    if column.type == "date":
        reasons.append((value < column.earliest, "too_early"))
        reasons.append((value > latest(column.not_after, PERIOD), "too_late"))
    return [(broken, f"{code}:{column.name}") for broken, code in reasons]


def _cast(raw: Any, key: bytes) -> Any:
    reason: Any = pl.lit(None, dtype=pl.String)
    for broken, code in reversed([r for c in CONTRACT.columns for r in _reason(c)]):
        reason = pl.when(broken).then(pl.lit(code)).otherwise(reason)
    values = [(_pseudonym(c, key) if c.pseudonym else _typed(c)).alias(c.name) for c in CONTRACT.lake_columns]
    texts = raw.with_columns(*[_text(c).alias(c.name) for c in CONTRACT.columns])
    return texts.select(*values, "_file", "_row", reason.alias("_reason"))


def _pseudonym(column: Column, key: bytes) -> Any:
    """HMAC-SHA-256, once per distinct value of a batch: Polars has no hash of bytes, so Python's is prepared once."""

    inner, outer = (hashlib.sha256(bytes(b ^ pad for b in key.ljust(64, b"\0"))) for pad in (0x36, 0x5C))
    inner.update(DOMAIN + str(column.pseudonym).encode() + b"\0")

    def digest(value: str) -> bytes:
        first, last = inner.copy(), outer.copy()
        first.update(value.encode())
        last.update(first.digest())
        return last.digest()

    def of_batch(values: Any) -> Any:
        distinct = values.drop_nulls().unique()
        made = pl.Series([digest(v) for v in distinct], dtype=pl.Binary)
        return values.replace_strict(distinct, made, default=None, return_dtype=pl.Binary)

    return pl.col(column.name).map_batches(of_batch, return_dtype=pl.Binary, is_elementwise=True)


def _hash(names: Any) -> Any:
    return pl.struct(*names).hash()


def _copies(typed: Any) -> Any:
    """One row per line that shares its key: duplicate, or conflict."""

    key, content = list(CONTRACT.key), [c.name for c in CONTRACT.lake_columns]
    hashed = typed.select("_row", _hash(key).alias("_h"))
    repeated = hashed.group_by("_h").len().filter(pl.col("len") > 1).select("_h")
    rows = hashed.join(repeated, on="_h", how="semi").select("_row").collect(engine="streaming")
    suspects = typed.join(rows.lazy(), on="_row", how="semi").collect(engine="streaming")
    differ = _hash(content).n_unique().over(key) > 1
    place = pl.col("_row").rank("ordinal").over(key)
    copy = pl.when(differ).then(pl.lit("conflict")).when(place > 1).then(pl.lit("duplicate"))
    return suspects.select("_row", copy.alias("copy")).filter(pl.col("copy").is_not_null())


def _rows(typed: Any, copies: Any) -> Any:
    """All lines with their state."""

    joined = typed.join(copies.lazy(), on="_row", how="left")
    reason = pl.coalesce(pl.col("_reason"), pl.col("copy"))
    status = (
        pl.when(pl.col("copy") == "duplicate").then(pl.lit("duplicate"))
        .when(reason.is_not_null()).then(pl.lit("quarantined"))
        .otherwise(pl.lit("kept"))
    )  # fmt: skip
    marked = joined.with_columns(status.alias("_status"), reason.alias("_reason"))
    return marked.select(*[c.name for c in CONTRACT.lake_columns], "_file", "_row", "_status", "_reason")


def _violated(rule: Rule) -> Any:
    value = pl.col(str(rule.column))
    if rule.kind == "not_before":
        return value < pl.col(str(rule.other))
    if rule.kind == "in_set":
        return ~value.is_in(list(rule.values))
    if rule.kind == "regex":
        return ~value.str.contains(f"^(?:{rule.regex})$")
    below = [] if rule.min is None else [value < rule.min]
    above = [] if rule.max is None else [value > rule.max]
    return reduce(or_, below + above)


def _asked(rule: Rule) -> Any:
    present = pl.col(str(rule.column)).is_not_null()
    return present & pl.col(str(rule.other)).is_not_null() if rule.kind == "not_before" else present


def _publish(kept: Any, where: Path) -> None:
    rows = kept.select(pl.exclude("_status", "_reason")).with_columns(pl.lit(PERIOD).alias("_period"))
    rows.sink_delta(
        str(where),
        mode="overwrite",
        delta_write_options={
            "partition_by": ["_period"],
            "writer_properties": deltalake.WriterProperties(compression="ZSTD", compression_level=1),
            "configuration": {"delta.dataSkippingStatsColumns": ",".join(CONTRACT.stats)},
        },
    )
