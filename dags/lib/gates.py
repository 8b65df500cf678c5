"""A command whose result decides which task follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Context
from airflow.sdk.bases.branch import BranchMixIn

from dags.lib.operators import JobOperator, Result
from jobs.errors import HubError, QualityErrored, QualityRefused, UnexpectedState

REFUSED: dict[str, type[HubError]] = {"critical": QualityRefused, "errored": QualityErrored}


class GateOperator(JobOperator, BranchMixIn):
    """A command whose result decides what follows: the task that ``to`` gives for the result's ``by``.

    None skips all that follows and the run stays green. Verdicts ``critical`` and ``errored`` fail the task: nobody is
    asked. Any other value is a fault of the hub.
    """

    inherits_from_skipmixin = True

    def __init__(self, *, by: str, to: Mapping[str, str | None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.by, self.to = by, dict(to)

    def work(self, context: Context) -> Any:
        result = super().work(context)
        self.do_branch(context, self.choose(result))
        return result

    def choose(self, result: Result) -> str | None:
        """The task that follows, or None. Raises ``QualityRefused``, ``QualityErrored``, ``UnexpectedState``."""
        value = str(result.get(self.by)) if isinstance(result, dict) else "nothing"
        if value in self.to:
            return self.to[value]
        if value in REFUSED:
            raise REFUSED[value](f"The gate's verdict is {value}.", next_step="read the run's quality report")
        raise UnexpectedState(f"The command said {value} for {self.by}.")
