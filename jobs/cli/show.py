"""How commands print: JSON for scripts on standard output, words and tables for people on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

GAP = 2
"""Blanks between two columns."""
JSON_HELP = "Print JSON, for scripts."


def line(value: object) -> None:
    """One line of JSON on standard output: a task's result."""
    sys.stdout.write(json.dumps(value, default=str, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """One line for people."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str, as_json: bool) -> None:
    """Rows as JSON or as a table on standard output; ``empty`` is said when there are none."""
    if not rows:
        say(empty)
    if as_json:
        line([dict(r) for r in rows])
    if as_json or not rows:
        return
    from rich.console import Console
    from rich.table import Table

    cells = [[cell(row.get(c)) for c in columns] for row in rows]
    # words are typed and copied, ids among them: a line ends between two of them, however narrow the terminal
    by_column = zip(columns, *cells, strict=True)
    longest = [max(len(w) for text in texts for w in text.split() or [""]) for texts in by_column]
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for name, width in zip(columns, longest, strict=True):
        drawn.add_column(name, min_width=width)
    for texts in cells:
        drawn.add_row(*texts)
    console = Console(width=None if is_terminal() else 200)
    needed = sum(longest) + GAP * (len(columns) - 1)
    console.print(drawn, width=max(console.width, needed), soft_wrap=needed > console.width)


def is_terminal() -> bool:
    """Whether a person looks at standard output as it is written."""
    return sys.stdout.isatty()


def cell(value: object) -> str:
    """One cell for people."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:,}" if isinstance(value, int) else str(value)
