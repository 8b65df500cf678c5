"""Hospital stays: filters, visits, diagnoses, acts, persons; by slices or all at once."""

# ruff: noqa: E501 - tables are as wide as they need to be

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.harmonise.stem import STEM
from jobs.sources.harmonisable import to_harmonisable
from tests.spark.tables import books, check, check_books, shown, source

STAYS = """
ETA_NUM   | RSA_NUM | GRG_GHM | SEJ_TYP | SEJ_NBJ | DGN_PAL | DGN_REL | AGE_ANN | AGE_JOU | COD_SEX | SOR_MOD | SOR_ANN | _period
----------+---------+---------+---------+---------+---------+---------+---------+---------+---------+---------+---------+--------
010000001 | 1       | 05M092  | A       | 4       | I509    | I10     | 73      |         | 2       | 8       | 2024    | 2024-01
010000001 | 2       | 02C05J  |         | 0       | H25.9   |         | 64      |         | 3       | 8       | 2024    | 2024-01
010000001 | 3       | 28Z04Z  | A       |         | Z491    | N185    | 50      |         | 1       |         | 2024    | 2024-01
010000001 | 4       |         | A       | 6       | J189    |         |         | 20      | 1       | 9       | 2024    | 2024-01
010000001 | 5       | 90Z00Z  | A       | 1       | I10     |         | 50      |         | 1       | 8       | 2024    | 2024-01
010000001 | 6       | 05M092  | B       | 1       | I10     |         | 50      |         | 1       | 8       | 2024    | 2024-01
750100042 | 7       | 05M092  | A       | 1       | I10     |         | 50      |         | 1       | 8       | 2017    | 2024-01
750100042 | 8       | 05M092  | A       | 1       | I10     |         | 50      |         | 1       | 8       | 2024    | 2024-01
010000001 | 9       | 05M092  | A       | 1       | I10     |         | 50      |         | 1       | 8       | 2024    | 2024-01
010000001 | 10      | 05M092  | A       | 1       | I10     |         | 50      |         | 1       | 8       | 2024    | 2024-01
010000001 | 11      | 05M092  | A       | 1       | I10     |         | 50      |         | 1       | 8       | 2024    | 2024-01
010000001 | 12      | 05M092  | A       | 1       | I10     |         |         |         | 1       | 8       | 2024    | 2024-01
010000001 | 13      | 05M092  | A       | 1       | I10     |         | 50      |         | 1       | 8       | 2024    | 2024-01
010000001 | 14      | 05M092  | A       | 1       | I10     |         | 50      |         | 1       | 8       | 2023    | 2024-01
010000001 | 1       | 05M092  | A       | 2       | I509    |         | 74      |         | 2       | 8       | 2024    | 2024-02
"""
LINKS = """
ETA_NUM   | RSA_NUM | NIR_ANO_17 | NIR_RET | NAI_RET | SEX_RET | COH_SEX_RET | EXE_SOI_DTD | EXE_SOI_DTF | _period
----------+---------+------------+---------+---------+---------+-------------+-------------+-------------+--------
010000001 | 1       | ann        | 0       | 0       | 0       | 0           | 2024-01-05  | 2024-01-09  | 2024-01
010000001 | 2       | bob        | 0       | 0       | 0       |             | 2024-01-05  | 2024-01-05  | 2024-01
010000001 | 3       | cam        | 0       | 0       | 0       | 0           | 2024-01-02  | 2024-01-30  | 2024-01
010000001 | 4       | dan        | 0       | 0       | 0       | 0           | 2024-01-10  |             | 2024-01
010000001 | 5       | ann        | 0       | 0       | 0       | 0           | 2024-01-05  | 2024-01-06  | 2024-01
010000001 | 6       | ann        | 0       | 0       | 0       | 0           | 2024-01-05  | 2024-01-06  | 2024-01
750100042 | 7       | ann        | 0       | 0       | 0       | 0           | 2024-01-05  | 2024-01-06  | 2024-01
750100042 | 8       | eve        | 0       | 0       | 0       | 0           | 2024-01-05  | 2024-01-06  | 2024-01
010000001 | 9       | ann        | 0       | 3       |         | 0           | 2024-01-05  | 2024-01-06  | 2024-01
010000001 | 10      |            | 0       | 0       | 0       | 0           | 2024-01-05  | 2024-01-06  | 2024-01
010000001 | 12      | ann        | 0       | 0       | 0       | 0           | 2024-01-05  | 2024-01-06  | 2024-01
010000001 | 13      | ann        | 0       | 0       | 0       | 0           | 1999-12-31  | 2024-01-06  | 2024-01
010000001 | 1       | ann        | 0       | 0       | 0       | 0           | 2024-01-31  | 2024-02-02  | 2024-02
"""
ASSOCIATED = """
ETA_NUM   | RSA_NUM | DGN_ASS_NUM | ASS_DGN | _period
----------+---------+-------------+---------+--------
010000001 | 1       | 1           | I509    | 2024-01
010000001 | 1       | 2           | E119    | 2024-01
010000001 | 1       | 3           | E119    | 2024-01
010000001 | 1       | 4           | I10     | 2024-01
010000001 | 5       | 1           | E119    | 2024-01
010000001 | 1       | 1           | E119    | 2024-02
"""
ACTS = """
ETA_NUM   | RSA_NUM | ENT_DAT_DEL | CDC_ACT | PHA_ACT | ACV_ACT | NBR_EXE_ACT | _period
----------+---------+-------------+---------+---------+---------+-------------+--------
010000001 | 1       | 0           | DEQP003 | 0       | 1       | 2           | 2024-01
010000001 | 1       | 3           | DEQP003 | 0       | 1       |             | 2024-01
010000001 | 1       | 3           | NFKA007 | 2       | 1       | 1           | 2024-01
010000001 | 9       | 0           | NFKA007 | 0       | 1       | 1           | 2024-01
010000001 | 1       | 40          | NFKA007 | 0       | 1       | 1           | 2024-01
010000001 | 1       | -1          | NFKA007 | 0       | 1       | 1           | 2024-01
"""


@pytest.fixture(scope="module")
def tables(spark: SparkSession) -> dict[str, DataFrame]:
    given = {"t_mcoaab": STAYS, "t_mcoaac": LINKS, "t_mcoaad": ASSOCIATED, "t_mcoaaa": ACTS}
    return {name: source(spark, f"pmsi_mco/{name}", text) for name, text in given.items()}


@pytest.fixture(scope="module")
def stem(tables: dict[str, DataFrame]) -> DataFrame:
    return named(to_harmonisable("pmsi_mco", tables).stem).cache()


def named(frame: DataFrame) -> DataFrame:
    return frame.withColumn("who", F.col("person_key").cast("string"))


def test_rows_that_stay_and_rows_left_out_by_reason_are_all_rows(tables: dict[str, DataFrame]) -> None:
    """The list of duplicated hospitals holds for 2005-2017: the same number sends good stays today."""
    check_books(
        books("pmsi_mco", tables),
        """
        table             | period  | rows | stay | left out
        ------------------+---------+------+------+---------
        pmsi_mco/t_mcoaab | 2024-01 | 14   | 5    | 1 duplicate_finess, 1 implausible_date, 1 no_age, 1 no_link, 1 other_month, 1 return_code, 1 service_for_another_hospital, 1 ungrouped, 1 unknown_person
        pmsi_mco/t_mcoaab | 2024-02 | 1    | 1    |
        pmsi_mco/t_mcoaac | 2024-01 | 12   | 12   |
        pmsi_mco/t_mcoaac | 2024-02 | 1    | 1    |
        pmsi_mco/t_mcoaad | 2024-01 | 5    | 4    | 1 stay_left_out
        pmsi_mco/t_mcoaad | 2024-02 | 1    | 1    |
        pmsi_mco/t_mcoaaa | 2024-01 | 6    | 2    | 2 implausible_date, 1 partial_phase, 1 stay_left_out
        """,
    )


def test_stays_diagnoses_and_acts(stem: DataFrame) -> None:
    check(
        stem.where("kind = 'visit'"),
        """
        who | start_date | end_date   | source_code | source_vocabulary | type_concept_id | _period
        ----+------------+------------+-------------+-------------------+-----------------+--------
        ann | 2024-01-05 | 2024-01-09 | stay        | MCO_STAY          | 32855           | 2024-01
        bob | 2024-01-05 | 2024-01-05 | day         | MCO_STAY          | 32855           | 2024-01
        cam | 2024-01-02 | 2024-01-02 | day         | MCO_STAY          | 32855           | 2024-01
        dan | 2024-01-10 | 2024-01-16 | stay        | MCO_STAY          | 32855           | 2024-01
        eve | 2024-01-05 | 2024-01-06 | stay        | MCO_STAY          | 32855           | 2024-01
        ann | 2024-01-31 | 2024-02-02 | stay        | MCO_STAY          | 32855           | 2024-02
        """,
    )
    check(
        stem.where("kind = 'condition' and person_key <> cast('eve' as binary)"),
        """
        who | start_date | source_code | qualifier | status_concept_id | type_concept_id | source_vocabulary | _period
        ----+------------+-------------+-----------+-------------------+-----------------+-------------------+--------
        ann | 2024-01-05 | I509        | DP        | 32902             | 32855           | CIM10             | 2024-01
        ann | 2024-01-05 | I10         | DR        | 32908             | 32855           | CIM10             | 2024-01
        ann | 2024-01-05 | E119        | DAS       | 32908             | 32854           | CIM10             | 2024-01
        bob | 2024-01-05 | H259        | DP        | 32902             | 32855           | CIM10             | 2024-01
        cam | 2024-01-02 | Z491        | DP        | 32902             | 32855           | CIM10             | 2024-01
        cam | 2024-01-02 | N185        | DR        | 32908             | 32855           | CIM10             | 2024-01
        dan | 2024-01-10 | J189        | DP        | 32902             | 32855           | CIM10             | 2024-01
        ann | 2024-01-31 | I509        | DP        | 32902             | 32855           | CIM10             | 2024-02
        ann | 2024-01-31 | E119        | DAS       | 32908             | 32854           | CIM10             | 2024-02
        """,
    )
    check(
        stem.where("kind = 'procedure'"),
        """
        who | start_date | source_code | qualifier | quantity | type_concept_id
        ----+------------+-------------+-----------+----------+----------------
        ann | 2024-01-05 | DEQP003     | 1/0       | 2.0      | 32854
        ann | 2024-01-08 | DEQP003     | 1/0       |          | 32854
        """,
    )
    keys = [tuple(r) for r in stem.select("kind", "natural_key", "visit_key").collect()]
    assert len({k[:2] for k in keys}) == len(keys)
    assert {visit for _, _, visit in keys if visit} <= {key for kind, key, _ in keys if kind == "visit"}


def test_persons(tables: dict[str, DataFrame]) -> None:
    check(
        named(to_harmonisable("pmsi_mco", tables).evidence),
        """
        who | _period | gender | year_of_birth | month_of_birth | death_date | death_type_concept_id | rank | identity | shared
        ----+---------+--------+---------------+----------------+------------+-----------------------+------+----------+-------
        ann | 2024-01 | 2      | 1951          |                |            |                       | 3    |          | false
        ann | 2024-02 | 2      | 1950          |                |            |                       | 3    |          | false
        bob | 2024-01 | 0      | 1960          |                |            |                       | 3    |          | false
        cam | 2024-01 | 1      | 1974          |                |            |                       | 3    |          | false
        dan | 2024-01 | 1      | 2023          |                | 2024-01-16 | 32812                 | 3    |          | false
        eve | 2024-01 | 1      | 1974          |                |            |                       | 3    |          | false
        """,
    )


def test_slice_by_slice_or_all_at_once_is_the_same(tables: dict[str, DataFrame], stem: DataFrame) -> None:
    """RSA numbers start again every month: slices never meet."""
    january, february = (
        to_harmonisable("pmsi_mco", {n: t.where(F.col("_period") == p) for n, t in tables.items()}).stem
        for p in ("2024-01", "2024-02")
    )
    columns = ["_period", *[name for name in STEM.names if name != "person_key"]]
    assert shown(february.unionByName(january), columns) == shown(stem, columns)
