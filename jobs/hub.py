"""What every step works with: the settings, the hub database, and the Spark server when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from catalogue import db
from catalogue.db.engine import SchemaState
from jobs.errors import ConfigError, KeyRefused, ServerUnavailable
from jobs.settings import Settings
from jobs.spark import health, server, session
from jobs.spark.functions import KEY_CHECK

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from sqlalchemy import Engine

Progress = Callable[[str], None]
"""Learns what a step works on, by the name of a table."""
SERVER_KEYS = {"p2": "stage2", "lake": "lake", "landing": "landing"}
"""Keys that the Spark server uses, and their purpose in the registry."""


@dataclass(frozen=True)
class Hub:
    """One hub, opened for one command."""

    settings: Settings
    reads: bool = False
    """Whether the command only reads: it then creates and migrates nothing."""

    @cached_property
    def engine(self) -> Engine:
        """The hub database, its schema the one of this code. Raises ``ConfigError`` when it is not, and the command
        only reads; or when a newer hub made it."""
        engine = db.open_engine(self.settings.database)
        if self.reads:
            require_hub(self.settings, db.schema_state(engine))
        else:
            db.migrate(engine)
        return engine

    @cached_property
    def spark(self) -> SparkSession:
        """A session whose server holds the registered keys. Raises ``KeyRefused`` before any data is read."""
        _ = self.engine  # first: without a hub there is nothing to ask the server
        if server.ready(self.settings) and not health.speaks(self.settings):
            raise ServerUnavailable(
                "The Spark server is there and does not answer.",
                reason="server_hung",
                next_step="run `hub spark start`, which starts it again",
            )
        spark = session.connect(self.settings)
        check_server_keys(spark, self.key_checks)
        return spark

    @cached_property
    def key_checks(self) -> dict[str, str]:
        """Registered check value of each key that the Spark server uses. Raises ``KeyRefused``."""
        checks = {name: db.key_check(self.engine, purpose) for name, purpose in SERVER_KEYS.items()}
        for name, check in checks.items():
            if check is None:
                raise KeyRefused(f"No key is registered for {SERVER_KEYS[name]}.", next_step="run `hub key init`")
        return {name: check for name, check in checks.items() if check}

    @property
    def run(self) -> str | None:
        return self.settings.airflow_run


def require_hub(settings: Settings, schema: SchemaState) -> None:
    """Raises ``ConfigError`` unless the home holds a hub that this code can read as it is."""
    if schema == "missing":
        raise no_hub(settings)
    if schema == "newer":
        raise db.newer_schema()
    if schema == "older":
        raise ConfigError(
            f"The hub in {settings.root} was made by an older version, and its database is not migrated yet.",
            reason="older_schema",
            next_step="`hub up` or `hub key init` migrates it; make a copy of the database first",
        )


def no_hub(settings: Settings) -> ConfigError:
    """The error for a home without a hub."""
    where = f"{settings.root}" if settings.database_url is None else "the database that HUB_DATABASE_URL names"
    return ConfigError(
        f"There is no hub in {where}.",
        reason="no_hub",
        next_step="make one with `hub init`, or name the folder of yours in HUB_HOME",
    )


def check_server_keys(spark: SparkSession, registered: Mapping[str, str]) -> None:
    """Compares the check values of the server's keys with the registry: a wrong key would make a plausible lake that
    links to nothing."""
    with session.safely("check of the keys"):
        asked = ", ".join(f"{KEY_CHECK}('{name}', '') AS {name}" for name in registered)
        checks = spark.sql(f"SELECT {asked}").first()
    for name, check in registered.items():
        if checks is None or checks[name] != check:
            raise KeyRefused(
                f"The Spark server's key {name} is not the registered one.",
                reason="key_other",
                next_step="put the registered key file back and restart the Spark server",
            )
