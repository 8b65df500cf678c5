"""Lines of a CSV file that are not records, found in the bytes before a parser may alter them.

Arrow takes ``"a"b"`` for ``ab"`` and says nothing, and it lets an open quote swallow the lines that follow. So quotes
are checked first, for all lines of a block at once (RFC 4180): a quote opens a value only right after a delimiter or
at the start of the line, it closes it only right before one or at the end of the line, and inside it is doubled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]
Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]

_TAB, _LF, _CR, _SPACE, _DELETE = 9, 10, 13, 32, 127


@dataclass(frozen=True)
class Faults:
    """What is wrong with the lines of one block; a line is named by its place in the block, 0 for the first one."""

    control_char: tuple[int, ...] = ()
    """Lines that hold a control character (a tab is text)."""
    quote: tuple[int, ...] = ()
    """Lines with a quote that is not doubled, within a value or after its end."""
    unclosed: int | None = None
    """The first line whose last value is opened by a quote and not closed."""
    carriage_return: int | None = None
    """The first line that holds a carriage return before its end."""


def line_faults(data: bytes, delimiter: str, quote: str) -> Faults:
    """Looks at whole lines, each ended by LF or CR LF. ``quote`` may be empty: then a quote is text."""
    bytes_ = np.frombuffer(data, np.uint8)
    controls, carriage_return = _controls(data, bytes_)
    if carriage_return is not None:
        return Faults(carriage_return=carriage_return)
    if not quote or quote.encode() not in data:
        return Faults(control_char=controls)
    bad, unclosed = _quotes(bytes_, ord(delimiter), ord(quote))
    return Faults(controls, tuple(sorted(set(bad) - set(controls))), unclosed)


def _controls(data: bytes, bytes_: Bytes) -> tuple[tuple[int, ...], int | None]:
    if int(np.count_nonzero(bytes_ < _SPACE)) == _count(bytes_, _LF) and b"\x7f" not in data:
        return (), None
    ends = np.flatnonzero(bytes_ == _LF)
    returns = np.flatnonzero(bytes_ == _CR)
    stray = returns[bytes_[returns + 1] != _LF]
    if stray.size:
        return (), int(np.searchsorted(ends, stray[0]))
    low = (bytes_ < _SPACE) | (bytes_ == _DELETE)
    at = np.flatnonzero(low)
    kind = bytes_[at]
    at = at[(kind != _LF) & (kind != _CR) & (kind != _TAB)]
    return tuple(np.unique(np.searchsorted(ends, at)).tolist()), None


def _quotes(bytes_: Bytes, delimiter: int, quote: int) -> tuple[tuple[int, ...], int | None]:
    """Lines with a quote out of place, and the first line that ends within a quoted value."""
    ends = np.flatnonzero(bytes_ == _LF)
    at = np.flatnonzero(bytes_ == quote)
    until = np.searchsorted(at, ends)
    before_opening = np.isin(np.arange(256), (delimiter, _LF, quote))
    after_closing = np.isin(np.arange(256), (delimiter, _LF, _CR, quote))
    # 1st, 3rd, ... quote of its line opens, 2nd, 4th, ... closes; a doubled quote closes and opens at once. Before the
    # first byte stands, as Python counts, the last one: a line end, as it should
    in_order = before_opening[bytes_[at[0::2] - 1]].all() and after_closing[bytes_[at[1::2] + 1]].all()
    if in_order and not (until & 1).any():  # every line closes what it opens, so the block may be taken for one line
        return (), None
    before = np.concatenate((np.zeros(1, np.int64), until[:-1]))
    number = until - before
    closes = (np.arange(at.size) - np.repeat(before, number)) & 1 == 1
    fits = np.where(closes, after_closing[bytes_[np.where(closes, at + 1, at)]], before_opening[bytes_[at - 1]])
    bad = np.unique(np.repeat(np.arange(ends.size), number)[~fits])
    open_ = np.setdiff1d(np.flatnonzero(number & 1), bad)
    return tuple(bad.tolist()), int(open_[0]) if open_.size else None


def _count(bytes_: Bytes, value: int) -> int:
    return int(np.count_nonzero(bytes_ == value))
