"""The stage of one table: casts, reason codes, copies and orphans, on tables that a steward can read."""

from __future__ import annotations

import random
from collections import Counter

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.rows.apart import APART, PLACE, only_going, to_apart, to_notes
from jobs.rows.noted import Seen
from schemas.loader import Csv, Table
from tests.spark.tables import cells, check
from tests.unit.typing_kit import DETAILS, FRENCH, TEXT, column, typed

MONTH = "2024-01"


LINES = Table.model_validate(
    {
        "table": "line",
        "title": TEXT,
        "row": TEXT,
        "key": ["ORD"],
        "column": [
            column("ORD", type="integer", required=True),
            column("WHO", pseudonym="person", required=True, length=3),
            column("DAY", type="date", null_values=["01/01/1600"]),
            column("ACT", values=["C", "V"]),
            column("QTY", type="integer"),
            column("EUR", type="decimal", precision=9, scale=2),
            column("NOTE", keep=False),
        ],
    }
)


def landed(spark: SparkSession, contract: Table, text: str, csv: Csv = FRENCH) -> DataFrame:
    """Rows as a pull lands them and as the stage takes them up, from the texts that a contributor sent."""
    header, rows = cells(text)
    sent = [dict(zip(header, row, strict=True)) for row in rows]
    made = typed(contract, [tuple(row.get(name) for name in contract.names) for row in sent], csv, MONTH).rows
    made = made.set_column(made.column_names.index("_row"), "_row", pa.array([int(row["_row"]) for row in sent]))
    made = made.append_column("_file", pa.array([row.get("_file", "a.csv") for row in sent]))
    return spark.createDataFrame(made)


def to_staged(rows: DataFrame, contract: Table, parents: DataFrame | None = None) -> DataFrame:
    """All rows with how they end."""
    ends = to_apart(rows, contract, parents).drop("_said")
    return rows.drop("_reason").join(ends, list(PLACE), "left").fillna({"_status": "kept"})


def test_every_row_gets_its_type_or_its_reason(spark: SparkSession) -> None:
    raw = landed(
        spark,
        LINES,
        """
        _row | ORD | WHO  | DAY        | ACT | QTY | EUR
        1    | 1   | ABC  | 31/01/2024 | C   | 1   | 12,50
        2    | 2   |      | 31/01/2024 | C   | 1   |
        3    | 3   | ABC  | 2024-01-31 | C   | 1   |
        4    | 4   | ABC  | 01/01/1600 | C   | 1   |
        5    | 5   | ABCD | 31/01/2024 | C   | 1   |
        6    | 6   | ABC  | 31/02/2024 | C   | 1   |
        7    | 7   | ABC  | 31/01/2024 | X   | 1   |
        8    | x   | ABC  | 31/01/2024 | C   | 1   |
        9    | 9   | ABC  | 31/01/2024 | C   | 1   | 1.2.3
        """,
    )
    staged = to_staged(raw, LINES)
    check(
        staged,
        """
        _row | ORD | DAY        | EUR   | _status     | _reason
        1    | 1   | 2024-01-31 | 12.50 | kept        |
        2    | 2   | 2024-01-31 |       | quarantined | missing:WHO
        3    | 3   |            |       | quarantined | unparsable:DAY
        4    | 4   |            |       | kept        |
        5    | 5   | 2024-01-31 |       | quarantined | too_long:WHO
        6    | 6   |            |       | quarantined | unparsable:DAY
        7    | 7   | 2024-01-31 |       | quarantined | code:ACT
        8    |     | 2024-01-31 |       | quarantined | unparsable:ORD
        9    | 9   | 2024-01-31 |       | quarantined | unparsable:EUR
        """,
    )


def test_identical_copies_are_dropped_and_conflicting_ones_quarantined(spark: SparkSession) -> None:
    raw = landed(
        spark,
        LINES,
        """
        _row | _file | ORD | WHO | DAY        | ACT | QTY
        1    | a.csv | 1   | ABC | 31/01/2024 | C   | 1
        2    | a.csv | 1   | ABC | 31/01/2024 | C   | 1
        1    | b.csv | 1   | ABC | 31/01/2024 | C   | 1
        3    | a.csv | 2   | ABC | 30/01/2024 | C   | 1
        4    | a.csv | 2   | ABC | 30/01/2024 | V   | 1
        5    | a.csv | 3   | ABC | 29/01/2024 | V   | 1
        """,
    )
    check(
        to_staged(raw, LINES),
        """
        _file | _row | ORD | _status     | _reason
        a.csv | 1    | 1   | kept        |
        a.csv | 2    | 1   | duplicate   |
        b.csv | 1    | 1   | duplicate   |
        a.csv | 3    | 2   | quarantined | conflict
        a.csv | 4    | 2   | quarantined | conflict
        a.csv | 5    | 3   | kept        |
        """,
    )


def test_a_cancelling_line_is_a_fact_and_goes_on_with_its_details(spark: SparkSession) -> None:
    raw = landed(
        spark,
        LINES,
        """
        _row | ORD | WHO | DAY        | ACT | QTY | EUR
        1    | 1   | ABC | 31/01/2024 | C   | 1   | 25,00
        2    | 2   | ABC | 31/01/2024 | C   | -1  | -25,00
        3    | 3   | ABC | 31/01/2024 | X   | -1  | -25,00
        """,
    )
    staged = to_staged(raw, LINES)
    check(
        staged,
        """
        _row | ORD | QTY | EUR    | _status     | _reason
        1    | 1   | 1   | 25.00  | kept        |
        2    | 2   | -1  | -25.00 | kept        |
        3    | 3   | -1  | -25.00 | quarantined | code:ACT
        """,
    )
    details = landed(
        spark,
        DETAILS,
        """
        _row | ORD | NUM
        1    | 1   | 1
        2    | 2   | 1
        3    | 3   | 1
        4    | 9   | 1
        """,
    )
    check(
        to_staged(details, DETAILS, staged.where("_status = 'kept'")),
        """
        _row | ORD | _status     | _reason
        1    | 1   | kept        |
        2    | 2   | kept        |
        3    | 3   | quarantined | orphan
        4    | 9   | quarantined | orphan
        """,
    )


MIXED = """
_row | _file | ORD | WHO | DAY        | ACT | QTY | EUR
1    | a.csv | 1   | ABC | 31/01/2024 | C   | 1   | 25,00
2    | a.csv | 1   | ABC | 31/01/2024 | C   | 1   | 25,00
1    | b.csv | 2   | ABC | 31/01/2024 | V   | 3   | 60,00
2    | b.csv | 3   | ABC | 31/01/2024 | V   | -1  | -20,00
3    | b.csv | 4   | DEF | 31/01/2024 | C   | 1   | 25,00
4    | b.csv | 4   | DEF | 31/01/2024 | V   | 1   | 25,00
5    | b.csv | 5   | DEF | 31/01/2024 | X   | 1   | 25,00
"""


def test_what_is_sealed_beside_what_the_pull_refused_is_what_only_other_rows_tell(spark: SparkSession) -> None:
    rows = landed(
        spark,
        LINES,
        """
        _row | ORD | WHO | DAY        | ACT | QTY | EUR
        1    | 1   | ABC | 31/01/2024 | C   | 1   | 25,00
        2    | 1   | ABC | 31/01/2024 | C   | 1   | 25,00
        3    | 2   | ABC | 31/01/2024 | X   | 1   | 25,00
        4    | 2   | ABC | 31/01/2024 | X   | 1   | 25,00
        5    | 3   | DEF | 31/01/2024 | C   | 1   | 25,00
        6    | 3   | DEF | 30/01/2024 | C   | 1   | 25,00
        7    | 4   | DEF | 01/01/0001 | C   | 1   | 25,00
        8    | 4   | DEF | 31/01/2024 | C   | 1   | 25,00
        """,
    )
    apart = to_apart(rows, LINES)
    check(
        apart,
        """
        _row | _status     | _reason       | _said
        2    | duplicate   |               |
        3    | quarantined | code:ACT      | code:ACT
        4    | duplicate   |               | code:ACT
        5    | quarantined | conflict      |
        6    | quarantined | conflict      |
        7    | quarantined | too_early:DAY | too_early:DAY
        8    | quarantined | conflict      |
        """,
    )
    check(
        to_notes(apart),
        """
        _row | _reason
        2    |
        4    | duplicate
        5    | conflict
        6    | conflict
        8    | conflict
        """,
    )


def test_a_table_without_key_and_parent_sets_apart_what_breaks_the_contract(spark: SparkSession) -> None:
    alone = LINES.model_copy(update={"key": ()})
    check(
        to_apart(landed(spark, LINES, MIXED), alone),
        """
        _file | _row | _status     | _reason
        b.csv | 5    | quarantined | code:ACT
        """,
    )


def test_two_keys_that_share_a_hash_are_not_taken_for_one(spark: SparkSession) -> None:
    """A hash names suspects; where they differ, the keys themselves decide."""
    raw = landed(
        spark,
        LINES,
        """
        _row | ORD | WHO | DAY        | ACT | QTY
        1    | 1   | ABC | 31/01/2024 | C   | 1
        2    | 2   | ABC | 31/01/2024 | C   | 1
        3    | 2   | ABC | 31/01/2024 | C   | 1
        4    | 3   | ABC | 31/01/2024 | C   | 1
        5    | 3   | ABC | 31/01/2024 | V   | 1
        """,
    )
    check(
        to_staged(raw.withColumn("_key", F.lit(7)), LINES),
        """
        _row | ORD | _status     | _reason
        1    | 1   | kept        |
        2    | 2   | kept        |
        3    | 2   | duplicate   |
        4    | 3   | quarantined | conflict
        5    | 3   | quarantined | conflict
        """,
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_pull_and_the_stage_find_the_same(spark: SparkSession, seed: int) -> None:
    """Of a small table the pull finds what only other rows tell, of a large one the stage: by the same rules."""
    pick = random.Random(seed)
    lines = [(str(pick.randrange(9)), "ABC", "31/01/2024", pick.choice("CCCVX"), "1", "1,00", "") for _ in range(24)]
    details = [(str(pick.randrange(12)), pick.choice("12x")) for _ in range(24)]
    seen, frames = Seen({"line": LINES, "detail": DETAILS}), {}
    for name, contract, rows in (("line", LINES, lines), ("detail", DETAILS, details)):
        for file, of_file in (("b.csv", rows[:10]), ("a.csv", rows[10:])):
            made = typed(contract, of_file, FRENCH, MONTH).rows
            seen.see(name, file, made)
            frame = spark.createDataFrame(made.append_column("_file", pa.array([file] * made.num_rows)))
            frames[name] = frames[name].unionByName(frame) if name in frames else frame
    apart = {"line": to_apart(frames["line"], LINES)}
    apart["detail"] = to_apart(frames["detail"], DETAILS, only_going(frames["line"], apart["line"]))
    noted, ended = seen.ended()
    for name, found in apart.items():
        rows_apart = [tuple(r) for r in found.select(*APART).collect()]
        assert Counter((file, state, reason) for file, _, state, reason, _ in rows_apart) == ended[name]
        by_others = {r for r in rows_apart if r[4] is None or r[2] == "duplicate"}
        assert by_others == {tuple(r[c] for c in APART) for r in noted.to_pylist() if r["_table"] == name}
        assert by_others
