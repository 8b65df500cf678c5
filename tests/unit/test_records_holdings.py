"""What the lake holds, by the events of publishing.

The suite also runs on PostgreSQL: ``tests/integration/test_postgres.py``.
"""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from catalogue import db
from jobs.errors import (
    UnexpectedState,
)
from tests.unit.records_kit import OnSqlite, book, manifest, publish


class HoldingsSuite:
    """What holds on every database. A subclass gives the fixture ``engine``: an empty, migrated hub database."""

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

    def test_a_delivery_in_the_lake_names_its_versions(self, engine: Engine) -> None:
        publish(engine, "dcir/2024-01/v1")
        with pytest.raises(UnexpectedState, match="without versions"):
            db.source_versions(engine)


class TestSqlite(OnSqlite, HoldingsSuite):
    pass
