"""Hashes of rows: equal values have the same, wherever they stand; one other cell makes another."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.rows.hashes import hashes, mixed

VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "text": (
        pa.string(),
        ["", "0", "00", "a", "A" * 8, "A" * 9, "A" * 16, "A" * 16 + "B", "A" * 24, "é", "\0"],
    ),
    "pseudonym": (pa.string(), ["A" * 64, "A" * 63 + "B", "B" + "A" * 63]),
    "integer": (pa.int32(), [0, 1, -1, 2**31 - 1, -(2**31)]),
    "bigint": (pa.int64(), [0, 1, -1, 2**63 - 1, -(2**63)]),
    "decimal": (pa.decimal128(9, 2), [Decimal("0"), Decimal("0.01"), Decimal("-0.01"), Decimal("1")]),
    "wide": (pa.decimal128(38, 0), [Decimal(0), Decimal(1), Decimal(2**64), Decimal(-1), Decimal(1 - 2**64)]),
    "double": (pa.float64(), [0.0, 1.0, -1.0, 0.5]),
    "date": (pa.date32(), [date(1970, 1, 1), date(2024, 2, 29), date(1600, 1, 1)]),
    "moment": (pa.timestamp("us", "UTC"), [datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 2, 29, 1, tzinfo=UTC)]),
    "boolean": (pa.bool_(), [True, False]),
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_of_each_type_are_told_apart_and_a_missing_one_from_all(kind: str) -> None:
    type_, values = VALUES[kind]
    made = hashes([pa.array([*values, None, *values], type_)], 2 * len(values) + 1).tolist()
    assert made[: len(values)] == made[len(values) + 1 :]
    assert len(set(made)) == len(values) + 1


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_has_one_hash_in_any_block(kind: str) -> None:
    type_, values = VALUES[kind]
    whole = pa.array([*values, None], type_)
    alone = [hashes([pa.array([v], type_)], 1)[0] for v in [*values, None]]
    assert hashes([whole], len(whole)).tolist() == alone
    assert hashes([whole[1:]], len(whole) - 1).tolist() == alone[1:]


def test_the_order_of_columns_counts_and_no_row_has_no_hash() -> None:
    a, b = pa.array(["x", "", None]), pa.array(["", "x", None])
    assert hashes([a, b], 3)[0] == hashes([b, a], 3)[1]
    assert len({*hashes([a, b], 3).tolist(), *hashes([b, a], 3).tolist()}) == 3
    assert hashes([a[:0]], 0).tolist() == []


def test_numbers_that_follow_each_other_share_no_hash_and_no_half_of_one() -> None:
    made = hashes([pa.array(range(100_000), pa.int64())], 100_000)
    assert len(np.unique(made)) == 100_000
    assert len(np.unique(made >> np.uint64(32))) > 99_000
    flips = np.array([int(a ^ b).bit_count() for a, b in pairwise(made[:1000])])
    assert 28 < flips.mean() < 36


def test_a_key_makes_other_hashes_of_the_same_rows() -> None:
    made = hashes([pa.array(range(10), pa.int64())], 10)
    assert mixed(made, 1).tolist() == mixed(made, 1).tolist() != mixed(made, 2).tolist()
    assert not set(mixed(made, 1).tolist()) & set(made.tolist())
