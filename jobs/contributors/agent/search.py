"""The search of a file for NIRs where there should be none, column by column.

Free text and every other column: any NIR counts. Columns that the contract declares as the software's own identifiers
(``role = "local_id"``): one number of 15 digits in 97 has a right key. There a NIR counts when it is one of the
practice's own patients', when more values have a right key than chance explains, or when it stands out: the other
values are not such numbers and it does not begin with a day.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from jobs.contributors.agent.finder import (
    SHORTEST,
    has_digits_enough,
    holds_nir,
    holds_one_of,
    is_likely,
    numbers_like_nirs,
)

_BLANK = re.compile(r"\s")
MALFORMED = ""
"""In place of a column: what stands on a line whose fields are not those of the header."""
SHOWN_LINES = 5
BY_CHANCE = 1 / 97
"""Share of numbers whose last two digits happen to be the right key."""
FEW = 2
"""So many numbers with the form of a NIR are not a numbering of their own."""
NEVER = 1e-6
"""A probability under which chance is no explanation."""


@dataclass(frozen=True)
class Finding:
    """NIRs in one column of one file: on how many lines, and the first of them."""

    file: str
    column: str
    lines: int
    first: tuple[int, ...]

    def __str__(self) -> str:
        where = f"column {self.column}" if self.column else "on malformed lines"
        if self.lines == 1:
            return f"{self.file}, {where}: line {self.first[0]}"
        shown = ", ".join(str(n) for n in self.first)
        more = f" and more, {self.lines} in all" if self.lines > len(self.first) else ""
        return f"{self.file}, {where}: lines {shown}{more}"


@dataclass
class _Identifiers:
    """What was seen of one column of identifiers."""

    last: str = ""
    is_own: bool = False
    """Whether the last value holds the NIR of a patient of this practice."""
    shaped: int = 0
    """How often the value changed to one with the form of a NIR with its key."""
    right: dict[str, int] = field(default_factory=dict)
    """Values whose key is right, with the line of each."""
    likely: dict[str, int] = field(default_factory=dict)

    def take(self, cell: str, line: int, own: Collection[str]) -> None:
        self.last, self.is_own = cell, False
        if not has_digits_enough(cell):
            return
        self.is_own = holds_one_of(cell, own)
        numbers = numbers_like_nirs(cell)
        self.shaped += bool(numbers)
        if any(n.has_right_key for n in numbers):
            self.right.setdefault(cell, line)
        if any(is_likely(n) for n in numbers):
            self.likely.setdefault(cell, line)

    @property
    def suspects(self) -> dict[str, int]:
        """Values that are taken for NIRs, with the line of each; none when chance explains them."""
        if not is_chance(len(self.right), self.shaped):
            return self.right
        return self.likely if self.shaped <= FEW else {}


class NirSearch:
    """Looks at every row of one file; ``findings`` are those up to the last row."""

    def __init__(self, file: str, columns: Sequence[str], identifiers: Collection[str], own: Collection[str]) -> None:
        """``identifiers``: columns of the software's own numbers. ``own``: NIRs of the practice's patients."""
        self._file, self._columns, self._own = file, columns, own
        self._identifiers = {c: _Identifiers() for c in columns if c in identifiers}
        self._lines: dict[str, list[int]] = {}
        self._counts: dict[str, int] = {}

    def of(self, columns: Sequence[str]) -> NirSearch:
        """The same search where the file's columns stand in this order."""
        self._columns = columns
        return self

    def look_across(self, lines: Sequence[str], last: int) -> None:
        """Lines that an open quote holds together: a NIR may be cut by their ends."""
        if holds_nir("\n".join(lines), self._own) and not any(holds_nir(line, self._own) for line in lines):
            self._add(MALFORMED, last)

    def look(self, cells: Sequence[str], line: int) -> None:
        """One row. Cells beyond the columns of the header belong to a malformed line and are searched as text."""
        for i, cell in enumerate(cells):
            if len(cell) >= SHORTEST:
                self._look_at(cell, self._columns[i] if i < len(self._columns) else MALFORMED, line)

    def _look_at(self, cell: str, column: str, line: int) -> None:
        seen = self._identifiers.get(column)
        if seen is None or _BLANK.search(cell.strip()):
            if holds_nir(cell, self._own):
                self._add(column, line)
            return
        if cell != seen.last:
            seen.take(cell, line, self._own)
        if seen.is_own:
            self._add(column, line)

    def _add(self, column: str, line: int) -> None:
        self._counts[column] = self._counts.get(column, 0) + 1
        lines = self._lines.setdefault(column, [])
        if len(lines) < SHOWN_LINES:
            lines.append(line)

    @property
    def findings(self) -> list[Finding]:
        """In the order of the columns."""
        counts, lines = dict(self._counts), dict(self._lines)
        for column, seen in self._identifiers.items():
            if column not in counts and (suspects := seen.suspects):
                counts[column] = len(suspects)
                lines[column] = list(suspects.values())[:SHOWN_LINES]
        return [Finding(self._file, c, counts[c], tuple(lines[c])) for c in (*self._columns, MALFORMED) if c in counts]


def is_chance(right: int, of: int) -> bool:
    """True when so many right keys among so many numbers are nothing unusual (Chernoff's bound of the binomial)."""
    share = min(right / of, 1.0) if of else 0.0
    if share <= BY_CHANCE:
        return True
    rest = (1 - share) * math.log((1 - share) / (1 - BY_CHANCE)) if share < 1 else 0.0
    return math.exp(-of * (share * math.log(share / BY_CHANCE) + rest)) > NEVER
