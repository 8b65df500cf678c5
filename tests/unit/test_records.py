"""The hub database on SQLite. ``tests/integration/test_postgres.py`` runs the same suite on PostgreSQL."""

from __future__ import annotations

import multiprocessing
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text

from catalogue import db
from catalogue.db.engine import VERSION_TABLE, alembic_config
from catalogue.db.models import APPEND_ONLY, Base
from jobs.delivery import FIRST, STATES, may_move
from jobs.errors import (
    ConfigError,
    ConflictError,
    ContractRefused,
    DisclosureRefused,
    KeyRefused,
    NotReady,
    StorageError,
    UnexpectedState,
)


def manifest(*sha256s: str) -> dict[str, Any]:
    """A manifest of as many files of 100 rows as there are hashes."""
    return {
        "contract_version": 1,
        "stage1_key": "0123456789abcdef",
        "files": [
            {"table": "er_prs_f", "name": f"ER_PRS_F_{i}.csv", "rows": 100, "bytes": 2000, "sha256": sha * 8}
            for i, sha in enumerate(sha256s)
        ],
    }


def book(rows_in: int = 100, published: int = 90, **quarantined: int) -> dict[str, Any]:
    return {
        "table": "er_prs_f",
        "file": "ER_PRS_F_0.csv",
        "rows_in": rows_in,
        "rows_published": published,
        "rows_duplicate": 3,
        "rows_settled": 2,
        "rows_quarantined": quarantined,
    }


def publish(engine: Engine, delivery: str, *sha256s: str, rows: int = 100, **more: Any) -> None:
    db.announce(engine, delivery, manifest(*(sha256s or ("abcdabcd",))), f"of {delivery}")
    for state in ("pulled", "staged"):
        db.record_event(engine, delivery, state)
    db.record_event(engine, delivery, "published", detail={"rows": {"er_prs_f": rows}, **more})


def result(rule: str = "DCIR-PRS-001", verdict: str = "passed", **more: Any) -> dict[str, Any]:
    made = {"table": "dcir/er_prs_f", "rule": rule, "severity": "critical", "violated": 0, "denominator": 100}
    return {**made, "verdict": verdict, "not_applicable": False, **more}


def figure(number: float | None, measure: str = "persons", **more: Any) -> dict[str, Any]:
    return {
        "table": "omop/person",
        "variable": "",
        "measure": measure,
        "code": "",
        "number": number,
        "rule": "1",
        **more,
    }


def shortest_ways() -> dict[str, tuple[str, ...]]:
    """State -> the moves that lead to it from the first one."""
    ways: dict[str, tuple[str, ...]] = {FIRST: ()}
    while new := {to: (*way, to) for state, way in ways.items() for to in STATES[state].targets if to not in ways}:
        ways |= new
    return ways


class RecordsSuite:
    """What holds on every database. A subclass gives the fixture ``engine``: an empty, migrated hub database."""

    def test_an_announcement_is_recorded_once(self, engine: Engine) -> None:
        assert db.announce(engine, "dcir/2024-01/v1", manifest("aaaaaaaa"), "m1")
        assert not db.announce(engine, "dcir/2024-01/v1", manifest("aaaaaaaa"), "m1")
        found = db.get_delivery(engine, "dcir/2024-01/v1")
        assert found
        assert (found["source"], found["period"], found["version"], found["state"]) == (
            "dcir",
            "2024-01",
            1,
            "announced",
        )
        assert found["files"][0]["sha256"] == "aaaaaaaa" * 8
        assert len(found["events"]) == 1
        assert found["events"][0]["at"].utcoffset() == timedelta(0)

    def test_a_manifest_may_change_until_something_is_in_the_hub(self, engine: Engine) -> None:
        name = "dcir/2024-01/v1"
        db.announce(engine, name, manifest("aaaaaaaa"), "m1")
        assert db.announce(engine, name, manifest("bbbbbbbb", "cccccccc"), "m2")
        found = db.get_delivery(engine, name)
        assert found
        assert [f["sha256"][:8] for f in found["files"]] == ["bbbbbbbb", "cccccccc"]
        db.record_event(engine, name, "pulled")
        with pytest.raises(ContractRefused, match="another manifest"):
            db.announce(engine, name, manifest("dddddddd"), "m3")

    def test_a_broken_manifest_is_still_recorded(self, engine: Engine) -> None:
        db.announce(engine, "dcir/2024-01/v1", {"files": [{"rows": "many"}, 3], "stage1_key": 5}, "m1")
        found = db.get_delivery(engine, "dcir/2024-01/v1")
        assert found
        assert found["files"] == [{"name": "", "table": "", "rows": 0, "bytes": 0, "sha256": ""}]

    @pytest.mark.parametrize("name", ["dcir", "dcir/2024-01", "dcir/2024-01/1", "dcir/2024-01/vx", "a/b/c/v1"])
    def test_a_delivery_id_has_one_form(self, engine: Engine, name: str) -> None:
        with pytest.raises(ConfigError, match="not the name of a delivery"):
            db.announce(engine, name, manifest(), "m")

    def test_the_last_event_is_the_state(self, engine: Engine) -> None:
        name = "dcir/2024-01/v1"
        assert db.delivery_state(engine, name) is None
        db.announce(engine, name, manifest("aaaaaaaa"), "m1")
        for state in ("pulled", "staged", "waiting", "approved", "published", "superseded"):
            db.record_event(engine, name, state, reason="why", run="run-1", detail={"seen": 3})
            assert db.delivery_state(engine, name) == state
        last = db.list_deliveries(engine)[0]
        assert (last["state"], last["reason"]) == ("superseded", "why")

    def test_a_move_is_recorded_only_when_it_is_in_the_table(self, engine: Engine) -> None:
        """Every state after every state, whatever way led there."""
        ways = shortest_ways()
        for number, (state, to) in enumerate(product(ways, STATES), start=1):
            name = f"dcir/2024-01/v{number}"
            db.announce(engine, name, manifest("aaaaaaaa"), "m1")
            for step in ways[state]:
                db.record_event(engine, name, step)
            if may_move(state, to):
                assert db.record_event(engine, name, to, reason="next")
                assert db.delivery_state(engine, name) == to
            else:
                with pytest.raises(NotReady, match=f"is {state}: it cannot become {to}"):
                    db.record_event(engine, name, to)
                assert db.delivery_state(engine, name) == state

    def test_the_database_knows_the_states_of_the_table(self, engine: Engine) -> None:
        check = next(c for c in inspect(engine).get_check_constraints("event") if c["name"] == "ck_event_state")
        assert set(re.findall(r"'(\w+)'", check["sqltext"])) == set(STATES)

    def test_a_manifest_that_changes_what_is_in_the_lake_is_refused(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v1")
        db.record_event(engine, "dcir/2024-01/v1", "rejected", reason="quality")
        with pytest.raises(ContractRefused, match="another manifest"):
            db.announce(engine, "dcir/2024-01/v1", manifest("bbbbbbbb"), "m2")

    def test_the_same_event_again_adds_nothing(self, engine: Engine) -> None:
        name = "dcir/2024-01/v1"
        db.announce(engine, name, manifest("aaaaaaaa"), "m1")
        assert db.record_event(engine, name, "pulled", run="run-1")
        assert not db.record_event(engine, name, "pulled", run="run-1")
        assert not db.record_event(engine, name, "pulled")
        assert db.record_event(engine, name, "pulled", run="run-2")
        assert db.record_event(engine, name, "pulled", run="run-2", detail={"rows": 3})
        assert not db.record_event(engine, name, "pulled", run="run-2", detail={"rows": 3})
        assert db.record_event(engine, name, "pulled", reason="again")

    def test_events_ask_for_a_known_delivery_and_state(self, engine: Engine) -> None:
        with pytest.raises(ConfigError, match="never announced"):
            db.record_event(engine, "dcir/2024-01/v1", "pulled")
        db.announce(engine, "dcir/2024-01/v1", manifest(), "m1")
        with pytest.raises(UnexpectedState):
            db.record_event(engine, "dcir/2024-01/v1", "lost")

    @pytest.mark.parametrize("table", APPEND_ONLY)
    def test_history_can_not_be_changed(self, engine: Engine, table: str) -> None:
        publish(engine, "dcir/2024-01/v1")
        db.record_decision(engine, "dcir/2024-01/v1", "steward", datetime.now(UTC), "approve", "seen")
        db.add_quality_run(engine, "dcir/2024-01/v1", [result()], "passed")
        db.add_release(engine, {"omop/person": 1}, ["dcir/2024-01/v1"], 1)
        column = inspect(engine).get_columns(table)[-1]["name"]
        for change in (f"update {table} set {column} = {column}", f"delete from {table}"):
            with pytest.raises(Exception, match="append-only"), engine.begin() as connection:
                connection.execute(text(change))

    def test_books_balance_or_are_refused(self, engine: Engine) -> None:
        name = "dcir/2024-01/v1"
        db.announce(engine, name, manifest("aaaaaaaa"), "m1")
        for wrong in (book(101, date=5), book(100, 96, date=-1), book(-1)):
            with pytest.raises(UnexpectedState, match="do not balance"):
                db.set_books(engine, name, [book(date=5), wrong])
        assert db.list_deliveries(engine)[0]["tables"] == {}
        with pytest.raises(ConfigError):
            db.set_books(engine, "dcir/2024-02/v1", [book(date=5)])

    def test_books_are_replaced_and_summed(self, engine: Engine) -> None:
        name = "dcir/2024-01/v1"
        db.announce(engine, name, manifest("aaaaaaaa"), "m1")
        second = {**book(10, 5, orphan=0, date=5), "table": "er_pha_f", "rows_duplicate": 0, "rows_settled": 0}
        for _ in range(2):
            db.set_books(engine, name, [book(date=4, code=1), second])
        found = db.list_deliveries(engine, source="dcir", period="2024-01")[0]
        assert found == {
            "id": name,
            "source": "dcir",
            "period": "2024-01",
            "version": 1,
            "synthetic": False,
            "state": "announced",
            "reason": None,
            "at": found["at"],
            "first_seen_at": found["first_seen_at"],
            "in_lake": False,
            "published_at": None,
            "rows_in_lake": 0,
            "tables_in_lake": {},
            "replaced_by": None,
            "rows_in": 110,
            "rows_published": 95,
            "rows_quarantined": {"code": 1, "date": 9},
            "rows_duplicate": 3,
            "rows_settled": 2,
            "tables": found["tables"],
            "books": found["books"],
        }
        assert found["first_seen_at"] <= found["at"]
        assert [b["file"] for b in found["books"] if b["table"] == "er_pha_f"] == [second["file"]]
        assert found["tables"]["er_pha_f"]["rows_quarantined"] == {"date": 5}
        assert db.list_deliveries(engine, source="ville") == []

    def test_the_books_of_a_refused_delivery_publish_nothing(self, engine: Engine) -> None:
        name = "dcir/2024-01/v1"
        db.announce(engine, name, manifest("aaaaaaaa"), "m1")
        db.set_books(engine, name, [book(date=5)])
        for _ in range(2):
            db.refuse_books(engine, name, "quality")
        found = db.list_deliveries(engine)[0]
        assert (found["rows_published"], found["rows_quarantined"]) == (0, {"date": 5, "quality": 90})

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

    def test_an_instant_needs_a_time_zone(self, engine: Engine) -> None:
        naive = datetime.now(UTC).replace(tzinfo=None)
        with pytest.raises(StorageError):
            db.record_decision(engine, "dcir/2024-01/v1", "steward", naive, "approve", None)

    def test_the_lake_holds_the_last_published_delivery_of_a_period(self, engine: Engine) -> None:
        publish(engine, "ville/2024-01/v1", "aaaaaaaa")
        publish(engine, "dcir/2024-01/v1", "bbbbbbbb", "cccccccc")
        assert db.published_deliveries(engine) == ["ville/2024-01/v1", "dcir/2024-01/v1"]
        publish(engine, "ville/2024-01/v2", "dddddddd")
        db.record_event(engine, "ville/2024-01/v1", "superseded")
        assert db.published_deliveries(engine) == ["dcir/2024-01/v1", "ville/2024-01/v2"]
        # a repeated task that finds its delivery published may say so again: the order stays
        db.record_event(engine, "dcir/2024-01/v1", "published", run="again")
        assert db.published_deliveries(engine) == ["dcir/2024-01/v1", "ville/2024-01/v2"]
        assert db.latest_published(engine, "ville", "2024-01") == "ville/2024-01/v2"
        assert db.latest_published(engine, "ville", "2024-02") is None

    def test_what_is_in_the_lake_is_told_apart_from_the_last_attempt(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v1", rows=90)
        publish(engine, "dcir/2024-01/v2", rows=80)
        publish(engine, "dcir/2024-02/v1", rows=70)
        db.announce(engine, "dcir/2024-02/v2", manifest(), "m")
        at = {d["id"]: d["at"] for d in db.list_deliveries(engine)}
        # taken in again and refused: what was published before stays
        db.set_books(engine, "dcir/2024-02/v1", [book(date=5)])
        db.refuse_books(engine, "dcir/2024-02/v1", "quality")
        db.record_event(engine, "dcir/2024-02/v1", "rejected", reason="quality")
        keys = ("id", "state", "rows_published", "in_lake", "rows_in_lake", "published_at", "replaced_by")
        assert [tuple(d[k] for k in keys) for d in db.list_deliveries(engine)] == [
            ("dcir/2024-01/v1", "published", 0, False, 0, None, "dcir/2024-01/v2"),
            ("dcir/2024-01/v2", "published", 0, True, 80, at["dcir/2024-01/v2"], None),
            ("dcir/2024-02/v1", "rejected", 0, True, 70, at["dcir/2024-02/v1"], None),
            ("dcir/2024-02/v2", "announced", 0, False, 0, None, None),
        ]

    def test_the_same_versions_published_again_are_the_same_rows(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v1", versions={"dcir/er_prs_f": 0})
        since = db.list_deliveries(engine)[0]["published_at"]
        detail = {"versions": {"dcir/er_prs_f": 0}, "rows": {"er_prs_f": 100}}
        db.record_event(engine, "dcir/2024-01/v1", "published", run="again", detail=detail)
        assert db.list_deliveries(engine)[0]["published_at"] == since
        changed = {"versions": {"dcir/er_prs_f": 1}, "rows": {"er_prs_f": 90}}
        db.record_event(engine, "dcir/2024-01/v1", "published", run="again", detail=changed)
        found = db.list_deliveries(engine)[0]
        assert found["published_at"] > since
        assert found["rows_in_lake"] == 90

    def test_what_a_higher_version_overtook_is_replaced_too(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v2")
        db.announce(engine, "dcir/2024-01/v1", manifest(), "m")
        db.record_event(engine, "dcir/2024-01/v1", "superseded", reason="dcir/2024-01/v2")
        assert [d["replaced_by"] for d in db.list_deliveries(engine)] == ["dcir/2024-01/v2", None]

    def test_the_same_bytes_are_known_again(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v1", "aaaaaaaa", "bbbbbbbb")
        same = ["bbbbbbbb" * 8, "aaaaaaaa" * 8]
        assert db.same_content(engine, "dcir", "2024-01", same) == "dcir/2024-01/v1"
        assert db.same_content(engine, "dcir", "2024-01", same[:1]) is None
        assert db.same_content(engine, "dcir", "2024-02", same) is None
        # going back to what was before a correction is a correction, not a duplicate
        publish(engine, "dcir/2024-01/v2", "cccccccc")
        assert db.same_content(engine, "dcir", "2024-01", same) is None

    def test_a_build_brings_in_what_no_release_holds(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v1")
        publish(engine, "ville/2024-01/v1")
        pending = db.pending_deliveries(engine)
        assert pending == ["dcir/2024-01/v1", "ville/2024-01/v1"]
        build = db.start_build(engine, pending)
        assert db.start_build(engine, reversed(pending)) == build
        assert db.build_deliveries(engine, build) == pending
        release = db.add_release(engine, {"omop/person": 3, "omop/death": 1}, pending, build)
        assert db.add_release(engine, {"omop/person": 3}, pending, build) == release
        with pytest.raises(ConflictError):
            db.add_release(engine, {"omop/person": 4}, pending, build)
        assert db.pending_deliveries(engine) == []
        assert db.start_build(engine, pending) > build
        with pytest.raises(ConfigError, match="no build 99"):
            db.build_deliveries(engine, 99)
        with pytest.raises(UnexpectedState, match="never announced"):
            db.start_build(engine, ["dcir/1999-01/v1"])

    def test_a_release_carries_over_what_it_does_not_replace(self, engine: Engine) -> None:
        assert db.current_release(engine) is None
        publish(engine, "dcir/2024-01/v1")
        publish(engine, "ville/2024-01/v1")
        first = db.add_release(engine, {"omop/person": 1, "omop/death": 1}, db.pending_deliveries(engine), 1)
        publish(engine, "ville/2024-01/v2")
        assert db.pending_deliveries(engine) == ["ville/2024-01/v2"]
        second = db.add_release(engine, {"omop/person": 2}, ["ville/2024-01/v2"], 2)
        now = db.current_release(engine)
        assert now
        assert now.id == second
        assert now.tables == {"omop/death": 1, "omop/person": 2}
        assert now.deliveries == ("dcir/2024-01/v1", "ville/2024-01/v2")
        assert now.added == ("ville/2024-01/v2",)
        assert [r.id for r in db.list_releases(engine)] == [second, first]
        assert db.get_release(engine, first) == db.list_releases(engine)[1]
        assert db.get_release(engine, 99) is None

    def test_a_withdrawn_delivery_leaves_the_lake_and_the_next_release(self, engine: Engine) -> None:
        for name in ("dcir/2024-01/v1", "dcir/2024-02/v1"):
            publish(engine, name)
        both = db.pending_deliveries(engine)
        db.add_release(engine, {"omop/person": 1, "dcir/er_prs_f": 1}, both, db.start_build(engine, both))
        db.record_event(
            engine, "dcir/2024-01/v1", "withdrawn", reason="by mistake", detail={"versions": {"dcir/er_prs_f": 2}}
        )
        assert db.published_deliveries(engine) == ["dcir/2024-02/v1"]
        assert db.latest_published(engine, "dcir", "2024-01") is None
        assert db.same_content(engine, "dcir", "2024-01", ["abcdabcd" * 8]) is None
        assert db.pending_deliveries(engine) == []
        assert db.pending_withdrawals(engine) == ["dcir/2024-01/v1"]
        withdrawn = db.list_deliveries(engine)[0]
        keys = ("state", "reason", "in_lake", "rows_in_lake", "replaced_by")
        assert [withdrawn[k] for k in keys] == ["withdrawn", "by mistake", False, 0, None]

        build = db.start_build(engine, [], withdrawn=["dcir/2024-01/v1"])
        assert db.start_build(engine, [], withdrawn=["dcir/2024-01/v1"]) == build
        assert db.start_build(engine, ["dcir/2024-01/v1"]) > build, "what is brought in is not a withdrawal"
        assert db.build_deliveries(engine, build) == []
        assert db.build_deliveries(engine, build, withdrawn=True) == ["dcir/2024-01/v1"]
        db.add_release(engine, {"dcir/er_prs_f": 2}, [], build, withdrawn=["dcir/2024-01/v1"])
        released = db.current_release(engine)
        assert released
        assert (released.deliveries, released.added) == (("dcir/2024-02/v1",), ())
        assert released.tables == {"omop/person": 1, "dcir/er_prs_f": 2}
        assert db.pending_withdrawals(engine) == []

    def test_a_withdrawn_delivery_comes_back_when_it_is_published_anew(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v1", versions={"dcir/er_prs_f": 0})
        db.add_release(engine, {"dcir/er_prs_f": 0}, ["dcir/2024-01/v1"], 1)
        withdrawal = {"versions": {"dcir/er_prs_f": 1}}
        db.record_event(engine, "dcir/2024-01/v1", "withdrawn", reason="by mistake", detail=withdrawal)
        assert db.source_versions(engine) == {"dcir/er_prs_f": 1}
        for state in ("pulled", "staged"):
            db.record_event(engine, "dcir/2024-01/v1", state)
        assert db.published_deliveries(engine) == []
        detail = {"versions": {"dcir/er_prs_f": 2}, "rows": {"er_prs_f": 7}}
        db.record_event(engine, "dcir/2024-01/v1", "published", detail=detail)
        assert db.pending_deliveries(engine) == ["dcir/2024-01/v1"]
        assert db.pending_withdrawals(engine) == []
        assert db.source_versions(engine) == {"dcir/er_prs_f": 2}
        assert db.list_deliveries(engine)[0]["rows_in_lake"] == 7

    def test_an_earlier_version_comes_back_after_a_withdrawal(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v1")
        publish(engine, "dcir/2024-01/v2")
        db.record_event(engine, "dcir/2024-01/v2", "withdrawn", reason="by mistake")
        assert db.published_deliveries(engine) == [], "what v2 had replaced does not come back by itself"
        for state in ("pulled", "staged", "published"):
            db.record_event(engine, "dcir/2024-01/v1", state)
        assert db.published_deliveries(engine) == ["dcir/2024-01/v1"]

    def test_what_was_built_before_a_withdrawal_is_not_released_after_it(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v1")
        build = db.start_build(engine, ["dcir/2024-01/v1"])
        db.record_event(engine, "dcir/2024-01/v1", "withdrawn", reason="by mistake")
        with pytest.raises(ConflictError, match="was withdrawn since"):
            db.add_release(engine, {"omop/person": 1}, ["dcir/2024-01/v1"], build)
        assert db.current_release(engine) is None
        assert db.pending_withdrawals(engine) == []

    def test_a_delivery_in_the_lake_names_its_versions(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v1")
        with pytest.raises(UnexpectedState, match="without versions"):
            db.source_versions(engine)

    def test_a_hub_of_the_first_schema_is_brought_to_the_present_one(self, engine: Engine) -> None:
        from alembic import command

        publish(engine, "dcir/2024-01/v1")
        build = db.start_build(engine, ["dcir/2024-01/v1"])
        before = db.get_delivery(engine, "dcir/2024-01/v1")
        config = alembic_config()
        with engine.execution_options(hub_writes=True).begin() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0001")
        db.migrate(engine)
        assert db.get_delivery(engine, "dcir/2024-01/v1") == before
        assert db.build_deliveries(engine, build) == ["dcir/2024-01/v1"]
        with pytest.raises(Exception, match="append-only"), engine.begin() as connection:
            connection.execute(text("delete from event"))

    def test_keys_are_known_by_their_check_value(self, engine: Engine) -> None:
        assert db.key_check(engine, "p2") is None
        for _ in range(2):
            db.register_key(engine, "p2-2024", "p2", "0011223344556677")
        with pytest.raises(KeyRefused):
            db.register_key(engine, "p2-2024", "p2", "ffffffffffffffff")
        db.register_key(engine, "lake-1", "lake", "8899aabbccddeeff")
        db.register_key(engine, "p2-2025", "p2", "1111111111111111")
        assert db.key_check(engine, "p2") == "1111111111111111"
        assert [k["key_id"] for k in db.list_keys(engine)] == ["p2-2024", "lake-1", "p2-2025"]

    def test_only_publishable_figures_are_stored(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v1")
        release = db.add_release(engine, {"omop/person": 1}, ["dcir/2024-01/v1"], 1)
        good = [
            figure(15),
            figure(None, "rows", suppressed=True),
            figure(97, "filled", variable="gender_concept_id"),
            figure(None, "first", text="2024-01"),
        ]
        for _ in range(2):
            db.set_figures(engine, release, good)
        assert [f["measure"] for f in db.list_figures(engine)] == ["first", "persons", "rows", "filled"]
        assert db.list_figures(engine, release, "omop/death") == []
        for wrong in (figure(3), figure(10), figure(16), figure(15, suppressed=True), figure(97.5, "filled")):
            with pytest.raises(DisclosureRefused):
                db.set_figures(engine, release, [wrong])
        assert len(db.list_figures(engine, release)) == 4
        assert db.described_release(engine) == release
        assert db.described_release(engine, before=release) is None
        with pytest.raises(UnexpectedState):
            db.set_figures(engine, 99, good)

    def test_text_is_never_taken_for_sql(self, engine: Engine) -> None:
        nasty = "x'; drop table delivery; --"
        assert db.list_deliveries(engine, source=nasty) == []
        db.record_decision(engine, nasty, nasty, datetime.now(UTC), "reject", nasty)
        assert db.list_decisions(engine, nasty)[0]["reason"] == nasty

    def test_models_and_migrations_agree(self, engine: Engine) -> None:
        from alembic.autogenerate import compare_metadata
        from alembic.runtime.migration import MigrationContext

        with engine.connect() as connection:
            options = {"version_table": VERSION_TABLE, "compare_type": True}
            context = MigrationContext.configure(connection, opts=options)
            assert compare_metadata(context, Base.metadata) == []

    def test_migrations_go_down_and_up_again(self, engine: Engine) -> None:
        from alembic import command

        config = alembic_config()
        with engine.execution_options(hub_writes=True).begin() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "base")
        assert set(inspect(engine).get_table_names()) == {VERSION_TABLE}
        for _ in range(2):
            db.migrate(engine)
        assert set(inspect(engine).get_table_names()) == {VERSION_TABLE, *Base.metadata.tables}

    def test_no_table_has_a_row_per_person(self) -> None:
        names = {c.name for t in Base.metadata.tables.values() for c in t.columns}
        assert not {n for n in names if "person" in n or "nir" in n or "pseudonym" in n}

    def test_processes_write_at_once(self, engine: Engine) -> None:
        """Each of three processes migrates, announces, moves and counts; nothing is lost and nothing is refused."""
        context = multiprocessing.get_context("spawn")
        url = engine.url.render_as_string(hide_password=False)
        processes = [context.Process(target=write_much, args=(url, n)) for n in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [p.exitcode for p in processes] == [0] * 3
        found = db.list_deliveries(engine)
        assert [(d["state"], d["rows_in"]) for d in found] == [("published", 100)] * 9
        assert len(db.published_deliveries(engine)) == 9


def write_much(url: str, n: int) -> None:
    """What one process of ``test_processes_write_at_once`` does."""
    engine = db.open_engine(url)
    db.migrate(engine)
    for month in range(1, 4):
        name = f"dcir/202{n}-0{month}/v1"
        publish(engine, name)
        db.set_books(engine, name, [book(date=5)])
        db.set_counts(engine, name, "dcir/er_prs_f", {f"R{i}": (0, 10) for i in range(20)})
        db.list_deliveries(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty hub database that every test gets a copy of."""
    path = tmp_path_factory.mktemp("hub") / "deeper" / "hub.db"
    engine = db.open_engine(f"sqlite:///{path}")
    db.migrate(engine)
    engine.dispose()
    return path


class TestSqlite(RecordsSuite):
    @pytest.fixture
    def engine(self, migrated: Path, tmp_path: Path) -> Iterator[Engine]:
        shutil.copy(migrated, tmp_path / "hub.db")
        engine = db.open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
        yield engine
        engine.dispose()


def test_processes_migrate_a_new_database_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    processes = [context.Process(target=write_much, args=(url, n)) for n in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [p.exitcode for p in processes] == [0] * 2


def test_another_database_is_refused() -> None:
    with pytest.raises(ConfigError):
        db.open_engine("mysql://localhost/hub")


def test_a_missing_database_is_an_error_without_values(tmp_path: Path) -> None:
    engine = db.open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    with pytest.raises(StorageError) as caught:
        db.list_deliveries(engine, source="2840175123456")
    assert "2840175123456" not in str(caught.value)
    assert caught.value.__cause__ is None
