"""Turns announced deliveries into partitions of assets, and into runs that take them in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk import Asset, Context

from dags.lib.operators import JobOperator


def months(announced: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Source -> months announced, sorted, each once. ``announced``: source, period, version of each delivery."""
    by_source: defaultdict[str, set[str]] = defaultdict(set)
    for delivery in announced:
        by_source[delivery["source"]].add(delivery["period"])
    return {source: sorted(periods) for source, periods in sorted(by_source.items())}


def run_of(announced: Mapping[str, Any]) -> dict[str, Any]:
    """The run that takes in an announced delivery, as ``TriggerDagRunOperator`` is told it.

    The same announcement makes the same id, so it starts no second run. The month is in ``conf``: a task cannot give a
    run a partition key.
    """
    return {
        "trigger_dag_id": f"ingest_{announced['source']}",
        "trigger_run_id": f"{announced['period']}__v{announced['version']}__{announced['at']}",
        "conf": {"month": announced["period"]},
    }


class AnnounceOperator(JobOperator):
    """Runs ``hub delivery announce`` and adds each month announced to the source's asset. Returns the deliveries that
    have an ingest DAG: ``source, period, version, at``."""

    def __init__(self, *, arrived: Mapping[str, Asset], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.arrived = dict(arrived)
        self.outlets = list(arrived.values())

    def work(self, context: Context) -> Any:
        announced = [delivery for delivery in self.run_command(context) or [] if isinstance(delivery, dict)]
        by_source = months(announced)
        for source in sorted(by_source.keys() - self.arrived.keys()):
            waiting = ", ".join(by_source.pop(source))
            self.log.warning("%s has no ingest DAG, %s waits. Next: look for its contract.", source, waiting)
        for source, periods in by_source.items():
            context["outlet_events"][self.arrived[source]].add_partitions(periods)
        # an outlet without a partition would be an event that nobody can place
        self.outlets = [self.arrived[source] for source in by_source]
        return [delivery for delivery in announced if delivery["source"] in self.arrived]
