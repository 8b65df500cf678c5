"""The rows of a delivery that only other rows tell against, found by their hashes while it is pulled.

They are found so of tables of at most ``MOST`` rows, which are most; of larger ones the stage finds them
(``jobs.rows.apart``), by the same rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from jobs.rows.books import DUPLICATE, QUARANTINED, STATUS, Ended
from jobs.rows.texts import Ints, Mask, array, flat, numbers, present, strings
from jobs.rows.typed import CONTENT, KEY, PARENT, REASON, ROW
from schemas.loader import Table

CONFLICT, ORPHAN = "conflict", "orphan"
TABLE, FILE, SAID = "_table", "_file", "_said"
NOTED = pa.schema(
    [(TABLE, pa.string()), (FILE, pa.string()), (ROW, pa.int64()), *((n, pa.string()) for n in (STATUS, REASON, SAID))]
)
"""One row per row that others tell not to go on: its place, its state and reason, and the rule of the contract that it
breaks by itself. One that breaks the contract is here only when it is counted as a copy."""
MOST = 1_000_000
"""So many rows of a table are remembered: 8 MiB for each of their hashes and numbers."""


@dataclass
class _Seen:
    """The rows of one table, block by block."""

    rows: int = 0
    files: list[tuple[str, int]] = field(default_factory=list)
    """File and number of rows of each block."""
    numbers: dict[str, list[Ints]] = field(default_factory=lambda: {n: [] for n in (ROW, KEY, PARENT, CONTENT)})
    said: list[pa.Array] = field(default_factory=list)

    def of(self, name: str) -> Ints:
        return np.concatenate(self.numbers[name]) if self.numbers[name] else np.zeros(0, np.int64)


@dataclass(frozen=True)
class _Found:
    """What became of the rows of one table, each by its number in the order in which they were seen."""

    conflict: Mask
    copy: Mask
    orphan: Mask
    said: Mask

    @property
    def going(self) -> Mask:
        going: Mask = ~(self.conflict | self.copy | self.orphan | self.said)
        return going


class Seen:
    """The hashes of a delivery's rows, as they pass."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self._seen = {name: _Seen() for name in tables}

    def see(self, table: str, file: str, rows: pa.Table) -> None:
        """Remembers rows of a file of a table, as ``typed_schema`` says."""
        seen = self._seen[table]
        seen.rows += rows.num_rows
        if seen.rows > MOST:
            self._seen[table] = _Seen(seen.rows)
            return
        seen.files.append((file, rows.num_rows))
        seen.said.append(flat(rows.column(REASON)))
        for name, parts in seen.numbers.items():
            if name in rows.column_names:
                parts.append(numbers(flat(rows.column(name)), np.int64).copy())  # the rest of the block can be let go

    @property
    def unknown(self) -> list[str]:
        """Tables of which the stage has to find what does not go on: those with too many rows, and their details."""
        found: list[str] = []
        for name, table in self._tables.items():
            if self._seen[name].rows > MOST or (table.parent and table.parent.table in found):
                found.append(name)
        return found

    def ended(self) -> tuple[pa.Table, dict[str, dict[Ended, int]]]:
        """``NOTED`` of the other tables; and of each how many of its rows do not go on, by file, state and reason."""
        going: dict[str, Ints] = {}
        parts, books, unknown = [NOTED.empty_table()], {}, self.unknown
        for name, table in self._tables.items():
            if name in unknown:
                continue
            seen = self._seen[name]
            found = _found(seen, table, going.get(table.parent.table) if table.parent else None)
            going[name] = seen.of(KEY)[found.going] if table.key else np.zeros(0, np.int64)
            noted = _noted(seen, found, name)
            parts.append(noted)
            books[name] = _books(seen, noted)
        return pa.concat_tables(parts), books


def _found(seen: _Seen, table: Table, parents: Ints | None) -> _Found:
    said = np.concatenate([present(part) for part in seen.said]) if seen.said else np.zeros(0, np.bool_)
    conflict, copy = _copies(seen) if table.key else (np.zeros_like(said), np.zeros_like(said))
    orphan = np.zeros_like(said) if parents is None else ~_among(seen.of(PARENT), parents)
    return _Found(conflict, copy, orphan, said)


def _copies(seen: _Seen) -> tuple[Mask, Mask]:
    """Where rows of one key differ; and where a later one is as the first."""
    key = seen.of(KEY)
    conflict, copy = np.zeros(len(key), np.bool_), np.zeros(len(key), np.bool_)
    ordered = np.sort(key)
    if not (ordered[1:] == ordered[:-1]).any():
        return conflict, copy
    names = sorted({file for file, _ in seen.files})
    rank = np.repeat([names.index(file) for file, _ in seen.files], [rows for _, rows in seen.files])
    order = np.lexsort((seen.of(ROW), rank, key))
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    size = np.diff(np.append(first, len(key)))
    content = seen.of(CONTENT)[order]
    differ = np.repeat(np.minimum.reduceat(content, first) != np.maximum.reduceat(content, first), size)
    conflict[order] = differ
    copy[order] = ~differ & (np.arange(len(key)) > np.repeat(first, size))
    return conflict, copy


def _among(values: Ints, known: Ints) -> Mask:
    if not len(known):
        return np.zeros(len(values), np.bool_)
    ordered = np.sort(known)
    found: Mask = ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values
    return found


def _noted(seen: _Seen, found: _Found, table: str) -> pa.Table:
    at = np.flatnonzero(found.copy | ((found.conflict | found.orphan) & ~found.said))
    copy, conflict = found.copy[at], found.conflict[at]
    said = pa.concat_arrays(seen.said).take(array(pa.int64(), at)) if seen.said else strings(())
    return pa.Table.from_arrays(
        [
            strings([table] * len(at)),
            strings(_files(seen, at)),
            array(pa.int64(), seen.of(ROW)[at]),
            strings([DUPLICATE if c else QUARANTINED for c in copy]),
            strings([None if c else CONFLICT if k else ORPHAN for c, k in zip(copy, conflict, strict=True)]),
            said,
        ],
        schema=NOTED,
    )


def _files(seen: _Seen, at: Ints) -> list[str]:
    """The files of some rows."""
    ends = np.cumsum([rows for _, rows in seen.files])
    return [seen.files[i][0] for i in np.searchsorted(ends, at, "right")]


def _books(seen: _Seen, noted: pa.Table) -> dict[Ended, int]:
    books = Counter[Ended]()
    for (file, _), said in zip(seen.files, seen.said, strict=True):
        books.update((file, QUARANTINED, reason) for reason in said.drop_null().to_pylist())
    for row in noted.to_pylist():
        books[row[FILE], row[STATUS], row[REASON]] += 1
        if row[SAID]:  # it was counted for what it says, and is a copy
            books[row[FILE], QUARANTINED, row[SAID]] -= 1
    return {end: rows for end, rows in books.items() if rows}
