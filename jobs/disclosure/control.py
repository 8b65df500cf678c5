"""Disclosure control: which figures may be shown, and how. Pure functions on plain numbers, no Spark and no storage.

The rules, by their numbers in docs and tests:

D1  a count of 1 to 10 persons is never shown; persons are counted, also when the figure is of acts.
D2  a zero is treated as small, unless the table says that there can be nobody.
D3  what is shown is rounded to base 5, the same for every cell; totals are sums of what is shown.
D4  what is hidden can not be worked out: an attacker who knows the true totals and every cell that is shown still
    finds each hidden small cell anywhere from 0 to 10 at least. More cells are hidden until that holds.
D7  a figure is refreshed only when it did not change, or by so many that no group of 1 to 10 persons appears by
    subtracting last month's figure from this month's.
D8  only figures that passed are stored (``catalogue.db.figures`` refuses the others).
D9  values are counted for coded variables only, never for identifiers, free text, dates or amounts.

All hidden cells look the same: who sees one does not know whether it is small or hides another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from jobs.disclosure.limits import BASE, SMALL
from schemas.loader import Column

RULE = "1"
"""Version of these rules, stored with every figure."""
_ENDLESS = 1 << 60

K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=Hashable)
C = TypeVar("C", bound=Hashable)
Cell = tuple[Hashable, Hashable]
Cells = Mapping[Cell, int]


def is_small(count: int) -> bool:
    """D1, D2: fewer than 11 persons, also none."""
    return count < SMALL


def to_shown(count: int) -> int | None:
    """D1, D3: the count rounded to base 5, never shown below 15 (11 to 17 are shown as 15); None when it is small."""
    return None if is_small(count) else max(BASE * round(count / BASE), SMALL - SMALL % BASE + BASE)


def to_share(part: int, whole: int) -> int:
    """A whole percent that is 0 or 100 only when it is exactly that."""
    if part in (0, whole):
        return 100 if whole and part else 0
    return min(99, max(1, round(100 * part / whole)))


def is_refreshed(new: int, old: int | None) -> bool:
    """D7, for two shown counts: True when the new one may replace the old one.

    Shown counts are at most 2 from the truth (15: 4 below), so a step of 15 is at least 11 persons.
    """
    return old is None or new == old or abs(new - old) >= SMALL + 4


def is_coded(column: Column) -> bool:
    """D9: True when the values of a variable may be counted."""
    coded = bool(column.values) or column.name.lower().endswith("_concept_id")
    return coded and column.keep and not column.identifying and column.pseudonym is None


def hidden_in_line(cells: Mapping[K, int]) -> set[K]:
    """D4 for a table of one dimension whose cells add up to a total that may be known.

    The small cells, and the next smallest until at least two are hidden that hold at least 11 together.
    """
    order = sorted(cells, key=lambda k: (cells[k], str(k)))
    hidden = [k for k in order if is_small(cells[k])]
    if not hidden:
        return set()
    rest = order[len(hidden) :]
    while rest and (sum(1 for k in hidden if cells[k]) < 2 or sum(cells[k] for k in hidden) < SMALL):
        hidden.append(rest.pop(0))
    return set(hidden)


@dataclass(frozen=True)
class Grid:
    """A table of two dimensions after disclosure control."""

    shown: dict[Cell, int]
    """Rounded counts; a cell that is not here is hidden."""
    row_totals: dict[Hashable, int]
    """D3: sums of the shown cells of a row."""
    column_totals: dict[Hashable, int]
    hidden_rows: frozenset[Hashable]
    """Rows whose true total must not be shown anywhere."""
    hidden_columns: frozenset[Hashable]


def to_grid(cells: Mapping[tuple[R, C], int]) -> Grid:
    """D1 to D4 for a table of two dimensions. ``cells`` holds every combination, zeros too.

    True row totals are taken as known where a line of them would show them, true column totals as far as possible.
    """
    table: Cells = {(row, column): count for (row, column), count in cells.items()}
    rows, columns = _lines(table, 0), _lines(table, 1)
    hidden_rows, hidden_columns = hidden_in_line(rows), hidden_in_line(columns)
    small = sorted((k for k, n in table.items() if is_small(n)), key=str)
    hidden = set(small)
    if sum(table.values()) < SMALL:
        hidden = set(table)
    else:
        while weak := next((k for k in small if not _is_safe(k, table, hidden, hidden_rows, hidden_columns)), None):
            if shown := [k for k in table if k not in hidden]:
                hidden.add(_next_hidden(weak, shown, table, hidden, hidden_rows, hidden_columns))
            elif more := [c for c in columns if c not in hidden_columns]:
                hidden_columns.add(min(more, key=lambda c: (columns[c], str(c))))
            else:
                break
    rounded = {k: n for k, n in ((k, to_shown(table[k])) for k in table if k not in hidden) if n is not None}
    return Grid(
        shown=rounded,
        row_totals=_lines(rounded, 0),
        column_totals=_lines(rounded, 1),
        hidden_rows=frozenset(hidden_rows),
        hidden_columns=frozenset(hidden_columns),
    )


def _next_hidden(
    weak: Cell,
    shown: list[Cell],
    table: Cells,
    hidden: set[Cell],
    hidden_rows: set[Hashable],
    hidden_columns: set[Hashable],
) -> Cell:
    """The smallest cell that makes the weak one safe; else the smallest in the line of it that hides the fewest."""

    def size(k: Cell) -> tuple[int, str]:
        return table[k], str(k)

    def crowded(k: Cell) -> int:
        axis = 0 if k[0] == weak[0] else 1
        return sum(1 for h in hidden if h[axis] == weak[axis])

    helps = [k for k in shown if _is_safe(weak, table, hidden | {k}, hidden_rows, hidden_columns)]
    if helps:
        return min(helps, key=size)
    near = [k for k in shown if k[0] == weak[0] or k[1] == weak[1]]
    return min(near, key=lambda k: (crowded(k), *size(k))) if near else min(shown, key=size)


def _lines(cells: Cells, axis: int) -> dict[Hashable, int]:
    sums: dict[Hashable, int] = {}
    for key, count in cells.items():
        sums[key[axis]] = sums.get(key[axis], 0) + count
    return sums


def _is_safe(
    key: Cell, cells: Cells, hidden: set[Cell], hidden_rows: set[Hashable], hidden_columns: set[Hashable]
) -> bool:
    """Can the cell be anything from 0 to 10, with all known totals and shown cells as they are?

    Hidden numbers are edges between the sums that bind them (a cell: its row and its column; a hidden row total: its
    row and the sum of all rows). A cell may grow by what flows from its row to its column through the other edges, each
    of which may shrink down to zero in one direction and grow in the other: the exact range, as linear programming
    would find it.
    """
    arcs: dict[Hashable, dict[Hashable, int]] = {}

    def bind(u: Hashable, v: Hashable, count: int) -> None:
        arcs.setdefault(u, {})[v] = count
        arcs.setdefault(v, {})[u] = _ENDLESS

    for row, column in hidden - {key}:
        bind(("row", row), ("column", column), cells[row, column])
    rows, columns = _lines(cells, 0), _lines(cells, 1)
    for row in hidden_rows:
        bind("rows", ("row", row), rows[row])
    for column in hidden_columns:
        bind(("column", column), "columns", columns[column])
    row_node, column_node = ("row", key[0]), ("column", key[1])
    grows = _flow(arcs, row_node, column_node, SMALL - 1 - cells[key])
    shrinks = _flow(arcs, column_node, row_node, cells[key])
    return grows + cells[key] >= SMALL - 1 and shrinks >= cells[key]


def _flow(arcs: Mapping[Hashable, Mapping[Hashable, int]], source: Hashable, sink: Hashable, wanted: int) -> int:
    """The largest flow from source to sink, no further than ``wanted``."""
    left = {u: dict(vs) for u, vs in arcs.items()}
    sent = 0
    while sent < wanted:
        came: dict[Hashable, Hashable] = {source: source}
        queue = deque([source])
        while queue and sink not in came:
            u = queue.popleft()
            for v, room in left.get(u, {}).items():
                if room > 0 and v not in came:
                    came[v] = u
                    queue.append(v)
        if sink not in came:
            break
        path = [sink]
        while path[-1] != source:
            path.append(came[path[-1]])
        steps = list(zip(path[1:], path, strict=False))
        amount = min([wanted - sent, *(left[u][v] for u, v in steps)])
        for u, v in steps:
            left[u][v] -= amount
            left[v][u] = left[v].get(u, 0) + amount
        sent += amount
    return sent
