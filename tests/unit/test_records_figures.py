"""Keys and figures: what may be registered and stored.

The suite also runs on PostgreSQL: ``tests/integration/test_postgres.py``.
"""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from catalogue import db
from jobs.errors import (
    DisclosureRefused,
    KeyRefused,
    UnexpectedState,
)
from tests.unit.records_kit import OnSqlite, figure, publish


class FiguresSuite:
    """What holds on every database. A subclass gives the fixture ``engine``: an empty, migrated hub database."""

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


class TestSqlite(OnSqlite, FiguresSuite):
    pass
