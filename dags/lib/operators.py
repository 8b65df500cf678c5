"""Runs the hub's commands as tasks: the exit code decides, the last line of standard output is the task's result.

The warm parent forks them where one answers (``jobs.warm``)."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import Asset, BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from dags.lib import outboxes
from dags.lib.failures import PREFIX, failure, lines_of, red_end
from jobs.errors import ConfigError, UnexpectedState
from jobs.settings import Settings
from jobs.warm import client

COMMAND = client.PLAIN

Result = dict[str, Any] | list[Any] | None


def without_airflow(environment: Mapping[str, str]) -> dict[str, str]:
    """What a command may know: Airflow's own settings, its secrets among them, are none of its business."""
    return {k: v for k, v in environment.items() if not k.startswith(("AIRFLOW_", "_AIRFLOW"))}


class JobOperator(BaseOperator):
    """Runs ``hub <argv>``. ``asset``: what its success changes; its event carries counts and the result's period.
    ``outboxes_of``: sources whose Airflow connection, where there is one, tells the command where their outbox lies.
    ``skip_on_exit_code``: the exit code that skips the task, and what follows it, instead of failing it."""

    template_fields: Sequence[str] = ("argv",)
    ui_color = "#e8f1f2"

    def __init__(
        self, *, argv: Sequence[str], asset: Asset | None = None, skip_on_exit_code: int | None = None, **kwargs: Any
    ) -> None:
        self.outboxes_of = tuple(kwargs.pop("outboxes_of", ()))
        super().__init__(outlets=[asset] if asset else [], **kwargs)
        self.argv = list(argv)
        self.asset = asset
        self.skip_on_exit_code = skip_on_exit_code
        self.process: client.Command | None = None

    def execute(self, context: Context) -> Any:
        with red_end(self.log):
            return self.work(context)

    def work(self, context: Context) -> Any:
        """What the task does and returns. Raises the hub's errors, of which the log shows the words only."""
        result = self.run_command(context)
        if self.asset is not None and isinstance(result, dict):
            event = context["outlet_events"][self.asset]
            event.extra = {k: v for k, v in result.items() if not isinstance(v, list)}
            if period := result.get("period"):
                event.add_partitions(period)
        return result

    def run_command(self, context: Context) -> Result:
        """The JSON of the command's last line, None when it says nothing. Raises its exit code's error, or the skip."""
        argv = [str(a) for a in self.argv]
        if "" in argv:
            raise ConfigError(
                f"`hub {' '.join(argv[:2])}` lacks a value.", next_step="trigger with a partition key or a month"
            )
        ti = context["ti"]
        environment = {
            **without_airflow(os.environ),
            "HUB_AIRFLOW_RUN": f"{ti.dag_id}/{ti.run_id}",
            **outboxes.environment(self.outboxes_of),
        }
        with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
            process = self.process = client.start(
                argv, run=Settings().run, environment=environment, stdout=out, plain=COMMAND
            )
            said = ""
            try:
                with process.stderr as lines_said:
                    for line in lines_said:
                        if line.startswith(PREFIX):
                            said = line.rstrip("\n")
                        else:
                            self.log.info(line.rstrip("\n"))
                code = process.wait()
            finally:
                self.on_kill()
            out.seek(0)
            lines = out.read().strip().splitlines()
        if code:
            error = failure(code, " ".join(argv[:2]), said)
            if code == self.skip_on_exit_code:
                raise AirflowSkipException(" ".join(lines_of(error)))
            raise error
        try:
            return json.loads(lines[-1]) if lines else None
        except ValueError:
            raise UnexpectedState(f"`hub {' '.join(argv[:2])}` did not end with a line of JSON.") from None

    def on_kill(self) -> None:
        """Ends the command: the task was stopped, or its time is over."""
        if self.process is not None:
            self.process.stop()
