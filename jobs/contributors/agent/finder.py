"""Where a NIR stands in free text, however it is written, and what only looks like one. Pure, no I/O.

A NIR may be written with or without its key, with blanks, dots, dashes or invisible characters between its digits,
in another script's digits, and glued to letters. Its key alone does not tell it: one number of 15 digits in a hundred
has a right one. So its parts must be plausible too (sex, month, département), and what reads as a date and time, an
IBAN or a UUID is none.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Collection, Iterator
from datetime import date
from typing import NamedTuple

from jobs.contributors.agent.canonical import key_of, to_bare

SHORTEST = 13
"""A text with fewer characters holds no NIR."""
_GAP = r"[\W_]{0,4}"
_THIRTEEN = _GAP.join([r"[1-478]", *[r"\d"] * 4, rf"(?:\d{_GAP}\d|2{_GAP}[ABab])", *[r"\d"] * 6])
_WITH_KEY = re.compile(rf"(?<!\d)(?=({_THIRTEEN}{_GAP}\d{_GAP}\d)(?!\d))")
_WITHOUT_KEY = re.compile(rf"(?<!\d)(?=({_THIRTEEN})(?!\d))")
_ENOUGH_DIGITS = re.compile(rf"(?:\d{_GAP}){{6}}[\dABab](?:{_GAP}\d){{6}}")
_LONG_RUN = re.compile(r"\d{14,}")
_DIGIT = re.compile(r"\d")
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_GROUPS = [1, 2, 2, 2, 3, 3]
_CUTS = frozenset((1, 3, 5, 7, 10, 13))
"""Where people cut a NIR: 1 85 05 78 006 084 91."""
_SPELLED_DATE = re.compile(
    r"(?<!\d)(?:(?:0?[1-9]|[12]\d|3[01])([/.-])(?:0?[1-9]|1[0-2])\1(?:19|20)\d\d"
    r"|(?:19|20)\d\d([/.-])(?:0[1-9]|1[0-2])\2(?:0[1-9]|[12]\d|3[01]))(?!\d)"
)
_NAMED = re.compile(
    r"(?:(?<![a-z])n\.?i\.?r\b|(?<![a-z])nir(?![a-z])|(?<![a-z])nss(?![a-z])|s[ée]cu|insee|immatriculation"
    r"|assur[ée]|(?<![a-z])n[°ºo]\s*ss(?![a-z]))[^\d]{0,20}$",
    re.IGNORECASE,
)
_OTHER_IDENTIFIERS = re.compile(
    r"(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])"
    r"|(?<![0-9a-f])(?=[0-9a-f]*[a-f])(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})(?![0-9a-f])",
    re.IGNORECASE,
)
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?: ?[0-9A-Z]{4}){3,7}(?: ?[0-9A-Z]{1,3})?(?![A-Z0-9])")


class Candidate(NamedTuple):
    """Digits that may be a NIR: where they stand, as written, and the 13 characters with the key, if there is one."""

    start: int
    written: str
    nir13: str
    key: int | None

    @property
    def has_right_key(self) -> bool:
        return self.key == key_of(self.nir13)


def has_digits_enough(text: str) -> bool:
    """False for nearly every text, and quickly: a NIR has at least 12 digits."""
    return len(text) >= SHORTEST and len(_DIGIT.findall(text)) >= SHORTEST - 1


def holds_nir(text: str, own: Collection[str] = ()) -> bool:
    """True when a NIR stands in ``text``. ``own``: NIRs (13 characters) that count wherever and however they stand."""
    if not has_digits_enough(text):
        return False
    text = _plain(text)
    if not _ENOUGH_DIGITS.search(text):
        return False
    if holds_one_of(text, own):
        return True
    text = _without_other_identifiers(text)
    return any(_is_nir(c, text) for c in candidates(text))


def holds_one_of(text: str, own: Collection[str]) -> bool:
    """True when one of these NIRs stands in ``text``, with or without key, even among other digits."""
    text = _plain(text)
    if not own or not _ENOUGH_DIGITS.search(text):
        return False
    if any(c.nir13 in own for c in candidates(text)):
        return True
    runs = (run.group() for run in _LONG_RUN.finditer(text))
    return any(run[i : i + 13] in own for run in runs for i in range(len(run) - 12))


def numbers_like_nirs(text: str) -> list[Candidate]:
    """What has the form of a NIR with its key, whether right or not, at a stretch or cut as people cut one."""
    text = _plain(text)
    if not _WITH_KEY.search(text):  # nearly every text
        return []
    every = candidates(_without_other_identifiers(text))
    return [c for c in every if c.key is not None and _is_plausible(c.nir13) and _is_tidy(c.written)]


def is_likely(candidate: Candidate) -> bool:
    """True for a right key and a month of the calendar, unless it begins with a day (20240102, 02012024, 240102)."""
    nir13 = candidate.nir13
    day_first, short = nir13[4:8] + nir13[2:4] + nir13[:2], "20" + nir13[:6]
    is_dated = any(_reads_as_date(digits) for digits in (nir13, day_first, short))
    has_rest = "000" not in (nir13[7:10], nir13[10:13])
    return candidate.has_right_key and int(nir13[3:5]) <= 12 and has_rest and not is_dated


def candidates(text: str) -> Iterator[Candidate]:
    """Every place of ``text`` (ASCII digits) where the characters of a NIR begin and end a number."""
    for pattern in (_WITH_KEY, _WITHOUT_KEY):
        for match in pattern.finditer(text):
            bare = to_bare(match.group(1))
            yield Candidate(match.start(1), match.group(1), bare[:13], int(bare[13:]) if bare[13:] else None)


def _plain(text: str) -> str:
    """With ASCII digits, whatever script or web page they come from, and without invisible characters."""
    text = html.unescape(text) if "&" in text else text
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    return _DIGIT.sub(lambda digit: str(int(digit.group())), text)


def _without_other_identifiers(text: str) -> str:
    text = _OTHER_IDENTIFIERS.sub("x", text)
    return _IBAN.sub(lambda m: "x" if _is_iban(m.group()) else m.group(), text)


def _is_iban(text: str) -> bool:
    bare = text.replace(" ", "")
    return int("".join(str(int(c, 36)) for c in bare[4:] + bare[:4])) % 97 == 1


def _is_nir(candidate: Candidate, text: str) -> bool:
    nir13 = candidate.nir13
    if not _is_plausible(nir13) or _SPELLED_DATE.search(candidate.written):
        return False
    tidy = _is_tidy(candidate.written)
    is_named = _NAMED.search(text[max(0, candidate.start - 40) : candidate.start]) is not None
    has_month = 1 <= int(nir13[3:5]) <= 12
    if candidate.has_right_key:
        return is_named or has_month or (tidy and not _reads_as_date(nir13))
    if not tidy or "000" in (nir13[7:10], nir13[10:13]):
        return False
    if is_named or (candidate.key is None and _lengths(candidate.written) == _GROUPS):
        return True
    # thirteen digits at a stretch: the provisional numbers' first digits are those of package codes
    return candidate.key is None and has_month and nir13[0] in "12" and not _reads_as_time(nir13)


def _is_plausible(nir13: str) -> bool:
    month, department = int(nir13[3:5]), nir13[5:7]
    if department == "00" or not (1 <= month <= 12 or month == 20 or 30 <= month <= 42 or month >= 50):
        return False
    # unknown months came with the first numbers given abroad: there the rest was always filled
    return month <= 12 or "000" not in (nir13[7:10], nir13[10:13])


def _reads_as_date(digits: str) -> bool:
    """True for what begins with a day of our time, year first, as record numbers that are made of a time do."""
    try:
        return 1990 <= date(int(digits[:4]), int(digits[4:6]), int(digits[6:8])).year <= 2089
    except ValueError:  # no date, or Corsica
        return False


def _reads_as_time(nir13: str) -> bool:
    """True for a day of our time and a time of that day, which record numbers are made of."""
    return _reads_as_date(nir13) and nir13[8:10] < "24" and nir13[10:12] < "60"


def _lengths(written: str) -> list[int]:
    return [len(part) for part in re.split(r"[\W_]+", written)]


def _is_tidy(written: str) -> bool:
    """True for digits at a stretch, one by one, or cut only where people cut a NIR."""
    lengths = _lengths(written)
    if set(lengths) == {1}:
        return True
    ends = {sum(lengths[: i + 1]) for i in range(len(lengths) - 1)}
    # figures that stand in a row (120 75 80) begin with two or three digits
    return ends <= _CUTS and lengths[0] != 3
