"""Builds and releases: what is brought in, carried over, withdrawn.

The suite also runs on PostgreSQL: ``tests/integration/test_postgres.py``.
"""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from catalogue import db
from jobs.errors import (
    ConfigError,
    ConflictError,
    UnexpectedState,
)
from tests.unit.records_kit import OnSqlite, book, publish


class ReleasesSuite:
    """What holds on every database. A subclass gives the fixture ``engine``: an empty, migrated hub database."""

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

    def test_who_wrote_what_may_still_be_committed_is_told_apart(self, engine: Engine) -> None:
        def stages(delivery: str, *writers: str) -> None:
            db.announce(engine, delivery, {}, f"of {delivery}")
            db.record_event(engine, delivery, "pulled")
            for writer in writers:
                db.record_event(engine, delivery, "staged", detail={"writer": writer})

        stages("dcir/2024-01/v1", "first", "second")
        stages("ville/2024-01/v1", "refused")
        db.record_event(engine, "ville/2024-01/v1", "rejected")
        stages("pmsi_mco/2024-01/v1", "published")
        db.record_event(engine, "pmsi_mco/2024-01/v1", "published")
        deliveries = {"first": False, "second": True, "refused": False, "published": False}
        assert db.list_writers(engine) == deliveries
        replaced, released = (db.start_build(engine, [f"{s}/2024-01/v1"]) for s in ("dcir", "pmsi_mco"))
        for build in (replaced, released):
            db.set_build_detail(engine, build, {"writer": f"build-{build}"})
        assert db.list_writers(engine) == deliveries | {f"build-{released}": True}
        assert db.open_build(engine) == released
        db.add_release(engine, {"omop/person": 1}, ["pmsi_mco/2024-01/v1"], released)
        assert db.list_writers(engine) == deliveries | {f"build-{released}": False}
        assert db.open_build(engine) is None

    def test_a_build_says_what_it_settled_once_it_is_complete(self, engine: Engine) -> None:
        name, other = "dcir/2024-01/v1", "dcir/2024-02/v1"
        for delivery in (name, other):
            publish(engine, delivery)
        db.set_books(engine, name, [book(rows_in=95, published=92)])
        build = db.start_build(engine, [name])
        counted = {"table": "dcir/er_prs_f", "period": "2024-01", "rows": 92, "stay": 82}
        of_other = {**counted, "period": "2024-02", "left_out": {"settled": 7}}

        def settled() -> dict[str, tuple[int | None, str | None]]:
            records = db.with_settled(engine, db.list_deliveries(engine))
            return {d["id"]: (d["rows_settled"], d["settled_by"]) for d in records}

        assert settled() == {name: (None, None), other: (None, None)}
        left_out = {"settled": 6, "fictitious_nir": 4}
        db.set_build_detail(engine, build, {"filtered": [{**counted, "left_out": left_out}, of_other]})
        assert settled() == {name: (6, f"build/{build}"), other: (None, None)}  # it did not bring the other one in
        db.add_release(engine, {"omop/person": 1}, [name], build)
        db.set_build_detail(engine, db.start_build(engine, [name]), {"losses": {}})
        assert settled()[name] == (0, f"build/{build + 1}")

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


class TestSqlite(OnSqlite, ReleasesSuite):
    pass
