"""What is to do, by whom: deliveries that were refused, what waits for a steward, months that are late.

A month is due by its contract (``[due]`` in ``source.toml``) and late when the lake holds nothing of it the day after,
and nothing of it is under way. Contributors that are made up keep no calendar: their deliveries are never late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Engine

from catalogue.db.decisions import list_decisions
from catalogue.db.deliveries import Record, list_deliveries
from catalogue.db.quality import list_quality_runs
from catalogue.db.releases import list_releases
from jobs.delivery import OPEN, Subject, month_after
from schemas.loader import Due, load_source, source_names

REFUSED = frozenset({"rejected", "incomplete"})


@dataclass(frozen=True)
class LateMonth:
    """A month of a source of which the lake should hold a delivery and holds none."""

    source: str
    period: str
    due: date
    """The last day on which it would have been in time."""
    days: int
    """Days since then."""
    last: str | None = None
    """The last version that came, and was refused; None: nothing came."""


@dataclass(frozen=True)
class Duties:
    """All that somebody is waited for, oldest first."""

    refused: Sequence[Record]
    """Deliveries that the contributor must send again, as ``list_deliveries`` has them."""
    waiting: Sequence[Record]
    """Deliveries that wait for a steward, with ``run``: the Airflow run of the quality run that asks."""
    builds: Sequence[Record]
    """Quality runs of builds that wait for a steward, without their results."""
    late: Sequence[LateMonth]


def dues() -> dict[str, Due]:
    """Source -> when its deliveries are due, of the contracts that say it."""
    return {name: due for name in source_names() if (due := load_source(name).due)}


def late_months(
    deliveries: Iterable[Record], dues: Mapping[str, Due], on: date, since: date | None = None
) -> list[LateMonth]:
    """The months that are late ``on`` a day, by source and month; with ``since`` those that became late after it."""
    by_source: dict[str, list[Record]] = {}
    for delivery in deliveries:
        if not delivery["synthetic"]:
            by_source.setdefault(delivery["source"], []).append(delivery)
    late = []
    for source, due in sorted(dues.items()):
        own = by_source.get(source, [])
        first = due.first or min((d["period"] for d in own), default=None)
        there = {d["period"] for d in own if d["in_lake"] or d["state"] in OPEN or d["state"] == "withdrawn"}
        came = {d["period"]: d["id"] for d in own}  # the highest version comes last
        for period in _months_due(first, due.day, on):
            day = due.day(period)
            if period not in there and (since is None or day >= since):
                late.append(LateMonth(source, period, day, (on - day).days, came.get(period)))
    return late


def _months_due(first: str | None, day_of: Callable[[str], date], on: date) -> Iterable[str]:
    """The months from ``first`` on whose day is over."""
    period = first
    while period and day_of(period) < on:
        yield period
        period = month_after(period)


def with_due(deliveries: Iterable[Record], dues: Mapping[str, Due]) -> list[Record]:
    """The same records with ``due`` (a day, None without a contract that says it) and ``days_late``: by how many days
    the first version of its month came after it; None in time, for a correction, and for what is made up."""
    return [{**d, **_due(d, dues.get(d["source"]))} for d in deliveries]


def _due(delivery: Record, due: Due | None) -> dict[str, Any]:
    if due is None or delivery["synthetic"]:
        return {"due": None, "days_late": None}
    day = due.day(delivery["period"])
    days = (delivery["first_seen_at"].date() - day).days if delivery["version"] == 1 else 0
    return {"due": day, "days_late": days if days > 0 else None}


def list_duties(engine: Engine, on: date) -> Duties:
    """What is to do on a day."""
    every = list_deliveries(engine)
    last = {(d["source"], d["period"]): d["id"] for d in every}  # the highest version comes last
    runs = {r["subject"]: r for r in list_quality_runs(engine, latest=True)}
    return Duties(
        refused=[d for d in every if d["state"] in REFUSED and last[d["source"], d["period"]] == d["id"]],
        waiting=[{**d, "run": runs.get(d["id"], {}).get("run")} for d in every if d["state"] == "waiting"],
        builds=_builds_that_wait(engine, runs.values()),
        late=late_months(every, dues(), on),
    )


def _builds_that_wait(engine: Engine, runs: Iterable[Record]) -> list[Record]:
    """Last quality runs of builds that warn and were neither decided nor released; a newer build replaces an older."""
    released = {r.build for r in list_releases(engine)}
    builds = [r for r in runs if Subject.parse(r["subject"]).build]
    newest = max(builds, key=lambda r: r["id"], default=None)
    if newest is None or newest["verdict"] != "warning" or newest["subject"] in released:
        return []
    decided = [d for d in list_decisions(engine, newest["subject"]) if d["at"] >= newest["at"]]
    return [] if decided else [{k: v for k, v in newest.items() if k != "results"}]
