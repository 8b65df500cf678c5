"""Quality: counts, runs, decisions.

The suite also runs on PostgreSQL: ``tests/integration/test_postgres.py``.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine

from catalogue import db
from jobs.errors import (
    UnexpectedState,
)
from tests.unit.records_kit import OnSqlite, manifest, result


class QualitySuite:
    """What holds on every database. A subclass gives the fixture ``engine``: an empty, migrated hub database."""

    def test_counts_come_back_by_table_and_rule(self, engine: Engine) -> None:
        for _ in range(2):
            db.set_counts(engine, "build/1", "omop/person", {"OMOP-PER-001": (0, 100), "OMOP-PER-002": (2, 50)})
        db.set_counts(engine, "build/1", "omop/death", {"OMOP-DEA-001": (0, 0)})
        db.set_counts(engine, "build/1", "omop/person", {"OMOP-PER-001": (1, 100)})
        assert db.get_counts(engine, "build/1") == {
            "omop/death": {"OMOP-DEA-001": (0, 0)},
            "omop/person": {"OMOP-PER-001": (1, 100)},
        }
        assert db.get_counts(engine, "build/2") == {}

    def test_the_last_quality_run_of_a_subject_counts(self, engine: Engine) -> None:
        name = "dcir/2024-01/v1"
        first = db.add_quality_run(engine, name, [result(verdict="failed", violated=9)], "critical")
        words: dict[str, Any] = {"claim": {"fr": "l'âge est connu", "en": "the age is known"}, "columns": ("age",)}
        results = [result("B", **words), result("A")]
        second = db.add_quality_run(engine, name, results, "passed")
        assert second > first
        assert [r["rule"] for r in db.list_quality(engine, name)] == ["B", "A"]
        assert db.list_quality(engine, table="omop/person") == []
        assert [r["id"] for r in db.list_quality_runs(engine)] == [second, first]
        last = db.last_quality_run(engine, name)
        assert last
        assert (last["id"], last["decisions"]) == (second, [])
        assert last["results"][0]["claim"]["en"] == "the age is known"
        assert set(db.list_quality(engine, name)[0]) == {*result(), "subject", "run_id"}
        assert db.get_quality_run(engine, 99) is None
        assert db.last_quality_run(engine, "build/9") is None

    def test_a_quality_run_is_found_by_its_airflow_run(self, engine: Engine) -> None:
        db.announce(engine, "dcir/2024-01/v1", manifest("aaaaaaaa"), "m1")
        db.record_event(engine, "dcir/2024-01/v1", "pulled", run="manual__2026-11-23T10:00:00+00:00")
        of_delivery = db.add_quality_run(engine, "dcir/2024-01/v1", [result()], "passed")
        build = db.start_build(engine, ["dcir/2024-01/v1"], run="asset__1")
        of_build = db.add_quality_run(engine, f"build/{build}", [result()], "passed")
        given = db.add_quality_run(engine, f"build/{build}", [result()], "passed", run="given")
        for run, expected in (("manual__2026-11-23T10:00:00+00:00", of_delivery), ("given", given)):
            found = db.quality_run_of(engine, run)
            assert found
            assert found["id"] == expected
        found = db.quality_run_of(engine, "asset__1")
        assert found
        assert found["id"] == given > of_build
        assert db.quality_run_of(engine, "unknown") is None

    def test_a_decision_is_recorded_once(self, engine: Engine) -> None:
        at = datetime(2026, 11, 23, 10, 0, tzinfo=timezone(timedelta(hours=1)))
        for _ in range(2):
            db.record_decision(engine, "dcir/2024-01/v1", "steward", at, "approve", "known gap")
        assert db.list_decisions(engine, "dcir/2024-01/v1") == [
            {"who": "steward", "at": at, "decision": "approve", "reason": "known gap"}
        ]
        with pytest.raises(UnexpectedState):
            db.record_decision(engine, "dcir/2024-01/v1", "steward", at, "maybe", None)


class TestSqlite(OnSqlite, QualitySuite):
    pass
