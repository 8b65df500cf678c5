"""Tells people of a task that failed and of a question: by the hub's own command, whose settings say whom."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from dags.lib import operators
from dags.lib.operators import without_airflow
from jobs.errors import HubError
from jobs.settings import Settings
from jobs.warm import client

if TYPE_CHECKING:
    from airflow.sdk import Context

LIMIT = 60
"""Seconds that an alert may take."""


class Notify(BaseNotifier):
    """Runs ``hub alert <verb>`` with the run, and for ``failed`` the task and the class and reason of its error. An
    alert that does not arrive is a warning in the log: it changes nothing of the task."""

    def __init__(self, verb: str) -> None:
        super().__init__()
        self.verb = verb

    def notify(self, context: Context) -> None:
        ti = context["ti"]
        argv = ["alert", self.verb, f"--run={ti.dag_id}/{ti.run_id}"]
        if self.verb == "failed":
            argv += [f"--task={ti.task_id}", *described(context.get("exception"))]
        try:
            code, said = run(argv)
        except (OSError, HubError, subprocess.SubprocessError) as error:
            self.log.warning("No alert: %s.", type(error).__name__)
            return
        for line in said.splitlines()[-1:]:
            (self.log.warning if code else self.log.info)(line)


def run(argv: list[str]) -> tuple[int, str]:
    """Exit code of a command and what it says to people. Raises ``subprocess.TimeoutExpired`` after ``LIMIT``."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        environment = without_airflow(os.environ)
        command = client.start(
            argv, run=Settings().run, environment=environment, stdout=said, stderr=said, plain=operators.COMMAND
        )
        try:
            code = command.wait(LIMIT)
        finally:
            command.stop()
        said.seek(0)
        return code, said.read()


def described(error: Any) -> list[str]:
    """The class and the reason's code of an error as options. Never its words, which may hold counts."""
    if error is None:
        return []
    reason = getattr(error, "reason", "")
    return [f"--error={type(error).__name__}", *([f"--reason={reason}"] if isinstance(reason, str) and reason else [])]


ON_FAILURE, ON_QUESTION = Notify("failed"), Notify("asked")
