"""Codes of closed lists as the contract writes them, whatever the practice's software made of them. Pure, no I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from schemas.loader import Column, Table

_EDGES = re.compile(
    r"\A[\s\x00-\x1f\x7f\u00ad\u180e\u200b-\u200f\u2060-\u2064\ufeff]+|[\s\x00-\x1f\x7f\u00ad\u180e\u200b-\u200f\u2060-\u2064\ufeff]+\Z"
)
_PUNCTUATION = re.compile(r"[\W_]+")
_SEXES = {
    "1": ("1", "m", "h", "homme", "masculin", "male", "garcon", "monsieur"),
    "2": ("2", "f", "femme", "feminin", "female", "fille", "madame"),
}


def trimmed(text: str) -> str:
    """Without blanks of any kind, control and invisible characters at both ends."""
    return _EDGES.sub("", text)


def folded(text: str) -> str:
    """For comparison: letters and digits only, without case and accents (Téléconsultation, CIM-10)."""
    return _PUNCTUATION.sub("", unicodedata.normalize("NFKD", trimmed(text)).casefold())


def sex_of(text: str) -> str | None:
    """ "1" male, "2" female; None for anything else."""
    return next((sex for sex, words in _SEXES.items() if folded(text) in words), None)


def spellings(column: Column) -> Mapping[str, str]:
    """How a code may be written, ``folded``, to the code of the contract."""
    known = {folded(code): code for code in column.values}
    if column.role == "sex":
        for words in _SEXES.values():
            code = next((known[w] for w in words if w in known), None)
            known |= {w: code for w in words if code and w not in known}
    return known


def closed_columns(table: Table) -> dict[str, Mapping[str, str]]:
    """The columns with a closed list that a contributor fills, each with its ``spellings``."""
    return {c.name: spellings(c) for c in table.columns if c.values and c.name != table.identity}


def to_code(text: str, known: Mapping[str, str]) -> str | None:
    """The contract's code, "" for an empty cell, None for what is not a code."""
    if known.get(text) == text:
        return text
    return known.get(folded(text)) if trimmed(text) else ""
