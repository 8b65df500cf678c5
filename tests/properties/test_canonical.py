"""What holds for every NIR: the key finds each single error, the form does not matter, P1 is one name per person."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from jobs.contributors.agent.canonical import canonical_nir, key_of
from jobs.contributors.agent.stage1 import stage1

DEPARTMENTS = st.one_of(st.integers(1, 99).map(lambda n: f"{n:02d}"), st.sampled_from(["2A", "2B"]))
NIR13 = st.builds(
    lambda sex, year, month, department, rest: f"{sex}{year:02d}{month:02d}{department}{rest:06d}",
    st.sampled_from("12"),
    st.integers(0, 99),
    st.integers(1, 12),
    DEPARTMENTS,
    st.integers(1, 999_999),
)
KEYS = st.binary(min_size=32, max_size=32)
BIRTHS = st.dates(date(1880, 1, 1), date(2040, 1, 1))


def written(nir13: str) -> str:
    return f"{nir13}{key_of(nir13):02d}"


@given(NIR13)
def test_a_right_key_gives_the_thirteen_characters(nir13: str) -> None:
    assert 1 <= key_of(nir13) <= 97
    assert canonical_nir(written(nir13)) == (nir13, None)


@given(NIR13, st.lists(st.integers(0, 15)), st.sampled_from(" \t\u00a0"))
def test_blanks_and_case_do_not_matter(nir13: str, places: list[int], blank: str) -> None:
    text = written(nir13).lower()
    for place in places:
        text = text[:place] + blank + text[place:]
    assert canonical_nir(text).nir13 == nir13


@given(NIR13, st.integers(0, 14), st.integers(1, 9))
def test_every_wrong_digit_is_found(nir13: str, place: int, shift: int) -> None:
    text = written(nir13)
    if text[place].isdigit():
        changed = text[:place] + str((int(text[place]) + shift) % 10) + text[place + 1 :]
        assert canonical_nir(changed).nir13 is None


@given(NIR13, st.integers(0, 11))
def test_every_swap_of_neighbours_is_found(nir13: str, place: int) -> None:
    text = written(nir13)
    changed = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if changed != text:
        assert canonical_nir(changed).nir13 is None


@given(st.text(max_size=30))
def test_any_text_has_one_outcome(text: str) -> None:
    found = canonical_nir(text)
    assert (found.nir13 is None) != (found.reason is None)


@given(KEYS, NIR13, BIRTHS, st.sampled_from("12"))
def test_p1_has_the_width_and_alphabet_of_ben_nir_psa(key: bytes, nir13: str, birth: date, sex: str) -> None:
    p1 = stage1(key, nir13, birth, sex)
    assert len(p1) == 17
    assert set(p1) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    assert p1 == stage1(key, nir13, birth, sex)
    assert nir13 not in p1


@given(KEYS, KEYS, NIR13, NIR13, BIRTHS, BIRTHS)
def test_p1_tells_persons_and_keys_apart(a: bytes, b: bytes, n: str, m: str, d: date, e: date) -> None:
    assert (stage1(a, n, d, "1") == stage1(b, m, e, "1")) == ((a, n, d) == (b, m, e))
