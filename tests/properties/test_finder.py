"""What holds for every NIR in free text, and for every numbering of identifiers that practices use."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.contributors.agent.canonical import key_of
from jobs.contributors.agent.finder import holds_nir
from jobs.contributors.agent.search import NirSearch

DEPARTMENTS = st.one_of(st.integers(1, 99).map(lambda n: f"{n:02d}"), st.sampled_from(["2A", "2B", "2a", "2b"]))
NIR13 = st.builds(
    lambda sex, year, month, department, rest: f"{sex}{year:02d}{month:02d}{department}{rest:06d}",
    st.sampled_from("123478"),
    st.integers(0, 99),
    st.integers(1, 12),
    DEPARTMENTS,
    st.integers(1, 999_999),
)
VISIBLE = st.sampled_from([" ", ".", "-", "/", "\u00a0", "\u202f", "\u2009", "\t", "\n", " - ", "_"])
SEPARATORS = st.one_of(VISIBLE, st.sampled_from(["\u200b", "\ufeff", "\u2060"]))
LETTERS = st.text(st.sampled_from("abcdefgéàïNIRSO°:;,\"'()=#"), max_size=12)
ZEROS = st.sampled_from("0\uff10\u0660\u06f0\u0966")


def keyed(nir13: str) -> str:
    return f"{nir13}{key_of(nir13.upper()):02d}"


def in_digits(text: str, zero: str) -> str:
    return "".join(chr(ord(zero) + int(c)) if c.isdigit() else c for c in text)


@given(NIR13, st.lists(st.tuples(st.integers(1, 14), SEPARATORS), max_size=8), LETTERS, LETTERS, ZEROS)
def test_a_nir_with_its_key_is_found_wherever_and_however_it_stands(
    nir13: str, gaps: list[tuple[int, str]], before: str, after: str, zero: str
) -> None:
    text = in_digits(keyed(nir13), zero)
    for place, separator in sorted(dict(gaps).items(), reverse=True):
        text = text[:place] + separator + text[place:]
    assert holds_nir(before + text + after)


@given(NIR13, VISIBLE, LETTERS, LETTERS, ZEROS)
def test_a_nir_without_its_key_is_found_as_people_write_it(
    nir13: str, separator: str, before: str, after: str, zero: str
) -> None:
    if "000" in (nir13[7:10], nir13[10:13]):
        return
    ends = (0, 1, 3, 5, 7, 10, 13)
    parts = [nir13[a:b] for a, b in pairwise(ends)]
    assert holds_nir(before + in_digits(separator.join(parts), zero) + after)


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert holds_nir(text) in (True, False)


def dated(rng: random.Random, form: str, more: int) -> Callable[[int], str]:
    start = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=rng.randrange(700))
    return lambda _: (
        (start + timedelta(minutes=rng.randrange(40_000))).strftime(form)
        + "".join(rng.choice("0123456789") for _ in range(more))
    )


SCHEMES: dict[str, Callable[[random.Random], Callable[[int], str]]] = {
    "date, time, one digit": lambda r: dated(r, "%Y%m%d%H%M", 1),
    "date, time to the second, one digit": lambda r: dated(r, "%Y%m%d%H%M%S", 1),
    "date and counter": lambda r: dated(r, "%Y%m%d", 7),
    "day first and counter": lambda r: dated(r, "%d%m%Y", 7),
    "short date and counter": lambda r: dated(r, "%y%m%d", 9),
    "date and counter after a letter": lambda r: dated(r, "E%Y%m%d", 7),
    "counter of 15 digits": lambda r: _counter(r.randrange(10**14, 10**15 - 10**6), 1),
    "counter that begins like a NIR": lambda r: _counter(185057800600000 + r.randrange(10**6), 1),
    "counter by 97": lambda r: _counter(r.randrange(10**14, 10**15 - 10**8), 97),
    "counter of 13 digits": lambda r: _counter(r.randrange(10**12, 10**13 - 10**6), 1),
    "random number": lambda r: lambda _: str(r.randrange(10**14, 10**15)),
    "milliseconds": lambda r: lambda _: str(1_700_000_000_000 + r.randrange(10**10)),
    "UUID": lambda r: lambda _: str(uuid.UUID(int=r.getrandbits(128))),
    "SIRET": lambda r: lambda _: f"{r.randrange(10**13, 10**14)}",
    "RPPS": lambda r: lambda _: f"10{r.randrange(10**8, 10**9)}",
}


def _counter(first: int, step: int) -> Callable[[int], str]:
    return lambda n: str(first + n * step)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_twenty_thousand_identifiers_never_refuse_a_month(scheme: str) -> None:
    make = SCHEMES[scheme](random.Random(1))
    search = NirSearch("f.csv", ("id",), ("id",), frozenset())
    for n in range(20_000):
        search.look([make(n)], n + 2)
    assert search.findings == []


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if "date" in s or "day" in s])
def test_a_handful_of_dated_identifiers_never_refuses_a_month(scheme: str) -> None:
    rng = random.Random(7)
    for _ in range(1000):
        make = SCHEMES[scheme](rng)
        search = NirSearch("f.csv", ("id",), ("id",), frozenset())
        for n in range(2):
            search.look([make(n)], n + 2)
        assert search.findings == []
