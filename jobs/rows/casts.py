"""From values as text to the lake's types, a whole column of a block at once.

A value has the form of its type (``schemas.forms``) or it cannot be read: it is missing then, and ``typed`` says why.
Columns that hold nothing but what numbers are written with are cast as they are; where that fails, the values that
surely can be cast are, and the others are read one by one. Dates have one width and are read by their digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.rows.texts import Ints, Mask, all_bytes, array, bools, each, ends, present, strings, true, without
from schemas.forms import form
from schemas.loader import Column, Csv

Cast = Callable[[pa.StringArray], pa.Array]

ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", "UTC"),
    "boolean": pa.bool_(),
}
YES, NO = ("true", "1"), ("false", "0")
_LEAST, _GREATEST = ord("-"), ord("9")
"""Bytes between these are digits, a sign, a point, or a slash, which Arrow takes in no number."""
_PART = re.compile(r"yyyy|MM|dd|HH|mm|ss|'[^']*'|.")
_LONGEST = {"double": 300, "decimal": 38}
"""Characters up to which Arrow surely reads a number rightly: of 400 digits it makes another one, silently."""


def arrow_type(column: Column) -> pa.DataType:
    """The type of a column in landing; an identifier that is still to be pseudonymised is text."""
    if column.type == "decimal":
        return pa.decimal128(column.precision, column.scale)
    return ARROW_TYPES[column.type]


def to_type(column: Column, csv: Csv) -> Cast:
    """What casts the values of a column; what cannot be read is missing."""
    match column.type:
        case "string":
            return lambda texts: texts
        case "date":
            return _days(column.format or csv.date_format)
        case "datetime":
            return _moments(csv.datetime_format)
        case "boolean":
            return _booleans
    return _numbers(column, csv)


def _numbers(column: Column, csv: Csv) -> Cast:
    """Arrow reads digits, one sign and one point exactly, and refuses what it would have to round."""
    kind, pattern = arrow_type(column), re.compile(form(column, csv) or "", re.ASCII)
    longest = _LONGEST.get(column.type, np.iinfo(np.int32).max)

    def one(text: str) -> str | None:
        return _number(column, text.replace(csv.decimal, ".")) if pattern.fullmatch(text) else None

    def cast(texts: pa.StringArray) -> pa.Array:
        pointed = texts if csv.decimal == "." else _with_points(texts, csv.decimal)
        data = all_bytes(pointed)
        plain = data.min(initial=_GREATEST) >= _LEAST and data.max(initial=_LEAST) <= _GREATEST
        if plain and np.diff(ends(pointed)).max(initial=0) <= longest:
            try:
                return pc.cast(pointed, kind)
            except pa.ArrowInvalid:
                pass  # its message quotes a value
        return _mixed(texts, pointed, kind, _plain(column), one)

    return cast


def _plain(column: Column) -> str:
    """The pattern, with a point, of numbers that surely fit their column."""
    if column.type in ("integer", "bigint"):
        return rf"^-?[0-9]{{1,{9 if column.type == 'integer' else 18}}}$"
    whole, part = (15, 15) if column.type == "double" else (column.precision - column.scale, column.scale)
    digits = rf"[0-9]{{1,{whole}}}" if whole else "0"
    return f"^-?{digits}" + (rf"(\.[0-9]{{1,{part}}})?$" if part else "$")


def _mixed(
    texts: pa.StringArray, pointed: pa.StringArray, kind: pa.DataType, plain: str, one: Callable[[str], str | None]
) -> pa.Array:
    """Plain values cast together, the others one by one."""
    sure = holds_pattern(pointed, plain)
    values = pc.cast(without(pointed, ~sure), kind)
    odd = np.flatnonzero(present(texts) & ~sure)
    if not odd.size:
        return values
    read = pc.cast(strings(each(texts.take(array(pa.int64(), odd)), one)), kind)
    where = np.zeros(len(texts), np.bool_)
    where[odd] = True
    return pc.replace_with_mask(values, bools(where), read)


def holds_pattern(texts: pa.StringArray, pattern: str) -> Mask:
    """Where texts match a pattern; a missing one does not."""
    return true(pc.match_substring_regex(texts, pattern=pattern))


def _with_points(texts: pa.StringArray, decimal: str) -> pa.StringArray:
    """The texts with points in place of the contract's decimal mark; a text that had a point before is missing."""
    pointed = without(texts, holds_pattern(texts, r"\."))
    return pc.replace_substring(pointed, pattern=decimal, replacement=".")


def _number(column: Column, text: str) -> str | None:
    """A number that has the form of its type, as Arrow surely reads it; None for one that is none after all, or that
    does not fit its column."""
    digits = text.lstrip("-")
    if not digits.strip("."):
        return None
    if column.type == "double":
        return text
    sign = "-" if digits != text else ""
    whole, _, part = digits.lstrip("0").partition(".")
    if column.type == "decimal":
        fits = len(whole) <= column.precision - column.scale
        return f"{sign}{whole or 0}.{part[: column.scale]}" if fits else None
    bits = 31 if column.type == "integer" else 63
    fits = len(whole) <= 19 and -(1 << bits) <= int(f"{sign}{whole or 0}") < 1 << bits
    return f"{sign}{whole or 0}" if fits else None


def _booleans(texts: pa.StringArray) -> pa.Array:
    yes, no = (pc.is_in(texts, value_set=strings(words)) for words in (YES, NO))
    return pc.if_else(pc.or_(yes, no), yes, pa.nulls(len(texts), pa.bool_()))


def _days(format: str) -> Cast:
    read = _by_digits(format)

    def cast(texts: pa.StringArray) -> pa.Array:
        parts, there = read(texts)
        days, valid = _day_number(parts)
        return array(pa.date32(), days.astype(np.int32), there & valid)

    return cast


def _moments(format: str) -> Cast:
    read = _by_digits(format)

    def cast(texts: pa.StringArray) -> pa.Array:
        parts, there = read(texts)
        days, valid = _day_number(parts)
        none = np.zeros(len(texts), np.int32)
        hour, minute, second = (parts.get(part, none).astype(np.int64) for part in ("HH", "mm", "ss"))
        valid = valid & (hour < 24) & (minute < 60) & (second < 60)
        moments = ((days.astype(np.int64) * 24 + hour) * 60 + minute) * 60 + second
        return array(pa.timestamp("us", "UTC"), moments * 1_000_000, there & valid)

    return cast


def _by_digits(format: str) -> Callable[[pa.StringArray], tuple[dict[str, Ints], Mask]]:
    """What reads the parts of dates in a format as Spark writes it, and says where texts are written in it."""
    parts: dict[str, slice] = {}
    marks: dict[int, int] = {}
    width = 0
    for part in _PART.findall(format):
        if part.isalpha():
            parts[part] = slice(width, width + len(part))
        else:
            marks |= {width + n: ord(mark) for n, mark in enumerate(part.strip("'"))}
        width += len(part.strip("'"))

    def read(texts: pa.StringArray) -> tuple[dict[str, Ints], Mask]:
        at = ends(texts) - ends(texts)[0]
        rows = np.flatnonzero(np.diff(at) == width)
        data = all_bytes(texts)
        if rows.size * width == data.size:
            block = data.reshape(rows.size, width).T
        else:
            block = data[at[rows] + np.arange(width)[:, None]]
        block = np.ascontiguousarray(block)
        good = np.ones(rows.size, np.bool_)
        for place, mark in marks.items():
            good &= block[place] == mark
        found = {}
        for name, where in parts.items():
            digits = block[where] - np.uint8(ord("0"))
            good &= (digits < 10).all(axis=0)
            number = np.zeros(rows.size, np.int32)
            for digit in digits:
                number = number * 10 + digit
            whole = np.zeros(len(texts), np.int32)
            whole[rows] = number
            found[name] = whole
        there = np.zeros(len(texts), np.bool_)
        there[rows] = good
        return found, there

    return read


def _day_number(parts: dict[str, Ints]) -> tuple[Ints, Mask]:
    """Days since 1970-01-01 in the Gregorian calendar without end, and whether the calendar has them."""
    first, length = _months()
    one = np.ones_like(parts["yyyy"])
    month, day = parts.get("MM", one), parts.get("dd", one)
    at = np.clip(parts["yyyy"], 0, 9999) * 16 + np.where(month > 12, 0, month)
    return first[at] + day - 1, (day >= 1) & (day <= length[at])


@cache
def _months() -> tuple[Ints, Ints]:
    """By 16 times the year plus the month: the number of its first day, and how many days it has (0: no month)."""
    first, length = np.zeros((10_000, 16), np.int32), np.zeros((10_000, 16), np.int32)
    begins = np.arange("0000-01", "10000-02", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int32)
    first[:, 1:13] = begins[:-1].reshape(10_000, 12)
    length[:, 1:13] = np.diff(begins).reshape(10_000, 12)
    return first.ravel(), length.ravel()
