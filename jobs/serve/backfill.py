"""Months asked for again: one run of a source's ingest DAG per month, started through Airflow as its UI would."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jobs.delivery import PERIOD
from jobs.errors import ConfigError, HubError, ServerUnavailable
from jobs.serve.rest import AirflowClient

MOST_MONTHS = 240
LOOK_EVERY = 2.0
ENDED = ("success", "failed")

Tell = Callable[[str], None]


def months_between(first: str, last: str) -> list[str]:
    """Every month from ``first`` to ``last``, both included. Raises ``ConfigError`` for what is no such range."""
    if not (re.fullmatch(PERIOD, first) and re.fullmatch(PERIOD, last)):
        raise ConfigError("A month is written YYYY-MM.", reason="bad_month", next_step="for example --from 2024-03")
    begin, end = (int(m[:4]) * 12 + int(m[5:]) - 1 for m in (first, last))
    if not 0 <= end - begin < MOST_MONTHS:
        raise ConfigError(f"--to comes before --from, or more than {MOST_MONTHS} months after it.", reason="bad_month")
    return [f"{n // 12}-{n % 12 + 1:02d}" for n in range(begin, end + 1)]


def start(client: AirflowClient, source: str, months: Sequence[str], *, again: bool) -> Iterator[dict[str, Any]]:
    """Triggers one run per month, with the month as its partition key and at the head of its id: ``month, run, state``
    of each, as it starts."""
    conf, dag, now = {"again": True} if again else None, f"ingest_{source}", datetime.now(UTC).isoformat()
    for month in months:
        run = client.trigger(dag, partition_key=month, conf=conf, name=f"{month}__{now}")
        yield {"month": month, "run": run, "state": "queued"}


def left_behind(runs: Sequence[Mapping[str, Any]], page: str) -> list[str]:
    """What goes on in Airflow when nobody waits for these runs any more, and where to look: lines for people."""
    going_on = [r for r in runs if r["state"] not in ENDED]
    if not going_on:
        return ["Interrupted: no run that was started goes on."]
    return [
        f"Interrupted: {len(going_on)} of {len(runs)} runs go on in Airflow:",
        *(f"  {r['month']}  {r['run']}  {r['state']}" for r in going_on),
        f"Look at them under {page}; to stop one, open it there and mark it as failed.",
    ]


def wait(client: AirflowClient, source: str, runs: list[dict[str, Any]], tell: Tell, minutes: float) -> None:
    """Returns when every run has ended, its ``state`` filled in. Raises ``HubError`` naming the months that failed."""
    end = time.monotonic() + 60 * minutes
    while open_ones := [r for r in runs if r["state"] not in ENDED]:
        for run in open_ones:
            state = str(client.run(f"ingest_{source}", run["run"])["state"])
            if state != run["state"]:
                run["state"] = state
                tell(f"{source} {run['month']}: {state}")
        if time.monotonic() > end:
            raise ServerUnavailable(
                f"{len(open_ones)} runs of ingest_{source} go on after {minutes:g} minutes.",
                next_step="one that waits for a steward is under Required Actions; look at the others in Airflow",
            )
        time.sleep(LOOK_EVERY)
    if failed := [r["month"] for r in runs if r["state"] == "failed"]:
        raise HubError(
            f"ingest_{source} failed for {', '.join(failed)}.",
            reason="run_failed",
            next_step="open the run in Airflow: its red task says why",
        )
