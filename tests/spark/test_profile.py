"""Profiles on Spark: what leaves it has passed disclosure control."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from catalogue import db
from jobs.errors import ConfigError
from jobs.steps.describe import describe, described_tables
from jobs.steps.figures import PERSON, profile, with_person
from schemas import loader
from schemas.loader import Column, Table
from schemas.text import Text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from sqlalchemy import Engine

TEXT = Text(fr="x", en="x")
ACTS = Table(
    table="acts",
    title=TEXT,
    row=TEXT,
    key=("act",),
    date="day",
    person="who",
    column=(
        Column(name="act", type="bigint", meaning=TEXT),
        Column(name="who", pseudonym="person", identifying=True, meaning=TEXT),
        Column(name="day", type="date", meaning=TEXT),
        Column(name="kind", values=("a", "b", "c", "d"), meaning=TEXT),
        Column(name="note", meaning=TEXT),
        Column(name="name", keep=False, identifying=True, meaning=TEXT),
    ),
)
SCHEMA = "act bigint, who binary, day date, kind string, note string"
SECRET = "2840175123456"


def acts() -> list[tuple[Any, ...]]:
    """100 persons: kind a for 60, b for 30, c for 4 of them (each three times), none for 6; one act each but for c.
    Days are in January, but for 3 acts in March; a note for 5 persons."""
    rows: list[tuple[Any, ...]] = []
    for i in range(100):
        kind = "a" if i < 60 else "b" if i < 90 else "c" if i < 94 else None
        day = dt.date(2024, 3, 1) if i < 3 else dt.date(2024, 1, 1 + i % 30)
        for _ in range(3 if kind == "c" else 1):
            rows.append((len(rows), bytes([i]), day, kind, SECRET if i >= 95 else None))
    return rows


def by_measure(figures: list[dict[str, Any]]) -> dict[tuple[str, str, str], Any]:
    return {(f["variable"], f["measure"], f["code"]): f["text"] or f["number"] for f in figures}


def test_a_profile_counts_persons_and_hides_the_few(spark: SparkSession) -> None:
    figures = profile(spark.createDataFrame(acts(), SCHEMA), ACTS, "test/acts")
    assert by_measure(figures) == {
        ("", "rows", ""): 110,
        ("", "persons", ""): 100,
        ("", "month", "2024-01"): None,  # hidden with March: 100 - 97 would give it away
        ("", "month", "2024-03"): None,
        ("act", "filled", ""): 100,
        ("who", "filled", ""): 100,
        ("day", "filled", ""): 100,
        ("kind", "filled", ""): None,  # six persons have none
        ("kind", "code", "a"): 60,
        # c has 4 persons, though 12 acts, and 6 persons have none: too few even together, so b is hidden as well
        ("kind", "distinct", ""): 1,
        ("kind", "others", ""): None,
        ("note", "filled", ""): None,
    }
    assert {f["table"] for f in figures} == {"test/acts"}
    assert SECRET not in str(figures)
    assert all(f["suppressed"] == (f["number"] is None and f["text"] is None) for f in figures)


def test_a_table_of_few_persons_shows_nothing_but_that(spark: SparkSession) -> None:
    few = spark.createDataFrame(acts()[:7], SCHEMA)
    assert by_measure(profile(few, ACTS)) == {("", "rows", ""): None, ("", "persons", ""): None}


def test_an_empty_table_says_so(spark: SparkSession) -> None:
    assert by_measure(profile(spark.createDataFrame([], SCHEMA), ACTS)) == {("", "rows", ""): 0}


def test_a_table_without_persons_counts_rows_and_no_codes(spark: SparkSession) -> None:
    reference = Table(
        table="drugs",
        title=TEXT,
        row=TEXT,
        column=(
            Column(name="drug", meaning=TEXT),
            Column(name="atc_concept_id", type="integer", meaning=TEXT),
        ),
    )
    rows = [(str(i), i if i < 60 else None) for i in range(80)]
    figures = profile(spark.createDataFrame(rows, "drug string, atc_concept_id int"), reference)
    assert by_measure(figures) == {
        ("", "rows", ""): 80,
        ("drug", "filled", ""): 100,
        ("atc_concept_id", "filled", ""): 75,
    }


def test_persons_by_sex_and_decade(spark: SparkSession) -> None:
    person = loader.load("omop/person")
    rows = [(i, 8507 if i % 2 else 8532, 1950 + 10 * (i % 3) + i % 7) for i in range(300)]
    rows += [(1000 + i, 8507, 1931) for i in range(4)] + [(2000 + i, 8532, 1932) for i in range(40)]
    schema = "person_id bigint, gender_concept_id int, year_of_birth int"
    missing = [c for c in person.lake_columns if c.name not in schema]
    df = spark.createDataFrame(rows, schema).selectExpr("*", *(f"cast(null as string) as `{c.name}`" for c in missing))
    cells = {f["code"]: f["number"] for f in profile(df, person, "omop/person") if f["measure"] == "cell"}
    assert set(cells) == {f"{sex}|{decade}" for sex in (8507, 8532) for decade in (1930, 1950, 1960, 1970)}
    assert cells["8507|1930"] is None
    assert cells["8532|1930"] is None
    hidden = {code for code, number in cells.items() if number is None}
    assert len([c for c in hidden if c.startswith("8507")]) >= 2 <= len([c for c in hidden if c.startswith("8532")])
    assert any(cells.values())


def test_details_borrow_the_person_of_their_act(spark: SparkSession) -> None:
    stays = [("1", str(i), bytes([i % 20]), "2024-01") for i in range(40)]
    diagnoses = [("1", str(i), str(n), "2024-01") for i in range(45) for n in range(2)]
    tables = {
        "pmsi_mco/t_mcoaac": spark.createDataFrame(
            stays, "ETA_NUM string, RSA_NUM string, NIR_ANO_17 binary, _period string"
        ),
        "pmsi_mco/t_mcoaad": spark.createDataFrame(
            diagnoses, "ETA_NUM string, RSA_NUM string, DGN_ASS_NUM string, _period string"
        ),
    }
    borrowed = with_person(tables["pmsi_mco/t_mcoaad"], "pmsi_mco/t_mcoaad", tables.__getitem__)
    assert borrowed.count() == 90
    assert borrowed.select(PERSON).distinct().count() == 21  # 20 persons, and 5 stays without one
    assert with_person(tables["pmsi_mco/t_mcoaac"], "pmsi_mco/t_mcoaac", tables.__getitem__).columns == [
        "ETA_NUM",
        "RSA_NUM",
        "NIR_ANO_17",
        "_period",
    ]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = db.open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    db.migrate(engine)
    yield engine
    engine.dispose()


def death(spark: SparkSession, persons: int) -> DataFrame:
    table = loader.load("omop/death")
    other = [c.name for c in table.lake_columns if c.name not in ("person_id", "death_date")]
    return spark.range(persons).selectExpr(
        "id as person_id", "date'2024-02-03' as death_date", *(f"cast(null as int) as `{c}`" for c in other)
    )


def test_describe_stores_what_may_be_shown_and_keeps_what_moved_too_little(spark: SparkSession, engine: Engine) -> None:
    for release, (persons, shown) in enumerate([(40, 40), (44, 40), (56, 55)], start=1):
        assert db.add_release(engine, {"omop/death": release}, [], release) == release
        said = describe(engine, release, functools.partial(lambda n, name: death(spark, n), persons))
        assert said["tables"] == 1
        figures = db.list_figures(engine, release, "omop/death")
        assert next(f["number"] for f in figures if f["measure"] == "persons") == shown
        assert said["figures"] == len(figures)


def test_describe_asks_for_a_release_that_exists(engine: Engine) -> None:
    with pytest.raises(ConfigError):
        describe(engine, 7, lambda name: pytest.fail("nothing is read"))


def test_the_tables_of_a_release_that_have_a_contract_are_described() -> None:
    assert described_tables({"omop/person": 1, "omop/unknown": 2, "ville/patient": 3}) == [
        "omop/person",
        "ville/patient",
    ]
