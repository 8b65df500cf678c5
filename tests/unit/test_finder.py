"""Where a NIR stands in free text, and what only looks like one."""

from __future__ import annotations

import pytest

from jobs.contributors.agent.canonical import key_of
from jobs.contributors.agent.finder import holds_nir
from jobs.contributors.agent.search import NirSearch, is_chance

NIR13 = "1850578006084"
NIR = f"{NIR13}{key_of(NIR13)}"
SPACED = "1 85 05 78 006 084 91"
PROVISIONAL = f"7850578006084{key_of('7850578006084'):02d}"


def digits(text: str, zero: str) -> str:
    """ASCII digits in another script."""
    return "".join(chr(ord(zero) + int(c)) if c.isdigit() else c for c in text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(NIR, id="at a stretch"),
        pytest.param(NIR13, id="without its key"),
        pytest.param(SPACED, id="as on the card"),
        pytest.param(SPACED[:-3], id="as on the card, without its key"),
        pytest.param("1 85 05 78 006 084 92", id="as on the card, key mistyped"),
        pytest.param(SPACED.replace(" ", "."), id="dots"),
        pytest.param(SPACED.replace(" ", "-"), id="dashes"),
        pytest.param(SPACED.replace(" ", " / "), id="slashes"),
        pytest.param(SPACED.replace(" ", "\u00a0"), id="no-break blanks"),
        pytest.param(SPACED.replace(" ", "\u202f"), id="narrow no-break blanks"),
        pytest.param(SPACED.replace(" ", "&nbsp;"), id="blanks of a web page"),
        pytest.param("\u200b".join(NIR), id="zero width blanks"),
        pytest.param("\u200b".join(NIR13), id="zero width blanks, no key"),
        pytest.param(" ".join(NIR), id="digit by digit"),
        pytest.param("1850 5780 0608 491", id="by fours"),
        pytest.param("1 85 05 78\n006 084 91", id="cut by a line end"),
        pytest.param("1 85 05 78\t006\r\n084 91", id="cut by a tabulator and a line end"),
        pytest.param(digits(NIR, "\uff10"), id="full-width digits"),
        pytest.param(digits(SPACED, "\u0660"), id="Arabic-Indic digits"),
        pytest.param(f"NIR:{NIR}", id="glued to a colon"),
        pytest.param(f"n°{SPACED}ssuré", id="glued to letters on both sides"),
        pytest.param(f"NIR{NIR}X{NIR}", id="glued to letters, twice"),
        pytest.param(f"tel 0612345678 {NIR}", id="after a telephone number"),
        pytest.param(f"{NIR} 06 12 34 56 78", id="before a telephone number"),
        pytest.param(f"vu le 12/03/2024, {NIR}", id="after a date"),
        pytest.param("2 99 01 2A 004 001 57", id="Corsica"),
        pytest.param("299012b00400184", id="Corsica, lower case"),
        pytest.param("2 99 01 2a 004 001", id="Corsica without its key"),
        pytest.param(PROVISIONAL, id="provisional"),
        pytest.param("3850578006084 (NIR provisoire), NIR 3850578006084", id="provisional without key, named"),
        pytest.param("sécu 2021051001001", id="reads as a day, named"),
    ],
)
def test_a_nir_is_found_however_it_is_written(text: str) -> None:
    assert holds_nir(text)
    assert holds_nir(f"Vu avec la patiente; {text} ; à revoir")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("202401020800241", id="date, time and one digit"),
        pytest.param("2024-01-02 08:00:24 1", id="date and time"),
        pytest.param("le 12/03/2024 15:30:22.5", id="day, month, year and time"),
        pytest.param("20240102080024", id="date and time to the second"),
        pytest.param("3400930000120", id="package code of 13 digits"),
        pytest.param("06 12 34 56 78 / 06 11 22 33 44", id="telephone numbers"),
        pytest.param("+33 6 12 34 56 78", id="international telephone number"),
        pytest.param("732 829 320 00074", id="SIRET"),
        pytest.param("10100000048", id="RPPS"),
        pytest.param("130783293", id="FINESS"),
        pytest.param("FR76 3000 6000 0112 3456 7890 189", id="IBAN"),
        pytest.param("FR7630006000011234567890189", id="IBAN at a stretch"),
        pytest.param("550e8400-e29b-41d4-a716-446655440000", id="UUID"),
        pytest.param("123e4567-e89b-12d3-a456-185057800608", id="UUID with many digits"),
        pytest.param("1700000000000", id="milliseconds since 1970"),
        pytest.param(f"9{NIR}", id="long counter"),
        pytest.param(f"{NIR}9", id="long counter that begins so"),
        pytest.param("185057800608492", id="wrong key"),
        pytest.param("120 80 72 98 36 5", id="vital signs"),
        pytest.param("Renouvellement du traitement, TA 12/8, poids 85,5 kg", id="a sentence"),
    ],
)
def test_what_only_looks_like_one_is_not(text: str) -> None:
    assert not holds_nir(text)
    assert not holds_nir(f"Vu ce jour; {text} ; à revoir")


def test_a_patients_own_nir_is_found_even_among_other_digits() -> None:
    assert not holds_nir(f"99{NIR}0612")
    assert holds_nir(f"99{NIR}0612", own={NIR13})
    assert holds_nir(f"réf. 3400{NIR13}", own={NIR13})


def search(*cells: str, own: frozenset[str] = frozenset()) -> list[str]:
    """Columns in which a NIR is found; each cell is one row of the identifier and of the text."""
    looked = NirSearch("f.csv", ("id", "text"), ("id",), own)
    for line, cell in enumerate(cells, start=2):
        looked.look([cell, ""], line)
    return [f"{f.column} {f.first}" for f in looked.findings]


def test_one_identifier_with_a_right_key_is_chance() -> None:
    assert search("202401020800241", "E202401000002") == []


def test_an_identifier_that_is_a_patients_nir_is_none() -> None:
    assert search("E1", "E2", NIR, own=frozenset({NIR13})) == ["id (4,)"]
    assert search("E1", "E2", NIR13, own=frozenset({NIR13})) == ["id (4,)"]
    assert search("E1", f"P{NIR}-2", own=frozenset({NIR13})) == ["id (3,)"]


def test_nirs_of_others_in_a_column_of_identifiers_are_more_than_chance() -> None:
    others = [f"2{year:02d}0113055{order:03d}" for year, order in zip(range(30, 42), range(101, 113), strict=True)]
    assert search(*[f"{n}{key_of(n):02d}" for n in others]) == ["id (2, 3, 4, 5, 6)"]


def test_a_single_nir_among_identifiers_of_another_kind_stands_out() -> None:
    assert search("E1", NIR, "E3") == ["id (3,)"]
    assert search("E1", f"vu avec {NIR} hier") == ["id (3,)"]


def test_chance() -> None:
    assert is_chance(0, 0) and is_chance(1, 1) and is_chance(182, 20_000) and is_chance(260, 20_000)
    assert not is_chance(4, 4)
    assert not is_chance(400, 20_000)
