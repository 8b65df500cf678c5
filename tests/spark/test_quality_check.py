"""``hub quality check`` on tables of a real lake: published and staged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from catalogue import db
from jobs.cli.quality import app
from jobs.delivery import DeliveryId
from jobs.errors import ConfigError, QualityRefused
from jobs.hub import SERVER_KEYS
from jobs.lake.layout import table_path
from jobs.lake.staged import StagedTable
from jobs.settings import Settings
from jobs.spark import session
from jobs.spark.functions import KEY_CHECK
from jobs.steps.stage import waiting

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DEATH = "person_id bigint, death_date date, death_type_concept_id int"
D = date


@pytest.fixture
def put(
    spark: SparkSession, home: Settings, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, list[Any], str], None]:
    """A hub on the shared server whose keys are registered; writes literal rows as a table of its lake."""
    remote = os.environ.get("HUB_TEST_SPARK_REMOTE") or session.address(request.getfixturevalue("spark_hub"))
    monkeypatch.setenv("HUB_HOME", str(home.root))
    where, _, token = remote.partition("/;token=")
    monkeypatch.setenv("HUB_SPARK_REMOTE", where)
    (home.keys / "workers").mkdir(parents=True)
    (home.keys / "workers" / "spark.token").write_text(token)
    engine = db.open_engine(home.database)
    db.migrate(engine)
    for key, purpose in SERVER_KEYS.items():
        found = spark.sql(f"SELECT {KEY_CHECK}('{key}', '') AS value").first()
        assert found is not None
        db.register_key(engine, key, purpose, found["value"])
    engine.dispose()

    def write(name: str, rows: list[Any], schema: str) -> None:
        spark.createDataFrame(rows, schema).write.format("delta").save(table_path(home.lake, name))

    write("omop/person", [(1,), (2,)], "person_id bigint")
    write("omop/concept", [(32810, "Type Concept"), (8507, "Gender")], "concept_id int, domain_id string")
    return write


def check(*arguments: str) -> tuple[dict[str, tuple[str, int, int]], BaseException | None]:
    """{rule: (verdict, violated, denominator)} that the command prints, and how it ends."""
    done = CliRunner().invoke(app, ["check", *arguments, "--json"])
    if not done.stdout:
        return {}, done.exception
    return {r["rule"]: (r["verdict"], r["violated"], r["denominator"]) for r in json.loads(done.stdout)}, done.exception


def test_a_published_table_is_checked_with_the_tables_it_refers_to(put: Callable[[str, list[Any], str], None]) -> None:
    put("omop/death", [(1, D(2024, 3, 1), 32810), (2, D(2024, 3, 2), 0)], DEATH)
    found, ended = check("omop/death")
    assert ended is None
    assert {v for v, _, _ in found.values()} == {"passed"}
    assert found["OMOP-DEA-002"] == ("passed", 0, 2)
    assert found["OMOP-DEA-005"] == ("passed", 0, 1)


def test_a_critical_failure_is_printed_and_refused(put: Callable[[str, list[Any], str], None]) -> None:
    put("omop/death", [(1, D(2024, 3, 1), 8507), (1, D(2024, 3, 2), 32810), (7, None, None)], DEATH)
    found, ended = check("omop/death")
    assert isinstance(ended, QualityRefused)
    assert found["OMOP-DEA-001"] == ("failed", 2, 3)
    assert found["OMOP-DEA-002"] == ("failed", 1, 3)
    assert found["OMOP-DEA-003"] == ("failed", 1, 3)
    assert found["OMOP-DEA-005"] == ("failed", 1, 2)


def test_of_a_staged_table_the_kept_rows_are_checked(
    put: Callable[[str, list[Any], str], None], spark: SparkSession, home: Settings
) -> None:
    from jobs.quality.rules import load_rules
    from schemas.loader import load

    delivery, table = DeliveryId("ville", "2024-03", 1), load("ville/problem")
    made = waiting(home.lake, delivery, "w-1", table)
    row = [None if c.name != "code" else "A01" for c in table.lake_columns]
    schema = ", ".join(f"{name} {kind}" for name, kind in made.columns.items())
    made.write(spark.createDataFrame([(*row, "a.csv", n) for n in range(3)], schema))
    apart = StagedTable.apart(home.lake, delivery, "problem")
    apart.write(spark.createDataFrame([("a.csv", 3, "quarantined", "code:type", "code:type")], tuple(apart.columns)))
    engine = db.open_engine(home.database)
    db.announce(engine, delivery, {}, "sha256")
    for state in ("pulled", "staged"):
        db.record_event(engine, delivery, state, detail={"writer": "w-1", "unknown": ["problem"]})
    engine.dispose()
    found, _ = check("ville/problem", "--staged", "ville/2024-03/v1")
    quarantined = [r.id for r in load_rules("ville/problem") if r.of == "quarantined"]
    assert {found[q][1:] for q in quarantined} == {(1, 4)}
    assert found["GP-PRB-003"] == ("passed", 0, 3)
    assert found["GP-PRB-004"] == ("passed", 0, 3)


@pytest.mark.parametrize("arguments", [("omop/death",), ("ville/problem", "--staged", "ville/2031-01/v1")])
def test_a_table_that_is_not_there_is_said(
    put: Callable[[str, list[Any], str], None], arguments: tuple[str, ...]
) -> None:
    found, ended = check(*arguments)
    assert found == {}
    assert isinstance(ended, ConfigError)
    assert arguments[0] in str(ended)
