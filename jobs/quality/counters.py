"""Rules to counters: two numbers per rule, taken in the pass that writes the table (``DataFrame.observe``).

Which rows are counted. ``where`` is true for the rows that go on (kept rows of a staged table); a row for which it is
false or missing is in no counter. Of those rows a rule's denominator holds the ones that it can be asked about:
``not_null``: all; ``in_set``, ``between``, ``regex``, ``rate`` of unmapped: value present; ``not_before``: both
present; ``unique``, ``foreign_key``, ``in_period``, ``same_sign``: all columns present; ``concept_domain``: concept
present and not 0; ``row_count``: the larger of expected and present. Missing values violate nothing but ``not_null``.
Other ``rate`` rules are numbers of the books.

``unique`` is about the whole table as it will be: the rows that were written and those that stay beside them (other
months of a source, other slices of an OMOP table). It counts every written row whose key is not alone there.

Traps of ``observe`` that callers must know: one Observation serves one frame; the last action on the observed frame
wins in silence, so a look at a part of it (``limit``, ``show``) after the write replaces the counts: pass ``rows`` to
``counts``; over Connect a failed or missing action gives ``{}`` without an error, which ``counts`` refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from expectations.kinds import FROM_BOOKS
from jobs.errors import QualityErrored
from jobs.quality.denominators import FLAGGED, ROWS, asked, denominator, violations
from jobs.quality.rule import CONCEPT, Rule
from jobs.rows.books import KEPT, STATUS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Counts = dict[str, tuple[int, int]]
"""Rule id to (violated, denominator)."""
Read = Callable[[str], "DataFrame"]

PERIOD = "_period"


def col(name: str) -> Column:
    """A column by its literal name: dots and dashes are part of it."""

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


def counters(rules: Sequence[Rule], where: Column | None = None) -> list[Column]:
    """Aggregates for ``df.observe(Observation(...), *counters(rules, where))``, on the frame that ``annotate`` gave.

    Lean: one count per distinct denominator, shared by the rules, and one ``count_if`` per rule. ``where`` keeps the
    rows that are counted; None counts all. Columns: ``_rows``, ``v/<rule id>``, ``d/<columns>``; all BIGINT, never
    missing, 0 over no rows.
    """

    def count(condition: Column | None) -> Column:
        both = [c for c in (condition, where) if c is not None]
        return F.count_if(reduce(and_, both)) if both else F.count(F.lit(1))

    columns: dict[str, Column] = {ROWS: count(None)}
    for rule in rules:
        if (broken := violated(rule)) is not None:
            columns[violations(rule)] = count(broken)
        if (needed := asked(rule)) and denominator(rule) not in columns:
            columns[denominator(rule)] = count(reduce(and_, [col(name).isNotNull() for name in needed]))
    return [column.alias(name) for name, column in columns.items()]


def annotate(df: DataFrame, rules: Sequence[Rule], read: Read, broadcast: Collection[str] = (CONCEPT,)) -> DataFrame:
    """``df`` with one boolean column ``_ok_<rule id>`` per rule of a ``FLAGGED`` kind, rows unchanged.

    Missing where the rule cannot be asked: a key that is not whole, a concept that is missing or 0, a date that is
    missing. ``in_period`` needs the row's delivery month in ``_period``. ``read`` gives a referred table by name (the
    staged one when it is loaded together with ``df``). Tables of ``broadcast`` are sent whole to the executors: name
    those that fit in memory. The referred keys are made distinct: no row is multiplied.
    """

    concepts: DataFrame | None = None
    own = {r.flag: answer(r) for r in rules for kind, answer in OF_ROW.items() if r.kind == kind}
    df = df.withColumns(own) if own else df
    for n, rule in enumerate(r for r in rules if r.kind in FLAGGED and r.flag not in own):
        there = f"_there_{n}"
        if rule.kind == "concept_domain":
            concepts = read(CONCEPT) if concepts is None else concepts
            keys = [f"_key_{n}_0"]
            referred = concepts.where(F.col("domain_id").isin(list(rule.domain)))
            referred = referred.select(F.col("concept_id").alias(keys[0])).distinct()
            asked_of = (col(rule.columns[0]).isNotNull()) & (col(rule.columns[0]) != 0)
        else:
            names = rule.reference[1]
            keys = [f"_key_{n}_{i}" for i in range(len(names))]
            referred = read(str(rule.looks_into)).select(
                *[col(name).alias(key) for name, key in zip(names, keys, strict=True)]
            )
            referred = referred.dropna().distinct()
            asked_of = reduce(and_, [col(name).isNotNull() for name in rule.columns])
        referred = referred.withColumn(there, F.lit(True))
        if rule.looks_into in broadcast:
            referred = F.broadcast(referred)
        same = reduce(and_, [col(name) == F.col(key) for name, key in zip(rule.columns, keys, strict=True)])
        df = (
            df.join(referred, same, "left")
            .withColumn(rule.flag, F.when(asked_of, F.coalesce(F.col(there), F.lit(False))))
            .drop(there, *keys)
        )
    return df


def in_period(rule: Rule) -> Column:
    """Whether a row's date, or its year and month, lie in the month ``_period``; missing when they are. A period that
    is not a month holds nothing."""

    first = F.try_to_date(F.col(PERIOD), "yyyy-MM")
    values = [col(name) for name in rule.columns]
    if len(values) == 1:
        inside = (values[0] >= first) & (values[0] < F.add_months(first, 1))
    else:
        inside = (values[0] == F.year(first)) & (values[1] == F.month(first))
    present = reduce(and_, [value.isNotNull() for value in values])
    return F.when(present, F.coalesce(inside, F.lit(False)))


def same_sign(rule: Rule) -> Column:
    """Whether no two of a row's numbers have opposite signs; missing when one is. A zero has no sign."""

    values = [col(name) for name in rule.columns]
    opposite = reduce(or_, [v < 0 for v in values]) & reduce(or_, [v > 0 for v in values])
    return F.when(reduce(and_, [v.isNotNull() for v in values]), ~opposite)


OF_ROW: dict[str, Callable[[Rule], Column]] = {"in_period": in_period, "same_sign": same_sign}
"""Kinds of ``FLAGGED`` that a row answers alone."""


def only_kept(staged: DataFrame) -> DataFrame:
    """The rows of a staged table that go on; any other table whole."""

    return staged.where(F.col(STATUS) == KEPT) if STATUS in staged.columns else staged


def duplicates(df: DataFrame, key: Sequence[str], beside: DataFrame | None = None) -> int:
    """Rows of ``df`` whose complete key is not alone in ``df`` and ``beside`` together.

    One job over 64-bit hashes, which reads nothing but the key of ``beside``; a second, exact one only when hashes
    repeat.
    """

    names = [f"_k{i}" for i in range(len(key))]
    rows = _hashed(df, key, beside)

    def total(groups: DataFrame) -> int:
        first: Any = groups.agg(F.coalesce(F.sum("_n"), F.lit(0)).alias("n")).first()
        return int(first["n"])

    suspects = _repeated(rows.select("_hash", "_new"), "_hash")
    if total(suspects) == 0:
        return 0
    return total(_repeated(rows.join(suspects.select("_hash"), "_hash", "left_semi"), *names))


def _hashed(df: DataFrame, key: Sequence[str], beside: DataFrame | None) -> DataFrame:
    """Complete keys (``_k0``, ...), their ``_hash``, and whether they are ``_new``: of ``df``, or ``beside`` it, there
    only those that may be in ``df`` too."""
    columns = [col(name).alias(f"_k{i}") for i, name in enumerate(key)]
    names = [f"_k{i}" for i in range(len(key))]

    def hashed(frame: DataFrame, *, new: bool) -> DataFrame:
        return frame.select(*columns).dropna().withColumns({"_hash": F.xxhash64(*names), "_new": F.lit(new)})

    rows = hashed(df, new=True)
    if beside is None:
        return rows
    return rows.unionByName(hashed(beside, new=False).join(rows.select("_hash"), "_hash", "left_semi"))


def _repeated(rows: DataFrame, *by: str) -> DataFrame:
    groups = rows.groupBy(*by).agg(F.count_if("_new").alias("_n"), F.count(F.lit(1)).alias("_all"))
    return groups.where("_all > 1")


Asked = tuple[Sequence[Rule], "DataFrame", "DataFrame | None"]
"""Rules of a table, the table, and the rows that stay beside it, if any."""


def all_duplicates(tables: Iterable[Asked]) -> dict[str, int]:
    """``duplicates`` of every ``unique`` rule of many tables, by rule id: one job for all, and an exact look at a key
    only where hashes repeat."""
    asked = {r.id: (df, r.columns, beside) for rules, df, beside in tables for r in rules if r.kind == "unique"}
    if not asked:
        return {}
    each = [_hashed(*of).select(F.lit(rule).alias("_rule"), "_hash", "_new") for rule, of in asked.items()]
    suspects = _repeated(reduce(lambda one, other: one.unionByName(other), each), "_rule", "_hash")
    found = {row["_rule"] for row in suspects.where("_n > 0").select("_rule").distinct().collect()}
    return {rule: duplicates(*of) if rule in found else 0 for rule, of in asked.items()}


def met(df: DataFrame, key: Sequence[str], beside: DataFrame) -> int:
    """Rows of ``df``, each alone in it under its key, whose complete key also stands in ``beside``. One job."""
    there = beside.select(*[col(name) for name in key]).dropna()
    return df.select(*[col(name) for name in key]).dropna().join(there, list(key), "left_semi").count()


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
    beside: DataFrame | None = None,
    key: Collection[str] = (),
    repeated: Mapping[str, int] | None = None,
) -> Counts:
    """(violated, denominator) of every rule that can be counted; one that cannot is left out, and judged errored.

    ``observed`` is ``Observation.get`` after the write; ``staged`` the table as written (read back), on which
    ``unique`` rules run one job each, kept rows only. ``beside`` holds the rows of the table that stay beside them, if
    any: only keys are read of it; ``key`` is one under which the kept rows are alone already. ``repeated`` has the
    rules' numbers where they are known (``all_duplicates``): then no job runs. ``extra`` gives the
    numbers of the books for ``rate`` rules, by rule id or by ``of`` (``{"quarantined": (12, 3400)}``), and overrides
    any rule by its id. ``rows`` is the number of rows that the books say were counted. Raises ``QualityErrored`` when
    the pass reported nothing or not these rows.
    """
    if ROWS not in observed:
        raise QualityErrored("The writing pass reported no counts.", next_step="run the step again")
    if rows is not None and rows != observed[ROWS]:
        raise QualityErrored(
            f"The writing pass counted {observed[ROWS]} rows where the books have {rows}.", next_step="run it again"
        )
    given = extra or {}
    numbers: Counts = {}
    for rule in rules:
        if rule.id in given:
            numbers[rule.id] = given[rule.id]
        elif rule.of in FROM_BOOKS:
            if rule.of in given:
                numbers[rule.id] = given[str(rule.of)]
        elif rule.kind == "row_count":
            numbers[rule.id] = shortfall(rule, int(observed[ROWS]))
        elif rule.kind == "unique":
            known = (repeated or {}).get(rule.id)
            broken = _not_alone(rule, only_kept(staged), beside, key) if known is None else known
            numbers[rule.id] = (broken, int(observed[denominator(rule)]))
        elif violations(rule) in observed and denominator(rule) in observed:
            numbers[rule.id] = (int(observed[violations(rule)]), int(observed[denominator(rule)]))
    return numbers


def _not_alone(rule: Rule, rows: DataFrame, beside: DataFrame | None, key: Collection[str]) -> int:
    if set(rule.columns) != set(key):
        return duplicates(rows, rule.columns, beside)
    return 0 if beside is None else met(rows, rule.columns, beside)
