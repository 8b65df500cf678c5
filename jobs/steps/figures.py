"""Profiles: what a table holds, in figures that may be shown. One Spark aggregate per table.

True counts live for a moment in this process, between the aggregate and the disclosure rules, and are stored nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.observation import Observation

from jobs.disclosure import control
from jobs.spark.session import safely
from schemas import loader

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

PERSON = "_person"
"""Column that a table without persons of its own borrows from the table that has them."""
LISTED = 60
"""So many codes of a variable are listed, the most frequent first."""
GRIDS = {"person": ("gender_concept_id", "year_of_birth")}
"""Tables of which a two-dimensional figure is made: persons by sex and decade of birth."""

Figure = dict[str, Any]
What = tuple[str, str]
"""Variable and what is counted of it."""
Counts = dict[What, dict[str, int]]
"""``{(variable, what): {code: count}}``, true counts."""


def profile(spark_df: DataFrame, table: loader.Table, name: str | None = None) -> list[Figure]:
    """Figures of one table, disclosure rules applied; ``name`` is the table's name everywhere (``dcir/er_prs_f``).

    ``rows``, ``persons``, ``first`` and ``last`` month with at least 11 persons, persons by ``month``; of each variable
    the share of rows that are ``filled`` (percent); of coded ones the persons by ``code``, the number of codes that at
    least 11 persons have (``distinct``) and ``others`` when codes are hidden. Raises ``HubError`` without data.
    """

    person = table.person or (PERSON if PERSON in spark_df.columns else None)
    with safely(f"profile of {table.table}"):
        counts = _counted(spark_df, table, person)
    return to_figures(counts, table, name or table.table, with_persons=person is not None)


def _counted(df: DataFrame, table: loader.Table, person: str | None) -> Counts:
    """True counts, in one pass over the rows. First by person, so that persons are counted: what a variable holds of
    each is summed up while the codes that each has are counted."""
    variables = [c.name for c in table.lake_columns]
    lists = _lists(table, person)
    sums = [F.count(F.lit(1)).alias("rows"), *(F.count(_col(v)).alias(f"filled_{i}") for i, v in enumerate(variables))]
    sums += [F.collect_set(code).alias(f"codes_{i}") for i, code in enumerate(lists.values())]
    each = df.groupBy(_col(person).alias("_by")).agg(*sums) if person else df.agg(*sums)
    one = F.col("_by").isNotNull() if person else F.lit(False)
    totals = _totals(variables, one)
    if not lists:
        return _named(totals, each.agg(*totals.values()).collect()[0].asDict())
    seen = Observation()
    codes = [F.transform(f"codes_{i}", _entry(i)) for i in range(len(lists))]
    entries = each.observe(seen, *totals.values()).select(one.alias("one"), F.explode(F.concat(*codes)).alias("e"))
    persons = entries.groupBy("e.of", "e.code").agg(F.count_if("one").alias("n")).collect()
    # what reads no row is left out of a plan, and then nothing is seen of it
    counts = _named(totals, seen.get or each.agg(*totals.values()).collect()[0].asDict())
    for row in persons:
        counts.setdefault(list(lists)[row["of"]], {})[row["code"]] = int(row["n"])
    return counts


def _entry(number: int) -> Callable[[Column], Column]:
    return lambda code: F.struct(F.lit(number).alias("of"), F.coalesce(code, F.lit("")).alias("code"))


def _lists(table: loader.Table, person: str | None) -> dict[What, Column]:
    """What is listed of persons, and the code of a row: of every coded variable, months, and the cells of a grid."""
    if not person:
        return {}
    lists: dict[What, Column] = {
        (c.name, "code"): _col(c.name).cast("string") for c in table.lake_columns if control.is_coded(c)
    }
    if table.date:
        lists["", "month"] = F.date_format(_col(table.date), "yyyy-MM")
    if grid := GRIDS.get(table.table):
        decade = (F.floor(_col(grid[1]) / 10) * 10).cast("string")
        sex = F.coalesce(_col(grid[0]).cast("string"), F.lit(""))
        lists[",".join(grid), "cell"] = F.concat(sex, F.lit("|"), F.coalesce(decade, F.lit("")))
    return lists


def _totals(variables: Sequence[str], one: Column) -> dict[What, Column]:
    """Over one row per person: rows, persons; of each variable rows that are filled, and persons with a filled row,
    with one that is not, with none."""
    totals = {("", "rows"): F.sum("rows"), ("", "persons"): F.count_if(one)}
    for i, v in enumerate(variables):
        filled = F.col(f"filled_{i}")
        totals[v, "filled"] = F.sum(filled)
        totals[v, "with"] = F.count_if(one & (filled > 0))
        totals[v, "without"] = F.count_if(one & (filled < F.col("rows")))
        totals[v, "never"] = F.count_if(one & (filled == 0))
    return {what: total.alias("/".join(what)) for what, total in totals.items()}


def _named(totals: Iterable[What], seen: Mapping[str, int | None]) -> Counts:
    return {what: {"": seen["/".join(what)] or 0} for what in totals}


def _col(name: str) -> Column:
    return F.col(f"`{name}`")


def to_figures(counts: Counts, table: loader.Table, name: str, *, with_persons: bool) -> list[Figure]:
    """Disclosure rules applied to true counts: the figures that may be shown."""
    figures: list[Figure] = []

    def add(
        measure: str, number: int | None = None, *, variable: str = "", code: str = "", text: str | None = None
    ) -> None:
        hidden = number is None and text is None
        figures.append(
            {
                "table": name,
                "variable": variable,
                "measure": measure,
                "code": code,
                "number": number,
                "text": text,
                "suppressed": hidden,
                "rule": control.RULE,
            }
        )

    def one(variable: str, what: str) -> int:
        return counts.get((variable, what), {}).get("", 0)

    rows, persons = one("", "rows"), one("", "persons")
    few = with_persons and control.is_small(persons)
    if rows == 0:  # nothing was ever delivered: a zero that is no secret
        add("rows", 0)
        return figures
    add("rows", None if few else control.to_shown(rows))
    if with_persons:
        add("persons", control.to_shown(persons))
    if few:
        return figures
    _add_months(counts.get(("", "month"), {}), add)
    for column in table.lake_columns:
        v = column.name
        filled = one(v, "filled")
        sides = (one(v, "with"), one(v, "without")) if with_persons else (filled, rows - filled)
        few = any(side > 0 and control.is_small(side) for side in sides)
        add("filled", None if few else control.to_share(filled, rows), variable=v)
        if codes := counts.get((v, "code")):
            _add_codes(codes, one(v, "never"), v, add)
    for (variable, what), cells in counts.items():
        if what == "cell":
            _add_grid(cells, variable, add)
    return figures


def _add_months(months: Mapping[str, int], add: Callable[..., None]) -> None:
    hidden = control.hidden_in_line(months)
    for month, persons in sorted(months.items()):
        add("month", None if month in hidden else control.to_shown(persons), code=month)
    if shown := sorted(set(months) - hidden):
        add("first", text=shown[0])
        add("last", text=shown[-1])


def _add_codes(codes: Mapping[str, int], never: int, variable: str, add: Callable[..., None]) -> None:
    # persons without any value are one more cell: with the total known they would give the last code away
    hidden = control.hidden_in_line({**codes, **({"": never} if never else {})})
    shown = sorted((k for k in codes if k not in hidden), key=lambda k: (-codes[k], k))
    for code in shown[:LISTED]:
        add("code", control.to_shown(codes[code]), variable=variable, code=code)
    if shown:
        add("distinct", len(shown), variable=variable)
    if hidden - {""}:
        add("others", None, variable=variable)


def _add_grid(cells: Mapping[str, int], variable: str, add: Callable[..., None]) -> None:
    keys = [(row, column) for row, _, column in (k.partition("|") for k in cells)]
    full = {(r, c): cells.get(f"{r}|{c}", 0) for r in {k[0] for k in keys} for c in {k[1] for k in keys}}
    grid = control.to_grid(full)
    for row, column in sorted(full):
        add("cell", grid.shown.get((row, column)), variable=variable, code=f"{row}|{column}")


def with_person(df: DataFrame, name: str, read: Callable[[str], DataFrame]) -> DataFrame:
    """The table with the person of each row in ``_person``, borrowed over the keys of its source's other tables.

    So acts, boxes and diagnoses too are counted by persons. The table as it is when it has persons, or no way to them.
    """

    source, _, table = name.partition("/")
    if source == "omop" or loader.load(name).person or not (way := _way(source, table, ())):
        return df
    lender = read(f"{source}/{way}")
    theirs = loader.load_table(source, way)
    lender = with_person(lender, f"{source}/{way}", read)
    key = [*theirs.key, *(["_period"] if "_period" in df.columns and "_period" in lender.columns else [])]
    person = F.col(f"`{theirs.person or PERSON}`").alias(PERSON)
    return df.join(lender.select(*key, person).dropDuplicates(key), key, "left")


def _way(source: str, table: str, passed: tuple[str, ...]) -> str | None:
    """The table over whose key the persons of this one are found: one that has them itself, or that finds them."""
    tables = loader.load_tables(source)
    names = {c.name for c in tables[table].lake_columns}
    near = [t for t in tables if t not in (table, *passed) and tables[t].key and set(tables[t].key) <= names]
    owners = [t for t in near if tables[t].person]
    return next(iter(owners), None) or next((t for t in near if _way(source, t, (*passed, table))), None)
