"""Columns of text in a block of rows, looked at all at once: blanks, what stands for no value, forms, lengths, codes.

Almost all values are plain: a look at the bytes of a whole column shows that no rule needs to look at one of them. What
is left is decided value by value, each distinct one once, by the same patterns that hold everywhere (``schemas``).

Arrays are built from buffers: ``pyarrow.array``, ``pyarrow.scalar`` and ``to_numpy`` import pandas on their first use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.loader import Column
from schemas.values import BLANKS, NO_IDENTIFIER

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
Ints = np.ndarray[tuple[int], np.dtype[Any]]
Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]

FIRST_PLAIN, LAST_PLAIN = 0x21, 0x7E
"""Bytes between these are characters of ASCII that show: none of ``BLANKS``."""
_ONE_TO_NINE = np.isin(np.arange(256), np.arange(ord("1"), ord("9") + 1))
_OF_ONE_CLASS = re.compile(r"(\[[^\]]+\])\{(\d+)(?:,(\d+))?\}")


def strings(values: Iterable[str | None]) -> pa.StringArray:
    """An array of texts."""
    sent = [None if v is None else v.encode("utf-8") for v in values]
    ends = np.cumsum([0, *(len(v or b"") for v in sent)], dtype=np.int32)
    there = np.fromiter((v is not None for v in sent), np.bool_, len(sent))
    return pa.Array.from_buffers(
        pa.string(), len(sent), [_bits(there), pa.py_buffer(ends), pa.py_buffer(b"".join(v or b"" for v in sent))]
    )


def array(kind: pa.DataType, values: Ints, there: Mask | None = None) -> pa.Array:
    """An array of fixed width from its numbers; ``there``: False where a value is missing."""
    bits = None if there is None or there.all() else _bits(there)
    return pa.Array.from_buffers(kind, len(values), [bits, pa.py_buffer(np.ascontiguousarray(values))])


def bools(values: Mask, there: Mask | None = None) -> pa.BooleanArray:
    """An array of truth values."""
    bits = None if there is None or there.all() else _bits(there)
    return pa.Array.from_buffers(pa.bool_(), len(values), [bits, _bits(values)])


def present(values: pa.Array) -> Mask:
    """Where there is a value."""
    bits = values.buffers()[0]
    return np.ones(len(values), np.bool_) if values.null_count == 0 or bits is None else _mask(bits, values)


def true(values: pa.BooleanArray) -> Mask:
    """Where a truth value is there and true."""
    return _mask(values.buffers()[1], values) & present(values)


def numbers(values: pa.Array, kind: Any) -> Ints:
    """The numbers of an array of fixed width, in its own memory; what is missing is any number."""
    return np.frombuffer(values.buffers()[1], kind, len(values), values.offset * np.dtype(kind).itemsize)


def flat(texts: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    """A column as one array that begins where its memory begins."""
    chunks = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    if len(chunks) == 1 and chunks[0].offset == 0:
        return chunks[0]
    return pa.concat_arrays(chunks) if chunks else strings(())


def ends(texts: pa.StringArray) -> Ints:
    """Where each text begins in the bytes, and where the last one ends. A missing text has no bytes."""
    return np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, texts.offset * 4)


def all_bytes(texts: pa.StringArray) -> Bytes:
    """The bytes of all texts, one after another, from the place where the first begins."""
    data, at = texts.buffers()[2], ends(texts)
    whole = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    return whole[at[0] : at[-1]]


def without(texts: pa.StringArray, where: Mask) -> pa.StringArray:
    """The texts, but for those ``where`` they are to be missing."""
    return pc.if_else(bools(where), pa.nulls(len(texts), pa.string()), texts) if where.any() else texts


def each(texts: pa.StringArray, answer: Callable[[str], Any]) -> list[Any]:
    """What ``answer`` says of each text; a missing one is None. Each distinct text is asked once."""
    coded = pc.dictionary_encode(texts)
    answers = [*(answer(text) for text in coded.dictionary.to_pylist()), None]
    there, at = present(texts), numbers(coded.indices, np.int32)
    return [answers[i] for i in np.where(there, at, -1)]


def holds(texts: pa.StringArray, rule: Callable[[str], bool], among: Mask | None = None) -> Mask:
    """Where a rule holds; ``among``: only these are asked. Of a missing text no rule holds."""
    asked = np.flatnonzero(present(texts) if among is None else among & present(texts))
    found = np.zeros(len(texts), np.bool_)
    if asked.size:
        found[asked] = np.fromiter(map(bool, each(texts.take(array(pa.int64(), asked)), rule)), np.bool_, asked.size)
    return found


def trimmed(texts: pa.StringArray) -> pa.StringArray:
    """The texts without the blanks at their ends; what is nothing else is missing."""
    data, at = all_bytes(texts), ends(texts)
    filled = at[1:] > at[:-1]
    if data.size and not (data.min() >= FIRST_PLAIN and data.max() <= LAST_PLAIN):
        begin, end = at[:-1][filled] - at[0], at[1:][filled] - at[0] - 1
        if not (_plain(data[begin]).all() and _plain(data[end]).all()):
            texts = flat(pc.utf8_trim(texts, characters=BLANKS))
            at = ends(texts)
            filled = at[1:] > at[:-1]
    return without(texts, ~filled) if np.count_nonzero(filled) + texts.null_count < len(texts) else texts


def to_values(column: Column) -> Callable[[pa.StringArray], pa.StringArray]:
    """What makes values of the texts of a column: no blanks at the ends, missing where a sentinel or a placeholder
    says that there is none."""
    sentinels = strings(column.null_values)
    placeholder = re.compile(column.no_value, re.ASCII).fullmatch if column.no_value else None
    is_identifier = column.no_value == NO_IDENTIFIER

    def values(texts: pa.StringArray) -> pa.StringArray:
        made = trimmed(texts)
        if placeholder:
            made = without(made, holds(made, _yes(placeholder), _unsure(made) if is_identifier else None))
        if len(sentinels):
            made = without(made, true(pc.is_in(made, value_set=sentinels)))
        return made

    return values


def misshapen(pattern: str) -> Callable[[pa.StringArray], Mask]:
    """What says where texts do not have a form. A pattern of one class of characters is looked at byte by byte."""
    matches = re.compile(pattern, re.ASCII).fullmatch
    simple = _OF_ONE_CLASS.fullmatch(pattern)
    if simple is None:
        return lambda texts: holds(texts, lambda text: not matches(text))
    one, least, most = re.compile(simple[1], re.ASCII), int(simple[2]), int(simple[3] or simple[2])
    allowed = np.fromiter((n < 128 and bool(one.fullmatch(chr(n))) for n in range(256)), np.bool_, 256)

    def bad(texts: pa.StringArray) -> Mask:
        at, there = ends(texts), present(texts)
        length = np.diff(at)
        wrong: Mask = there & ((length < least) | (length > most))
        foreign = np.flatnonzero(~allowed[all_bytes(texts)])
        if foreign.size:
            wrong[np.searchsorted(at, foreign + at[0], "right") - 1] = True
        return wrong

    return bad


def longer_than(length: int, *, digits: bool) -> Callable[[pa.StringArray], Mask]:
    """What says where texts have more characters than ``length``; of ``digits`` no sign counts."""

    def bad(texts: pa.StringArray) -> Mask:
        beyond: Mask = np.diff(ends(texts)) > length  # bytes: at least as many as characters
        if not beyond.any():
            return beyond
        return holds(texts, lambda text: len(text.lstrip("-") if digits else text) > length, beyond)

    return bad


def not_among(codes: Iterable[str]) -> Callable[[pa.StringArray], Mask]:
    """What says where texts are none of some codes."""
    known = strings(codes)
    return lambda texts: present(texts) & ~true(pc.is_in(texts, value_set=known))


def _unsure(texts: pa.StringArray) -> Mask:
    """Where a text may be a placeholder of ``NO_IDENTIFIER``: those have no digit of 1 to 9, or one character alone."""
    data, at = all_bytes(texts), ends(texts) - ends(texts)[0]
    filled = np.flatnonzero(np.diff(at))
    unsure = np.zeros(len(texts), np.bool_)
    if filled.size:
        begin, last = at[:-1][filled], at[1:][filled] - 1
        numbered = np.maximum.reduceat(_ONE_TO_NINE[data].view(np.uint8), begin).astype(np.bool_)
        alone = (data[begin] == data[last]) & (data[begin] == data[np.minimum(begin + 1, last)])
        unsure[filled] = ~numbered | alone
    return unsure


def _plain(data: Bytes) -> Mask:
    return (data >= FIRST_PLAIN) & (data <= LAST_PLAIN)


def _yes(matches: Callable[[str], object]) -> Callable[[str], bool]:
    return lambda text: matches(text) is not None


def _bits(values: Mask) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))


def _mask(bits: pa.Buffer, values: pa.Array) -> Mask:
    unpacked = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
    return unpacked[values.offset : values.offset + len(values)].view(np.bool_)
