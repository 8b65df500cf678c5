"""The header line against the contract: columns are found by name, in any order; nothing is guessed."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from jobs.intake.lines import Place, decoded
from schemas.loader import Csv

_SEPARATORS = {";": "semicolon", ",": "comma", "\t": "tab", "|": "vertical bar"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


def match_header(header: bytes, dialect: Csv, columns: Sequence[str], place: Place) -> tuple[str, ...]:
    """The file's columns in the file's order, each one of ``columns`` exactly once.

    Refuses: wrong_encoding, line_ends, wrong_separator, duplicated_column, missing_column, extra_column. A first line
    that holds no known name may be data: then nothing of it is shown.
    """
    text = decoded(header, dialect.encoding, 1, place)
    text = header.decode("ascii") if text is None else text
    if "\r" in text:
        raise place.refuse("line_ends", "a carriage return stands within the first line.", "End lines by LF or CR LF.")
    names = _split(text, dialect.delimiter, dialect.quote)
    known = set(columns)
    if not known & set(names) or (len(names) == 1 < len(columns)):
        for other, called in _SEPARATORS.items():
            if other != dialect.delimiter and len(known & set(_split(text, other, dialect.quote))) > 1:
                wanted = _SEPARATORS.get(dialect.delimiter, dialect.delimiter)
                raise place.refuse("wrong_separator", f"columns are separated by a {called}, not by a {wanted}.")
    if twice := [c for c in columns if names.count(c) > 1]:
        raise place.refuse("duplicated_column", f"the header names twice: {', '.join(twice)}.")
    missing = [c for c in columns if c not in names]
    extra = [n for n in names if n not in known]
    if missing:
        raise place.refuse("missing_column", _missing(missing, extra, len(columns)))
    if extra:
        raise place.refuse("extra_column", f"columns that the contract does not have: {_shown(extra)}.")
    return tuple(names)


def _split(line: str, delimiter: str, quote: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, quotechar=quote or None), [])
    except csv.Error:
        return []


def _missing(missing: Sequence[str], extra: Sequence[str], wanted: int) -> str:
    if len(missing) == wanted:
        return f"the first line names none of the {wanted} columns of the contract: is the header there?"
    said = f"the header lacks: {', '.join(missing)}."
    # a header that lacks half its names may be a row of data
    return f"{said} It has instead: {_shown(extra)}." if extra and len(missing) * 2 < wanted else said


def _shown(names: Sequence[str]) -> str:
    """Names that look like names; what does not is counted, it may be a value."""
    plain = sorted({n for n in names if _NAME.fullmatch(n)})
    odd = sum(1 for n in names if not _NAME.fullmatch(n))
    return ", ".join([*plain, *([f"{odd} that do not look like a column name"] if odd else [])])
