"""What every step works with: the settings, the hub database, and the Spark server when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from catalogue import db
from jobs.errors import KeyRefused, ServerUnavailable
from jobs.settings import Settings
from jobs.spark import health, server, session
from jobs.spark.functions import KEY_CHECK

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from sqlalchemy import Engine

Progress = Callable[[str], None]
"""Told what a step works on, by the name of a table."""
SERVER_KEYS = {"p2": "stage2", "lake": "lake", "landing": "landing"}
"""Keys that the Spark server uses, and their purpose in the registry."""


@dataclass(frozen=True)
class Hub:
    """One hub, opened for one command."""

    settings: Settings

    @cached_property
    def engine(self) -> Engine:
        engine = db.open_engine(self.settings.database)
        db.migrate(engine)
        return engine

    @cached_property
    def spark(self) -> SparkSession:
        """A session whose server holds the registered keys. Raises ``KeyRefused`` before any data is read."""
        if server.ready(self.settings) and not health.speaks(self.settings):
            raise ServerUnavailable(
                "The Spark server is there and does not answer.",
                reason="server_hung",
                next_step="run `hub spark start`, which starts it again",
            )
        spark = session.connect(self.settings)
        check_server_keys(spark, self.engine)
        return spark

    @property
    def run(self) -> str | None:
        return self.settings.airflow_run


def check_server_keys(spark: SparkSession, engine: Engine) -> None:
    """Compares the check values of the server's keys with the registry: a wrong key would make a plausible lake that
    links to nothing."""
    with session.safely("check of the keys"):
        asked = ", ".join(f"{KEY_CHECK}('{name}', '') AS {name}" for name in SERVER_KEYS)
        found = spark.sql(f"SELECT {asked}").first()
    for name, purpose in SERVER_KEYS.items():
        registered = db.key_check(engine, purpose)
        if registered is None:
            raise KeyRefused(f"No key is registered for {purpose}.", next_step="run `hub key init`")
        if found is None or found[name] != registered:
            raise KeyRefused(
                f"The Spark server's key {name} is not the registered one.",
                reason="key_other",
                next_step="put the registered key file back and restart the Spark server",
            )
