"""Deliveries that a test edits in their outbox, as the contributor could have sent them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

from jobs.contributors.synthetic.manifest import declare
from schemas.loader import load_table

Rows = dict[str, list[dict[str, str]]]


def rewrite(folder: Path, edit: Callable[[Rows], None], *, lines: tuple[str, ...] = ()) -> None:
    """Edits the rows of the delivery in ``folder`` (table -> rows) and declares it anew.

    ``lines`` are added to its first file as they are: what no contract would let through.
    """
    told = json.loads((folder / "manifest.json").read_text("utf-8"))
    named = {f["name"]: f["table"] for f in told["files"]}
    rows: Rows = {}
    for name, table in named.items():
        with (folder / name).open(encoding="utf-8", newline="") as file:
            rows[table] = list(csv.DictReader(file, delimiter=";"))
    edit(rows)
    for position, (name, table) in enumerate(named.items()):
        columns = load_table(folder.parts[-3], table).names
        texts = [";".join(columns), *(";".join(r[c] for c in columns) for r in rows[table])]
        (folder / name).write_text("\n".join([*texts, *(lines if position == 0 else ())]) + "\n", "utf-8")
    declare(folder, named, told["stage1_key"])
