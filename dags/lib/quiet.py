"""Rings when what was published is complete enough for a build: a burst of deliveries makes one build."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dags.lib.doorbell import news, states_of
from dags.lib.watch import Watch
from jobs.delivery import OPEN, PEOPLE, STATES

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from jobs.intake.connectors import Connector

UNDER_WAY = frozenset(name for name in OPEN if STATES[name].owner not in PEOPLE)
"""States in which Airflow is at work on a delivery; one that waits for a steward may wait for days."""
STILL = timedelta(minutes=5)
"""A delivery to which nothing happened for so long is red, or large: no build waits for it."""


def under_way(engine: Engine, states: Mapping[str, str]) -> bool:
    """Whether something happened lately to a delivery that is not finished. Raises ``StorageError``."""
    from catalogue.db import get_delivery

    for name in (n for n, state in states.items() if state in UNDER_WAY):
        known = get_delivery(engine, name)
        if known and datetime.now(UTC) - known["events"][-1]["at"] < STILL:
            return True
    return False


class Quiet(Watch):
    """Rings for published deliveries that are in no release, once nothing more is under way; and at once for withdrawn
    ones that still are in one.

    ``patience``: seconds after which it no longer waits for that. It does not ring again for a build that failed, but
    for the next delivery.
    """

    def __init__(self, *, every: float = 2.0, again: float = 10**9, patience: float = 900.0) -> None:
        super().__init__(every=every, again=again)
        self.patience = patience
        self._rung_for: frozenset[str] = frozenset()
        self._since = math.inf
        self._quiet = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        name, settings = super().serialize()
        return name, settings | {"patience": self.patience}

    def look(self, outboxes: Path | Connector, engine: Engine) -> frozenset[str]:
        from catalogue.db import pending_deliveries, pending_withdrawals

        withdrawn = frozenset(f"{delivery} withdrawn" for delivery in pending_withdrawals(engine))
        pending = withdrawn.union(pending_deliveries(engine))
        if withdrawn - self._rung_for or not pending - self._rung_for:
            self._rung_for, self._since, self._quiet = pending, time.monotonic(), False
            return pending
        self._since = min(self._since, time.monotonic())
        states = states_of(engine)
        quiet = not (under_way(engine, states) or news(outboxes, states))
        # twice in a row: between two states of a delivery lies a moment that looks like the end
        if (quiet and self._quiet) or time.monotonic() - self._since > self.patience:
            self._rung_for = pending
            return pending
        self._quiet = quiet
        return pending & self._rung_for
