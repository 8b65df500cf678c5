"""Casts and row rules: every row of a block gets its typed columns and, when it breaks the contract, its reason code.

Reason codes, each with its column after a colon: ``missing``, ``unparsable`` (not written in the form of its type),
``too_long``, ``form`` (not the contract's pattern), ``code`` (not in its closed list), ``out_of_range``, ``too_early``,
``too_late``; and ``identity:<status>``. A code names a column or a value of a closed list: never what the row held.

Blanks at both ends are not part of a value (``schemas.forms.BLANKS``); what stands between them is never altered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.rows.casts import arrow_type, to_type
from jobs.rows.hashes import hashes
from jobs.rows.texts import (
    Mask,
    array,
    flat,
    longer_than,
    misshapen,
    not_among,
    numbers,
    present,
    strings,
    to_values,
    true,
)
from schemas.forms import form, latest
from schemas.loader import Column, Csv, Table

ROW, REASON = "_row", "_reason"
KEY, PARENT, CONTENT = "_key", "_parent", "_content"
"""Hashes of a row (``jobs.rows.hashes``): of its key, of its parent's, and of what of it reaches the lake."""
READER = 2
"""Counted up whenever this code would read a text otherwise than before."""
_EPOCH = date(1970, 1, 1)
_WORDS = {"meaning", "unit", "role", "exported_as", "identifying", "keep", "fk", "domain"}
"""What a contract says of a column that does not change how it is read."""

Rule = tuple[Callable[[pa.StringArray, pa.Array], Mask], str]
"""Says where the values of a column, as text and in the lake's type, break it; and its reason code."""


@dataclass(frozen=True)
class Typed:
    """What became of one block of rows."""

    rows: pa.Table
    """All of them, as ``typed_schema`` says."""
    refused: pa.Table
    """Those that break the contract, as ``refused_schema`` says."""


def typed_schema(table: Table) -> pa.Schema:
    """What is landed of a table: its contract's columns in the lake's types (an identifier that is still to be
    pseudonymised is text), missing where they cannot be read; the number of the record in its file; the first rule of
    the contract that the row breaks, missing when it keeps them; and the row's hashes."""
    columns = [*((c.name, arrow_type(c)) for c in table.columns), (ROW, pa.int64()), (REASON, pa.string())]
    return pa.schema([*columns, *((name, pa.int64()) for name in hashed(table))])


def hashed(table: Table) -> dict[str, tuple[str, ...]]:
    """The hashes that rows of a table have, and the columns that each is of."""
    parent = table.parent.columns if table.parent else ()
    all_of = {KEY: table.key, PARENT: parent, CONTENT: tuple(c.name for c in table.lake_columns)}
    return {name: columns for name, columns in all_of.items() if columns}


def refused_schema(table: Table) -> pa.Schema:
    """What is kept of rows that break the contract: the texts as they came, and why."""
    return pa.schema([*((c.name, pa.string()) for c in table.columns), (ROW, pa.int64()), (REASON, pa.string())])


def reader_of(csv: Csv, tables: Iterable[Table]) -> str:
    """A check value (16 hexadecimal digits) of what reads the texts of a source: this code and the contract. Rows that
    another one made of their texts are to be pulled again."""
    columns = {t.table: (t.identity, [c.model_dump(exclude=_WORDS) for c in t.columns]) for t in tables}
    said = json.dumps([READER, csv.model_dump(), columns], default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def typing_of(table: Table, csv: Csv, period: str) -> Callable[[pa.Table], Typed]:
    """What gives the rows of a block their types and their reasons. ``period``: the delivery's month, ``YYYY-MM``.

    A block has the contract's columns as text and ``_row``.
    """
    columns = [(c.name, to_values(c), to_type(c, csv), _rules(c, csv, period)) for c in table.columns]
    schema, kept, of = typed_schema(table), refused_schema(table), hashed(table)
    unsure = [v for v in table.column(table.identity).values if v != "ok"] if table.identity else []

    def typed(block: pa.Table) -> Typed:
        first = _First(block.num_rows)
        if table.identity and unsure:
            status = to_values(table.column(table.identity))(flat(block.column(table.identity)))
            for value in unsure:
                first.mark(true(pc.is_in(status, value_set=strings([value]))), f"identity:{value}")
        made: dict[str, pa.Array] = {}
        for name, to_text, cast, rules in columns:
            texts = to_text(flat(block.column(name)))
            values = cast(texts)
            made[name] = values
            for broken, code in rules:
                first.mark(broken(texts, values), code)
        reason = first.reasons()
        refused = array(pa.int64(), np.flatnonzero(first.code))
        as_sent = [block.column(name).take(refused) for name in (*table.names, ROW)]
        sums = [array(pa.int64(), hashes([made[c] for c in names], block.num_rows)) for names in of.values()]
        return Typed(
            pa.Table.from_arrays([*made.values(), flat(block.column(ROW)), reason, *sums], schema=schema),
            pa.Table.from_arrays([*as_sent, reason.take(refused)], schema=kept),
        )

    return typed


class _First:
    """The first rule that each row of a block breaks."""

    def __init__(self, rows: int) -> None:
        self.code = np.zeros(rows, np.int32)
        self._codes: list[str | None] = [None]

    def mark(self, broken: Mask, code: str) -> None:
        if broken.any():
            if code not in self._codes:
                self._codes.append(code)
            self.code[broken & (self.code == 0)] = self._codes.index(code)

    def reasons(self) -> pa.StringArray:
        if len(self._codes) == 1:
            return pa.nulls(len(self.code), pa.string())
        return strings(self._codes).take(array(pa.int32(), self.code))


def _rules(column: Column, csv: Csv, period: str) -> list[Rule]:
    """The rules of the contract for one column, in the order in which they are asked."""
    pattern, rules = form(column, csv), list[Rule]()
    if column.required:
        rules.append((lambda texts, _: ~present(texts) if texts.null_count else _nowhere(texts), "missing"))
    if column.type != "string":
        rules.append((_unread, "unparsable"))
    if column.length and column.type in ("string", "integer", "bigint"):
        rules.append((_of_text(longer_than(column.length, digits=column.type != "string")), "too_long"))
    if column.type == "string" and pattern:
        rules.append((_of_text(misshapen(pattern)), "form"))
    if column.values:
        rules.append((_of_text(not_among(column.values)), "code"))
    return [(rule, f"{code}:{column.name}") for rule, code in [*rules, *_bounds(column, period)]]


def _of_text(rule: Callable[[pa.StringArray], Mask]) -> Callable[[pa.StringArray, pa.Array], Mask]:
    return lambda texts, _: rule(texts)


def _unread(texts: pa.StringArray, values: pa.Array) -> Mask:
    return present(texts) & ~present(values) if values.null_count > texts.null_count else _nowhere(texts)


def _bounds(column: Column, period: str) -> list[Rule]:
    """What a number or a date is held to."""
    if column.type in ("date", "datetime"):
        next_day = latest(column.not_after, period) + timedelta(days=1)  # of a time, all of the last day counts
        least, beyond = (_moment(day, column) for day in (column.earliest, next_day))
        kind = np.int32 if column.type == "date" else np.int64
        return [
            (lambda _, values: (numbers(values, kind) < least) & present(values), "too_early"),
            (lambda _, values: (numbers(values, kind) >= beyond) & present(values), "too_late"),
        ]
    rules: list[Rule] = []
    if column.min is not None:
        rules.append((_compared(pc.less, column.min), "out_of_range"))
    if column.max is not None:
        rules.append((_compared(pc.greater, column.max), "out_of_range"))
    return rules


def _compared(compare: Callable[..., pa.BooleanArray], bound: Any) -> Callable[[pa.StringArray, pa.Array], Mask]:
    limit = pc.cast(strings([str(bound)]), pa.int64())[0]
    return lambda _, values: true(compare(values, limit))


def _moment(day: date, column: Column) -> int:
    """A day as numbers of its column's type: days, or microseconds."""
    return (day - _EPOCH).days * (1 if column.type == "date" else 86_400_000_000)


def _nowhere(texts: pa.StringArray) -> Mask:
    return np.zeros(len(texts), np.bool_)
