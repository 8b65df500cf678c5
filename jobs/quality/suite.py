"""The same rules as standard Great Expectations on a table: to check any table, and to hand the rules to others.

``check_table`` takes its two numbers per rule from standard expectations and gives them to the same judge, so that
both ways end in the same verdict. It reads the table about once per rule (uniqueness costs most): the gate counts in
the writing pass instead. Only counts are read from the results; messages, which quote data, are dropped and muted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from pyspark.logger import PySparkLogger

from expectations.kinds import FROM_BOOKS, STATUSES
from jobs.quality.counters import Counts, Read, annotate, only_kept, shortfall
from jobs.quality.denominators import FLAGGED
from jobs.quality.judge import error_class, judge, named, raised
from jobs.quality.rule import Rule
from jobs.quality.rules import load_rules
from jobs.quality.verdict import Result, result
from jobs.rows.books import STATUS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

QUOTING = ("DataFrameQueryContextLogger", "SQLQueryContextLogger")
"""Loggers of pyspark that write nothing but messages that quote data: never to be heard again."""
LOUD = ("pyspark", "great_expectations", "py.warnings")
"""Loggers that may write what Spark said."""
COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0}


def standard(rule: Rule) -> tuple[str, dict[str, Any]]:
    """Class name of the standard expectation and its arguments, without tolerance.

    ``foreign_key`` and ``concept_domain`` speak of the boolean column that ``counters.annotate`` adds, since a standard
    expectation sees one table. A rate of the books speaks of ``_status`` of the staged table.
    """
    name = rule.spec.standard
    if rule.kind == "unique" and rule.column is not None:
        return "ExpectColumnValuesToBeUnique", {"column": rule.column}
    if rule.kind in FLAGGED:
        return name, {"column": rule.flag, "value_set": [True]}
    if rule.of in FROM_BOOKS:
        return name, {"column": STATUS, "value_set": [rule.of]}
    arguments: dict[str, dict[str, Any]] = {
        "not_null": {"column": rule.column},
        "in_set": {"column": rule.column, "value_set": [_plain(v) for v in rule.values]},
        "between": {"column": rule.column, "min_value": _plain(rule.min), "max_value": _plain(rule.max)},
        "regex": {"column": rule.column, "regex": rule.pattern},
        "not_before": {
            "column_A": rule.column,
            "column_B": rule.other,
            "or_equal": True,
            "ignore_row_if": "either_value_is_missing",
        },
        "unique": {"column_list": list(rule.columns), "ignore_row_if": "any_value_is_missing"},
        "rate": {"column": rule.column, "value_set": [0]},
        "row_count": {"min_value": rule.min, "max_value": rule.max},
    }
    return name, arguments[rule.kind]


def _plain(value: Any) -> Any:
    """Dates as ISO text, which both JSON and Spark understand."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date) else value


def expectation(rule: Rule, *, tolerant: bool) -> Any:
    """The standard expectation with severity and the rule's words in ``meta``; ``tolerant`` adds ``mostly``."""
    import great_expectations.expectations as standards

    name, arguments = standard(rule)
    if tolerant and rule.kind != "row_count":
        arguments["mostly"] = 1 - rule.allowed_rate
    meta: dict[str, Any] = {
        **rule.meta,
        "rule": rule.id,
        "kind": rule.kind,
        "claim": rule.claims,
        "why": rule.why.model_dump(),
    }
    if rule.max_count is not None:
        meta["max_count"] = rule.max_count
    if rule.kind in FLAGGED:
        meta["needs"] = f"the boolean column {rule.flag}: jobs.quality.counters.annotate adds it"
    return getattr(standards, name)(**arguments, severity=rule.severity, meta=meta)


def export_suite(name: str, rules: Sequence[Rule] | None = None) -> dict[str, Any]:
    """The rules of a table as the JSON of a plain Great Expectations suite (its ids left out: it is made anew)."""
    import great_expectations as gx

    expectations = [
        expectation(r, tolerant=True)
        for r in (load_rules(name) if rules is None else rules)
        if r.of not in FROM_BOOKS or r.of in STATUSES
    ]
    suite: dict[str, Any] = gx.ExpectationSuite(name=name, expectations=expectations).to_json_dict()
    suite.pop("id", None)
    for one in suite["expectations"]:
        one.pop("id", None)
    return suite


def checkable(rules: Sequence[Rule], columns: Sequence[str], extra: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules that a table can answer: rates of the books need ``_status`` or numbers in ``extra``."""
    return tuple(
        r
        for r in rules
        if r.of not in FROM_BOOKS or {r.id, r.of} & set(extra) or (r.of in STATUSES and STATUS in columns)
    )


def check_table(
    df: DataFrame,
    rules: Sequence[Rule],
    read: Read | None = None,
    extra: Mapping[str, tuple[int, int]] | None = None,
) -> list[Result]:
    """Results of the rules on a table as they would be judged at the gate: same numbers, same verdicts.

    Of a staged table (one with ``_status``) the kept rows are checked, and rates of the books over all its rows.
    ``read`` gives referred tables when ``df`` has no flag columns yet. Rules that need the books and have no numbers
    are left out (``checkable``). Whatever cannot be checked is errored.
    """
    given = dict(extra or {})
    asked = checkable(rules, df.columns, given)
    name = asked[0].table if asked else "table"
    numbers: Counts = {r.id: given[key] for r in asked for key in (str(r.of), r.id) if key in given}
    errors: dict[str, str] = {}
    rest = [r for r in asked if r.id not in numbers]
    whole = [r for r in rest if r.of in FROM_BOOKS]
    rows = [r for r in rest if r.of not in FROM_BOOKS]
    with muted():
        try:
            checked = only_kept(df)
            if any(r.kind in FLAGGED and r.flag not in df.columns for r in rows):
                if read is None:
                    raise LookupError("no reader for the referred tables")
                checked = annotate(checked, [r for r in rows if r.flag not in df.columns], read)
            for frame, group in ((checked, rows), (df, whole)):
                _count(frame, group, numbers, errors)
        except Exception as error:
            errors.update({r.id: named(error) for r in rest if r.id not in numbers and r.id not in errors})
    judged = {r.rule: r for r in judge(name, asked, numbers)}
    return [result(r, "errored", error=errors[r.id]) if r.id in errors else judged[r.id] for r in asked]


def _count(df: DataFrame, rules: Sequence[Rule], numbers: Counts, errors: dict[str, str]) -> None:
    """Runs standard expectations on ``df`` and adds (violated, denominator) or an error class per rule."""
    if not rules:
        return
    import great_expectations as gx

    from jobs.quality.gx import context

    made = context()
    source = made.data_sources.add_spark("table", persist=False)
    batch = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("run")
    expectations = [expectation(rule, tolerant=False) for rule in rules]
    suite = made.suites.add(gx.ExpectationSuite(name="rules", expectations=expectations))
    check = made.validation_definitions.add(gx.ValidationDefinition(name="rules", data=batch, suite=suite))
    run = check.run(batch_parameters={"dataframe": df}, result_format=COUNTS_ONLY)
    by_id = {rule.id: rule for rule in rules}
    for one in run.results:
        rule = by_id[str((getattr(one.expectation_config, "meta", None) or {})["rule"])]
        if raised(one):
            errors[rule.id] = error_class(one.exception_info)
        elif (pair := numbers_of(rule, one.result)) is not None:
            numbers[rule.id] = pair
    silent = [r.id for r in rules if r.id not in numbers and r.id not in errors]
    if silent and df.count() == 0:  # of no rows Great Expectations reports no count of violations
        numbers.update(dict.fromkeys(silent, (0, 0)))


def numbers_of(rule: Rule, answer: Mapping[str, Any]) -> tuple[int, int] | None:
    """(violated, denominator) from the result of a standard expectation; None when it does not hold them."""
    if rule.kind == "row_count":
        rows = answer.get("observed_value")
        return shortfall(rule, rows) if isinstance(rows, int) else None
    total, bad = answer.get("element_count"), answer.get("unexpected_count")
    if total is None or bad is None:
        return None
    return int(bad), int(total) - int(answer.get("missing_count") or 0)


@contextmanager
def muted() -> Iterator[None]:
    """Silences what pyspark and Great Expectations log about failures: their messages quote cell values."""
    for name in QUOTING:  # made by pyspark's own class: a plain logger of that name would break on its arguments
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL + 1)
    before = {name: logging.getLogger(name).level for name in LOUD}
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
