"""Casts and row rules: every landed row gets its typed columns and, when it breaks the contract, its reason code.

Reason codes: ``missing:<COLUMN>``, ``unparsable:<COLUMN>``, ``too_long:<COLUMN>``, ``code:<COLUMN>``,
``identity:<status>``. A code names a column or a value of a closed list: never what the row held.
"""

from __future__ import annotations

from pyspark.sql import Column as C
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.spark.session import PSEUDONYM
from schemas.loader import Column, Csv, Table, spark_type


def text(column: Column) -> C:
    """The value as sent, null when it is empty or one of the contract's sentinels."""
    value = F.col(column.name)
    return F.when(value.isin(list(column.null_values)), None).otherwise(value) if column.null_values else value


def value(column: Column, csv: Csv) -> C:
    """The value in the lake's type; null when it cannot be read as that type."""
    sent = text(column)
    if column.pseudonym:
        return F.call_function(PSEUDONYM, F.lit(column.pseudonym), sent)
    if column.type == "string":
        return sent
    if column.type == "date":
        return F.try_to_date(sent, csv.date_format)
    if column.type == "datetime":
        return F.try_to_timestamp(sent, F.lit(csv.datetime_format))
    if column.type in ("decimal", "double") and csv.decimal != ".":
        sent = F.replace(sent, F.lit(csv.decimal), F.lit("."))
    return sent.try_cast(spark_type(column))


def reason(column: Column, made: C) -> C | None:
    """The first rule of the contract that a value breaks, null when it keeps them; None when there is no rule.
    ``made``: the value in the lake's type."""
    sent = text(column)
    found: list[tuple[C, str]] = []
    if column.required:
        found.append((sent.isNull(), "missing"))
    if column.type != "string" and not column.pseudonym:
        found.append((sent.isNotNull() & made.isNull(), "unparsable"))
    if column.length and column.type in ("string", "integer", "bigint"):
        digits = F.length(F.ltrim(sent, F.lit("-"))) if column.type != "string" else F.length(sent)
        found.append((digits > column.length, "too_long"))
    if column.values:
        found.append((~sent.isin(list(column.values)), "code"))
    if not found:
        return None
    return first_of([(broken, f"{code}:{column.name}") for broken, code in found])


def first_of(cases: list[tuple[C, str]]) -> C:
    """The code of the first condition that holds, null when none does."""
    (condition, code), *others = cases
    chosen = F.when(condition, F.lit(code))
    for condition, code in others:
        chosen = chosen.when(condition, F.lit(code))
    return chosen


def typed(raw: DataFrame, table: Table, csv: Csv) -> DataFrame:
    """One row per landed row: the lake's columns typed and pseudonymised, ``_file``, ``_row``, ``_reason``, and
    ``_content``, a 64-bit hash of the lake's columns."""
    # in two steps, so that the engine reads a value as its type once, for the lake and for its reason
    made = {c.name: f"_made_{c.name}" for c in table.columns}
    both = raw.select("*", *[value(c, csv).alias(made[c.name]) for c in table.columns])
    reasons = [r for r in (reason(c, F.col(made[c.name])) for c in table.columns) if r is not None]
    if table.identity:
        status = table.column(table.identity)
        unsure = [(F.col(status.name) == v, f"identity:{v}") for v in status.values if v != "ok"]
        reasons.insert(0, first_of(unsure))
    return both.select(
        *[F.col(made[c.name]).alias(c.name) for c in table.lake_columns],
        "_file",
        "_row",
        (F.coalesce(*reasons) if reasons else F.lit(None).cast("string")).alias("_reason"),
        F.xxhash64(*[made[c.name] for c in table.lake_columns]).alias("_content"),
    )
