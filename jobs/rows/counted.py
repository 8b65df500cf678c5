"""What the pass that writes a table counts beside its rules: the states of every file's rows, a sum of their content.

The names of these counters are made and read here alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.rows.books import STATES, STATUS

CONTENT = "content"


def content_sum(content: Column) -> Column:
    """Exclusive or of 64-bit hashes of rows: the same rows give the same sum, in any order."""
    return F.bit_xor(content).alias(CONTENT)


def content_of(rows: int, counted: Mapping[str, Any]) -> str:
    """What a commit says of its rows: how many, and their sum. Never a value of a cell."""
    return f"{rows}:{counted[CONTENT]}"


def state_counters(files: Sequence[str]) -> list[Column]:
    """One counter per file and state, over rows that have ``_file`` and ``_status``."""
    return [
        F.count_if((F.col("_file") == file) & (F.col(STATUS) == state)).alias(name)
        for (file, state), name in _names(files).items()
    ]


def state_counts(files: Sequence[str], counted: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """(file, state) to rows, from what ``state_counters`` counted."""
    return {of: int(counted[name]) for of, name in _names(files).items()}


def _names(files: Sequence[str]) -> dict[tuple[str, str], str]:
    return {(file, state): f"{file}/{state}" for file in files for state in STATES}


def corrected(alone: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of a table when a few of its rows change their state. ``alone``: of all rows before; ``before`` and
    ``after``: of the few. Counts add; the sum of contents is an exclusive or."""
    counts = {name: alone[name] - before[name] + after[name] for name in alone if name != CONTENT}
    return {CONTENT: (alone[CONTENT] or 0) ^ (before[CONTENT] or 0) ^ (after[CONTENT] or 0), **counts}
