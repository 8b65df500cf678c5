"""What every engine must agree on: the books, the rules' counts, and a fingerprint of the rows that were published.

The fingerprint is one SELECT that Spark and DuckDB both understand: rows, and the sum of 60 bits of MD5 over each row's
canonical text. Columns of the contract only: where a line stood (``_file``, ``_row``) is each engine's own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bench.data import SOURCE, TABLE
from schemas.loader import Column, load_table

COLUMNS = load_table(SOURCE, TABLE).lake_columns


@dataclass(frozen=True)
class Outcome:
    """What one engine made of a delivery's ER_PRS_F."""

    books: dict[str, int]
    """Lines by state or by reason of the quarantine."""
    counts: dict[str, list[int]]
    """Violated and denominator by rule, of the rules that rows answer."""
    rows: int
    """Published rows."""
    content: str
    """Fingerprint of the published rows."""

    def differences(self, other: Outcome) -> list[str]:
        """Names of what is not the same, empty when all is."""
        mine, theirs = asdict(self), asdict(other)
        return [name for name in mine if mine[name] != theirs[name]]


def fingerprint(table: str, dialect: str) -> str:
    """The SELECT of ``n`` and ``content`` over ``table``, for ``spark`` or ``duckdb``."""
    texts = ", ".join(f"coalesce({_text(c, dialect)}, '~')" for c in COLUMNS)
    digest = f"substr(md5(concat_ws('|', {texts})), 1, 15)"
    number = f"cast(conv({digest}, 16, 10) AS decimal(20,0))"
    if dialect == "duckdb":
        number = f"cast(('0x' || {digest})::bigint AS hugeint)"
    return f"SELECT count(*) AS n, cast(sum({number}) AS {_words(dialect)}) AS content FROM {table}"


def _text(column: Column, dialect: str) -> str:
    if column.pseudonym:
        return f"lower(hex({column.name}))"
    return f"cast({column.name} AS {_words(dialect)})"


def _words(dialect: str) -> str:
    return "string" if dialect == "spark" else "varchar"


def of_row(row: Any) -> tuple[int, str]:
    """Rows and content from the fingerprint's answer."""
    return int(row[0]), str(row[1])
