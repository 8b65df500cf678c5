"""Aggregate questions to the lake, for engineers. Identifiers cannot be printed because they are not there.

A question sees every table through a view in which each identifying column is replaced by a hash with a salt of this
one question: rows can be counted, grouped and joined by person, and what could be printed means nothing.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from catalogue import db
from jobs.errors import ConfigError, DisclosureRefused
from jobs.hub import Hub
from jobs.lake import tables as lake
from jobs.lake.inventory import names
from jobs.lake.layout import table_path
from jobs.spark.session import safely
from schemas.loader import load

MOST_ROWS = 1000
TECHNICAL = ("_row", "_file")


def hidden(name: str) -> set[str]:
    """Columns of a table that identify, or are the surrogate of an identifier."""
    table = load(name)
    own = {c.name for c in table.lake_columns if c.identifying or c.pseudonym}
    links = {c.name for c in table.lake_columns if c.name.endswith("_id") and not c.name.endswith("concept_id")}
    return own | (links if name.startswith("omop/") else set()) | set(TECHNICAL)


def ask(hub: Hub, sql: str, *, released: bool = False) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The answer's rows and column names. Raises ``DisclosureRefused`` when an identifier would be printed or the
    answer is not an aggregate (over 1,000 rows), ``ConfigError`` when it is not one SELECT."""
    if not re.match(r"\s*(select|with)\b", sql, re.IGNORECASE) or ";" in sql.rstrip().rstrip(";"):
        raise ConfigError("A question is one SELECT.", next_step="see `hub lake query --help`")
    salt = secrets.token_hex(16)
    versions = db.current_release(hub.engine) if released else None
    used = [n for n in names() if re.search(_pattern(n), sql, re.IGNORECASE)]
    if not used:
        raise ConfigError("The question names no table of the lake.", next_step="`hub lake show` lists them")
    protected: set[str] = set()
    with safely("question"):
        for name in used:
            view = "v_" + name.replace("/", "__")
            secret = hidden(name)
            protected |= {c.lower() for c in secret}
            where = table_path(hub.settings.lake, name)
            frame = lake.read(hub.spark, where, versions.tables.get(name) if versions else None)
            frame.selectExpr(*[
                f"xxhash64('{salt}', `{c}`) AS `{c}`" if c in secret else f"`{c}`" for c in frame.columns
            ]).createOrReplaceTempView(view)  # fmt: skip
            sql = re.sub(_pattern(name), view, sql, flags=re.IGNORECASE)
        answer = hub.spark.sql(sql.rstrip().rstrip(";"))
        shown = sorted(c for c in answer.columns if c.lower() in protected)
        if shown:
            raise DisclosureRefused(
                f"The answer would print {', '.join(shown)}.", next_step="count or group them, do not print them"
            )
        rows = answer.limit(MOST_ROWS + 1).collect()
    if len(rows) > MOST_ROWS:
        raise DisclosureRefused("The answer has more than 1,000 rows.", next_step="ask for an aggregate")
    return [r.asDict(recursive=True) for r in rows], tuple(answer.columns)


def _pattern(name: str) -> str:
    where, _, table = name.partition("/")
    return rf"`?\b{where}[./]{table}\b`?"
