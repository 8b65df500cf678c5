"""What the pass that writes a table counts beside its rules: a sum of the content of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

CONTENT = "content"


def content_sum(content: Column) -> Column:
    """Exclusive or of 64-bit hashes of rows: the same rows give the same sum, in any order."""
    return F.bit_xor(content).alias(CONTENT)


def content_of(rows: int, counted: Mapping[str, Any]) -> str:
    """What a commit says of its rows: how many, and their sum. Never a value of a cell."""
    return f"{rows}:{counted[CONTENT]}"
