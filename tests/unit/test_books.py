"""The books of a delivery: every row of every file is somewhere, on tables that a steward can read."""

from __future__ import annotations

from jobs.rows.books import DUPLICATE, KEPT, QUARANTINED, books_of, totals_of, whole_book

FILES = [
    {"table": "line", "file": "A.csv", "rows": 10, "malformed": 2},
    {"table": "line", "file": "B.csv", "rows": 3, "malformed": 0},
]
ENDED = {
    ("A.csv", QUARANTINED, "orphan"): 2,
    ("A.csv", QUARANTINED, "missing:WHO"): 1,
    ("A.csv", DUPLICATE, None): 1,
}


def test_each_file_has_a_book_in_which_rows_in_are_published_quarantined_and_copies() -> None:
    books = books_of(FILES, ENDED)
    assert [tuple(b.values()) for b in books] == [
        # table, file, in, published, copies, quarantined by reason
        ("line", "A.csv", 12, 6, 1, {"orphan": 2, "missing:WHO": 1, "malformed": 2}),
        ("line", "B.csv", 3, 3, 0, {}),
    ]
    for b in books:
        out = b["rows_published"] + b["rows_duplicate"] + sum(b["rows_quarantined"].values())
        assert b["rows_in"] == out


def test_lines_that_never_became_rows_count_as_quarantined_in_the_shares_of_a_table() -> None:
    assert totals_of(books_of(FILES, ENDED)) == {
        "rows_in": 15, KEPT: 9, QUARANTINED: 5, DUPLICATE: 1,
    }  # fmt: skip


def test_a_table_without_files_has_no_books() -> None:
    assert books_of([], {}) == []
    assert totals_of([]) == {"rows_in": 0, KEPT: 0, QUARANTINED: 0, DUPLICATE: 0}


def test_a_delivery_that_is_refused_or_a_copy_has_books_too() -> None:
    refused = whole_book("er_prs_f", "A.csv", 5, "missing_column")
    copy = whole_book("er_prs_f", "A.csv", 5, DUPLICATE)
    assert totals_of([refused]) == {"rows_in": 5, KEPT: 0, QUARANTINED: 5, DUPLICATE: 0}
    assert refused["rows_quarantined"] == {"missing_column": 5}
    assert totals_of([copy]) == {"rows_in": 5, KEPT: 0, QUARANTINED: 0, DUPLICATE: 5}
    assert copy["rows_quarantined"] == {}
