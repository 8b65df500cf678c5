"""Tables of text to the bytes of a delivery's file: header, one line per row, empty for no value, LF."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow

from schemas.loader import Csv

MALFORMED = "malformed"
"""Tag of rows that are written with a field too few."""


def to_bytes(table: pd.DataFrame, columns: Sequence[str], dialect: Csv) -> bytes:
    """The file of one table. Values are quoted only where they hold the delimiter or a quote."""

    arrays = [pa.array(table[c].to_numpy(dtype=object), type=pa.string()) for c in columns]
    header = dialect.delimiter.join(columns) + "\n"
    options = arrow.WriteOptions(include_header=False, delimiter=dialect.delimiter, quoting_style="none")
    sink = io.BytesIO()
    try:
        arrow.write_csv(pa.table(arrays, names=list(columns)), sink, options)
        body = sink.getvalue()
    except pa.ArrowInvalid:
        body = _quoted(table, columns, dialect)
    if (table["_tag"] == MALFORMED).any():
        body = _damaged(body, (table["_tag"] == MALFORMED).to_numpy().nonzero()[0].tolist(), dialect)
    return header.encode(dialect.encoding) + body


def _quoted(table: pd.DataFrame, columns: Sequence[str], dialect: Csv) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=dialect.delimiter, quotechar=dialect.quote, lineterminator="\n")
    values = table[list(columns)].to_numpy(dtype=object)
    writer.writerows([["" if v is None or v != v else v for v in row] for row in values])
    return text.getvalue().encode(dialect.encoding)


def _damaged(body: bytes, rows: Sequence[int], dialect: Csv) -> bytes:
    """The same lines, without the last field of some."""
    lines = body.split(b"\n")
    for row in rows:
        lines[row] = lines[row].rsplit(dialect.delimiter.encode(), 1)[0]
    return b"\n".join(lines)
