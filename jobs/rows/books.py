"""The books of a delivery: what became of every row of every file. Plain numbers, no Spark.

Always, per file: rows in = published + quarantined + duplicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

STATUS = "_status"
"""The column that holds a row's state."""
KEPT, QUARANTINED, DUPLICATE = ("kept", "quarantined", "duplicate")
"""What a row is: it goes on to the lake, breaks the contract, or repeats a row."""
MALFORMED = "malformed"
"""Reason code of lines that never became rows: they are sealed where the file is received."""

Book = dict[str, Any]
"""Of one file: ``table, file, rows_in, rows_published, rows_duplicate, rows_quarantined``."""
Ended = tuple[str, str, str | None]
"""File, state and reason code of rows that do not go on."""


def books_of(files: Iterable[Mapping[str, Any]], ended: Mapping[Ended, int]) -> list[Book]:
    """One book per file. ``files``: as received, with ``table, file, rows, malformed``; ``ended``: how many rows do not
    go on, all others do."""
    books = []
    for received in files:
        file = received["file"]
        mine = {(state, reason): rows for (of, state, reason), rows in ended.items() if of == file}
        quarantined = {str(reason): rows for (state, reason), rows in mine.items() if state == QUARANTINED}
        if received["malformed"]:
            quarantined[MALFORMED] = received["malformed"]
        books.append(
            {
                "table": received["table"],
                "file": file,
                "rows_in": received["rows"] + received["malformed"],
                "rows_published": received["rows"] - sum(mine.values()),
                "rows_duplicate": sum(rows for (state, _), rows in mine.items() if state == DUPLICATE),
                "rows_quarantined": quarantined,
            }
        )
    return books


def whole_book(table: str, file: str, rows: int, where: str) -> Book:
    """The book of a file whose rows all went to one place: ``DUPLICATE``, or the quarantine for a reason."""
    received = {"table": table, "file": file, "rows": rows, "malformed": 0}
    end = (file, DUPLICATE, None) if where == DUPLICATE else (file, QUARANTINED, where)
    return books_of([received], {end: rows})[0]


def totals_of(books: Iterable[Book]) -> dict[str, int]:
    """Rows of some books together: ``rows_in`` and, by state, what became of them."""
    books = list(books)
    return {
        "rows_in": sum(b["rows_in"] for b in books),
        KEPT: sum(b["rows_published"] for b in books),
        QUARANTINED: sum(sum(b["rows_quarantined"].values()) for b in books),
        DUPLICATE: sum(b["rows_duplicate"] for b in books),
    }
