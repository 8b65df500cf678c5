"""The header line against the contract: columns are found by name, in any order; nothing is guessed.

A first line that is not a header may hold a person's data: what is said of it are names of the contract, positions and
counts, never a word of the line itself.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Sequence

from jobs.intake.lines import Place, decoded
from schemas.loader import Csv

_SEPARATORS = {";": "semicolon", ",": "comma", "\t": "tab", "|": "vertical bar", ":": "colon", " ": "blank"}
_MARK = "\ufeff"
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"
_INVISIBLE = re.compile(r"[\s\u00ad\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\x00-\x1f\x7f-\x9f]+")
_SHOWN = 10
_NEXT = "Write the contract's column names on the first line, exactly as they are, and send again."


def match_header(header: bytes, dialect: Csv, columns: Sequence[str], place: Place) -> tuple[str, ...]:
    """The file's columns in the file's order, each one of ``columns`` exactly once.

    Refuses: wrong_encoding, line_ends, wrong_separator, duplicated_column, column_form (a name differs in case, blanks
    or marks), missing_column, extra_column.
    """
    text = decoded(header, dialect.encoding, 1, place)
    text = header.decode("ascii") if text is None else text
    if "\r" in text:
        raise place.refuse("line_ends", "a carriage return stands within the first line.", "End lines by LF or CR LF.")
    names = _split(text, dialect.delimiter, dialect.quote)
    if len(set(names)) == len(names) and set(names) == set(columns):
        return tuple(names)
    _refuse_separator(text, names, dialect, columns, place)
    by_fold = {_fold(c): c for c in columns}
    meant = [n if n in columns else by_fold.get(_fold(n)) for n in names]
    if twice := [c for c in columns if meant.count(c) > 1]:
        raise place.refuse("duplicated_column", f"the header names twice: {_listed(twice)}.", _NEXT)
    missing = [c for c in columns if c not in meant]
    extra = [i for i, (name, column) in enumerate(zip(names, meant, strict=True), 1) if column is None and name.strip()]
    empty = [i for i, name in enumerate(names, 1) if not name.strip()]
    said = [
        *_differences([(n, c) for n, c in zip(names, meant, strict=True) if c not in (None, n)], len(columns)),
        *_missing(missing, len(names), len(columns)),
        *_extra(extra),
        *_empty(empty, len(names)),
    ]
    raise place.refuse(
        "missing_column" if missing else "extra_column" if extra or empty else "column_form",
        ". ".join(said) + ".",
        _NEXT,
    )


def _split(line: str, delimiter: str, quote: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, quotechar=quote or None), [])
    except csv.Error:
        return line.split(delimiter)


def _fold(name: str) -> str:
    """A name without what a spreadsheet or an editor changes: case, blanks, marks that do not show, quotes."""
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", name)).strip(_QUOTES).casefold()


def _refuse_separator(text: str, names: Sequence[str], dialect: Csv, columns: Sequence[str], place: Place) -> None:
    def known(parts: Iterable[str]) -> int:
        return len({_fold(c) for c in columns} & {_fold(p) for p in parts})

    for other, called in _SEPARATORS.items():
        if other == dialect.delimiter or (count := known(_split(text, other, dialect.quote))) < 2:
            continue
        if count > known(names):
            wanted = _SEPARATORS.get(dialect.delimiter, dialect.delimiter)
            raise place.refuse(
                "wrong_separator",
                f"columns are separated by a {called}, not by a {wanted}.",
                f"Export with a {wanted} between columns and send again.",
            )


def _differences(pairs: Sequence[tuple[str, str | None]], wanted: int) -> list[str]:
    """What sets names apart from those that they stand for: ``Names that differ in case: 3 of 48 (A, B, C)``."""
    by_kind: dict[str, list[str]] = {}
    for name, column in pairs:
        for kind in _kinds(name, str(column)):
            by_kind.setdefault(kind, []).append(str(column))
    return [f"Names that {kind}: {len(them)} of {wanted} ({_listed(them)})" for kind, them in by_kind.items()]


def _kinds(name: str, column: str) -> list[str]:
    """In which ways a name differs from the column that it stands for, each as the end of a sentence."""
    bare = unicodedata.normalize("NFKC", _INVISIBLE.sub("", name))
    return [
        kind
        for kind, holds in (
            ("start with a second byte order mark", name.startswith(_MARK)),
            (
                "have blanks or invisible characters around or within them",
                name.lstrip(_MARK) != _INVISIBLE.sub("", name),
            ),
            ("stand within other quotes", bare != bare.strip(_QUOTES)),
            ("differ in case", bare.strip(_QUOTES) != column),
        )
        if holds
    ]


def _missing(missing: Sequence[str], present: int, wanted: int) -> list[str]:
    if len(missing) < wanted:
        return [f"The header lacks: {_listed(missing, all_of_them=True)}"] if missing else []
    if not present:
        return ["The first line is empty: is the header there?"]
    has = f"{present} field{'s' * (present > 1)}"
    return [f"The first line names none of the {wanted} columns of the contract (it has {has}): is the header there?"]


def _extra(positions: Sequence[int]) -> list[str]:
    if not positions:
        return []
    where = f"the one{'s' * (len(positions) > 1)} at position {_listed(map(str, positions))}"
    return [f"The contract does not have {len(positions)} of the columns: {where}"]


def _empty(positions: Sequence[int], names: int) -> list[str]:
    if not positions or names == 1:
        return []
    if positions == [names]:
        return ["The last column name is empty: the line ends with a separator"]
    return [f"{len(positions)} column names are empty, at position {_listed(map(str, positions))}"]


def _listed(names: Iterable[str], *, all_of_them: bool = False) -> str:
    every = list(names)
    more = 0 if all_of_them else max(0, len(every) - _SHOWN)
    return ", ".join(every[: len(every) - more]) + (f" and {more} more" if more else "")
