"""64-bit hashes of rows, a whole block at once: rows of equal values have the same, others almost surely another.

They lie in landing, sealed with the rows that they are of, and decide what is looked at more closely. They have no key:
where one leaves the rows, the Spark server gives it one first (``pseudonymised.content_sum``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.rows.texts import Ints, all_bytes, ends, numbers, present, true

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]
"""One of each row."""

# odd constants with their bits well spread: the golden ratio, and those of the finisher of MurmurHash3
_START, _MISSING = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x8F3C5A1D2B47E960)
_ONE, _TWO = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_HALF = np.uint64(32)
_WORD = 8
_FIRST_BYTES = np.array([(1 << 8 * n) - 1 for n in range(_WORD + 1)], np.uint64)
_WIDTHS: dict[int, Any] = {32: np.int32, 64: np.int64}


def hashes(columns: Iterable[pa.Array], rows: int) -> Hashes:
    """One hash a row of some columns, in their order. A missing value is a value of its own."""
    made = np.full(rows, _START, np.uint64)
    for column in columns:
        for word in _words(column):
            made ^= word
            made *= _ONE
            made ^= made >> _HALF
    return mixed(made)


def mixed(made: Hashes, key: int = 0) -> Hashes:
    """The hashes with every bit of a key in every bit of them."""
    made = made ^ np.uint64(key)
    for constant in (_ONE, _TWO):
        made = (made ^ (made >> _HALF)) * constant
    return made ^ (made >> _HALF)


def _words(column: pa.Array) -> Iterable[Hashes]:
    """A column as one or more 64-bit numbers a row: two values that differ differ in one of them."""
    there = None if column.null_count == 0 else present(column)
    if pa.types.is_string(column.type):
        values = _of_texts(column)
    elif pa.types.is_decimal(column.type):
        both = np.frombuffer(column.buffers()[1], np.uint64, 2 * len(column), column.offset * 16)
        if column.type.precision > 18:
            yield both[1::2] if there is None else np.where(there, both[1::2], 0)
        values = both[::2]
    elif pa.types.is_boolean(column.type):
        values = true(column).astype(np.uint64)
    else:
        values = numbers(column, _WIDTHS[column.type.bit_width]).astype(np.int64).view(np.uint64)
    yield values if there is None else np.where(there, values, _MISSING)


def _of_texts(texts: pa.StringArray) -> Hashes:
    """Eight bytes at a time, with the length."""
    at = ends(texts) - ends(texts)[0]
    length = np.diff(at)
    data = np.concatenate([all_bytes(texts), np.zeros(_WORD, np.uint8)])
    words: Ints = np.ndarray(len(data) - _WORD + 1, np.dtype("<u8"), data, 0, (1,))
    made: Hashes = (words[at[:-1]] & _FIRST_BYTES[np.minimum(length, _WORD)]) + length.astype(np.uint64) * _START
    done, left = _WORD, np.flatnonzero(length > _WORD)
    while left.size:
        part = words[at[:-1][left] + done] & _FIRST_BYTES[np.minimum(length[left] - done, _WORD)]
        both = (made[left] * _ONE) ^ part
        made[left] = both ^ (both >> _HALF)
        done += _WORD
        left = left[length[left] > done]
    return made
