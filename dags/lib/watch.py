"""A trigger that looks again and again and rings for what is new; it holds no worker while it waits.

A ring says only that something waits; the task that it starts reads for itself what that is. One event per thing would
lose some of a burst.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from sqlalchemy import Engine

LOG = logging.getLogger(__name__)


class Watch(BaseEventTrigger):
    """Looks every ``every`` seconds; rings for what is new at once, then every ``again`` seconds."""

    def __init__(self, *, every: float = 2.0, again: float = 60.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.every, self.again = every, again

    def look(self, outboxes: Path, engine: Engine) -> frozenset[str]:
        """What waits now. May raise anything: it is looked again."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        # settings are read where it runs: an address with a password must not enter Airflow's database
        return f"{type(self).__module__}.{type(self).__qualname__}", {"every": self.every, "again": self.again}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from catalogue.db.engine import open_engine
        from jobs.settings import Settings

        settings = Settings()
        engine = open_engine(settings.database)
        rung: frozenset[str] = frozenset()
        at = -self.again
        while True:  # never returns: a watcher that ends is started again from nothing
            try:
                waiting = await asyncio.to_thread(self.look, settings.outboxes, engine)
            except Exception as error:
                # one fault must not silence the bell for everything else; the text could quote a manifest
                LOG.warning("%s could not look (%s); looking again.", type(self).__name__, type(error).__name__)
                waiting = rung
            if waiting - rung or (waiting and time.monotonic() - at >= self.again):
                at = time.monotonic()
                yield TriggerEvent({"waiting": len(waiting)})  # type: ignore[no-untyped-call]
            rung = waiting
            await asyncio.sleep(self.every)
