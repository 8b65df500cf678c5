"""Casts of whole columns: quick ways and slow ways, together and alone, give one outcome for one text."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.rows.casts import to_type
from jobs.rows.texts import strings, to_values, trimmed
from schemas.forms import form
from schemas.loader import Column
from schemas.values import BLANKS, NO_IDENTIFIER
from tests.unit.typing_kit import CSV, TEXT, column, contract, outcomes

KINDS: dict[str, dict[str, Any]] = {
    "integer": {"type": "integer", "length": 4, "min": -50, "max": 500},
    "bigint": {"type": "bigint"},
    "decimal": {"type": "decimal", "precision": 7, "scale": 2},
    "fraction": {"type": "decimal", "precision": 2, "scale": 2},
    "double": {"type": "double"},
    "boolean": {"type": "boolean"},
    "date": {"type": "date", "null_values": ["01/01/1900"]},
    "datetime": {"type": "datetime"},
    "text": {"length": 3, "values": ["1", "12", "a b"]},
    "form": {"form": "[0-9a-f]{2,3}"},
    "pseudonym": {"pseudonym": "person", "form": "[!-~]{2,17}"},
}
CHARACTERS = "0123456789012345678901234567890.,-+/:Tex \u00a0\u200bé"
NEAR = st.one_of(
    st.text(CHARACTERS, max_size=12),
    st.text("0159", max_size=20),
    st.from_regex(r"-?[0-9]{0,9}\.?[0-9]{0,4}", fullmatch=True),
    st.from_regex(r"[0-3][0-9]/[01][0-9]/(18|19|20|00)[0-9]{2}", fullmatch=True),
    st.from_regex(r"(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]", fullmatch=True),
    st.sampled_from(["true", "false", "a b", "nan", "NULL", "xxxxxx", "999999999", "0" * 50 + "1", "1." + "0" * 60]),
)


@settings(deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.lists(NEAR, min_size=1, max_size=30))
def test_an_outcome_does_not_depend_on_the_other_rows(kind: str, texts: list[str]) -> None:
    table = contract(column("V", **KINDS[kind]))
    assert outcomes(table, texts, CSV) == [outcomes(table, [text], CSV)[0] for text in texts]


@given(st.lists(NEAR, max_size=30), st.integers(1, 12), st.integers(0, 6))
def test_a_decimal_is_the_number_that_its_text_says_or_none(texts: list[str], whole: int, scale: int) -> None:
    kind = Column.model_validate(column("V", type="decimal", precision=whole + scale, scale=scale))
    pattern = re.compile(str(form(kind, CSV)))
    for text, value in zip(texts, to_type(kind, CSV)(strings(texts)).to_pylist(), strict=True):
        is_one = pattern.fullmatch(text) and text.strip("-.")
        fits = is_one and abs(Decimal(text)) < 10**whole
        assert value == (Decimal(text) if fits else None), text


@given(st.lists(st.dates(date(1, 1, 1), date(9999, 12, 31))))
def test_a_day_is_read_as_it_is_written(days: list[date]) -> None:
    kind = Column.model_validate(column("V", type="date"))
    texts = [f"{day:%d/%m/}{day.year:04}" for day in days]
    assert to_type(kind, CSV)(strings(texts)).to_pylist() == days


@given(st.lists(st.text(BLANKS[1:] + "aé.0", max_size=6)))
def test_blanks_go_from_the_ends_only(texts: list[str]) -> None:
    assert trimmed(strings(texts)).to_pylist() == [text.strip(BLANKS) or None for text in texts]


@given(st.lists(st.text("019xXdDaAé.-", min_size=1, max_size=18)))
def test_placeholders_are_found_however_quickly_one_looks(texts: list[str]) -> None:
    kind = Column(name="V", pseudonym="person", meaning=TEXT)  # type: ignore[arg-type]
    placeholder = re.compile(NO_IDENTIFIER, re.ASCII)
    expected = [None if placeholder.fullmatch(text) else text for text in texts]
    assert to_values(kind)(strings(texts)).to_pylist() == expected
