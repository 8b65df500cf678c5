"""Words, numbers and dates in the two languages of the pages."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

LANGS = ("fr", "en")
TEXTS = Path(__file__).resolve().parent / "texts.toml"
THIN = "\u202f"
FRENCH = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"
ENGLISH = "January February March April May June July August September October November December"
MONTHS = {"fr": FRENCH.split(), "en": ENGLISH.split()}


@cache
def texts() -> dict[str, dict[str, str]]:
    """``{"home.lead": {"fr": ..., "en": ...}}``."""
    with TEXTS.open("rb") as file:
        return {f"{group}.{key}": text for group, keys in tomllib.load(file).items() for key, text in keys.items()}


def say(lang: str, key: str, **values: object) -> str:
    """The text of a key in a language. Raises ``KeyError`` for an unknown key."""
    text = texts()[key][lang]
    return text.format(**values) if values else text


def reason(lang: str, code: str) -> str:
    """What a reason code says in words: the whole of it (``identity:nir_form``) where it has its own, else up to its
    colon (``unparsable:EXE_SOI_DTD``); empty when it has none."""
    words = texts().get(f"reason.{code}") or texts().get(f"reason.{code.partition(':')[0]}")
    return words[lang] if words else ""


def number(lang: str, value: float | None) -> str:
    """A whole number with separated thousands: 12 345 or 12,345."""
    if value is None:
        return ""
    return f"{int(value):,}".replace(",", THIN if lang == "fr" else ",")


def percent(lang: str, part: int | None, whole: int | None) -> str:
    """A rate with one decimal; never 0 or 100 unless it is exactly that."""
    if not whole or part is None:
        return ""
    rate = 100 * part / whole
    small, space = ("0,1", "\u00a0%") if lang == "fr" else ("0.1", "%")
    if 0 < rate < 0.05:
        return f"<{small}{space}"
    shown = f"{min(rate, 99.9):.1f}" if part < whole else "100"
    shown = "0" if part == 0 else shown.removesuffix(".0")
    return (shown.replace(".", ",") if lang == "fr" else shown) + space


def limit(lang: str, rate: float, count: int | None) -> str:
    """What a rule tolerates: a share, a number of rows, or both: ``0.1%``, ``10``, ``0.1% · 10``."""
    share = f"{100 * rate:.4g}".replace(".", "," if lang == "fr" else ".") + ("\u00a0%" if lang == "fr" else "%")
    if count is None:
        return share
    return number(lang, count) if rate >= 1 else f"{share} · {number(lang, count)}"


def month(lang: str, period: str) -> str:
    """``2024-03`` -> mars 2024, March 2024."""
    year, _, number_ = period.partition("-")
    if not (number_.isdigit() and 1 <= int(number_) <= 12):
        return period
    return f"{MONTHS[lang][int(number_) - 1]} {year}"


def day(lang: str, at: datetime) -> str:
    """23 novembre 2026, 23 November 2026 (UTC)."""
    at = at.astimezone(UTC)
    first = "1er" if lang == "fr" and at.day == 1 else str(at.day)
    return f"{first} {MONTHS[lang][at.month - 1]} {at.year}"


def instant(lang: str, at: datetime) -> str:
    """23 novembre 2026 à 14:05 UTC."""
    return f"{day(lang, at)} {'à' if lang == 'fr' else 'at'} {at.astimezone(UTC):%H:%M} UTC"


def best_language(accept: str) -> str:
    """The language that a browser accepts most (``Accept-Language``); French when it names neither."""
    best, weight = "fr", 0.0
    for part in accept.split(","):
        tag, _, quality = part.strip().partition(";q=")
        lang = tag.split("-")[0].lower()
        try:
            q = float(quality) if quality else 1.0
        except ValueError:
            continue
        if lang in LANGS and q > weight:
            best, weight = lang, q
    return best
