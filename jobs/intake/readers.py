"""One reader per physical form; each yields the same: rows as text under the contract's columns, with row numbers.

``read_csv`` makes one streaming pass: bytes -> sha256, count, strict decode -> Arrow. Facts of pyarrow 26 that shape
it, all seen: an open quote swallows every following line of the block, silently, even with
``newlines_in_values=False``; ``InvalidRow.number`` is None when Arrow parses in parallel. Hence blocks of whole lines
(``lines.py``), each parsed by itself, where records must equal lines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from jobs.intake.header import match_header
from jobs.intake.lines import Block, Lines, Place, Progress, count, decoded
from schemas.loader import Csv, Table

ROW = "_row"
MALFORMED = pa.schema([(ROW, pa.int64()), ("reason", pa.string()), ("line", pa.string())])
"""One row is one line that could not be read as a record: its record number, why, and the line itself."""

Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]

_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_TAB, _LF, _CR = 9, 10, 13


def row_schema(table: Table) -> pa.Schema:
    """What is landed of a table: its contract columns as text, in contract order, then ``_row``.

    ``_row`` is the 1-based number of the record in its file; malformed records are counted, blank lines are not.
    """
    return pa.schema([*((name, pa.string()) for name in table.names), (ROW, pa.int64())])


@dataclass(frozen=True)
class Records:
    """What one block gave: rows (``row_schema``) and the lines that are no records (``MALFORMED``)."""

    rows: pa.Table
    malformed: pa.Table


@dataclass(frozen=True)
class _Parsed:
    """One block: its rows without numbers, their numbers within the block, and (number, reason, line) of the rest."""

    rows: pa.Table
    numbers: Numbers
    malformed: list[tuple[int, str, str]]


class CsvFile:
    """One pass over a CSV file with a header line. Iterate once; then the sums are those of the whole file.

    Refuses (``ContractRefused``): empty_file, wrong_encoding, wrong_separator, missing_column, extra_column,
    duplicated_column, header_only, line_ends, unclosed_quote, truncated, huge_line, size_mismatch.
    """

    def __init__(
        self,
        stream: BinaryIO,
        table: Table,
        dialect: Csv,
        place: Place,
        *,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._lines = Lines(stream, place, limit=limit, progress=progress)
        self._header = match_header(self._lines.header, dialect, table.names, place)
        self._schema, self._may_be_empty = row_schema(table), table.may_be_empty
        self._columns, self._dialect, self._place = table.names, dialect, place
        self.rows = 0
        """Well-formed records."""
        self.malformed: dict[str, int] = {}
        """Lines that are no records, by reason: fields (not as many as the header has), control_char."""

    @property
    def records(self) -> int:
        """Records of the file, malformed ones counted."""
        return self.rows + sum(self.malformed.values())

    @property
    def size(self) -> int:
        """Bytes received so far."""
        return self._lines.bytes

    @property
    def sha256(self) -> str:
        return self._lines.sha256

    def __iter__(self) -> Iterator[Records]:
        """Parses one block ahead in a second thread, so memory does not depend on the file's size."""
        with ThreadPoolExecutor(1, thread_name_prefix="csv") as pool:
            ahead: deque[Future[_Parsed]] = deque()
            for block in self._lines:
                ahead.append(pool.submit(self._parse, block))
                if len(ahead) > 2:
                    yield self._numbered(ahead.popleft().result())
            while ahead:
                yield self._numbered(ahead.popleft().result())
        if not self.records and not self._may_be_empty:
            raise self._place.refuse("header_only", "holds a header and no row, which the contract does not allow.")

    def _numbered(self, found: _Parsed) -> Records:
        """Numbers within the block become numbers within the file."""
        before = self.records
        self.rows += found.rows.num_rows
        for _, reason, _ in found.malformed:
            self.malformed[reason] = self.malformed.get(reason, 0) + 1
        # not pa.array, pa.scalar: on their first use they import pandas (70 MB)
        numbers = pa.Array.from_buffers(
            pa.int64(), found.rows.num_rows, [None, pa.py_buffer(found.numbers + np.int64(before))]
        )
        return Records(
            found.rows.append_column(ROW, numbers), _malformed([(n + before, *rest) for n, *rest in found.malformed])
        )

    def _parse(self, block: Block) -> _Parsed:
        data = self._text(block)
        has_controls = self._has_controls(data, block)
        bad: list[tuple[int, str]] = []

        def keep_apart(row: csv.InvalidRow) -> str:
            bad.append((row.number, row.text))
            return "skip"

        try:
            table = csv.read_csv(
                pa.BufferReader(data),
                read_options=csv.ReadOptions(column_names=self._header, use_threads=False, block_size=len(data) + 1),
                parse_options=csv.ParseOptions(
                    delimiter=self._dialect.delimiter,
                    quote_char=self._dialect.quote or False,
                    newlines_in_values=False,
                    ignore_empty_lines=True,
                    invalid_row_handler=keep_apart,
                ),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(self._columns, pa.string()),
                    include_columns=self._columns,
                    null_values=[""],
                    strings_can_be_null=True,
                    check_utf8=False,
                ),
            )
        except pa.ArrowInvalid:
            # Arrow's message quotes the line
            table = None
        if table is None:
            raise self._unclosed(block)
        self._check_shape(table, bad, data, block)
        parsed = _Parsed(
            table,
            _numbers(table.num_rows, [number for number, _ in bad]),
            [(number, "fields", text) for number, text in bad],
        )
        return _without_controls(parsed, data) if has_controls else parsed

    def _text(self, block: Block) -> bytes:
        """The block in UTF-8, ending with a line end."""
        text = decoded(block.data, self._dialect.encoding, block.line, self._place)
        is_utf8 = text is None or self._dialect.encoding.lower() in ("utf-8", "utf8")
        data = block.data if is_utf8 else str(text).encode("utf-8")
        return data + b"\n" if block.is_cut else data

    def _has_controls(self, data: bytes, block: Block) -> bool:
        """Whether some record holds a control character. Refuses line_ends: a carriage return within a line."""
        low = int(np.count_nonzero(np.frombuffer(data, np.uint8) < 32))
        expected = count(data, _LF)
        if low != expected:
            returns = count(data, _CR)
            if returns and returns != data.count(b"\r\n"):
                raise self._place.refuse(
                    "line_ends",
                    f"from line {block.line} on: a carriage return stands within a line.",
                    "End lines by LF or by CR LF.",
                )
            expected += returns + count(data, _TAB)
        return low != expected or b"\x7f" in data

    def _check_shape(self, table: pa.Table, bad: list[tuple[int, str]], data: bytes, block: Block) -> None:
        """Each line must be one record: an open quote makes Arrow take several for one."""
        records = table.num_rows + len(bad)
        last = data[data.rfind(b"\n", 0, -1) + 1 :]
        # the last line may swallow its own end only
        is_suspect = records != count(data, _LF) or self._dialect.quote.encode() in last
        if is_suspect and (_has_line_end(table) or any("\n" in text for _, text in bad)):
            raise self._unclosed(block)
        if block.is_cut and bad and bad[-1][0] == records:
            raise self._place.refuse(
                "truncated", "ends in the middle of a line: the last one has too few or too many fields."
            )

    def _unclosed(self, block: Block) -> Exception:
        return self._place.refuse(
            "unclosed_quote",
            f"from line {block.line} on: a quoted value runs over a line end.",
            "Close the quote; the contract allows no line end within a value.",
        )


def _has_line_end(table: pa.Table) -> bool:
    return any(pc.any(pc.match_substring(column, "\n")).as_py() for column in table.columns)


def _numbers(rows: int, skipped: list[int]) -> Numbers:
    """Numbers 1, 2, ... of ``rows`` records, leaving out those that were skipped."""
    every = np.arange(1, rows + len(skipped) + 1, dtype=np.int64)
    return np.delete(every, np.asarray(skipped, dtype=np.int64) - 1) if skipped else every


def _malformed(lines: list[tuple[Any, ...]]) -> pa.Table:
    if not lines:
        return pa.Table.from_batches([], schema=MALFORMED)
    return pa.Table.from_pylist([dict(zip(MALFORMED.names, line, strict=True)) for line in lines], schema=MALFORMED)


def _without_controls(parsed: _Parsed, data: bytes) -> _Parsed:
    """Moves records that hold a control character to the malformed ones, with reason control_char."""
    hit = np.zeros(parsed.rows.num_rows, dtype=bool)
    for column in parsed.rows.columns:
        hit |= pc.fill_null(pc.match_substring_regex(column, _CONTROLS), False).to_numpy()
    lines = [line for line in data.replace(b"\r\n", b"\n").split(b"\n") if line]
    moved = [(n, "control_char", lines[n - 1].decode("utf-8")) for n in parsed.numbers[hit].tolist()]
    return _Parsed(parsed.rows.filter(pa.array(~hit)), parsed.numbers[~hit], sorted([*parsed.malformed, *moved]))
