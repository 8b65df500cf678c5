"""What a pull can tell of rows that only others explain: of which tables none can be a copy or an orphan.

A small delivery in order, as most are, is known to be so once its hashes were seen side by side. Of any other the
stage finds out (``jobs.rows.apart``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from jobs.rows.texts import Ints, flat, numbers, present
from jobs.rows.typed import KEY, PARENT, REASON
from schemas.loader import Table

COPIES, ORPHANS = "copies", "orphans"
MOST = 1_000_000
"""So many rows of a table are remembered: 8 MiB for each of its hashes."""


@dataclass
class _Seen:
    rows: int = 0
    keys: list[Ints] = field(default_factory=list)
    going: list[Ints] = field(default_factory=list)
    """Keys of those that keep the contract."""
    parents: list[Ints] = field(default_factory=list)


class Doubts:
    """The hashes of a delivery's rows, as they pass."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self._seen = {name: _Seen() for name in tables}

    def see(self, table: str, rows: pa.Table) -> None:
        """Remembers rows of a table, as ``typed_schema`` says."""
        seen = self._seen[table]
        seen.rows += rows.num_rows
        if seen.rows > MOST:
            self._seen[table] = _Seen(seen.rows)
            return
        if self._tables[table].key:
            keys = _copy(rows, KEY)
            seen.keys.append(keys)
            seen.going.append(keys[~present(flat(rows.column(REASON)))])
        if self._tables[table].parent:
            seen.parents.append(_copy(rows, PARENT))

    def kinds(self) -> dict[str, list[str]]:
        """By table, in load order, which of ``COPIES`` and ``ORPHANS`` it may hold; tables that hold neither are left
        out. A row that is no copy may still be an orphan of one."""
        found: dict[str, list[str]] = {}
        for name, table in self._tables.items():
            seen = self._seen[name]
            unknown = seen.rows > MOST
            of_table = [COPIES] if table.key and (unknown or _repeat(seen.keys)) else []
            if parent := table.parent:
                unsure = unknown or parent.table in found or self._seen[parent.table].rows > MOST
                of_table += [ORPHANS] if unsure or self._loose(seen, parent.table) else []
            if of_table:
                found[name] = of_table
        return found

    def _loose(self, seen: _Seen, parent: str) -> bool:
        return bool(np.setdiff1d(_all(seen.parents), _all(self._seen[parent].going)).size)


def _copy(rows: pa.Table, name: str) -> Ints:
    return numbers(flat(rows.column(name)), np.int64).copy()  # what it is a part of can be let go


def _all(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _repeat(parts: list[Ints]) -> bool:
    ordered = np.sort(_all(parts))
    return bool((ordered[1:] == ordered[:-1]).any())
