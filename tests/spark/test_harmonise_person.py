"""Evidence of several deliveries becomes one person, one period, at most one death, in whatever order it comes."""

# ruff: noqa: E501 - tables are as wide as they need to be

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.harmonise.build import PERSON_TABLES, to_losses, to_person_tables
from jobs.harmonise.evidence import only_unattributable, resolve, with_dates
from jobs.harmonise.stem import EVIDENCE, STEM
from schemas.loader import load_omop
from tests.spark.tables import check, shaped, shown

SEVERAL = """
person_key | _source  | _period | rank | gender | year_of_birth | month_of_birth | identity | shared | death_date | death_type_concept_id | period_type_concept_id | first_date | last_date
-----------+----------+---------+------+--------+---------------+----------------+----------+--------+------------+-----------------------+------------------------+------------+-----------
ann        | dcir     | 2024-01 | 1    | 2      | 1950          | 3              | i-ann    | false  |            |                       | 32881                  | 2024-01-05 | 2024-01-20
ann        | dcir     | 2024-02 | 1    | 2      | 1951          | 4              | i-ann    | false  |            |                       | 32881                  | 2024-02-01 | 2024-02-02
ann        | ville    | 2024-03 | 2    | 1      | 1960          | 1              |          | false  |            |                       | 32882                  | 2024-03-09 | 2024-03-09
bob        | pmsi_mco | 2024-01 | 3    | 1      | 1980          |                |          | false  | 2024-01-31 | 32812                 | 32881                  | 2024-01-10 | 2024-01-31
bob        | dcir     | 2024-01 | 1    | 0      | 1979          | 12             | i-bob    | false  | 2024-01-30 | 32813                 | 32881                  | 2024-01-02 | 2024-01-03
cam        | ville    | 2024-01 | 2    | 0      | 2000          | 7              |          | false  | 2024-01-01 | 32817                 | 32882                  | 2024-01-08 | 2024-01-08
dan        | dcir     | 2024-01 | 1    | 1      | 2015          | 5              | i-dan    | true   |            |                       | 32881                  | 2024-01-08 | 2024-01-08
dan        | ville    | 2024-02 | 2    | 1      | 2015          | 5              |          | false  |            |                       | 32882                  | 2024-02-08 | 2024-02-08
eve        | dcir     | 2024-01 | 1    | 2      | 2016          | 5              | i-eve    | false  |            |                       | 32881                  | 2024-01-08 | 2024-01-08
eve        | dcir     | 2024-02 | 1    | 2      | 2016          | 5              | i-eva    | false  |            |                       | 32881                  | 2024-02-08 | 2024-02-08
fay        | dcir     | 2024-01 | 1    | 2      | 1990          | 5              | i-fay    | false  |            |                       | 32881                  |            |
"""


def named(frame: DataFrame) -> DataFrame:
    return frame.withColumn("who", F.col("person_key").cast("string"))


def test_one_person_from_several_sources(spark: SparkSession) -> None:
    evidence = shaped(spark, EVIDENCE, SEVERAL)
    check(
        named(resolve(evidence)),
        """
        who | gender | year_of_birth | month_of_birth | death_date | death_type_concept_id | first_date | last_date  | period_type_concept_id
        ----+--------+---------------+----------------+------------+-----------------------+------------+------------+-----------------------
        ann | 2      | 1951          | 4              |            |                       | 2024-01-05 | 2024-03-09 | 32880
        bob | 1      | 1979          | 12             | 2024-01-30 | 32813                 | 2024-01-02 | 2024-01-31 | 32881
        cam | 0      | 2000          | 7              | 2024-01-01 | 32817                 | 2024-01-08 | 2024-01-08 | 32882
        """,
    )
    check(
        named(only_unattributable(evidence)),
        """
        who
        ---
        dan
        eve
        """,
    )


def test_person_tables_have_the_columns_of_the_cdm(spark: SparkSession) -> None:
    tables = to_person_tables(shaped(spark, EVIDENCE, SEVERAL))
    assert {t: tuple(tables[t].columns) for t in PERSON_TABLES} == {t: load_omop(t).names for t in PERSON_TABLES}
    check(
        tables["person"],
        """
        gender_concept_id | year_of_birth | month_of_birth | day_of_birth | race_concept_id | ethnicity_concept_id | person_source_value | gender_source_value | gender_source_concept_id | location_id
        ------------------+---------------+----------------+--------------+-----------------+----------------------+---------------------+---------------------+--------------------------+------------
        8532              | 1951          | 4              |              | 0               | 0                    |                     | 2                   | 0                        |
        8507              | 1979          | 12             |              | 0               | 0                    |                     | 1                   | 0                        |
        0                 | 2000          | 7              |              | 0               | 0                    |                     | 0                   | 0                        |
        """,
    )
    check(
        tables["observation_period"],
        """
        observation_period_start_date | observation_period_end_date | period_type_concept_id
        ------------------------------+-----------------------------+-----------------------
        2024-01-05                    | 2024-03-09                  | 32880
        2024-01-02                    | 2024-01-30                  | 32881
        2024-01-01                    | 2024-01-01                  | 32882
        """,
    )
    check(
        tables["death"],
        """
        death_date | death_datetime      | death_type_concept_id | cause_concept_id | cause_source_concept_id
        -----------+---------------------+-----------------------+------------------+------------------------
        2024-01-30 | 2024-01-30 00:00:00 | 32813                 |                  | 0
        2024-01-01 | 2024-01-01 00:00:00 | 32817                 |                  | 0
        """,
    )


def test_order_of_deliveries_plays_no_part(spark: SparkSession) -> None:
    evidence = shaped(spark, EVIDENCE, SEVERAL)
    one = to_person_tables(evidence)
    other = to_person_tables(evidence.orderBy(F.desc("_period"), F.desc("_source")).repartition(3, "rank"))
    for name in PERSON_TABLES:
        assert shown(one[name], one[name].columns) == shown(other[name], one[name].columns)


def test_dates_come_from_the_delivery_s_own_events(spark: SparkSession) -> None:
    evidence = shaped(
        spark,
        EVIDENCE,
        """
        person_key | _source | _period
        -----------+---------+--------
        ann        | dcir    | 2024-01
        ann        | dcir    | 2024-02
        bob        | dcir    | 2024-01
        """,
        shared=False,
    )
    stem = shaped(
        spark,
        STEM,
        """
        person_key | _source | _period | kind  | start_date | end_date
        -----------+---------+---------+-------+------------+-----------
        ann        | dcir    | 2024-01 | visit | 2024-01-04 | 2024-01-09
        ann        | dcir    | 2024-01 | drug  | 2024-01-03 | 2024-12-31
        ann        | ville   | 2024-01 | visit | 2024-01-01 | 2024-01-01
        zoe        | ville   | 2024-01 | visit | 2024-01-01 | 2024-01-01
        """,
    )
    dated = with_dates(evidence, stem)
    assert dated.columns == evidence.columns
    check(
        named(dated),
        """
        who | _period | first_date | last_date
        ----+---------+------------+-----------
        ann | 2024-01 | 2024-01-03 | 2024-01-09
        ann | 2024-02 |            |
        bob | 2024-01 |            |
        """,
    )
    check(
        to_losses(stem, evidence.withColumn("shared", F.col("_period") == "2024-02")),
        """
        _source | _period | kind  | reason         | rows
        --------+---------+-------+----------------+-----
        dcir    | 2024-01 | visit | unattributable | 1
        dcir    | 2024-01 | drug  | unattributable | 1
        ville   | 2024-01 | visit | unattributable | 1
        ville   | 2024-01 | visit | no_evidence    | 1
        """,
    )
