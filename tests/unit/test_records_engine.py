"""The database itself: schema, migrations, instants, several processes.

The suite also runs on PostgreSQL: ``tests/integration/test_postgres.py``.
"""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from catalogue import db
from catalogue.db.engine import VERSION_TABLE, alembic_config
from catalogue.db.models import Base
from jobs.errors import (
    ConfigError,
    StorageError,
)
from tests.unit.records_kit import OnSqlite, book, publish


class EngineSuite:
    """What holds on every database. A subclass gives the fixture ``engine``: an empty, migrated hub database."""

    def test_an_instant_needs_a_time_zone(self, engine: Engine) -> None:
        naive = datetime.now(UTC).replace(tzinfo=None)
        with pytest.raises(StorageError):
            db.record_decision(engine, "dcir/2024-01/v1", "steward", naive, "approve", None)

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

    def test_books_of_a_stage_that_settled_keep_what_it_settled(self, engine: Engine) -> None:
        from alembic import command

        name, config = "dcir/2024-01/v1", alembic_config()
        publish(engine, name)
        db.set_books(engine, name, [book(rows_in=95, published=92)])
        with engine.execution_options(hub_writes=True).begin() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "0004")
            connection.execute(text("update book set rows_in = 100, rows_settled = 5"))
        db.migrate(engine)
        (found,) = db.with_settled(engine, db.list_deliveries(engine))
        assert (found["rows_in"], found["rows_settled"], found["settled_by"]) == (100, 5, "stage")
        db.set_books(engine, name, [book(rows_in=95, published=92)])  # taken in again: a build is to say it
        (found,) = db.with_settled(engine, db.list_deliveries(engine))
        assert (found["rows_in"], found["rows_settled"], found["settled_by"]) == (95, None, None)

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


class TestSqlite(OnSqlite, EngineSuite):
    pass


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
