"""The peer DuckDB, with delta-rs for the Delta write: the same work, as its experts would write it.

One scan of the CSV files into DuckDB's own table, one typed table from it, exceptions by hash of the key (never a
window over all rows), pseudonyms once per distinct value, one streamed Arrow result into the partitioned Delta table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import deltalake
import duckdb
from deltalake import DeltaTable

from bench import sql
from bench.data import PERIOD, SOURCE, TABLE, Data
from bench.outcome import Outcome, fingerprint, of_row
from jobs.quality.rules import load_rules
from schemas.loader import load_source, load_table

THREADS = 2
CONTRACT, CSV = load_table(SOURCE, TABLE), load_source(SOURCE).csv
RULES = sql.row_rules(list(load_rules(f"{SOURCE}/{TABLE}")))
DOMAIN = b"hub/p2/v1\0"
BLOCK = 64
"""Bytes of a block of SHA-256."""


def run(data: Data, out: Path, lap: Any) -> Outcome:
    """Loads ``data`` into ``out/lake`` and ``out/quarantine``. ``lap(name)`` ends a step of the clock."""

    out.mkdir(parents=True)
    with duckdb.connect(str(out / "work.duckdb"), config={"threads": THREADS}) as db:
        db.execute(f"CREATE TABLE raw AS SELECT * FROM {_csv(data)}")
        lap("parse")
        _cast(db)
        lap("cast, rules")
        for domain in sorted({c.pseudonym for c in CONTRACT.lake_columns if c.pseudonym}):
            _pseudonyms(db, domain, data.key)
        lap("pseudonymise")
        _exceptions(db)
        _rows(db)
        lap("copies")
        outcome = _count(db)
        lap("count")
        _quarantine(db, out / "quarantine")
        lap("quarantine")
        _publish(db, out / "lake")
        lap("publish")
    return outcome


def published(out: Path) -> tuple[int, str]:
    """Rows and content of a Delta table that was written in clear."""

    files = [str(f) for f in DeltaTable(str(out / "lake")).file_uris()]
    with duckdb.connect(config={"threads": THREADS}) as db:
        return of_row(db.execute(fingerprint("read_parquet(?)", "duckdb"), [files]).fetchone())


def _csv(data: Data) -> str:
    files = "[" + ", ".join(sql.quoted(f) for f in data.files) + "]"
    columns = "{" + ", ".join(f"'{n}': 'VARCHAR'" for n in CONTRACT.names) + "}"
    return (
        f"read_csv({files}, delim='{CSV.delimiter}', quote='{CSV.quote}', header=true, columns={columns},"
        " auto_detect=false, nullstr='', filename=true, strict_mode=true)"
    )


def _cast(db: Any) -> None:
    values = ", ".join(f"{sql.typed(c, CSV)} AS {c.name}" for c in CONTRACT.lake_columns)
    texts = ", ".join(f"{sql.text(c)} AS {c.name}" for c in CONTRACT.columns)
    # its order is that of the lines: rowid is the line's number over all files
    db.execute(
        f"CREATE TABLE typed AS SELECT {values}, _file, _row, {sql.reason(CONTRACT, CSV, PERIOD)} AS _reason"
        f" FROM (SELECT {texts}, filename AS _file, rowid AS _row FROM raw)"
    )


def _pseudonyms(db: Any, domain: str, key: bytes) -> None:
    """One row per distinct value of a domain, with its HMAC-SHA-256."""
    inner, outer = (bytes(b ^ pad for b in key.ljust(BLOCK, b"\0")) for pad in (0x36, 0x5C))
    columns = [c.name for c in CONTRACT.lake_columns if c.pseudonym == domain]
    values = " UNION ".join(f"SELECT DISTINCT {name} AS value FROM typed WHERE {name} IS NOT NULL" for name in columns)
    db.execute(
        f"CREATE TABLE p_{domain} AS SELECT value, unhex(sha256($outer || unhex(sha256($inner || encode(value)))))"
        f" AS pseudonym FROM ({values})",
        {"inner": inner + DOMAIN + domain.encode() + b"\0", "outer": outer},
    )


def _exceptions(db: Any) -> None:
    """Copies: one row per line that is not simply kept."""
    key, content = ", ".join(CONTRACT.key), ", ".join(c.name for c in CONTRACT.lake_columns)
    db.execute(f"""
        CREATE TABLE copies AS
        WITH repeated AS (SELECT hash({key}) AS h FROM typed GROUP BY h HAVING count(*) > 1),
        suspects AS (SELECT *, hash({content}) AS _content FROM typed WHERE hash({key}) IN (SELECT h FROM repeated)),
        marked AS (
          SELECT _row, min(_content) OVER same <> max(_content) OVER same AS differ,
            row_number() OVER (same ORDER BY _row) AS place
          FROM suspects WINDOW same AS (PARTITION BY {key}))
        SELECT _row, CASE WHEN differ THEN 'conflict' ELSE 'duplicate' END AS copy FROM marked WHERE differ OR place > 1
    """)


def _rows(db: Any) -> None:
    """The view of all lines with their state."""
    columns = []
    for column in CONTRACT.lake_columns:
        name = column.name
        columns.append(f"p_{name}.pseudonym AS {name}" if column.pseudonym else f"t.{name}")
    joined = " ".join(
        f"LEFT JOIN p_{c.pseudonym} p_{c.name} ON p_{c.name}.value = t.{c.name}"
        for c in CONTRACT.lake_columns
        if c.pseudonym
    )
    db.execute(f"""
        CREATE VIEW lines AS SELECT {", ".join(columns)}, _file, t._row,
          CASE WHEN copy = 'duplicate' THEN 'duplicate' WHEN coalesce(_reason, copy) IS NOT NULL THEN 'quarantined'
            ELSE 'kept' END AS _status,
          coalesce(_reason, copy) AS _reason
        FROM typed t LEFT JOIN copies c ON c._row = t._row {joined}
    """)


def _count(db: Any) -> Outcome:
    rows = db.execute(
        "SELECT CASE WHEN _status = 'quarantined' THEN _reason ELSE _status END, count(*) FROM lines GROUP BY 1"
    ).fetchall()
    asked = ", ".join(f"count_if({sql.violated(r)}), count_if({sql.asked(r)})" for r in RULES)
    numbers = db.execute(f"SELECT {asked} FROM lines WHERE _status = 'kept'").fetchone()
    counts = {r.id: [int(numbers[2 * i]), int(numbers[2 * i + 1])] for i, r in enumerate(RULES)}
    return Outcome({str(k): int(n) for k, n in sorted(rows)}, counts, 0, "")


def _quarantine(db: Any, folder: Path) -> None:
    """The lines that were put aside, as they came, with their reason."""
    folder.mkdir()
    bad = "SELECT _row, _reason FROM lines WHERE _status = 'quarantined'"
    db.execute(
        f"COPY (SELECT raw.*, b._reason FROM raw JOIN ({bad}) b ON raw.rowid = b._row)"
        f" TO '{folder / 'rows.parquet'}' (FORMAT parquet, COMPRESSION zstd)"
    )


def _publish(db: Any, where: Path) -> None:
    names = ", ".join(c.name for c in CONTRACT.lake_columns)
    rows = db.sql(f"SELECT {names}, _file, _row, '{PERIOD}' AS _period FROM lines WHERE _status = 'kept'")
    deltalake.write_deltalake(
        str(where),
        rows.to_arrow_reader(122_880),
        partition_by=["_period"],
        mode="overwrite",
        writer_properties=deltalake.WriterProperties(compression="ZSTD", compression_level=1),
        configuration={"delta.dataSkippingStatsColumns": ",".join(CONTRACT.stats)},
    )
