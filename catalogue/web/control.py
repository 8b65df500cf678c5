"""Disclosure control on pages that count rows: what the public may see of deliveries' books and of broken rules. Pure.

A row is treated as a person: in ``patient`` it is one, and who knows a file knows whose the few rows are. None stands
for a count that is hidden; a sum is the sum of what is shown. ``docs/adr/0008`` says why it is done this way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jobs.disclosure.control import hidden_in_line, is_small, to_share, to_shown

Record = Mapping[str, Any]
Count = int | None

PARTS = ("rows_published", "rows_quarantined", "rows_duplicate")
"""What becomes of the rows of a file, in the order in which it is shown."""
NOBODY = {"who": None, "reason": None}
"""What the public learns of the steward who decided."""


def to_sum(counts: Iterable[Count]) -> Count:
    """The sum of the counts that are shown; None when there are counts and every one is hidden."""
    every = list(counts)
    shown = [n for n in every if n is not None]
    return sum(shown) if shown or not every else None


def to_lake(deliveries: Sequence[Record], *, exact: bool) -> dict[str, dict[str, Count]]:
    """Rows in the lake by delivery and table.

    The rows of a whole table are a public figure: where a delivery's own are hidden, the next smallest delivery's are
    too, so that a subtraction does not bring them back.
    """
    if exact:
        return {d["id"]: dict(d["tables_in_lake"]) for d in deliveries}
    lines: dict[tuple[str, str], dict[str, int]] = {}
    for d in deliveries:
        for table, rows in d["tables_in_lake"].items():
            lines.setdefault((d["source"], table), {})[d["id"]] = rows
    shown: dict[str, dict[str, Count]] = {d["id"]: {} for d in deliveries}
    for (_, table), line in lines.items():
        hidden = hidden_in_line(line)
        for name, rows in line.items():
            shown[name][table] = None if name in hidden else to_shown(rows)
    return shown


def to_books(books: Sequence[Record], in_lake: Mapping[str, Count], *, exact: bool) -> list[dict[str, Any]]:
    """Books by file: ``table``, ``file``, ``rows`` (``rows_in`` and ``PARTS``) and ``reasons`` of the quarantine,
    those that are shown: one that is named would say that it has a row.

    ``in_lake``: what is shown of the delivery's rows in the lake, by table.
    """
    hidden: set[tuple[str, str]] = set()
    for table in {b["table"] for b in books}:
        line = {b["file"]: b["rows_published"] for b in books if b["table"] == table}
        is_hidden = in_lake.get(table, 0) is None
        hidden |= {(table, file) for file in (line if is_hidden else hidden_in_line(line))}
    return [_to_book(b, exact=exact, published_hidden=(b["table"], b["file"]) in hidden) for b in books]


def _to_book(book: Record, *, exact: bool, published_hidden: bool) -> dict[str, Any]:
    def shown(rows: int) -> Count:
        return rows if exact else to_shown(rows)

    reasons = {reason: n for reason, rows in book["rows_quarantined"].items() if (n := shown(rows)) is not None}
    rows = {
        "rows_published": None if published_hidden and not exact else shown(book["rows_published"]),
        "rows_quarantined": to_sum(reasons.values()) if reasons else shown(0),
        "rows_duplicate": shown(book["rows_duplicate"]),
    }
    beside = [shown(book["rows_settled"])] if "rows_settled" in book else []
    return {
        "table": book["table"],
        "file": book["file"],
        "rows": {"rows_in": to_sum([*rows.values(), *beside]), **rows},
        "reasons": reasons,
    }


def to_total(books: Sequence[Mapping[str, Any]]) -> dict[str, Count]:
    """Sums of shown books, or of whole deliveries, by the names of their ``rows``."""
    return {key: to_sum(b["rows"][key] for b in books) for key in ("rows_in", *PARTS)}


def with_share(result: Record, *, exact: bool) -> dict[str, Any]:
    """A rule's result with the ``share`` of rows at fault (None when there is none to show) and ``hidden`` when there
    would be one.

    The public sees no count of a rule: two rules count nested groups, and the difference of two counts can be a few
    rows. It sees the share as a whole percent of rounded counts, where at least 11 rows are at fault and 11 are not.
    """
    violated, of = result["violated"], result["denominator"]
    if exact or violated is None or of is None:
        share = violated / of if violated is not None and of else None
        return {**result, "share": share, "hidden": False}
    bare = {**result, "violated": None, "denominator": None, "not_applicable": False}
    if is_small(violated) or is_small(of - violated):
        return {**bare, "share": None, "hidden": True}
    share = min(99, max(1, to_share(to_shown(violated) or 0, to_shown(of) or 0))) / 100
    return {**bare, "share": share, "hidden": False}
