"""Disclosure control of row counts: small ones hidden, sums of what is shown, and no way back by subtraction."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from catalogue.web import control


def book(published: int, quarantined: dict[str, int], duplicate: int = 0, **more: Any) -> Any:
    rows_in = published + sum(quarantined.values()) + duplicate + more.get("rows_settled", 0)
    rows = {"rows_in": rows_in, "rows_published": published, "rows_duplicate": duplicate}
    return {"table": "patient", "file": "PATIENT.csv", "rows_quarantined": quarantined, **rows, **more}


def delivery(name: str, **tables: int) -> Any:
    return {"id": name, "source": name.split("/")[0], "tables_in_lake": tables}


def rule(violated: int, of: int) -> Any:
    return {"violated": violated, "denominator": of, "not_applicable": of == 0}


def test_small_counts_are_hidden_and_the_sum_is_of_what_is_shown() -> None:
    (shown,) = control.to_books([book(1203, {"orphan": 7, "code:SEX": 24}, duplicate=12)], {}, exact=False)
    assert shown["reasons"] == {"code:SEX": 25}
    assert shown["rows"] == {
        "rows_in": 1205 + 25 + 15,
        "rows_published": 1205,
        "rows_quarantined": 25,
        "rows_duplicate": 15,
    }


def test_nothing_is_shown_of_a_file_with_a_few_rows() -> None:
    for rows in range(11):
        (shown,) = control.to_books([book(rows, {"orphan": 10 - rows})], {}, exact=False)
        assert set(shown["rows"].values()) == {None}
        assert control.to_total([shown])["rows_in"] is None


def test_stewards_see_every_count() -> None:
    (shown,) = control.to_books([book(3, {"orphan": 7}, duplicate=1)], {}, exact=True)
    assert shown["rows"] == {
        "rows_in": 11,
        "rows_published": 3,
        "rows_quarantined": 7,
        "rows_duplicate": 1,
    }
    (old,) = control.to_books([book(3, {"orphan": 7}, duplicate=1, rows_settled=4)], {}, exact=True)
    assert old["rows"] == shown["rows"] | {"rows_in": 15}  # as they were when the stage settled
    assert control.with_share(rule(3, 3400), exact=True)["share"] == pytest.approx(3 / 3400)


def test_a_delivery_with_few_rows_hides_the_next_smallest_of_its_table_too() -> None:
    held = [delivery("ville/2024-01/v1", patient=7), delivery("ville/2024-02/v1", patient=500)]
    held += [delivery("ville/2024-03/v1", patient=800), delivery("dcir/2024-01/v1", patient=600)]
    shown = {name: rows["patient"] for name, rows in control.to_lake(held, exact=False).items()}
    assert shown == {
        "ville/2024-01/v1": None,
        "ville/2024-02/v1": None,  # else the table's rows less the others' would give the 7 away
        "ville/2024-03/v1": 800,
        "dcir/2024-01/v1": 600,  # another source's table of the same name is another table
    }
    assert control.to_lake(held, exact=True)["ville/2024-01/v1"] == {"patient": 7}


def test_a_book_does_not_show_what_the_lake_hides() -> None:
    books = [book(500, {})]
    (shown,) = control.to_books(books, {"patient": None}, exact=False)
    assert shown["rows"]["rows_published"] is None
    (shown,) = control.to_books(books, {"patient": 500}, exact=False)
    assert shown["rows"]["rows_published"] == 500


def test_two_files_of_a_table_do_not_give_each_other_away() -> None:
    books = [book(3, {}, file="A.csv"), book(400, {}, file="B.csv"), book(900, {}, file="C.csv")]
    shown = control.to_books(books, {"patient": 1305}, exact=False)
    assert [b["rows"]["rows_published"] for b in shown] == [None, None, 900]


@pytest.mark.parametrize(
    ("violated", "of", "share"),
    [
        (0, 12380, None),
        (10, 12380, None),
        (11, 12380, 0.01),  # never 0
        (310, 12380, 0.03),
        (12372, 12380, None),  # eight rows are not at fault
        (12300, 12380, 0.99),  # never 100
        (15, 30, 0.5),
        (3, 3, None),
        (0, 0, None),
    ],
)
def test_a_rule_shows_a_whole_percent_or_nothing(violated: int, of: int, share: float | None) -> None:
    shown = control.with_share(rule(violated, of), exact=False)
    assert (shown["violated"], shown["denominator"], shown["not_applicable"]) == (None, None, False)
    assert shown["share"] == share
    assert shown["hidden"] is (share is None)


def test_a_rule_that_was_not_judged_hides_nothing() -> None:
    shown = control.with_share({"violated": None, "denominator": None, "not_applicable": False}, exact=False)
    assert (shown["share"], shown["hidden"]) == (None, False)


def test_the_difference_of_two_nested_rules_does_not_give_a_few_rows_away() -> None:
    """Of 12,380 rows some have no code: one rule counts all rows, another those with a code. Whatever the few are, what
    is shown of both is the same."""
    for few in range(11):
        every, with_code = rule(400, 12380), rule(400, 12380 - few)
        assert control.with_share(every, exact=False) == control.with_share(with_code, exact=False)


def test_what_is_shown_does_not_depend_on_what_is_hidden() -> None:
    for a, b in itertools.product(range(11), repeat=2):
        (one,) = control.to_books([book(1000, {"orphan": a} if a else {}, duplicate=b)], {}, exact=False)
        (other,) = control.to_books([book(1000, {"orphan": 4}, duplicate=4)], {}, exact=False)
        assert one == other
