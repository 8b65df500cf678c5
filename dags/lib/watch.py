"""A trigger that looks again and again and rings for what is new; it holds no worker while it waits.

A ring says only that something waits; the task that it starts reads for itself what that is. One event per thing would
lose some of a burst.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from dags.lib.outboxes import usable_folders
from jobs.intake.connectors import FolderOutbox
from jobs.settings import Settings
from schemas.loader import source_names

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from jobs.intake.connectors import Connector

LOG = logging.getLogger(__name__)
CONNECTIONS_EVERY = 10.0
"""Seconds after which a changed connection is seen."""


class Watch(BaseEventTrigger):
    """Looks every ``every`` seconds; rings for what is new at once, then every ``again`` seconds."""

    def __init__(self, *, every: float = 2.0, again: float = 60.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.every, self.again = every, again

    def look(self, outboxes: Path | Connector, engine: Engine) -> frozenset[str]:
        """What waits now. May raise anything: it is looked again."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        # settings are read where it runs: an address with a password must not enter Airflow's database
        return f"{type(self).__module__}.{type(self).__qualname__}", {"every": self.every, "again": self.again}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from catalogue.db.engine import open_engine

        settings = Settings()
        engine = open_engine(settings.database)
        rung: frozenset[str] = frozenset()
        at = asked = -math.inf
        elsewhere: dict[str, Path] = {}
        while True:  # never returns: a watcher that ends is started again from nothing
            try:
                if time.monotonic() - asked >= CONNECTIONS_EVERY:
                    elsewhere = settings.outbox | await usable_folders(source_names())
                    asked = time.monotonic()
                waiting = await asyncio.to_thread(self.look, FolderOutbox(settings.outboxes, elsewhere), engine)
            except Exception as error:
                # one fault must not silence the bell for everything else; the text could quote a manifest
                LOG.warning("%s could not look (%s); looking again.", type(self).__name__, type(error).__name__)
                waiting = rung
            if waiting - rung or (waiting and time.monotonic() - at >= self.again):
                at = time.monotonic()
                yield TriggerEvent({"waiting": len(waiting)})  # type: ignore[no-untyped-call]
            rung = waiting
            await asyncio.sleep(self.every)
