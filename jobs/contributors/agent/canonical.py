"""The canonical NIR: the one form under which the same person always gets the same pseudonym.

A NIR (numéro d'inscription au répertoire) has 13 characters (sex, year, month, département or country, commune,
order) and a key of two digits: ``97 - n mod 97``, where Corsica's 2A counts as 19 and 2B as 18. Pure, no I/O.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Reason = Literal["nir_missing", "nir_form", "nir_key_invalid", "nir_provisional"]

_NIR = re.compile(r"([1-478][0-9]{4}(?:[0-9]{2}|2[AB])[0-9]{6})([0-9]{2})", re.ASCII)
_SEPARATORS = re.compile(r"[\W_]+")
_PROVISIONAL = frozenset("3478")


class Canonical(NamedTuple):
    """A NIR of 13 characters, or the reason why there is none. Exactly one of the two is set."""

    nir13: str | None
    reason: Reason | None


def key_of(nir13: str) -> int:
    """The control key, 1 to 97, of 13 canonical characters."""
    digits = nir13.replace("2A", "19", 1) if nir13[5:7] == "2A" else nir13
    digits = nir13.replace("2B", "18", 1) if nir13[5:7] == "2B" else digits
    return 97 - int(digits) % 97


def to_bare(text: str) -> str:
    """Letters and digits only, upper case: without blanks of any kind, dots, dashes and invisible characters."""
    return _SEPARATORS.sub("", text).upper()


def canonical_nir(text: str | None) -> Canonical:
    """Verifies the key, then drops it. Letters' case, blanks and other separators do not matter.

    Reasons: nir_missing (nothing there), nir_form (not 13 characters and a key of two digits), nir_key_invalid,
    nir_provisional (a waiting or fictitious number: first digit 3, 4, 7 or 8).
    """
    value = to_bare(text or "")
    if not value:
        return Canonical(None, "nir_missing")
    parts = _NIR.fullmatch(value)
    if not parts:
        return Canonical(None, "nir_form")
    nir13, key = parts.group(1), int(parts.group(2))
    if key != key_of(nir13):
        return Canonical(None, "nir_key_invalid")
    if nir13[0] in _PROVISIONAL:
        return Canonical(None, "nir_provisional")
    return Canonical(nir13, None)


def provisional_nir(text: str | None) -> str | None:
    """The 13 characters of a provisional number with a right key: no identity, but nothing that may leave either."""
    return to_bare(text or "")[:13] if canonical_nir(text).reason == "nir_provisional" else None
