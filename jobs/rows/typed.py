"""Casts and row rules: every landed row gets its typed columns and, when it breaks the contract, its reason code.

Reason codes, each with its column after a colon: ``missing``, ``unparsable`` (not written in the form of its type),
``too_long``, ``form`` (not the contract's pattern), ``code`` (not in its closed list), ``out_of_range``, ``too_early``,
``too_late``; and ``identity:<status>``. A code names a column or a value of a closed list: never what the row held.

Blanks at both ends are not part of a value (``schemas.forms.BLANKS``); what stands between them is never altered.
"""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column as C
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.spark.functions import PSEUDONYM
from schemas.forms import form, latest
from schemas.loader import Column, Csv, Table, spark_type
from schemas.values import BLANKS, NO_IDENTIFIER, SURE_IDENTIFIER

END, SOUND = "\x1f", "_sound"
"""What ends each field where a row is looked at as one text, and the answer of that look."""


def sound(table: Table, csv: Csv) -> C:
    """Whether every field of a row is surely empty, or written in its column's form, without blanks, no placeholder.

    One look at the whole row spares almost all rows a look at each of their fields.
    """
    row = F.concat_ws(END, *[F.coalesce(c, F.lit("")) for c in table.names], F.lit(""))
    return row.rlike("^" + "".join(_sound_field(c, csv) + END for c in table.columns) + r"\z")


def _sound_field(column: Column, csv: Csv) -> str:
    """Pattern of a field at which nobody need look again."""
    pattern = form(column, csv) or "[!-~]*"
    if column.no_value == NO_IDENTIFIER:
        until, beginning = SURE_IDENTIFIER
        return f"(?:(?={until.replace('^', '^' + END)})(?!{beginning})(?:{pattern}))?"
    if column.no_value:
        return f"(?:(?!(?:{column.no_value}){END})(?:{pattern}))?"
    return pattern if pattern.endswith("*") else f"(?:{pattern})?"


def text(column: Column) -> C:
    """The value as sent but for blanks at its ends; null when it is empty or a sentinel. Of a row with ``sound``."""
    sent = F.col(column.name)
    value = F.when(F.col(SOUND), sent).otherwise(F.nullif(F.trim(sent, F.lit(BLANKS)), F.lit("")))
    if column.no_value:
        value = F.when(~F.col(SOUND) & value.rlike(whole(column.no_value)), None).otherwise(value)
    return F.when(value.isin(list(column.null_values)), None).otherwise(value) if column.null_values else value


def whole(pattern: str) -> str:
    """The pattern of a whole value."""
    return rf"^(?:{pattern})\z"


def value(column: Column, csv: Csv) -> C:
    """The value in the lake's type, from ``text``; null when it cannot be read as that type."""
    sent = F.col(column.name)
    if column.pseudonym:
        return F.call_function(PSEUDONYM, F.lit(column.pseudonym), sent)
    if column.type == "string":
        return sent
    if column.type == "date":
        return F.try_to_date(sent, column.format or csv.date_format)
    if column.type == "datetime":
        return F.try_to_timestamp(sent, F.lit(csv.datetime_format))
    if column.type in ("decimal", "double") and csv.decimal != ".":
        sent = F.replace(sent, F.lit(csv.decimal), F.lit("."))
    return sent.try_cast(spark_type(column))


def reason(column: Column, csv: Csv, made: C, period: str) -> C | None:
    """The first rule of the contract that a value breaks, null when it keeps them; None when there is no rule.
    ``made``: the value in the lake's type; ``period``: the delivery's month."""
    sent = F.col(column.name)
    pattern = form(column, csv)
    misshapen = ~F.col(SOUND) & ~sent.rlike(whole(pattern)) if pattern else F.lit(False)
    broken: list[tuple[C, str]] = []
    if column.required:
        broken.append((sent.isNull(), "missing"))
    if column.type != "string":
        broken.append((sent.isNotNull() & (made.isNull() | misshapen), "unparsable"))
    if column.length and column.type in ("string", "integer", "bigint"):
        digits = F.length(F.ltrim(sent, F.lit("-"))) if column.type != "string" else F.length(sent)
        broken.append((digits > column.length, "too_long"))
    if column.type == "string" and pattern:
        broken.append((misshapen, "form"))
    if column.values:
        broken.append((~sent.isin(list(column.values)), "code"))
    broken += bounds(column, made, period)
    return first_of([(rule, f"{code}:{column.name}") for rule, code in broken]) if broken else None


def bounds(column: Column, made: C, period: str) -> list[tuple[C, str]]:
    """What a number or a date is held to, with its reason code."""
    if column.type in ("date", "datetime"):
        next_day = latest(column.not_after, period) + timedelta(days=1)  # of a time, all of the last day counts
        return [(made < F.lit(column.earliest), "too_early"), (made >= F.lit(next_day), "too_late")]
    below = [] if column.min is None else [made < F.lit(column.min)]
    above = [] if column.max is None else [made > F.lit(column.max)]
    return [(rule, "out_of_range") for rule in below + above]


def first_of(cases: list[tuple[C, str]]) -> C:
    """The code of the first condition that holds, null when none does."""
    (condition, code), *others = cases
    chosen = F.when(condition, F.lit(code))
    for condition, code in others:
        chosen = chosen.when(condition, F.lit(code))
    return chosen


def typed(raw: DataFrame, table: Table, csv: Csv, period: str) -> DataFrame:
    """One row per landed row: the lake's columns typed and pseudonymised, ``_file``, ``_row``, ``_reason``, and
    ``_content``, a 64-bit hash of the lake's columns. ``period``: the delivery's month, ``YYYY-MM``."""
    # in steps, so that the engine makes each text and each value once, for the lake and for its reason
    place = ("_file", "_row")
    texts = raw.select(*table.names, *place, sound(table, csv).alias(SOUND)).select(
        *[text(c).alias(c.name) for c in table.columns], *place, SOUND
    )
    made = {c.name: f"_made_{c.name}" for c in table.columns}
    both = texts.select("*", *[value(c, csv).alias(made[c.name]) for c in table.columns])
    reasons = [r for c in table.columns if (r := reason(c, csv, F.col(made[c.name]), period)) is not None]
    if table.identity:
        status = table.column(table.identity)
        unsure = [(F.col(status.name) == v, f"identity:{v}") for v in status.values if v != "ok"]
        reasons.insert(0, first_of(unsure))
    return both.select(
        *[F.col(made[c.name]).alias(c.name) for c in table.lake_columns],
        *place,
        (F.coalesce(*reasons) if reasons else F.lit(None).cast("string")).alias("_reason"),
        F.xxhash64(*[made[c.name] for c in table.lake_columns]).alias("_content"),
    )
