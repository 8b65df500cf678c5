"""From landed rows to the lake's columns, a block at once: what is left to do where the keys are."""

from __future__ import annotations

import hmac

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.rows.hashes import mixed
from jobs.rows.noted import FILE
from jobs.rows.texts import array, flat, numbers
from jobs.rows.typed import CONTENT, ROW
from schemas.loader import Table

_BYTES = 32
_DOMAIN, _SUMS = b"hub/p2/v1\0", b"hub/sum/v1"


def pseudonymised(rows: pa.Table, table: Table, key: bytes, file: str) -> pa.Table:
    """One row per landed row: the lake's columns, with pseudonyms in place of identifiers, ``_file`` and ``_row``."""
    made = {c.name: rows.column(c.name) for c in table.lake_columns}
    for column in table.lake_columns:
        if column.pseudonym:
            made[column.name] = pseudonyms(rows.column(column.name), column.pseudonym, key)
    names = pa.DictionaryArray.from_arrays(array(pa.int32(), np.zeros(rows.num_rows, np.int32)), pa.array([file]))
    return pa.table({**made, FILE: names, ROW: rows.column(ROW)})


def pseudonyms(values: pa.Array | pa.ChunkedArray, domain: str, key: bytes) -> pa.DictionaryArray:
    """HMAC-SHA-256(K2, "hub/p2/v1" 0x00 domain 0x00 value), 32 bytes, of each value; each distinct one is made once."""
    coded = flat(values)
    coded = coded if pa.types.is_dictionary(coded.type) else pc.dictionary_encode(coded)
    begin = _DOMAIN + domain.encode() + b"\0"
    made = b"".join(hmac.digest(key, begin + v.encode(), "sha256") for v in coded.dictionary.to_pylist())
    ends = array(pa.int32(), np.arange(0, len(made) + 1, _BYTES, dtype=np.int32)).buffers()[1]
    distinct = pa.Array.from_buffers(pa.binary(), len(coded.dictionary), [None, ends, pa.py_buffer(made)])
    return pa.DictionaryArray.from_arrays(coded.indices, distinct)


def content_sum(rows: pa.Table, key: bytes) -> int:
    """Exclusive or of the rows' hashes under a key: the same rows give the same sum, in any order and any blocks, and
    it says nothing of them to who does not hold the key. A signed number of 64 bits."""
    secret = int.from_bytes(hmac.digest(key, _SUMS, "sha256")[:8], "little")
    content = numbers(flat(rows.column(CONTENT)), np.int64).view(np.uint64)
    return int(np.bitwise_xor.reduce(mixed(content, secret), initial=np.uint64(0)).astype(np.int64))
