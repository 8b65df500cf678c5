"""What the demo watches: deliveries and releases in the hub database, tasks in Airflow. It only reads."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catalogue import db
from jobs.delivery import OPEN
from jobs.errors import HubError
from jobs.serve.rest import AirflowClient
from jobs.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

Record = dict[str, Any]
AT_WORK = ("running", "queued", "scheduled", "up_for_retry", "restarting", "deferred")
SHOWN = ("running", "queued", "up_for_retry", "awaiting_input")
PATIENCE = 60.0
"""Seconds without any task at work after which nothing more is expected."""


@dataclass(frozen=True)
class Sight:
    """One look at the hub."""

    deliveries: list[Record] = field(default_factory=list)
    """As ``db.with_settled`` gives them."""
    tasks: list[Record] = field(default_factory=list)
    """Airflow's tasks that work or wait: ``dag_id``, ``month``, ``task_id``, ``state``, ``run``."""
    release: int = 0
    pending: int = 0
    """Published deliveries that are in no release."""
    described: int = 0
    questions: tuple[str, ...] = ()
    """What stewards are asked now."""

    @property
    def states(self) -> dict[str, str]:
        return {str(d["id"]): str(d["state"]) for d in self.deliveries}

    @property
    def busy(self) -> bool:
        """Whether Airflow has something to do, beside waiting for people."""
        return any(t["state"] in AT_WORK for t in self.tasks)

    def doing(self, delivery: Mapping[str, Any], states: tuple[str, ...] = SHOWN) -> str:
        """What Airflow does for a delivery now, empty when nothing: a finished version does nothing."""
        if delivery["state"] not in OPEN:
            return ""
        mine = [
            t for t in self.tasks if t["dag_id"] == f"ingest_{delivery['source']}" and t["month"] == delivery["period"]
        ]
        return ", ".join(f"{t['task_id']} {t['state']}" for t in mine if t["state"] in states)

    def complete(self, expected: list[Record]) -> bool:
        """Whether every expected delivery is in its state, and a described release holds all that is published."""
        right = all(self.states.get(e["id"]) == e["state"] for e in expected)
        return right and self.pending == 0 and self.release > 0 and self.described == self.release

    def wrong(self, expected: list[Record]) -> list[str]:
        """What is not as it should be, as sentences."""
        faults = [
            f"{e['id']} is {self.states.get(e['id'], 'not announced')}, it should be {e['state']}."
            for e in expected
            if self.states.get(e["id"]) != e["state"]
        ]
        faults += [f"A steward is asked: {q}" for q in self.questions if q.startswith("Release")]
        if self.pending:
            faults.append(f"{self.pending} published deliveries are in no release.")
        if not self.release or self.described != self.release:
            faults.append(
                "The last release is not described in the catalogue." if self.release else "There is no release."
            )
        return faults


def month_of(run: Mapping[str, Any]) -> str:
    """The month that a run takes in: its partition key, or what it was told; empty when it has none."""
    return str(run["partition_key"] or (run["conf"] or {}).get("month") or "")


class Watcher:
    """Looks at one hub, as the user ``reader`` of its Airflow."""

    def __init__(self, settings: Settings, engine: Engine, client: AirflowClient) -> None:
        self.settings, self.engine, self.client = settings, engine, client
        self._months: dict[tuple[str, str], str] = {}
        self._idle_since = time.monotonic()

    def look(self) -> Sight:
        """The present; without Airflow's tasks while Airflow does not answer."""

        release = db.current_release(self.engine)
        try:
            tasks = self._tasks()
            asked = any(t["state"] == "awaiting_input" for t in tasks)
            questions = tuple(str(q["subject"]) for q in self.client.questions()) if asked else ()
        except HubError:
            tasks, questions = [], ()
        sight = Sight(
            deliveries=db.with_settled(self.engine, db.list_deliveries(self.engine)),
            tasks=tasks,
            release=release.id if release else 0,
            pending=len(db.pending_deliveries(self.engine)),
            described=db.described_release(self.engine) or 0,
            questions=questions,
        )
        if sight.busy:
            self._idle_since = time.monotonic()
        return sight

    def stuck(self) -> bool:
        """Whether nothing has been at work for so long that nothing more will come."""
        return time.monotonic() - self._idle_since > PATIENCE

    def _tasks(self) -> list[Record]:
        tasks = self.client.tasks(states=(*AT_WORK, "awaiting_input"))
        if any((t["dag_id"], t["dag_run_id"]) not in self._months for t in tasks):
            for run in self.client.runs():
                self._months[run["dag_id"], run["dag_run_id"]] = month_of(run)
        return [
            {
                "dag_id": t["dag_id"],
                "run": t["dag_run_id"],
                "month": self._months.get((t["dag_id"], t["dag_run_id"]), ""),
                "task_id": t["task_id"],
                "state": t["state"],
                "try": t["try_number"],
            }
            for t in tasks
        ]

    def failures(self) -> list[str]:
        """The last words of every task that failed, for the operator's eyes."""
        said = []
        for task in self.client.tasks(states=("failed",)):
            where = f"{task['dag_id']} {self._months.get((task['dag_id'], task['dag_run_id']), '')} {task['task_id']}"
            try:
                log = self.client.log(task["dag_id"], task["dag_run_id"], task["task_id"], max(task["try_number"], 1))
            except HubError:
                log = []
            words = [line for line in log if line and not line.startswith("::") and "attempt=" not in line]
            said.append(f"{where}: {' | '.join(words[-6:])}")
        return said


def read_expected(settings: Settings) -> list[Record]:
    """What should become of each synthetic delivery; empty while the generator is at work."""
    path = settings.root / "synthetic" / "expected.json"
    records: list[Record] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return records
