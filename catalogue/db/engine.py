"""Opens the hub database (SQLite or PostgreSQL) and brings it to the present schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from jobs.errors import ConfigError, StorageError

VERSION_TABLE = "hub_alembic_version"
MIGRATIONS = Path(__file__).resolve().parent / "migrations"
SchemaState = Literal["missing", "older", "present", "newer"]
BUSY_MS = 30_000
"""How long a writer waits for another one on SQLite."""
_LOCK = 0x6875622D  # any number that only the hub's migrations take


def open_engine(url: str) -> Engine:
    """An engine for ``sqlite:///<path>`` or ``postgresql://...`` (psycopg 3).

    On SQLite: write-ahead log, foreign keys on, writers wait for each other for up to 30 s. Creates nothing:
    ``migrate`` does. Raises ``ConfigError`` for another kind of database.
    """
    where = make_url(url)
    if where.drivername in ("postgresql", "postgres"):
        where = where.set(drivername="postgresql+psycopg")
    if where.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError("The hub database is SQLite or PostgreSQL.", next_step="correct HUB_DATABASE_URL")
    if where.get_backend_name() != "sqlite":
        return create_engine(where, pool_pre_ping=True, hide_parameters=True)
    engine = create_engine(where, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are ours, not the driver's
    for pragma in (f"busy_timeout = {BUSY_MS}", "journal_mode = wal", "foreign_keys = on"):
        connection.execute(f"pragma {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # a writer takes the lock at once: a read that turns into a write could not wait for another writer
    writes = connection.get_execution_options().get("hub_writes")
    connection.exec_driver_sql("begin immediate" if writes else "begin")


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(UTC)


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """One consistent look at the database. Raises ``StorageError`` when it does not answer."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with _session(engine) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """One transaction: everything inside happens, or nothing. Raises ``StorageError`` when it does not answer."""
    with _session(engine.execution_options(hub_writes=True)) as session, session.begin():
        yield session


def one_at_a_time(session: Session, table: str) -> None:
    """Let no other transaction write ``table`` until this one ends (on SQLite every writer is alone anyway)."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"lock table {table} in share row exclusive mode"))


@contextmanager
def _session(engine: Engine) -> Iterator[Session]:
    with _refusals(), Session(engine, expire_on_commit=False) as session:
        yield session


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        # the text of a database error can quote values: only its class leaves
        kind = type(error.orig).__name__ if isinstance(error, DBAPIError) else type(error).__name__
        raise StorageError(
            f"The hub database refused ({kind}).",
            reason="hub_database",
            next_step="look at HUB_DATABASE_URL and the disk, then try again",
        ) from None


def schema_state(engine: Engine) -> SchemaState:
    """Whether the database holds a hub, and whether its schema is the one of this code. Only reads: a database that is
    not there is not made. Raises ``StorageError`` when it does not answer."""

    file = _file(engine)
    if file and not file.exists():
        return "missing"
    with _refusals(), engine.connect() as connection:
        at = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    if at is None:
        return "missing"
    known = [r.revision for r in ScriptDirectory.from_config(alembic_config()).walk_revisions()]
    return "newer" if at not in known else "present" if at == known[0] else "older"


def _file(engine: Engine) -> Path | None:
    """The file of an SQLite database; None for one in memory, and for a server's."""
    name = engine.url.database if engine.dialect.name == "sqlite" else None
    return Path(name) if name and name != ":memory:" else None


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision, in a new database when there is none; does nothing when it is there.
    Safe when several processes call it. Raises ``ConfigError`` for a database that a newer hub migrated."""

    state = schema_state(engine)
    if state == "present":
        return
    if state == "newer":
        raise newer_schema()
    if file := _file(engine):
        file.parent.mkdir(parents=True, exist_ok=True)
    config = alembic_config()
    with engine.execution_options(hub_writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def newer_schema() -> ConfigError:
    """The error for a database that this code is too old for."""
    return ConfigError(
        "The hub database was made by a newer version of the hub.",
        reason="newer_schema",
        next_step="use the version of the hub that made it, or a later one",
    )


def alembic_config() -> Any:
    """Alembic without a file: where the migrations are. ``attributes["connection"]`` says on what they run."""

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
