"""The gate's judge: Great Expectations decides over counts. 0 Spark jobs, about 0.1 s per table after its import.

Great Expectations never raises: an exception becomes ``success = False`` beside ``exception_info``. Every result is
therefore read three ways, and whatever is not clearly judged is ``errored``: an exception, a count that is missing or
impossible, a result too many or too few.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from jobs.quality.rule import Rule
from jobs.quality.verdict import Result, Verdict, result

Judged = Mapping[str, tuple[Sequence[Rule], Mapping[str, tuple[int, int]]]]
"""Table name to (its rules, their counts)."""

CLASS_LINE = re.compile(r"^(?:[a-z_]\w*\.)*([A-Z]\w*)(?::|$)", re.MULTILINE)


def judge(name: str, rules: Sequence[Rule], counts: Mapping[str, tuple[int, int]]) -> list[Result]:
    """One result per rule of one table, in the rules' order."""
    return judge_all({name: (rules, counts)})[name]


def judge_all(tables: Judged) -> dict[str, list[Result]]:
    """One result per rule of every table. Imports Great Expectations once: judge a whole delivery in one call.

    A table without rules gives no result; ``verdict.overall`` of no results is errored.
    """
    from jobs.quality import gx

    made = gx.context()
    results: dict[str, list[Result]] = {}
    for name, (rules, counts) in tables.items():
        usable = {r.id: numbers for r in rules if (numbers := _whole(counts.get(r.id))) is not None}
        try:
            run = gx.definition(made, name, rules).run(
                batch_parameters={"dataframe": gx.frame(usable)}, result_format="BASIC"
            )
            given = list(run.results)
        except Exception as error:  # the judge itself failed: nothing was judged
            results[name] = [
                result(rule, "errored", usable.get(rule.id, (None, None)), error=named(error)) for rule in rules
            ]
            continue
        results[name] = read(rules, usable, given)
    return results


def _whole(numbers: Any) -> tuple[int, int] | None:
    """Two whole numbers, or None: not a missing, boolean or fractional count."""
    if not isinstance(numbers, (tuple, list)) or len(numbers) != 2:
        return None
    if not all(isinstance(n, Integral) and not isinstance(n, bool) for n in numbers):
        return None
    return int(numbers[0]), int(numbers[1])


def read(rules: Sequence[Rule], counts: Mapping[str, tuple[int, int]], given: Sequence[Any]) -> list[Result]:
    """Our results from those of Great Expectations, matched by rule id, with three verdicts."""
    by_rule: dict[str, list[Any]] = {}
    for one in given:
        by_rule.setdefault(str(one.expectation_config.kwargs.get("rule")), []).append(one)
    whole = len(given) == len(rules) == len(by_rule)
    results = []
    for rule in rules:
        own, numbers = by_rule.get(rule.id, []), counts.get(rule.id, (None, None))
        error: str | None
        if len(own) != 1 or not whole:
            verdict, error = _errored("WrongNumberOfResults")
        elif rule.id not in counts:
            verdict, error = _errored("CountsMissing")
        elif raised(own[0]):
            verdict, error = _errored(error_class(own[0].exception_info))
        else:
            verdict, error = ("passed" if own[0].success is True else "failed"), None
        results.append(result(rule, verdict, numbers, error=error))
    return results


def _errored(error: str) -> tuple[Verdict, str]:
    return "errored", error


def raised(one: Any) -> bool:
    """True when Great Expectations swallowed an exception; it reports it flat, or once per failed metric."""
    info = one.exception_info or {}
    return bool(info.get("raised_exception")) or any(
        isinstance(entry, dict) and entry.get("raised_exception") for entry in info.values()
    )


def error_class(info: Mapping[str, Any] | None) -> str:
    """Name of the innermost exception class in ``exception_info``; only names of known classes, never its message."""
    info = info or {}
    entries = [info, *(entry for entry in info.values() if isinstance(entry, dict))]
    traces = [str(e.get("exception_traceback") or "") for e in entries]
    for name in (line.group(1) for trace in traces for line in CLASS_LINE.finditer(trace)):
        if name in known_classes():
            return name
    return "Exception"


def known_classes() -> frozenset[str]:
    """Exception classes whose names are code and cannot be data."""
    import great_expectations.exceptions as gx_errors
    import pyspark.errors as spark_errors

    places = (builtins, spark_errors, gx_errors)
    return frozenset(
        name
        for place in places
        for name, thing in vars(place).items()
        if isinstance(thing, type) and issubclass(thing, BaseException)
    )


def named(error: BaseException) -> str:
    """Class name of an exception."""
    return type(error).__name__
