"""What every part of RESULTS.md is written with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

GIB = 2**30
Figures = Mapping[str, Any]
"""The figures of one measurement, as its JSON file holds them."""


def where(machine: Figures) -> str:
    """Machine and versions in a sentence."""
    versions = ", ".join(f"{n} {v}" for n, v in machine["versions"].items())
    return (
        f"{machine['day']}, {machine['processor']}, {machine['cores']} cores, {machine['memory'] / GIB:.0f} GiB,"
        f" Python {machine['python']}, Java {machine['java']}, {versions}; Spark server with {machine['heap']} of heap."
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
