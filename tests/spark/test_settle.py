"""Reversals: what settles lines of one act and their details, on tables that a steward can read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.harmonise.settle import Settled, act_columns, settle, to_all_acts, to_words
from jobs.harmonise.stem import LEFT_OUT, PERIOD
from jobs.lake.staged import StagedTable
from schemas.loader import Table, spark_type
from tests.spark.tables import check, table
from tests.unit.typing_kit import DETAILS, TEXT, column

MONTH = "2024-01"


LINES = Table.model_validate(
    {
        "table": "line",
        "title": TEXT,
        "row": TEXT,
        "key": ["ORD"],
        "settle": {"group": ["WHO", "DAY", "ACT"], "quantity": "QTY", "sums": ["EUR"]},
        "column": [
            column("ORD", type="integer", required=True),
            column("WHO"),
            column("DAY", type="date"),
            column("ACT"),
            column("QTY", type="decimal", precision=6, scale=2),
            column("EUR", type="decimal", precision=6, scale=2),
        ],
    }
)
OTHERS = Table.model_validate({"table": "other", "title": TEXT, "row": TEXT, "column": [column("CODE")]})
CONTRACTS = {t.table: t for t in (LINES, DETAILS, OTHERS)}


def published(spark: SparkSession, contract: Table, text: str) -> DataFrame:
    kinds = {c.name: spark_type(c) for c in contract.columns} | {"_file": "string", "_row": "bigint", PERIOD: "string"}
    return table(spark, text, kinds).fillna({"_file": "a.csv", PERIOD: MONTH})


def settled(spark: SparkSession, lines: str, details: str = "ORD | NUM") -> dict[str, Settled]:
    tables = {"line": published(spark, LINES, lines), "detail": published(spark, DETAILS, details)}
    return all_settled(tables | {"other": published(spark, OTHERS, "CODE\nA")})


def all_settled(tables: Mapping[str, DataFrame]) -> dict[str, Settled]:
    contracts = {name: CONTRACTS[name] for name in tables}
    return settle(tables, contracts, to_all_acts(tables, contracts))


def left_out(one: Settled) -> dict[str, int]:
    assert one.left_out is not None
    return {r[LEFT_OUT]: r["count"] for r in one.left_out.groupBy(LEFT_OUT).count().collect()}


ACTS = """
ORD | WHO | DAY        | ACT | QTY | EUR    | _row
1   | ABC | 2024-01-31 | C   | 1   | 25.00  | 1
2   | ABC | 2024-01-31 | C   | -1  | -25.00 | 2
3   | ABC | 2024-01-31 | V   | 2   | 40.00  | 3
4   | ABC | 2024-01-31 | V   | -2  | -40.00 | 4
5   | ABC | 2024-01-31 | V   | 1   | 20.00  | 5
6   | DEF | 2024-01-31 | C   | 1   | 25.00  | 6
7   | DEF | 2024-01-31 | C   | 1   | 25.00  | 7
8   | DEF |            | C   | -1  | -25.00 | 8
9   | GHI | 2024-01-31 | V   | 3   | 60.00  | 9
10  | GHI | 2024-01-31 | V   | -1  | -20.00 | 10
"""


def test_a_line_and_the_one_that_cancels_it_go_what_remains_of_an_act_stays_with_its_sums(spark: SparkSession) -> None:
    lines = settled(spark, ACTS)["line"]
    check(
        lines.stay,
        """
        ORD | QTY  | EUR
        5   | 1.00 | 20.00
        6   | 1.00 | 25.00
        7   | 1.00 | 25.00
        9   | 2.00 | 40.00
        """,
    )
    assert lines.stay.columns == [c.name for c in LINES.columns] + ["_file", "_row", PERIOD]
    assert dict(lines.stay.dtypes)["EUR"] == "decimal(6,2)"
    assert left_out(lines) == {"settled": 6}


def test_details_go_with_their_line(spark: SparkSession) -> None:
    details = """
    ORD | NUM
    1   | 1
    1   | 2
    2   | 1
    5   | 1
    6   | 1
    9   | 1
    10  | 1
    """
    both = settled(spark, ACTS, details)
    check(
        both["detail"].stay,
        """
        ORD | NUM
        5   | 1
        6   | 1
        9   | 1
        """,
    )
    assert left_out(both["detail"]) == {"settled": 4}


def test_a_table_that_nothing_settles_is_left_as_it_is(spark: SparkSession) -> None:
    other = settled(spark, ACTS)["other"]
    assert other.left_out is None
    check(other.stay, "CODE\nA")


def test_acts_are_of_the_columns_that_they_are_written_with(spark: SparkSession) -> None:
    acts = to_all_acts({"line": published(spark, LINES, ACTS)}, CONTRACTS)
    assert dict(acts["line"].dtypes) == act_columns(LINES)
    assert acts["line"].count() == 8  # of the four acts that have a line of negative quantity


def test_acts_are_counted_when_they_are_written_also_when_there_is_none(spark: SparkSession, tmp_path: Path) -> None:
    for number, (lines, rows) in enumerate(((ACTS, 8), (ACTS.replace("| -", "| "), 0))):
        acts = to_all_acts({"line": published(spark, LINES, lines)}, CONTRACTS)["line"]
        staged = StagedTable(tmp_path / str(number), act_columns(LINES))
        assert staged.write(acts) == rows == staged.read(spark).count()


def test_without_an_act_lines_and_details_are_left_as_they_are(spark: SparkSession) -> None:
    """A source whose lines cancel nothing has no acts: no table is looked through for them."""
    tables = {"line": published(spark, LINES, ACTS), "detail": published(spark, DETAILS, "ORD | NUM\n1   | 1")}
    both = settle(tables, CONTRACTS, {})
    assert {t: (one.stay is tables[t], one.left_out) for t, one in both.items()} == dict.fromkeys(tables, (True, None))


def test_where_no_line_cancels_nothing_is_summed(spark: SparkSession) -> None:
    lines = """
    ORD | WHO | QTY     | EUR
    1   | JKL | 9000.00 | 9000.00
    2   | JKL | 9000.00 | 9000.00
    3   | JKL |         |
    4   | JKL | 0       | 1.00
    """
    one = settled(spark, lines)["line"]
    check(one.stay, lines.replace("| 0  ", "| 0.00"))
    assert left_out(one) == {}


def test_several_lines_leave_the_last_positive_one_whatever_comes_after_it(spark: SparkSession) -> None:
    """By line, then by file: what stays, and so its id, does not depend on the order in which rows are read."""
    lines = """
    ORD | WHO | QTY   | EUR   | _file | _row
    1   | ABC | 1.00  | 5.00  | a.csv | 1
    2   | ABC | 2.00  | 10.00 | b.csv | 7
    3   | ABC | 1.00  | 5.00  | a.csv | 7
    4   | ABC | -1.00 | -5.00 | a.csv | 9
    5   | ABC |       |       | a.csv | 11
    6   | ABC | 0.00  | 1.00  | a.csv | 12
    """
    tables = {"line": published(spark, LINES, lines)}
    for order in (F.col("_row"), F.col("_row").desc()):
        one = all_settled({"line": tables["line"].orderBy(order)})["line"]
        check(
            one.stay,
            """
            ORD | QTY  | EUR
            2   | 3.00 | 16.00
            """,
        )
        assert left_out(one) == {"settled": 5}


def test_months_are_settled_apart(spark: SparkSession) -> None:
    lines = """
    ORD | WHO | QTY | EUR    | _row | _period
    1   | ABC | 1   | 25.00  | 1    | 2024-01
    2   | ABC | -1  | -25.00 | 1    | 2024-02
    3   | ABC | 2   | 50.00  | 2    | 2024-02
    """
    tables = {"line": published(spark, LINES, lines)}
    whole = all_settled(tables)["line"]
    check(
        whole.stay,
        """
        ORD | QTY  | EUR   | _period
        1   | 1.00 | 25.00 | 2024-01
        3   | 1.00 | 25.00 | 2024-02
        """,
    )
    by_month = [
        all_settled({"line": tables["line"].where(F.col(PERIOD) == m)})["line"].stay for m in ("2024-02", "2024-01")
    ]
    together = reduce(DataFrame.unionByName, by_month)
    assert sorted(together.collect()) == sorted(whole.stay.collect())


BEYOND = """
ORD | WHO | QTY     | EUR     | _row
1   | ABC | 9000.00 | 1.00    | 1
2   | ABC | 9000.00 | 1.00    | 2
3   | ABC | -1.00   |         | 3
4   | DEF | 2.00    | 9000.00 | 4
5   | DEF | 2.00    | 9000.00 | 5
6   | DEF | -1.00   | 0.00    | 6
7   | GHI | 2.00    | 9000.00 | 7
8   | GHI | -2.00   | 9000.00 | 8
9   | MNO | 2.00    |         | 9
10  | MNO | -1.00   |         | 10
"""


def test_an_act_whose_sum_no_column_can_hold_is_left_out_with_its_details_and_stops_nothing(
    spark: SparkSession,
) -> None:
    details = """
    ORD | NUM
    1   | 1
    3   | 1
    6   | 1
    8   | 1
    9   | 1
    """
    both = settled(spark, BEYOND, details)
    check(
        both["line"].stay,
        """
        ORD | QTY  | EUR
        9   | 1.00 |
        """,
    )
    assert left_out(both["line"]) == {"overflow:QTY": 3, "overflow:EUR": 3, "settled": 3}
    assert left_out(both["detail"]) == {"overflow:QTY": 2, "overflow:EUR": 1, "settled": 1}
    check(both["detail"].stay, "ORD | NUM\n9 | 1")


def test_every_reason_has_its_words_in_both_languages() -> None:
    words = to_words(CONTRACTS)
    reasons = ("settled", "overflow:QTY", "overflow:EUR")
    assert set(words) == {f"{t}/{reason}" for t in ("line", "detail") for reason in reasons}
    assert all(why.fr and why.en and why.fr != why.en for why in words.values())
