"""Rules to counts over blocks of Arrow rows: the numbers that ``counters`` takes of Spark's, by the same names.

Only rules that a row of the table answers alone (``of_rows``): those that look into another table are counted where
both can be read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import reduce
from operator import and_, or_
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from expectations.kinds import FROM_BOOKS
from jobs.quality.denominators import ROWS, asked, denominator, violations
from jobs.quality.rule import Rule, Scalar
from jobs.rows.texts import Mask, flat, present, true

Predicate = Callable[[pa.Table], Mask]
"""Where rows break a rule."""


def of_rows(rules: Iterable[Rule]) -> list[Rule]:
    """The rules that the rows of their table answer alone."""
    return [rule for rule in rules if rule.looks_into is None]


def counting_of(rules: Sequence[Rule], period: str) -> Callable[[pa.Table], Counter[str]]:
    """What counts the rules of a table over a block of it. ``period``: the delivery's month, ``YYYY-MM``."""
    broken = {violations(r): p for r in rules if (p := _broken(r, period))}
    present_in = {denominator(r): (r.columns if asked(r) == (r.flag,) else asked(r)) for r in rules if asked(r)}

    def count(rows: pa.Table) -> Counter[str]:
        if not rows.num_rows:
            return Counter(dict.fromkeys([ROWS, *broken, *present_in], 0))
        found = Counter({ROWS: rows.num_rows})
        found.update({name: int(np.count_nonzero(predicate(rows))) for name, predicate in broken.items()})
        found.update({name: _whole(rows, columns) for name, columns in present_in.items()})
        return found

    return count


def _whole(rows: pa.Table, columns: Sequence[str]) -> int:
    if len(columns) == 1:
        return int(rows.num_rows - rows.column(columns[0]).null_count)
    return int(np.count_nonzero(reduce(and_, [_present(rows, name) for name in columns])))


def _broken(rule: Rule, period: str) -> Predicate | None:
    """None for kinds that no row can answer alone."""
    if rule.of in FROM_BOOKS or rule.kind in ("unique", "row_count"):
        return None
    name = str(rule.column)
    if rule.kind == "not_null":
        return lambda rows: ~_present(rows, name)
    if rule.kind == "in_set":
        return lambda rows: _by_value(rows, name, lambda values: ~true(pc.is_in(values, _listed(rule, values.type))))
    if rule.kind == "between":
        return lambda rows: _by_value(rows, name, lambda values: _outside(values, rule))
    if rule.kind == "regex":
        matches = re.compile(rule.pattern, re.ASCII).search
        return lambda rows: _by_value(rows, name, lambda values: _unlike(values, matches))
    if rule.kind == "not_before":
        return lambda rows: _below(_values(rows, name), _values(rows, str(rule.other)))
    if rule.kind == "same_sign":
        return lambda rows: _opposite([_values(rows, c) for c in rule.columns])
    if rule.kind == "in_period":
        return lambda rows: _beyond([_values(rows, c) for c in rule.columns], period)
    return lambda rows: _by_value(rows, name, lambda values: true(pc.equal(values, 0)))  # rate of unmapped


def _column(rows: pa.Table, name: str) -> pa.Array:
    return flat(rows.column(name))


def _present(rows: pa.Table, name: str) -> Mask:
    column = _column(rows, name)
    return present(column.indices if pa.types.is_dictionary(column.type) else column)


def _values(rows: pa.Table, name: str) -> pa.Array:
    column = _column(rows, name)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _by_value(rows: pa.Table, name: str, broken: Callable[[pa.Array], Mask]) -> Mask:
    """Where a value is there and broken; of a coded column each distinct value is asked once."""
    column = _column(rows, name)
    if not pa.types.is_dictionary(column.type):
        return broken(column) & present(column)
    there = present(column.indices)
    at = np.where(there, column.indices.to_numpy(zero_copy_only=False), 0).astype(np.int64)
    answers = np.append(broken(column.dictionary), False)  # of a dictionary of nothing, the last is asked
    return answers[at] & there


def _listed(rule: Rule, kind: pa.DataType) -> pa.Array:
    return pa.array([_scalar(v, kind).as_py() for v in rule.values], kind)


def _outside(values: pa.Array, rule: Rule) -> Mask:
    if pa.types.is_integer(values.type) and any(isinstance(b, float) for b in (rule.min, rule.max)):
        values = values.cast(pa.float64())
    sides = [] if rule.min is None else [pc.less(values, _scalar(rule.min, values.type))]
    sides += [] if rule.max is None else [pc.greater(values, _scalar(rule.max, values.type))]
    return reduce(or_, [true(side) for side in sides])


def _scalar(value: Scalar, kind: pa.DataType) -> pa.Scalar:
    """A number, day, time or text of a rule, to be compared with values of a type."""
    if pa.types.is_decimal(kind):
        return pa.scalar(Decimal(str(value)))
    if pa.types.is_timestamp(kind) and isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime.combine(value, time())
        return pa.scalar(moment if moment.tzinfo else moment.replace(tzinfo=UTC), kind)
    return pa.scalar(value)


def _unlike(texts: pa.Array, matches: Callable[[str], Any]) -> Mask:
    coded = pc.dictionary_encode(texts)
    answers = np.array([not matches(v) for v in coded.dictionary.to_pylist()] + [False], np.bool_)
    at = np.where(present(texts), coded.indices.fill_null(0).to_numpy(zero_copy_only=False), -1)
    return answers[at]


def _below(value: pa.Array, other: pa.Array) -> Mask:
    moment = next((a.type for a in (value, other) if pa.types.is_timestamp(a.type)), None)
    if moment and value.type != other.type:
        value, other = value.cast(moment), other.cast(moment)
    return true(pc.less(value, other))


def _opposite(values: Sequence[pa.Array]) -> Mask:
    """Where two numbers have opposite signs, and none is missing."""
    below = reduce(or_, [true(pc.less(v, 0)) for v in values])
    above = reduce(or_, [true(pc.greater(v, 0)) for v in values])
    return below & above & reduce(and_, [present(v) for v in values])


def _beyond(values: Sequence[pa.Array], period: str) -> Mask:
    """Where a date, or its year and month, is not in a month, and none is missing. What is no month holds nothing."""
    there = reduce(and_, [present(v) for v in values])
    try:
        first = datetime.strptime(period, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        return there
    if len(values) == 1:
        after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        ends = [pa.scalar(end if pa.types.is_timestamp(values[0].type) else end.date()) for end in (first, after)]
        inside = true(pc.greater_equal(values[0], ends[0])) & true(pc.less(values[0], ends[1]))
    else:
        inside = true(pc.equal(values[0], first.year)) & true(pc.equal(values[1], first.month))
    return there & ~inside
