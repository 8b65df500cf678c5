"""The stage of one table: casts, reason codes, copies and orphans, on tables that a steward can read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.staged import StagedTable
from jobs.rows.counted import content_of, content_sum, state_counters, state_counts
from jobs.rows.exceptions import PLACE, to_exceptions
from jobs.rows.found import to_found
from jobs.rows.pseudonymised import pseudonymised
from jobs.rows.state import with_state
from jobs.steps.stage import write_counted
from schemas.loader import Csv, Table
from tests.spark.tables import cells, check
from tests.unit.typing_kit import FRENCH, TEXT, column, typed

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
DETAILS = Table.model_validate(
    {
        "table": "detail",
        "title": TEXT,
        "row": TEXT,
        "key": ["ORD", "NUM"],
        "parent": {"table": "line", "columns": ["ORD"]},
        "column": [column("ORD", type="integer", required=True), column("NUM", type="integer", required=True)],
    }
)


def landed(spark: SparkSession, contract: Table, text: str, csv: Csv = FRENCH) -> DataFrame:
    """Rows as a pull lands them and as the stage takes them up, from the texts that a contributor sent."""
    header, rows = cells(text)
    sent = [dict(zip(header, row, strict=True)) for row in rows]
    made = typed(contract, [tuple(row.get(name) for name in contract.names) for row in sent], csv, MONTH).rows
    made = made.set_column(made.column_names.index("_row"), "_row", pa.array([int(row["_row"]) for row in sent]))
    made = made.append_column("_file", pa.array([row.get("_file", "a.csv") for row in sent]))
    return pseudonymised(spark.createDataFrame(made), contract)


def to_staged(rows: DataFrame, contract: Table, parent: DataFrame | None) -> DataFrame:
    return with_state(rows.join(to_exceptions(rows, contract, parent), list(PLACE), "left"), contract)


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
    staged = to_staged(raw, LINES, None)
    assert "NOTE" not in staged.columns
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
        to_staged(raw, LINES, None),
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
    staged = to_staged(raw, LINES, None)
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
        to_staged(details, DETAILS, staged),
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


def test_a_table_is_counted_as_its_rows_end_although_it_was_counted_while_they_were_written(
    spark: SparkSession, tmp_path: Path
) -> None:
    files, kept = ["a.csv", "b.csv"], F.col("_status") == "kept"
    aggregates = [content_sum(F.when(kept, F.col("_content"))), *state_counters(files)]
    staged = StagedTable(tmp_path / "line", LINES)
    alone = with_state(landed(spark, LINES, MIXED), LINES)
    counted = write_counted(staged, alone, LINES, None, aggregates)
    check(
        staged.read(spark),
        """
        _file | _row | QTY | EUR    | _status     | _reason
        a.csv | 1    | 1   | 25.00  | kept        |
        a.csv | 2    | 1   | 25.00  | duplicate   |
        b.csv | 1    | 3   | 60.00  | kept        |
        b.csv | 2    | -1  | -20.00 | kept        |
        b.csv | 3    | 1   | 25.00  | quarantined | conflict
        b.csv | 4    | 1   | 25.00  | quarantined | conflict
        b.csv | 5    | 1   | 25.00  | quarantined | code:ACT
        """,
    )
    assert {of: rows for of, rows in state_counts(files, counted).items() if rows} == {
        ("a.csv", "kept"): 1,
        ("a.csv", "duplicate"): 1,
        ("b.csv", "kept"): 2,
        ("b.csv", "quarantined"): 3,
    }
    assert counted == staged.read(spark).agg(*aggregates).collect()[0].asDict()
    names = [c.name for c in LINES.lake_columns]
    of_lake = staged.read_kept(spark).agg(content_sum(F.xxhash64(*names))).collect()[0][0]
    assert content_of(3, counted) == f"3:{of_lake}"


def test_what_is_sealed_beside_what_the_pull_refused_is_what_only_other_rows_tell(
    spark: SparkSession, tmp_path: Path
) -> None:
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
    staged = StagedTable(tmp_path / "line", LINES)
    kept = F.when(F.col("_status") == "kept", F.col("_content"))
    write_counted(staged, with_state(rows, LINES), LINES, None, [content_sum(kept)])
    check(
        to_found(staged.read_few(spark), LINES),
        """
        _row | _reason
        4    | duplicate
        5    | conflict
        6    | conflict
        8    | conflict
        """,
    )


def test_a_table_that_no_row_of_which_depends_on_another_has_no_exceptions(tmp_path: Path) -> None:
    alone = LINES.model_copy(update={"key": ()})
    kinds = {"key": LINES, "parent": DETAILS, "neither": alone, "of a build": None}
    assert {k: StagedTable(tmp_path, c).has_exceptions for k, c in kinds.items()} == {
        "key": True,
        "parent": True,
        "neither": False,
        "of a build": False,
    }


def test_a_pseudonym_is_keyed_and_depends_on_its_domain(spark: SparkSession) -> None:
    import hashlib

    one, other, again = spark.sql(
        "SELECT hub_pseudonym('person', 'ABC'), hub_pseudonym('practitioner', 'ABC'), hub_pseudonym('person', 'ABC')"
    ).collect()[0]
    assert one == again != other
    assert len(one) == 32
    assert bytes(one) not in {hashlib.sha256(text).digest() for text in (b"ABC", b"hub/p2/v1\0person\0ABC")}
