"""Evidence of several deliveries becomes one person, one period, at most one death, in whatever order it comes."""

# ruff: noqa: E501 - tables are as wide as they need to be

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.harmonise.bounds import with_possible_values
from jobs.harmonise.build import to_events, to_losses, to_person_tables
from jobs.harmonise.evidence import only_unattributable, resolve, with_dates
from jobs.harmonise.omop import PERSONS, made_from
from jobs.harmonise.stem import EVIDENCE, STEM
from schemas.loader import load_omop
from tests.spark.tables import check, shaped, shown

TODAY = date(2024, 6, 1)
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


TARGETS = "source_vocabulary string, source_code string, alone string, concept_id int, target_table string, "
TARGETS += "source_concept_id int, target_rank int"


def events(stem: DataFrame, evidence: DataFrame) -> DataFrame:
    """Every drug has two targets: it is still one event."""
    rows = [("CIP13", "1", "", concept, "drug_exposure", 0, rank) for rank, concept in enumerate((11, 12))]
    coded = stem.withColumns(
        {
            "source_vocabulary": F.when(F.col("kind") == "drug", F.lit("CIP13")),
            "source_code": F.when(F.col("kind") == "drug", F.lit("1")),
        }
    )
    return to_events(coded, stem.sparkSession.createDataFrame(rows, TARGETS), only_unattributable(evidence))


def named(frame: DataFrame) -> DataFrame:
    return frame.withColumn("who", F.col("person_key").cast("string"))


def test_one_person_from_several_sources(spark: SparkSession) -> None:
    evidence = shaped(spark, EVIDENCE, SEVERAL)
    check(
        named(resolve(evidence, TODAY)),
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
    tables = to_person_tables(resolve(shaped(spark, EVIDENCE, SEVERAL), TODAY))
    names = {t.name for t in made_from(PERSONS)}
    assert names == {"person", "observation_period", "death"}
    assert {t: tuple(frame.columns) for t, frame in tables.items()} == {t: load_omop(t).names for t in names}
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
    one = to_person_tables(resolve(evidence, TODAY))
    ordered = evidence.orderBy(F.desc("_period"), F.desc("_source")).repartition(3, "rank")
    other = to_person_tables(resolve(ordered, TODAY))
    for name in one:
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
        bob        | dcir    | 2024-01 | tale  | 2024-01-02 |
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
        bob | 2024-01 | 2024-01-02 | 2024-01-02
        """,
    )
    shared = evidence.withColumn("shared", F.col("_period") == "2024-02").withColumn("year_of_birth", F.lit(1950))
    check(
        to_losses(events(stem, shared), shared, shared, TODAY),
        """
        _source | _period | kind  | reason         | rows
        --------+---------+-------+----------------+-----
        dcir    | 2024-01 | visit | unattributable | 1
        dcir    | 2024-01 | drug  | unattributable | 1
        ville   | 2024-01 | visit | unattributable | 1
        ville   | 2024-01 | visit | no_evidence    | 1
        dcir    | 2024-01 | tale  | no_table       | 1
        """,
    )


BIRTHS = """
person_key | _source  | _period | rank | gender | year_of_birth | shared | death_date | death_type_concept_id | period_type_concept_id | first_date | last_date
-----------+----------+---------+------+--------+---------------+--------+------------+-----------------------+------------------------+------------+-----------
oldest     | dcir     | 2024-01 | 1    | 1      | 1890          | false  |            |                       | 32881                  | 2024-01-05 | 2024-01-05
too old    | dcir     | 2024-01 | 1    | 1      | 1850          | false  |            |                       | 32881                  | 2024-01-05 | 2024-01-05
newborn    | dcir     | 2024-01 | 1    | 1      | 2024          | false  |            |                       | 32881                  | 2024-01-05 | 2024-01-05
unborn     | dcir     | 2023-12 | 1    | 1      | 2024          | false  |            |                       | 32881                  | 2023-12-05 | 2023-12-05
mended     | dcir     | 2024-01 | 1    | 1      | 1066          | false  |            |                       | 32881                  | 2024-01-05 | 2024-01-05
mended     | ville    | 2024-01 | 2    | 1      | 1966          | false  |            |                       | 32882                  | 2024-01-05 | 2024-01-05
"""
DEATHS = """
person_key   | _source  | _period | rank | gender | year_of_birth | shared | death_date | death_type_concept_id | period_type_concept_id | first_date | last_date
-------------+----------+---------+------+--------+---------------+--------+------------+-----------------------+------------------------+------------+-----------
last century | dcir     | 2024-01 | 1    | 1      | 1950          | false  | 1999-12-31 | 32813                 | 32881                  | 2024-01-05 | 2024-01-05
first day    | dcir     | 2024-01 | 1    | 1      | 1950          | false  | 2000-01-01 | 32813                 | 32881                  | 2024-01-05 | 2024-01-05
before birth | dcir     | 2024-01 | 1    | 1      | 2010          | false  | 2009-12-31 | 32813                 | 32881                  | 2024-01-05 | 2024-01-05
known later  | dcir     | 2024-01 | 1    | 1      | 1950          | false  | 2024-06-01 | 32813                 | 32881                  | 2024-01-05 | 2024-01-05
not yet      | dcir     | 2024-01 | 1    | 1      | 1950          | false  | 2024-06-02 | 32813                 | 32881                  | 2024-01-05 | 2024-01-05
never        | dcir     | 2024-01 | 1    | 1      | 1950          | false  | 2099-12-31 | 32813                 | 32881                  | 2024-01-05 | 2024-01-05
hidden       | dcir     | 2024-01 | 1    | 1      | 1950          | false  | 1998-03-15 | 32813                 | 32881                  | 2024-01-05 | 2024-01-05
hidden       | pmsi_mco | 2024-01 | 3    | 1      | 1949          | false  | 2024-01-09 | 32812                 | 32881                  | 2024-01-05 | 2024-01-09
two births   | dcir     | 2024-01 | 1    | 1      | 2010          | false  |            |                       | 32881                  | 2024-01-05 | 2024-01-05
two births   | ville    | 2024-01 | 2    | 1      | 1950          | false  | 2005-01-01 | 32817                 | 32882                  | 2024-01-05 | 2024-01-05
"""


def test_a_year_of_birth_that_cannot_be_costs_the_person_unless_another_source_knows_better(
    spark: SparkSession,
) -> None:
    evidence = shaped(spark, EVIDENCE, BIRTHS)
    check(
        named(resolve(evidence, TODAY)),
        """
        who     | year_of_birth
        --------+--------------
        oldest  | 1890
        newborn | 2024
        mended  | 1966
        """,
    )
    check(
        named(only_unattributable(evidence)),
        """
        who     | reason
        --------+------------------
        too old | implausible_birth
        unborn  | implausible_birth
        """,
    )


def test_a_death_that_cannot_be_costs_the_date_and_neither_the_person_nor_another_source_s_date(
    spark: SparkSession,
) -> None:
    evidence = shaped(spark, EVIDENCE, DEATHS)
    resolved = resolve(evidence, TODAY)
    check(
        named(resolved),
        """
        who          | death_date | death_type_concept_id
        -------------+------------+----------------------
        last century |            |
        first day    | 2000-01-01 | 32813
        before birth |            |
        known later  | 2024-06-01 | 32813
        not yet      |            |
        never        |            |
        hidden       | 2024-01-09 | 32812
        two births   |            |
        """,
    )
    assert to_person_tables(resolved)["death"].count() == 3
    stem = shaped(spark, STEM, "person_key | _source | _period | kind\n-----------+---------+---------+-----")
    check(
        to_losses(events(stem, evidence), evidence, evidence, TODAY),
        """
        _source | _period | kind  | reason            | rows
        --------+---------+-------+-------------------+-----
        dcir    | 2024-01 | death | implausible_death | 5
        """,
    )


VALUES = """
person_key | _source | _period | kind      | natural_key | start_date | quantity | days_supply
-----------+---------+---------+-----------+-------------+------------+----------+------------
ann        | dcir    | 2024-01 | drug      | a           | 2024-01-01 | 0        | 1
ann        | dcir    | 2024-01 | drug      | b           | 2024-01-01 | 20000    | 366
ann        | dcir    | 2024-01 | drug      | c           | 2024-01-01 | 20001    | 367
ann        | dcir    | 2024-01 | drug      | d           | 2024-01-01 | -1       | 0
ann        | dcir    | 2024-01 | drug      | e           | 2024-01-01 |          | 2147483647
ann        | dcir    | 2024-01 | drug      | f           | 2024-01-01 |          |
ann        | dcir    | 2024-01 | procedure | g           | 2024-01-01 | 999      |
ann        | dcir    | 2024-01 | procedure | h           | 2024-01-01 | 1000     |
ann        | dcir    | 2024-01 | procedure | i           | 2024-01-01 | 0        |
too old    | dcir    | 2024-01 | drug      | j           | 2024-01-01 | -5       |
"""


def test_a_value_that_cannot_be_costs_the_value_and_is_counted(spark: SparkSession) -> None:
    stem = shaped(spark, STEM, VALUES)
    evidence = shaped(spark, EVIDENCE, BIRTHS.replace("oldest ", "ann    "))
    check(
        with_possible_values(stem),
        """
        natural_key | quantity | days_supply
        ------------+----------+------------
        a           | 0.0      | 1
        b           | 20000.0  | 366
        c           |          |
        d           |          |
        e           |          |
        f           |          |
        g           | 999.0    |
        h           |          |
        i           |          |
        j           |          |
        """,
    )
    check(
        to_losses(events(stem, evidence), evidence, evidence, TODAY),
        """
        _source | _period | kind      | reason                  | rows
        --------+---------+-----------+-------------------------+-----
        dcir    | 2024-01 | drug      | implausible_quantity    | 2
        dcir    | 2024-01 | drug      | implausible_days_supply | 3
        dcir    | 2024-01 | drug      | implausible_birth       | 1
        dcir    | 2024-01 | procedure | implausible_quantity    | 2
        """,
    )
