"""One reader per physical form; each yields the same: rows as text under the contract's columns, with row numbers.

``read_csv`` makes one streaming pass: bytes -> sha256, count, strict decode -> Arrow. Facts of pyarrow 26 that shape
it, all seen: an open quote swallows every following line of the block, silently, even with
``newlines_in_values=False``; a quote that is not doubled is dropped or kept, silently; ``InvalidRow.number`` is None
when Arrow parses in parallel. Hence blocks of whole lines (``lines.py``), whose quotes are checked first
(``lexical.py``), each parsed by itself, where records must equal lines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import csv

from jobs.errors import UnexpectedState
from jobs.intake.header import match_header
from jobs.intake.lexical import Faults, Numbers, line_faults
from jobs.intake.lines import Block, Lines, Place, Progress, count, decoded
from schemas.loader import Csv, Table

ROW = "_row"
MALFORMED = pa.schema([(ROW, pa.int64()), ("reason", pa.string()), ("line", pa.string())])
"""One row is one line that could not be read as a record: its record number, why, and the line itself."""

_LF, _CR = 10, 13


def row_schema(table: Table) -> pa.Schema:
    """What is read of a table: its contract columns as text, in contract order, then ``_row``.

    ``_row`` is the 1-based number of the record in its file; malformed records are counted, blank lines are not.
    """
    return pa.schema([*((name, pa.string()) for name in table.names), (ROW, pa.int64())])


@dataclass(frozen=True)
class Records:
    """What one block gave: rows (``row_schema``) and the lines that are not records (``MALFORMED``)."""

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
        """Lines that are not records, by reason: fields (not as many as the header has), control_char, quote (one that
        is not doubled)."""

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

    def _numbered(self, parsed: _Parsed) -> Records:
        """Numbers within the block become numbers within the file."""
        before = self.records
        self.rows += parsed.rows.num_rows
        for _, reason, _ in parsed.malformed:
            self.malformed[reason] = self.malformed.get(reason, 0) + 1
        # not pa.array, pa.scalar: on their first use they import pandas (70 MB)
        numbers = pa.Array.from_buffers(
            pa.int64(), parsed.rows.num_rows, [None, pa.py_buffer(parsed.numbers + np.int64(before))]
        )
        return Records(
            parsed.rows.append_column(ROW, numbers), _malformed([(n + before, *rest) for n, *rest in parsed.malformed])
        )

    def _parse(self, block: Block) -> _Parsed:
        data = self._text(block)
        faults = line_faults(data, self._dialect.delimiter, self._dialect.quote)
        self._refuse_lines(faults, block)
        records, numbers, malformed = _only_records(data, faults)
        table, short = self._read_arrow(records)
        read = table.num_rows + len(short)
        if numbers is None:
            numbers = np.arange(1, read + 1, dtype=np.int64)
        if read != numbers.size or (read != count(records, _LF) and read != _records_in(records)):
            raise UnexpectedState(f"{self._place.table}: {read} records were read, from another number of lines.")
        if block.is_cut and short and short[-1][0] == read:
            raise self._place.refuse(
                "truncated",
                "ends in the middle of a line: the last one has too few or too many fields.",
                "Export and send the whole file again.",
            )
        malformed += [(int(numbers[n - 1]), "fields", text) for n, text in short]
        return _Parsed(table, np.delete(numbers, [n - 1 for n, _ in short]), sorted(malformed))

    def _read_arrow(self, data: bytes) -> tuple[pa.Table, list[tuple[int, str]]]:
        """The rows of whole lines, and (number, line) of those that have not as many fields as the header."""
        short: list[tuple[int, str]] = []

        def keep_apart(row: csv.InvalidRow) -> str:
            short.append((row.number, row.text))
            return "skip"

        if not data.strip(b"\r\n"):
            return self._schema.remove(len(self._columns)).empty_table(), short
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
            raise UnexpectedState(f"{self._place.table}: lines that should be records could not be read.")
        return table, short

    def _text(self, block: Block) -> bytes:
        """The block in UTF-8, ending with a line end."""
        text = decoded(block.data, self._dialect.encoding, block.line, self._place)
        is_utf8 = text is None or self._dialect.encoding.lower() in ("utf-8", "utf8")
        data = block.data if is_utf8 else str(text).encode("utf-8")
        return data + b"\n" if block.is_cut else data

    def _refuse_lines(self, faults: Faults, block: Block) -> None:
        """Refuses what leaves no record to be told from the next: line_ends, unclosed_quote."""
        if faults.carriage_return is not None:
            raise self._place.refuse(
                "line_ends",
                f"line {block.line + faults.carriage_return}: a carriage return stands within the line.",
                "End lines by LF or by CR LF.",
            )
        if faults.unclosed is not None:
            raise self._place.refuse(
                "unclosed_quote",
                f"line {block.line + faults.unclosed}: a quoted value is not closed, or runs over a line end.",
                "Close the quote; the contract allows no line end within a value.",
            )


def _only_records(data: bytes, faults: Faults) -> tuple[bytes, Numbers | None, list[tuple[int, str, str]]]:
    """The lines without fault, their record numbers within the block (None: all of them), and (number, reason, line) of
    the others."""
    reasons = dict.fromkeys(faults.quote, "quote") | dict.fromkeys(faults.control_char, "control_char")
    if not reasons:
        return data, None, []
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _LF) + 1
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    record = np.cumsum(~_is_blank(data, starts, ends))
    kept, malformed, done = [], [], 0
    for line, reason in sorted(reasons.items()):
        start, end = int(starts[line]), int(ends[line])
        kept.append(data[done:start])
        text = data[start : end - 1].removesuffix(b"\r").decode("utf-8")
        malformed.append((int(record[line]), reason, text))
        done = end
    kept.append(data[done:])
    numbers = np.arange(1, int(record[-1]) + 1, dtype=np.int64)
    return b"".join(kept), np.delete(numbers, [n - 1 for n, _, _ in malformed]), malformed


def _is_blank(data: bytes, starts: Numbers, ends: Numbers) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    length, first = ends - starts, np.frombuffer(data, np.uint8)[starts]
    blank: np.ndarray[tuple[int], np.dtype[np.bool_]] = (length == 1) | ((length == 2) & (first == _CR))
    return blank


def _records_in(data: bytes) -> int:
    """Lines that are not blank."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _LF) + 1
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    return int(np.count_nonzero(~_is_blank(data, starts, ends))) if ends.size else 0


def _malformed(lines: list[tuple[Any, ...]]) -> pa.Table:
    if not lines:
        return pa.Table.from_batches([], schema=MALFORMED)
    return pa.Table.from_pylist([dict(zip(MALFORMED.names, line, strict=True)) for line in lines], schema=MALFORMED)
