"""What holds for every line: what is taken reads as RFC 4180 says, and what does not is kept as it came."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import ContractRefused
from jobs.intake.lines import Place
from jobs.intake.readers.csv import CsvFile
from schemas.loader import Column, Csv, Table, Text

T = Text(fr="x", en="x")
COLUMNS = tuple(Column(name=name, meaning=T) for name in ("a", "b"))
AB = Table(table="t", title=T, row=T, may_be_empty=True, column=COLUMNS)
VALUE = re.compile(r'"((?:[^"]|"")*)"|([^";]*)')
LINE = st.text(alphabet='"";;ab \té\x00', max_size=14)


def fields(line: str) -> list[str | None] | None:
    """The values of one line by RFC 4180, written again and slowly; None when it is not well-formed."""
    values: list[str | None] = []
    at = 0
    while True:
        match = VALUE.match(line, at)
        assert match
        quoted = match.group(1)
        values.append((match.group(2) if quoted is None else quoted.replace('""', '"')) or None)
        at = match.end()
        if at == len(line):
            return values
        if line[at] != ";":
            return None
        at += 1


def is_open(line: str) -> bool:
    """Whether a value is opened as it should and never closed."""
    return re.fullmatch(r'(?:(?:"(?:[^"]|"")*"|[^";]*);)*"(?:[^"]|"")*', line) is not None and fields(line) is None


@given(st.lists(LINE, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_a_line_is_read_as_it_stands_or_kept_as_it_came(lines: list[str], end: str) -> None:
    data = ("a;b" + end + "".join(line + end for line in lines)).encode()
    file = CsvFile(io.BytesIO(data), AB, Csv(), Place("d", "f", "t"))
    rows: dict[int, list[str | None]] = {}
    kept: dict[int, tuple[str, str]] = {}
    if any(is_open(line) for line in lines):
        with pytest.raises(ContractRefused, match="not closed"):
            list(file)
        return
    for part in file:
        rows |= {r["_row"]: [r["a"], r["b"]] for r in part.rows.to_pylist()}
        kept |= {r["_row"]: (r["reason"], r["line"]) for r in part.malformed.to_pylist()}
    expected = [line for line in lines if line]
    assert file.records == len(rows) + len(kept) == len(expected)
    for number, line in enumerate(expected, 1):
        values = fields(line)
        if number in rows:
            assert "\x00" not in line and values == rows[number]
        else:
            reason = "control_char" if "\x00" in line else "quote" if values is None else "fields"
            assert kept[number] == (reason, line)
