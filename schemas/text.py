"""What people read, in the two languages of the hub: texts, numbers, shares, limits and dates."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

Lang = Literal["fr", "en"]
LANGS: tuple[Lang, ...] = ("fr", "en")

THIN = "\u202f"
"""Narrow no-break space: between thousands and before a percent sign in French."""
FRENCH = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"
ENGLISH = "January February March April May June July August September October November December"
MONTHS = {"fr": FRENCH.split(), "en": ENGLISH.split()}
_TYPOGRAPHY = (
    (re.compile(r" (?=[;!?%](?:\s|$|[).,»]))"), THIN),
    (re.compile(r" (?=:(?:\s|$))"), "\u00a0"),
    (re.compile(r"(?<=[^\W\d_])'(?=[^\W\d_])"), "’"),
    (re.compile(r"« "), "«\u00a0"),
    (re.compile(r" »"), "\u00a0»"),
)
ROWS = {"fr": ("ligne", "lignes"), "en": ("row", "rows")}
AND = {"fr": "et", "en": "and"}


class Data(BaseModel):
    """A frozen object that a TOML file declares; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(Data):
    """One text in the two languages of the catalogue."""

    fr: str
    en: str


def typographic(french: str) -> str:
    """A French text with the apostrophes of print and the no-break spaces that its punctuation asks for: narrow before
    ``; ! ? %``, whole before ``:`` and inside guillemets. Done twice, it changes nothing more."""
    for pattern, put in _TYPOGRAPHY:
        french = pattern.sub(put, french)
    return french


def number(lang: Lang, value: float | None) -> str:
    """A whole number with separated thousands: ``12 345`` (narrow no-break space) or ``12,345``; empty for None."""
    if value is None:
        return ""
    return f"{int(value):,}".replace(",", THIN if lang == "fr" else ",")


def percent(lang: Lang, rate: float | None) -> str:
    """A share of 1 with enough digits to tell it from 0, from 100 and from a small limit; empty for None."""
    if rate is None:
        return ""
    text = f"{rate * 100:.{2 if 0.0005 <= rate <= 0.9995 else 4}f}".rstrip("0").rstrip(".")
    if rate > 0 and float(text) == 0:
        text = "< 0.0001"
    if rate < 1 and text == "100":
        text = "> 99.9999"
    return f"{text}%" if lang == "en" else f"{text.replace('.', ',').replace(' ', THIN)}{THIN}%"


def limit(lang: Lang, rate: float, count: int | None) -> str:
    """What a rule tolerates: a share, a number of rows, or both: ``0.1%``, ``10 rows``, ``0.1% and 10 rows``."""
    share = percent(lang, rate)
    if count is None:
        return share
    one, more = ROWS[lang]
    rows = f"{number(lang, count)} {one if count == 1 or (lang == 'fr' and count == 0) else more}"
    return rows if rate >= 1 else f"{share} {AND[lang]} {rows}"


def month(lang: Lang, period: str) -> str:
    """``2024-03`` -> mars 2024, March 2024; another text as it is."""
    year, _, of_year = period.partition("-")
    if not (of_year.isdigit() and 1 <= int(of_year) <= 12):
        return period
    return f"{MONTHS[lang][int(of_year) - 1]} {year}"


def day(lang: Lang, at: date) -> str:
    """23 novembre 2026, 23 November 2026; of a moment, its day in UTC."""
    at = at.astimezone(UTC) if isinstance(at, datetime) else at
    first = "1er" if lang == "fr" and at.day == 1 else str(at.day)
    return f"{first} {MONTHS[lang][at.month - 1]} {at.year}"


def moment(lang: Lang, at: datetime) -> str:
    """23 novembre 2026 à 14:05 UTC, 23 November 2026 at 14:05 UTC."""
    return f"{day(lang, at)} {'à' if lang == 'fr' else 'at'} {at.astimezone(UTC):%H:%M} UTC"
