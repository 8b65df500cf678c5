"""From landed rows to the lake's columns: pseudonyms under a key, and a sum of what the rows hold."""

from __future__ import annotations

import hashlib
import hmac

import pyarrow as pa
import pytest

from jobs.rows.pseudonymised import content_sum, pseudonymised, pseudonyms
from tests.unit.typing_kit import column, contract, typed

KEY, OTHER = b"k" * 32, b"o" * 32
LINES = contract(
    column("ORD", type="integer"), column("WHO", pseudonym="person"), column("NOTE", keep=False), column("TEXT")
)
ROWS = [("1", "ABC", "x", "a"), ("2", "", "y", "b"), ("3", "ABC", "z", ""), ("4", "DEF", "z", "b")]


def test_rows_have_the_lakes_columns_with_pseudonyms_in_place_of_identifiers() -> None:
    made = pseudonymised(typed(LINES, ROWS).rows, LINES, KEY, "a.csv")
    assert made.column_names == ["ORD", "WHO", "TEXT", "_file", "_row"]
    assert made["_file"].to_pylist() == ["a.csv"] * 4
    assert made["_row"].to_pylist() == [1, 2, 3, 4]
    abc, none, again, other = made["WHO"].to_pylist()
    assert none is None
    assert abc == again != other
    assert abc == hmac.new(KEY, b"hub/p2/v1\0person\0ABC", hashlib.sha256).digest()


def test_a_pseudonym_hangs_on_its_domain_and_on_the_key() -> None:
    values = pa.array(["ABC"])
    made = {
        pseudonyms(values, domain, key).to_pylist()[0] for domain in ("person", "practitioner") for key in (KEY, OTHER)
    }
    assert len(made) == 4
    assert not made & {hashlib.sha256(text).digest() for text in (b"ABC", b"hub/p2/v1\0person\0ABC")}


@pytest.mark.parametrize("values", [[], [None], [None, "A", None, "A"], ["é" * 17]])
def test_values_may_be_missing_in_any_form_of_a_column(values: list[str | None]) -> None:
    plain = pa.array(values, pa.string())
    for form in (plain, plain.dictionary_encode(), pa.chunked_array([plain, plain]).slice(len(values))):
        made = pseudonyms(form, "person", KEY).to_pylist()
        assert [m is None for m in made] == [v is None for v in values]
        assert {len(m) for m in made if m} <= {32}


def test_the_sum_of_rows_is_the_same_in_any_order_and_any_blocks_and_hangs_on_the_key() -> None:
    rows = typed(LINES, ROWS).rows
    whole = content_sum(rows, KEY)
    turned = rows.take(pa.array([3, 1, 0, 2]))
    assert content_sum(turned, KEY) == whole
    assert content_sum(turned[:1], KEY) ^ content_sum(turned[1:], KEY) == whole
    assert content_sum(rows, OTHER) != whole
    assert content_sum(rows[:0], KEY) == 0
    for other in ([*ROWS[:3], ("4", "DEF", "z", "c")], ROWS[:3]):
        assert content_sum(typed(LINES, other).rows, KEY) != whole
    hidden = [*ROWS[:3], ("4", "DEF", "another note", "b")]
    assert content_sum(typed(LINES, hidden).rows, KEY) == whole  # what does not reach the lake does not count
