"""Rules to counters: two numbers per rule, taken in the pass that writes the table (``DataFrame.observe``).

Which rows are counted. ``where`` is true for the rows that go on (kept rows of a staged table); a row for which it is
false or missing is in no counter. Of those rows a rule's denominator holds the ones that it can be asked about:
``not_null``: all; ``in_set``, ``between``, ``regex``, ``rate`` of unmapped: value present; ``not_before``: both
present; ``unique``: whole key present; ``foreign_key``: whole key present; ``concept_domain``: concept present and not
0; ``row_count``: the larger of expected and present. Missing values violate nothing but ``not_null``. ``unique`` counts
every row whose key is not alone, as Great Expectations does. Other ``rate`` rules are numbers of the books.

Traps of ``observe`` that callers must know: one Observation serves one frame; the last action on the observed frame
wins in silence, so a look at a part of it (``limit``, ``show``) after the write replaces the counts: pass ``rows`` to
``counts``; over Connect a failed or missing action gives ``{}`` without an error, which ``counts`` refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

from expectations.kinds import FROM_BOOKS
from jobs.errors import QualityErrored
from jobs.quality.rule import Rule
from jobs.stage.books import KEPT, STATUS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Counts = dict[str, tuple[int, int]]
"""Rule id to (violated, denominator)."""
Read = Callable[[str], "DataFrame"]

ROWS = "_rows"
CONCEPT = "omop/concept"
FLAGGED = frozenset({"foreign_key", "concept_domain"})
"""Kinds that need another table: ``annotate`` answers them with a boolean column."""


def col(name: str) -> Column:
    """A column by its literal name: dots and dashes are part of it."""
    from pyspark.sql import functions as F

    return F.col("`" + name.replace("`", "``") + "`")


def violated(rule: Rule) -> Column | None:
    """True where the rule is broken, missing where it cannot be asked; None for kinds that no row can answer alone."""
    if rule.kind in FLAGGED:
        return ~col(rule.flag)
    if rule.column is None or rule.kind == "unique":
        return None
    value = col(rule.column)
    if rule.kind == "not_null":
        return value.isNull()
    if rule.kind == "in_set":
        return ~value.isin(list(rule.values))
    if rule.kind == "between":
        below = [] if rule.min is None else [value < rule.min]
        above = [] if rule.max is None else [value > rule.max]
        return reduce(or_, below + above)
    if rule.kind == "regex":
        return ~value.rlike(rule.pattern)
    if rule.kind == "not_before":
        return value < col(str(rule.other))
    return value == 0  # rate of unmapped


def asked(rule: Rule) -> tuple[str, ...]:
    """Columns that must be present for the rule to be asked of a row: its denominator. Empty: all rows."""
    if rule.kind in ("not_null", "row_count") or rule.of in FROM_BOOKS:
        return ()
    if rule.kind in FLAGGED:
        return (rule.flag,)
    if rule.kind == "not_before":
        return tuple(sorted((*rule.columns, str(rule.other))))
    return rule.columns if rule.kind != "unique" else tuple(sorted(rule.columns))


def _denominator(rule: Rule) -> str:
    needed = asked(rule)
    return "d/" + "+".join(needed) if needed else ROWS


def counters(rules: Sequence[Rule], where: Column | None = None) -> list[Column]:
    """Aggregates for ``df.observe(Observation(...), *counters(rules, where))``, on the frame that ``annotate`` gave.

    Lean: one count per distinct denominator, shared by the rules, and one ``count_if`` per rule. ``where`` keeps the
    rows that are counted; None counts all. Columns: ``_rows``, ``v/<rule id>``, ``d/<columns>``; all BIGINT, never
    missing, 0 over no rows.
    """
    from pyspark.sql import functions as F

    def count(condition: Column | None) -> Column:
        both = [c for c in (condition, where) if c is not None]
        return F.count_if(reduce(and_, both)) if both else F.count(F.lit(1))

    found: dict[str, Column] = {ROWS: count(None)}
    for rule in rules:
        if (broken := violated(rule)) is not None:
            found["v/" + rule.id] = count(broken)
        if (needed := asked(rule)) and _denominator(rule) not in found:
            found[_denominator(rule)] = count(reduce(and_, [col(name).isNotNull() for name in needed]))
    return [column.alias(name) for name, column in found.items()]


def annotate(df: DataFrame, rules: Sequence[Rule], read: Read, broadcast: Collection[str] = (CONCEPT,)) -> DataFrame:
    """``df`` with one boolean column ``_ok_<rule id>`` per foreign_key and concept_domain rule, rows unchanged.

    Missing where the rule cannot be asked: a key that is not whole, a concept that is missing or 0. ``read`` gives a
    referred table by name (the staged one when it is loaded together with ``df``). Tables of ``broadcast`` are sent
    whole to the executors: name those that fit in memory. The referred keys are made distinct: no row is multiplied.
    """
    from pyspark.sql import functions as F

    concepts: DataFrame | None = None
    for n, rule in enumerate(r for r in rules if r.kind in FLAGGED):
        there = f"_there_{n}"
        if rule.kind == "concept_domain":
            concepts = read(CONCEPT) if concepts is None else concepts
            table, keys = CONCEPT, [f"_key_{n}_0"]
            referred = concepts.where(F.col("domain_id").isin(list(rule.domain)))
            referred = referred.select(F.col("concept_id").alias(keys[0])).distinct()
            asked_of = (col(rule.columns[0]).isNotNull()) & (col(rule.columns[0]) != 0)
        else:
            table, names = rule.reference
            keys = [f"_key_{n}_{i}" for i in range(len(names))]
            referred = read(table).select(*[col(name).alias(key) for name, key in zip(names, keys, strict=True)])
            referred = referred.dropna().distinct()
            asked_of = reduce(and_, [col(name).isNotNull() for name in rule.columns])
        referred = referred.withColumn(there, F.lit(True))
        if table in broadcast:
            referred = F.broadcast(referred)
        same = reduce(and_, [col(name) == F.col(key) for name, key in zip(rule.columns, keys, strict=True)])
        df = (
            df.join(referred, same, "left")
            .withColumn(rule.flag, F.when(asked_of, F.coalesce(F.col(there), F.lit(False))))
            .drop(there, *keys)
        )
    return df


def only_kept(staged: DataFrame) -> DataFrame:
    """The rows of a staged table that go on; any other table whole."""
    from pyspark.sql import functions as F

    return staged.where(F.col(STATUS) == KEPT) if STATUS in staged.columns else staged


def duplicates(df: DataFrame, key: Sequence[str]) -> int:
    """Rows whose complete key is not alone. One job over 64-bit hashes; a second, exact one only when hashes repeat."""
    from pyspark.sql import functions as F

    columns = [col(name).alias(f"_k{i}") for i, name in enumerate(key)]
    rows = df.select(*columns).dropna()
    names = rows.columns
    hashed = rows.withColumn("_hash", F.xxhash64(*names))

    def repeated(frame: DataFrame, *by: str) -> DataFrame:
        return frame.groupBy(*by).agg(F.count(F.lit(1)).alias("_n")).where(F.col("_n") > 1)

    def total(groups: DataFrame) -> int:
        first: Any = groups.agg(F.coalesce(F.sum("_n"), F.lit(0)).alias("n")).first()
        return int(first["n"])

    suspects = repeated(hashed.select("_hash"), "_hash")
    if total(suspects) == 0:
        return 0
    return total(repeated(hashed.join(suspects.select("_hash"), "_hash", "left_semi"), *names))


def shortfall(rule: Rule, rows: int) -> tuple[int, int]:
    """A row_count rule as (rows missing or too many, the larger of expected and present)."""
    low = int(rule.min) if isinstance(rule.min, int) else 0
    high = int(rule.max) if isinstance(rule.max, int) else rows
    return max(low - rows, rows - high, 0), max(low, rows)


def counts(
    rules: Sequence[Rule],
    observed: Mapping[str, Any],
    staged: DataFrame,
    extra: Mapping[str, tuple[int, int]] | None = None,
    *,
    rows: int | None = None,
) -> Counts:
    """(violated, denominator) of every rule that can be counted; one that cannot is left out, and judged errored.

    ``observed`` is ``Observation.get`` after the write; ``staged`` the table as written (read back), on which
    ``unique`` rules run one job each, kept rows only. ``extra`` gives the numbers of the books for ``rate`` rules, by
    rule id or by ``of`` (``{"quarantined": (12, 3400)}``), and overrides any rule by its id. ``rows`` is the number of
    rows that the books say were counted. Raises ``QualityErrored`` when the pass reported nothing or not these rows.
    """
    if ROWS not in observed:
        raise QualityErrored("The writing pass reported no counts.", next_step="run the step again")
    if rows is not None and rows != observed[ROWS]:
        raise QualityErrored(
            f"The writing pass counted {observed[ROWS]} rows where the books have {rows}.", next_step="run it again"
        )
    given = extra or {}
    found: Counts = {}
    for rule in rules:
        if rule.id in given:
            found[rule.id] = given[rule.id]
        elif rule.of in FROM_BOOKS:
            if rule.of in given:
                found[rule.id] = given[str(rule.of)]
        elif rule.kind == "row_count":
            found[rule.id] = shortfall(rule, int(observed[ROWS]))
        elif rule.kind == "unique":
            found[rule.id] = (duplicates(only_kept(staged), rule.columns), int(observed[_denominator(rule)]))
        elif "v/" + rule.id in observed and _denominator(rule) in observed:
            found[rule.id] = (int(observed["v/" + rule.id]), int(observed[_denominator(rule)]))
    return found
