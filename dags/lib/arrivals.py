"""Turns announced deliveries into partitions of assets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk import Asset, Context

from dags.lib.operators import JobOperator


def months(announced: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Source -> months announced, sorted, each once. ``announced``: source, period, version of each delivery."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for delivery in announced:
        found[delivery["source"]].add(delivery["period"])
    return {source: sorted(periods) for source, periods in sorted(found.items())}


class AnnounceOperator(JobOperator):
    """Runs ``hub delivery announce`` and adds each month announced to the source's asset."""

    def __init__(self, *, arrived: Mapping[str, Asset], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.arrived = dict(arrived)
        self.outlets = list(arrived.values())

    def work(self, context: Context) -> Any:
        announced = self.run_command(context) or []
        by_source = months(announced if isinstance(announced, list) else [announced])
        for source in sorted(by_source.keys() - self.arrived.keys()):
            waiting = ", ".join(by_source.pop(source))
            self.log.warning("%s has no ingest DAG, %s waits. Next: look for its contract.", source, waiting)
        for source, periods in by_source.items():
            context["outlet_events"][self.arrived[source]].add_partitions(periods)
        # an outlet without a partition would be an event that nobody can place
        self.outlets = [self.arrived[source] for source in by_source]
        return announced
