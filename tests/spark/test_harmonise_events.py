"""Stem events become rows of the four event tables."""

# ruff: noqa: E501 - tables are as wide as they need to be

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import reduce
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.harmonise.build import EVENTS as COLUMNS
from jobs.harmonise.build import to_database_tables, to_event_tables, to_events
from jobs.harmonise.concepts import to_lookup
from jobs.harmonise.omop import Database, event_names
from jobs.harmonise.stem import STEM
from jobs.harmonise.vocabulary import to_vocabulary
from schemas.loader import load_omop
from schemas.mappings import vocabulary_tables
from tests.spark.tables import check, shaped, shown

EVENTS = """
person_key | _source  | _period | kind      | natural_key | visit_key | start_date | end_date   | source_vocabulary | source_code   | type_concept_id | status_concept_id | qualifier | quantity | days_supply | refills
-----------+----------+---------+-----------+-------------+-----------+------------+------------+-------------------+---------------+-----------------+-------------------+-----------+----------+-------------+--------
ann        | pmsi_mco | 2024-01 | visit     | v1          |           | 2024-01-05 | 2024-01-09 | MCO_STAY          | stay          | 32855           |                   |           |          |             |
ann        | pmsi_mco | 2024-01 | condition | c1          | v1        | 2024-01-05 |            | CIM10             | E1128         | 32855           | 32902             | DP        |          |             |
ann        | pmsi_mco | 2024-01 | condition | c2          | v1        | 2024-01-05 |            | CIM10             | Z511          | 32854           | 32908             | DAS       |          |             |
ann        | pmsi_mco | 2024-01 | procedure | a1          | v1        | 2024-01-06 |            | CCAM              | NFKA007       | 32854           |                   | 1/0       | 1        |             |
ann        | dcir     | 2024-01 | drug      | d1          |           | 2024-01-20 |            | CIP13             | 3400999900058 | 32869           |                   |           | 60       | 60          |
ann        | ville    | 2024-01 | drug      | d1          |           | 2024-01-20 |            | CIP13             | 0             | 32838           |                   |           |          |             | 2
ann        | dcir     | 2024-02 | visit     | v2          |           | 2024-02-01 | 2024-02-01 | PRS_NAT_REF       | 1111          | 32810           |                   |           |          |             |
dan        | dcir     | 2024-02 | visit     | v3          |           | 2024-02-01 | 2024-02-01 | PRS_NAT_REF       | 1111          | 32810           |                   |           |          |             |
"""


@pytest.fixture(scope="module")
def lookup(spark: SparkSession) -> DataFrame:
    vocabulary = to_vocabulary(spark)
    return to_lookup(vocabulary["source_to_concept_map"], vocabulary["concept"]).cache()


def built(stem: DataFrame, lookup: DataFrame) -> dict[str, DataFrame]:
    return to_event_tables(events(stem, lookup))


def events(stem: DataFrame, lookup: DataFrame) -> DataFrame:
    """Dan's key stands for several people."""
    dan = stem.where(F.col("person_key").cast("string") == "dan")
    return to_events(stem, lookup, dan.select("person_key", F.lit("unattributable").alias("reason")))


def all_rows(tables: dict[str, DataFrame]) -> list[tuple[str, ...]]:
    """Every row of the four tables, in one pass."""
    rows = [
        frame.select(F.to_json(F.struct(F.lit(name).alias("table"), "*")).alias("row"))
        for name, frame in tables.items()
    ]
    return shown(reduce(DataFrame.unionByName, rows), ["row"])


def all_ids(tables: dict[str, DataFrame]) -> dict[str, set[str]]:
    rows = [frame.select(F.lit(t).alias("table"), F.col(f"{t}_id").alias("id")) for t, frame in tables.items()]
    found: dict[str, set[str]] = {}
    for table, number in shown(reduce(DataFrame.unionByName, rows), ["table", "id"]):
        found.setdefault(table, set()).add(number)
    return found


def test_events_are_of_the_columns_that_they_are_written_with_and_what_is_left_out_has_no_table(
    spark: SparkSession, lookup: DataFrame
) -> None:
    made = events(shaped(spark, STEM, EVENTS), lookup)
    assert dict(made.dtypes) == COLUMNS
    check(
        made.where("_source <> 'pmsi_mco' or natural_key = 'c1'"),
        """
        natural_key | concept_id | target_rank | table                | left_out
        ------------+------------+-------------+----------------------+---------------
        c1          | 192279     | 0           | condition_occurrence |
        c1          | 201826     | 1           | condition_occurrence |
        d1          | 1503297    | 0           | drug_exposure        |
        d1          | 0          | 0           | drug_exposure        |
        v2          | 9202       | 0           | visit_occurrence     |
        v3          | 9202       | 0           |                      | unattributable
        """,
    )


def test_event_tables(spark: SparkSession, lookup: DataFrame) -> None:
    tables = built(shaped(spark, STEM, EVENTS), lookup)
    assert {t: tuple(frame.columns) for t, frame in tables.items()} == {
        t: (*load_omop(t).names, "_source", "_period") for t in event_names()
    }
    assert len(tables) == 4
    check(
        tables["visit_occurrence"],
        """
        _source  | _period | visit_concept_id | visit_start_date | visit_start_datetime | visit_end_date | visit_end_datetime  | visit_type_concept_id | visit_source_value | visit_source_concept_id | provider_id | care_site_id | preceding_visit_occurrence_id
        ---------+---------+------------------+------------------+----------------------+----------------+---------------------+-----------------------+--------------------+-------------------------+-------------+--------------+------------------------------
        pmsi_mco | 2024-01 | 9201             | 2024-01-05       | 2024-01-05 00:00:00  | 2024-01-09     | 2024-01-09 00:00:00 | 32855                 | stay               | 0                       |             |              |
        dcir     | 2024-02 | 9202             | 2024-02-01       | 2024-02-01 00:00:00  | 2024-02-01     | 2024-02-01 00:00:00 | 32810                 | 1111               | 0                       |             |              |
        """,
    )
    check(
        tables["condition_occurrence"],
        """
        condition_concept_id | condition_start_date | condition_start_datetime | condition_end_date | condition_type_concept_id | condition_status_concept_id | condition_source_value | condition_source_concept_id | condition_status_source_value | visit_detail_id
        ---------------------+----------------------+--------------------------+--------------------+---------------------------+-----------------------------+------------------------+-----------------------------+-------------------------------+----------------
        201826               | 2024-01-05           | 2024-01-05 00:00:00      |                    | 32855                     | 32902                       | E1128                  | 0                           | DP                            |
        192279               | 2024-01-05           | 2024-01-05 00:00:00      |                    | 32855                     | 32902                       | E1128                  | 0                           | DP                            |
        """,
    )
    check(
        tables["procedure_occurrence"],
        """
        procedure_concept_id | procedure_date | procedure_end_date | procedure_type_concept_id | quantity | procedure_source_value | modifier_source_value | modifier_concept_id
        ---------------------+----------------+--------------------+---------------------------+----------+------------------------+-----------------------+--------------------
        43531648             | 2024-01-06     |                    | 32854                     | 1        | NFKA007                | 1/0                   |
        4273629              | 2024-01-05     |                    | 32854                     |          | Z511                   | DAS                   |
        """,
    )
    check(
        tables["drug_exposure"],
        """
        _source | drug_concept_id | drug_exposure_start_date | drug_exposure_end_date | drug_exposure_end_datetime | quantity | days_supply | refills | drug_type_concept_id | drug_source_value | route_concept_id
        --------+-----------------+--------------------------+------------------------+----------------------------+----------+-------------+---------+----------------------+-------------------+-----------------
        dcir    | 1503297         | 2024-01-20               | 2024-03-19             | 2024-03-19 00:00:00        | 60.0     | 60          |         | 32869                | 3400999900058     |
        ville   | 0               | 2024-01-20               | 2024-02-18             | 2024-02-18 00:00:00        |          |             | 2       | 32838                | 0                 |
        """,
    )
    events = (
        tables["condition_occurrence"]
        .select("visit_occurrence_id")
        .unionByName(tables["procedure_occurrence"].select("visit_occurrence_id"))
    )
    stay = tables["visit_occurrence"].where("_source = 'pmsi_mco'").select("visit_occurrence_id").collect()
    assert {row[0] for row in events.collect()} == {row[0] for row in stay}


def test_by_delivery_or_all_at_once_is_the_same(spark: SparkSession, lookup: DataFrame) -> None:
    stem = shaped(spark, STEM, EVENTS)
    whole = all_rows(built(stem.orderBy(F.desc("natural_key")), lookup))
    slices = [all_rows(built(stem.where(f"_period = '{period}'"), lookup)) for period in ("2024-02", "2024-01")]
    assert whole == sorted(slices[0] + slices[1])
    assert len(whole) == 8


def test_a_correction_changes_no_id_of_another_event(spark: SparkSession, lookup: DataFrame) -> None:
    """c2 is corrected to a code of another domain, a new event comes: all ids stay what they were."""
    before = all_ids(built(shaped(spark, STEM, EVENTS), lookup))
    extra = EVENTS.splitlines()[4].replace("c1 ", "c9 ").replace("E1128", "I10  ")
    after = all_ids(built(shaped(spark, STEM, EVENTS.replace("Z511 ", "E119 ") + extra), lookup))
    assert set.union(*before.values()) < set.union(*after.values())
    assert before["condition_occurrence"] < after["condition_occurrence"]
    assert before["visit_occurrence"] == after["visit_occurrence"]


def test_vocabulary_and_cdm_source(spark: SparkSession) -> None:
    vocabulary = to_vocabulary(spark)
    assert set(vocabulary) == {"concept", "vocabulary", "source_to_concept_map"} == set(vocabulary_tables())
    assert {t: tuple(frame.columns) for t, frame in vocabulary.items()} == {t: load_omop(t).names for t in vocabulary}
    known = Database(vocabulary["vocabulary"], ("Causes of death", "Hospital stays"), date(2024, 4, 3))
    source = to_database_tables(known)["cdm_source"]
    assert tuple(source.columns) == load_omop("cdm_source").names
    check(
        source,
        """
        cdm_source_abbreviation | source_description                             | source_release_date | cdm_release_date | cdm_version | cdm_version_concept_id | vocabulary_version
        ------------------------+------------------------------------------------+---------------------+------------------+-------------+------------------------+-------------------
        healthhub               | Pseudonymised: Causes of death; Hospital stays | 2024-04-03          | 2024-04-03       | 5.4         | 756265                 | mini-2026-11
        """,
    )
    check(
        to_database_tables(replace(known, vocabulary=known.vocabulary.where("false")))["cdm_source"],
        "vocabulary_version\nunknown",
    )


def test_a_table_that_is_put_into_the_folders_is_made(
    spark: SparkSession, lookup: DataFrame, planted_folders: tuple[Path, Path]
) -> None:
    """A made-up table, ``tale``: a contract and a module, and nothing else. What has no concept stays with its kind."""
    tales = EVENTS.splitlines()[4].replace("condition", "tale     ").replace("E1128", "once ")
    tables = built(shaped(spark, STEM, EVENTS + tales), lookup)
    assert len(tables) == 5
    check(
        tables["tale"],
        """
        tale_date  | tale_source_value | _source  | _period
        -----------+-------------------+----------+--------
        2024-01-05 | once              | pmsi_mco | 2024-01
        """,
    )
