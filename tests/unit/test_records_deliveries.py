"""Deliveries: what is announced, how a delivery moves, its books.

The suite also runs on PostgreSQL: ``tests/integration/test_postgres.py``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from sqlalchemy import Engine, inspect, text

from catalogue import db
from catalogue.db.models import APPEND_ONLY
from jobs.delivery import STATES, may_move
from jobs.errors import (
    ConfigError,
    ContractRefused,
    NotReady,
    UnexpectedState,
)
from tests.unit.records_kit import OnSqlite, book, manifest, publish, result, shortest_ways


class DeliveriesSuite:
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
        for wrong in (book(101, date=5), book(100, 98, date=-1), book(-1)):
            with pytest.raises(UnexpectedState, match="do not balance"):
                db.set_books(engine, name, [book(date=5), wrong])
        assert db.list_deliveries(engine)[0]["tables"] == {}
        with pytest.raises(ConfigError):
            db.set_books(engine, "dcir/2024-02/v1", [book(date=5)])

    def test_books_are_replaced_and_summed(self, engine: Engine) -> None:
        name = "dcir/2024-01/v1"
        db.announce(engine, name, manifest("aaaaaaaa"), "m1")
        second = {**book(10, 5, orphan=0, date=5), "table": "er_pha_f", "rows_duplicate": 0}
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
            "rows_published": 97,
            "rows_quarantined": {"code": 1, "date": 9},
            "rows_duplicate": 3,
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
        assert (found["rows_published"], found["rows_quarantined"]) == (0, {"date": 5, "quality": 92})


class TestSqlite(OnSqlite, DeliveriesSuite):
    pass
