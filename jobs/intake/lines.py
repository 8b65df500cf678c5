"""Bytes to blocks of whole lines, in one pass: count, sha256, limits. The first half of reading a text file.

Our contracts forbid line ends inside values: a line is a record, a file can be cut at any line end, and an
unclosed quote cannot swallow what follows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from jobs.errors import ContractRefused
from jobs.intake.form import other_form

BLOCK_BYTES = 4 * 2**20
MAX_LINE_BYTES = 2**20
_WINDOW = MAX_LINE_BYTES // 2
_BOM = b"\xef\xbb\xbf"

Progress = Callable[[int], None]
"""Called with the number of bytes received so far."""


@dataclass(frozen=True)
class Place:
    """Where a file stands, for messages: the delivery, the file, and its table's one name (``dcir/er_prs_f``)."""

    delivery: str
    file: str
    table: str

    def refuse(self, reason: str, message: str, next_step: str | None = None) -> ContractRefused:
        """A refusal that names the place. ``message`` never holds a value."""
        return ContractRefused(
            f"{self.delivery} {self.file} ({self.table}): {message}",
            reason=reason,
            next_step=next_step or "Ask the contributor to correct and send again.",
        )


@dataclass(frozen=True)
class Block:
    """Whole lines. ``line`` is the number of the first one in the file (the header is line 1)."""

    data: bytes
    line: int
    is_cut: bool = False
    """True for the last block of a file that does not end with a line end."""


class Lines:
    """Cuts a stream into a header and blocks of lines, and holds the sums of what went through."""

    def __init__(
        self, stream: BinaryIO, place: Place, *, limit: int | None = None, progress: Progress | None = None
    ) -> None:
        """``limit``: more bytes than this are refused as soon as they come."""
        self._stream, self._place, self._limit, self._progress = stream, place, limit, progress
        self._hash = hashlib.sha256()
        self.bytes = 0
        """Bytes received so far."""
        self.header = self._read_header()
        """The first line, without its line end and without a byte order mark. Refuses: empty_file, huge_line, and what
        is not text: compressed, other_form, wrong_encoding."""

    @property
    def sha256(self) -> str:
        """Of the bytes received so far, in hexadecimal."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[Block]:
        """The data lines, in blocks of about 4 MiB. Refuses: huge_line, size_mismatch."""
        line, rest = 2, self._rest
        while more := self._read():
            cut = more.rfind(b"\n") + 1
            if cut:
                data = b"".join((rest, memoryview(more)[:cut]))
                rest = more[cut:]
                yield Block(self._checked(data, line), line)
                line += count(data, 10)
            else:
                rest += more
            if len(rest) > MAX_LINE_BYTES:
                raise self._huge(line)
        if rest:
            yield Block(self._checked(rest, line), line, is_cut=not rest.endswith(b"\n"))

    def _read_header(self) -> bytes:
        data = self._read()
        if not data.removeprefix(_BOM).strip():
            raise self._place.refuse("empty_file", "is empty.", "Export and send the file again.")
        if seen := other_form(data):
            raise self._place.refuse(*seen)
        first, _, self._rest = data.partition(b"\n")
        if len(first) > MAX_LINE_BYTES:
            raise self._huge(1)
        return first.removeprefix(_BOM).removesuffix(b"\r")

    def _read(self) -> bytes:
        """The next block, shorter only at the end of the stream."""
        parts: list[bytes] = []
        wanted = BLOCK_BYTES
        while wanted and (part := self._stream.read(wanted)):
            parts.append(part)
            wanted -= len(part)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._hash.update(data)
        self.bytes += len(data)
        if self._limit is not None and self.bytes > self._limit:
            raise self._place.refuse("size_mismatch", f"is longer than the {self._limit} bytes that were declared.")
        if self._progress:
            self._progress(self.bytes)
        return data

    def _checked(self, data: bytes, line: int) -> bytes:
        """Refuses a line over the limit: such a line fills one of the windows, so only those are looked at."""
        for start in range(0, len(data) - _WINDOW + 1, _WINDOW):
            if data.find(b"\n", start, start + _WINDOW) < 0:
                begin, end = data.rfind(b"\n", 0, start) + 1, data.find(b"\n", start)
                if (end if end >= 0 else len(data)) - begin > MAX_LINE_BYTES:
                    raise self._huge(line + data.count(b"\n", 0, begin))
        return data

    def _huge(self, line: int) -> ContractRefused:
        return self._place.refuse(
            "huge_line",
            f"line {line} is longer than {MAX_LINE_BYTES:,} bytes.",
            "Look for a missing line end or quote.",
        )


def count(data: bytes, value: int) -> int:
    """How often one byte occurs; several times faster than ``bytes.count``, and other threads may go on."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == value))


def decoded(data: bytes, encoding: str, line: int, place: Place) -> str | None:
    """The text of whole lines, decoded strictly; None when it is ASCII already. Refuses: wrong_encoding."""
    if data.isascii() and encoding.lower().replace("-", "").replace("_", "") in ("utf8", "latin1", "cp1252", "ascii"):
        return None
    try:
        return data.decode(encoding, "strict")
    except UnicodeDecodeError as error:
        at, perhaps = line + data.count(b"\n", 0, error.start), _perhaps(data, error.start)
    raise place.refuse(
        "wrong_encoding",
        f"line {at} is not {encoding}, which the contract asks for{perhaps}.",
        f"Export in {encoding} and send again.",
    )


def _perhaps(data: bytes, at: int) -> str:
    """What the line that does not decode may be: the single-byte encodings of Windows and Unix look alike."""
    line = data[data.rfind(b"\n", 0, at) + 1 :].partition(b"\n")[0]
    try:
        line.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    return " (it may be Windows-1252 or Latin-1)"
