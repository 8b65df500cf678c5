"""Files of an export to files of the delivery: line by line, codes as the contract has them, nothing else altered.

A line is a record. A line that needs no change is written byte for byte. Every line is searched for NIRs before the
block that holds it is written; from the first finding on, nothing more of that file is.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.contributors.agent.codes import closed_columns, to_code
from jobs.contributors.agent.declare import records
from jobs.contributors.agent.search import NirSearch
from jobs.intake.header import match_header
from jobs.intake.lines import Block, Lines, Place, decoded
from jobs.intake.sums import SummedFile
from schemas.loader import Csv, Table

Row = dict[str, str]
_OPEN_LINES = 20
"""An open quote is followed so many lines for a NIR that a line end cuts."""


@dataclass
class Codes:
    """Brings the codes of rows to the contract's spelling, and counts by column what it did and what it cannot."""

    closed: Mapping[str, Mapping[str, str]]
    rewritten: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def correct(self, column: str, cell: str) -> str:
        """The code, or the cell as it is where it is none."""
        code = to_code(cell, self.closed[column])
        if code is None:
            self.unknown[column] += 1
            return cell
        if code != cell:
            self.rewritten[column] += 1
        return code


def rewrite(
    lines: Lines, path: Path, table: Table, dialect: Csv, place: Place, search: NirSearch, out: SummedFile
) -> Codes:
    """A table without NIR: its codes are corrected, all else is as it came, malformed lines too."""
    names = match_header(lines.header, dialect, table.names, place)
    search = search.of(names)
    with path.open("rb") as first:
        out.write(first.readline(), 0)
    codes = Codes(closed_columns(table))
    closed = [(names.index(c), c) for c in codes.closed]
    open_lines: list[str] = []
    for block in lines:
        changed = False
        texts = _text(block, dialect, place).split("\n")
        for i, line in enumerate(texts):
            bare = line.removesuffix("\r")
            if not bare:
                continue
            cells = _cells(bare, dialect)
            search.look(cells or [bare], block.line + i)
            if dialect.quote in bare or open_lines:
                open_lines = _follow(open_lines, bare, dialect, search, block.line + i)
            if cells is not None and len(cells) == len(names):
                corrected = _corrected(cells, closed, codes)
                if corrected != cells:
                    texts[i] = _line(corrected, dialect) + line[len(bare) :]
                    changed = True
        if not search.findings:
            out.write("\n".join(texts).encode(dialect.encoding) if changed else block.data, records(block))
    return codes


def rewrite_persons(
    lines: Lines,
    table: Table,
    raw: Sequence[str],
    dialect: Csv,
    place: Place,
    search: NirSearch,
    out: SummedFile,
    identify: Callable[[Row], Row],
) -> Codes:
    """The table of persons: ``identify`` makes the columns that replace the NIR. ``raw``: columns of the export.

    Refuses a malformed line: where its NIR stands is not known.
    """
    names = match_header(lines.header, dialect, raw, place)
    out.write((dialect.delimiter.join(table.names) + "\n").encode(dialect.encoding), 0)
    codes = Codes(closed_columns(table))
    for block in lines:
        texts = []
        for number, line in enumerate(_text(block, dialect, place).split("\n"), start=block.line):
            bare = line.removesuffix("\r")
            if not bare:
                continue
            cells = _cells(bare, dialect)
            if cells is None or len(cells) != len(names):
                raise place.refuse(
                    "malformed",
                    f"line {number} does not have the {len(names)} fields of the header: its NIR may be anywhere.",
                    "Correct the export, then run the agent again.",
                )
            row = dict(zip(names, cells, strict=True))
            row |= identify(row)
            row |= {column: codes.correct(column, row[column]) for column in codes.closed}
            written = [row[name] for name in table.names]
            search.look(written, number)
            texts.append(_line(written, dialect) + "\n")
        if not search.findings:
            out.write("".join(texts).encode(dialect.encoding), len(texts))
    return codes


def _text(block: Block, dialect: Csv, place: Place) -> str:
    text = decoded(block.data, dialect.encoding, block.line, place)
    return block.data.decode("ascii") if text is None else text


def _cells(line: str, dialect: Csv) -> list[str] | None:
    """The fields of a line; None where its quotes are wrong. An open quote cannot reach the next line."""
    if dialect.quote not in line:
        return line.split(dialect.delimiter) if "\r" not in line else None
    try:
        return next(csv.reader([line], delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True))
    except csv.Error:
        return None


def _line(cells: Sequence[str], dialect: Csv) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=dialect.delimiter, quotechar=dialect.quote, lineterminator="").writerow(cells)
    return text.getvalue()


def _corrected(cells: list[str], closed: Sequence[tuple[int, str]], codes: Codes) -> list[str]:
    corrected = list(cells)
    for i, column in closed:
        corrected[i] = codes.correct(column, cells[i])
    return corrected


def _follow(open_lines: list[str], line: str, dialect: Csv, search: NirSearch, number: int) -> list[str]:
    """Lines since a quote was opened. When it closes, or too far on, they are searched together."""
    lines = [*open_lines, line]
    is_open = sum(text.count(dialect.quote) for text in lines) % 2 == 1
    if is_open and len(lines) < _OPEN_LINES:
        return lines
    if len(lines) > 1:
        search.look_across(lines, number)
    return []
