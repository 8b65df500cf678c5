"""City medicine: filters, encounters, problems, prescriptions, persons; by slices or all at once."""

# ruff: noqa: E501 - tables are as wide as they need to be

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.harmonise.stem import STEM
from jobs.sources.harmonisable import to_harmonisable
from tests.spark.tables import books, check, check_books, shown, source

PATIENTS = """
practice_id | patient_local_id | patient_pseudonym | identity_status | birth_date | sex | deceased_date | opposition | _period
------------+------------------+-------------------+-----------------+------------+-----+---------------+------------+--------
A           | 1                | ann               | ok              | 1950-03-07 | F   |               | 0          | 2024-01
B           | 9                | ann               | ok              | 1950-03-08 | 2   |               | 0          | 2024-01
A           | 2                | bob               | ok              | 1990-12-31 |     | 2024-01-30    | 0          | 2024-01
A           | 3                |                   | nir_missing     | 1990-12-31 | M   |               | 0          | 2024-01
A           | 4                | cam               | ok              | 1970-01-01 | M   |               | 0          | 2024-01
B           | 4                | cam               | ok              | 1970-01-01 | M   |               | 1          | 2024-01
A           | 5                | dan               | ok              |            | M   |               | 0          | 2024-01
A           | 1                | ann               | ok              | 1950-03-07 | F   |               | 0          | 2024-02
"""
ENCOUNTERS = """
practice_id | encounter_id | patient_local_id | date_time           | type            | _period
------------+--------------+------------------+---------------------+-----------------+--------
A           | e1           | 1                | 2024-01-05T23:30:00 | cabinet         | 2024-01
B           | e1           | 9                | 2024-01-06T09:00:00 | visite          | 2024-01
A           | e2           | 2                | 2024-01-07T09:00:00 | teleconsultation| 2024-01
A           | e3           | 3                | 2024-01-08T09:00:00 | cabinet         | 2024-01
A           | e4           | 4                | 2024-01-08T09:00:00 | cabinet         | 2024-01
A           | e5           | 5                | 2024-01-08T09:00:00 | cabinet         | 2024-01
A           | e6           | 77               | 2024-01-08T09:00:00 | cabinet         | 2024-01
A           | e1           | 1                | 2024-01-05T23:30:00 | cabinet         | 2024-02
A           | e7           | 1                | 2024-02-29T09:00:00 | cabinet         | 2024-02
"""
PROBLEMS = """
practice_id | encounter_id | problem_rank | code   | code_system | onset_date | _period
------------+--------------+--------------+--------+-------------+------------+--------
A           | e1           | 1            | K86    | CISP2       | 2010-01-01 | 2024-01
A           | e1           | 2            | e11.9  | CIM10       |            | 2024-01
A           | e1           | 3            |        |             |            | 2024-01
B           | e1           | 1            | 123    | DRC         |            | 2024-01
A           | e4           | 1            | K86    | CISP2       |            | 2024-01
A           | e1           | 1            | K86    | CISP2       |            | 2024-02
A           | e7           | 1            | K86    | CISP2       |            | 2024-02
"""
PRESCRIPTIONS = """
practice_id | encounter_id | line_rank | cip13         | atc     | quantity | duration_days | renewals | _period
------------+--------------+-----------+---------------+---------+----------+---------------+----------+--------
A           | e1           | 1         | 3400999900010 | N02BE01 | 2        | 8             | 2        | 2024-01
A           | e1           | 2         |               | N02BE01 |          |               |          | 2024-01
A           | e1           | 3         |               |         | 1        | 5             |          | 2024-01
A           | e5           | 1         | 3400999900010 |         | 1        | 5             |          | 2024-01
"""


@pytest.fixture(scope="module")
def tables(spark: SparkSession) -> dict[str, DataFrame]:
    given = {"patient": PATIENTS, "encounter": ENCOUNTERS, "problem": PROBLEMS, "prescription": PRESCRIPTIONS}
    return {name: source(spark, f"ville/{name}", text) for name, text in given.items()}


@pytest.fixture(scope="module")
def stem(tables: dict[str, DataFrame]) -> DataFrame:
    return named(to_harmonisable("ville", tables).stem).cache()


def named(frame: DataFrame) -> DataFrame:
    return frame.withColumn("who", F.col("person_key").cast("string"))


def test_rows_that_stay_and_rows_left_out_by_reason_are_all_rows(tables: dict[str, DataFrame]) -> None:
    """The encounter that practice A sends again in February stays in January, with its problem."""
    check_books(
        books("ville", tables),
        """
        table              | period  | rows | stay | left out
        -------------------+---------+------+------+---------
        ville/patient      | 2024-01 | 7    | 3    | 1 no_year_of_birth, 2 objection, 1 unknown_person
        ville/patient      | 2024-02 | 1    | 1    |
        ville/encounter    | 2024-01 | 7    | 3    | 4 patient_left_out
        ville/encounter    | 2024-02 | 2    | 1    | 1 other_month
        ville/problem      | 2024-01 | 5    | 3    | 1 encounter_left_out, 1 no_code
        ville/problem      | 2024-02 | 2    | 1    | 1 encounter_left_out
        ville/prescription | 2024-01 | 4    | 2    | 1 encounter_left_out, 1 no_code
        """,
    )


def test_encounters_problems_and_prescriptions(stem: DataFrame) -> None:
    check(
        stem.where("kind = 'visit'"),
        """
        who | start_date | end_date   | source_code      | source_vocabulary | type_concept_id | _period
        ----+------------+------------+------------------+-------------------+-----------------+--------
        ann | 2024-01-05 | 2024-01-05 | cabinet          | VILLE_ENCOUNTER   | 32827           | 2024-01
        ann | 2024-01-06 | 2024-01-06 | visite           | VILLE_ENCOUNTER   | 32827           | 2024-01
        bob | 2024-01-07 | 2024-01-07 | teleconsultation | VILLE_ENCOUNTER   | 32827           | 2024-01
        ann | 2024-02-29 | 2024-02-29 | cabinet          | VILLE_ENCOUNTER   | 32827           | 2024-02
        """,
    )
    check(
        stem.where("kind <> 'visit'"),
        """
        kind      | start_date | source_code   | source_vocabulary | type_concept_id | quantity | days_supply | refills
        ----------+------------+---------------+-------------------+-----------------+----------+-------------+--------
        condition | 2024-01-05 | K86           | CISP2             | 32840           |          |             |
        condition | 2024-01-05 | E119          | CIM10             | 32840           |          |             |
        condition | 2024-01-06 | 123           | DRC               | 32840           |          |             |
        condition | 2024-02-29 | K86           | CISP2             | 32840           |          |             |
        drug      | 2024-01-05 | 3400999900010 | CIP13             | 32838           |          | 8           | 2
        drug      | 2024-01-05 | N02BE01       | ATC               | 32838           |          |             |
        """,
    )
    keys = [tuple(r) for r in stem.select("kind", "natural_key", "visit_key").collect()]
    assert len({k[:2] for k in keys}) == len(keys)
    assert {visit for _, _, visit in keys if visit} <= {key for kind, key, _ in keys if kind == "visit"}


def test_persons(tables: dict[str, DataFrame]) -> None:
    check(
        named(to_harmonisable("ville", tables).evidence),
        """
        who | _period | gender | year_of_birth | month_of_birth | death_date | death_type_concept_id | rank | period_type_concept_id
        ----+---------+--------+---------------+----------------+------------+-----------------------+------+-----------------------
        ann | 2024-01 | 2      | 1950          | 3              |            |                       | 2    | 32882
        bob | 2024-01 | 0      | 1990          | 12             | 2024-01-30 | 32817                 | 2    | 32882
        ann | 2024-02 | 2      | 1950          | 3              |            |                       | 2    | 32882
        """,
    )


def test_slice_by_slice_or_all_at_once_is_the_same(tables: dict[str, DataFrame], stem: DataFrame) -> None:
    january, february = (
        to_harmonisable("ville", {n: t.where(F.col("_period") == p) for n, t in tables.items()}).stem
        for p in ("2024-01", "2024-02")
    )
    columns = ["_period", *[name for name in STEM.names if name != "person_key"]]
    assert shown(february.unionByName(january), columns) == shown(stem, columns)
