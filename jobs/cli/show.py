"""How commands print: JSON for scripts on standard output, words and tables for people on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

JSON_HELP = "Print JSON, for scripts."


def line(value: object) -> None:
    """One line of JSON on standard output: a task's result."""
    sys.stdout.write(json.dumps(value, default=str, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """One line for people."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str, as_json: bool) -> None:
    """Rows as JSON or as a table on standard output; ``empty`` says what to do when there are none."""
    if as_json:
        line([dict(r) for r in rows])
        return
    if not rows:
        say(empty)
        return
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        drawn.add_row(*[cell(row.get(c)) for c in columns])
    Console(width=None if sys.stdout.isatty() else 200).print(drawn)


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
