"""Numbers, shares, limits and dates as people write them, in both languages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from schemas import text


@pytest.mark.parametrize(
    ("value", "fr", "en"),
    [(1234567, "1\u202f234\u202f567", "1,234,567"), (12, "12", "12"), (0, "0", "0"), (None, "", "")],
)
def test_thousands_are_separated(value: int | None, fr: str, en: str) -> None:
    assert (text.number("fr", value), text.number("en", value)) == (fr, en)


@pytest.mark.parametrize(
    ("rate", "fr", "en"),
    [
        (0.0, "0 %", "0%"),
        (1.0, "100 %", "100%"),
        (0.5, "50 %", "50%"),
        (0.0123, "1,23 %", "1.23%"),
        (0.00001, "0,001 %", "0.001%"),
        (1e-9, "< 0,0001 %", "< 0.0001%"),
        (0.99999, "99,999 %", "99.999%"),
        (1 - 1e-12, "> 99,9999 %", "> 99.9999%"),
        (None, "", ""),
    ],
)
def test_shares_never_round_to_nothing_or_all(rate: float | None, fr: str, en: str) -> None:
    assert text.percent("en", rate) == en
    assert text.percent("fr", rate) == fr.replace(" ", "\u202f")


@pytest.mark.parametrize(
    ("rate", "count", "fr", "en"),
    [
        (0.16, None, "16\u202f%", "16%"),
        (0.00005, None, "0,005\u202f%", "0.005%"),
        (0, None, "0\u202f%", "0%"),
        (1, 1500, "1\u202f500 lignes", "1,500 rows"),
        (1, 1, "1 ligne", "1 row"),
        (1, 0, "0 ligne", "0 rows"),
        (0.001, 10, "0,1\u202f% et 10 lignes", "0.1% and 10 rows"),
    ],
)
def test_a_limit_is_a_share_a_number_or_both(rate: float, count: int | None, fr: str, en: str) -> None:
    assert text.limit("fr", rate, count) == fr
    assert text.limit("en", rate, count) == en


@pytest.mark.parametrize(
    ("plain", "printed"),
    [
        ("Lignes reçues : 12 ; et après ?", "Lignes reçues\u00a0: 12\u202f; et après\u202f?"),
        ("« hub demo »", "«\u00a0hub demo\u00a0»"),
        ("au plus 5 %, pas plus !", "au plus 5\u202f%, pas plus\u202f!"),
        ("l'âge, aujourd'hui", "l’âge, aujourd’hui"),
        ("code 'F' ou '1'", "code 'F' ou '1'"),
        ("a ? b", "a\u202f? b"),
        ("de 09:30 à 10:00, http://x", "de 09:30 à 10:00, http://x"),
    ],
)
def test_french_punctuation_keeps_to_its_word(plain: str, printed: str) -> None:
    assert text.typographic(plain) == printed
    assert text.typographic(printed) == printed


def test_months_and_moments() -> None:
    at = datetime(2026, 12, 1, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    assert (text.month("fr", "2024-08"), text.month("en", "2024-08")) == ("août 2024", "August 2024")
    assert text.month("fr", "2024") == "2024"
    assert text.moment("fr", at) == "30 novembre 2026 à 23:05 UTC"
    assert text.moment("en", at) == "30 November 2026 at 23:05 UTC"
    assert text.day("fr", datetime(2026, 12, 1, tzinfo=UTC)) == "1er décembre 2026"
