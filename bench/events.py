"""What Spark did, from its event log: jobs, rows and columns read of the landing, time of tasks."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.loader import Table

JOB, PLAN, REPLAN, TASK = (
    "SparkListenerJobStart",
    "org.apache.spark.sql.execution.ui.SparkListenerSQLExecutionStart",
    "org.apache.spark.sql.execution.ui.SparkListenerSQLAdaptiveExecutionUpdate",
    "SparkListenerTaskEnd",
)
ROWS = "number of output rows"
SETTLING = 1.0
"""Seconds after which the log holds what was done before."""


@dataclass
class Seen:
    """Between two moments."""

    jobs: int = 0
    rows_read: int = 0
    scans: list[tuple[int, int]] = field(default_factory=list)
    """Columns and rows of each scan of landed files, the widest first. A scan that nothing had to run is not there."""


def seen(logs: Path, table: Table, began: float, ended: float) -> Seen:
    """What happened between two moments (seconds since 1970). Only landed files have the identifiers of ``table`` as
    text: so scans of whole rows are told from those of what was staged, and from looks at their keys."""
    work, plans, added = Seen(), {}, Counter[int]()
    landed = [f"{c.name}:string" for c in table.columns if c.pseudonym]
    for event in _events(logs):
        kind = event["Event"]
        if kind == JOB and began <= event["Submission Time"] / 1000 <= ended:
            work.jobs += 1
        elif kind == TASK and began <= event["Task Info"]["Finish Time"] / 1000 <= ended:
            work.rows_read += (event.get("Task Metrics") or {}).get("Input Metrics", {}).get("Records Read", 0)
            for one in event["Task Info"]["Accumulables"]:
                if one.get("Name") == ROWS:
                    added[one["ID"]] += int(one.get("Update") or 0)
        elif (kind == PLAN and began <= event["time"] / 1000 <= ended) or (
            kind == REPLAN and event["executionId"] in plans
        ):
            plans[event["executionId"]] = event["sparkPlanInfo"]
    # rows that were kept stand in every plan that reads them: their scan has one counter, and counts once
    widths = dict(w for plan in plans.values() for n in _nodes(plan) if (w := _landed_scan(n, landed)))
    work.scans = sorted(((columns, added[c]) for c, columns in widths.items() if added[c]), reverse=True)
    return work


def settle() -> None:
    """Waits until the log holds what was done before."""
    time.sleep(SETTLING)


def _events(logs: Path) -> Iterator[dict[str, Any]]:
    wanted = tuple('{"Event":"' + kind for kind in (JOB, PLAN, REPLAN, TASK))
    for path in sorted(p for p in logs.rglob("*") if p.is_file() and not p.name.startswith(("appstatus", "."))):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith(wanted) and line.endswith("\n"):
                    yield json.loads(line)


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan["children"]:
        yield from _nodes(child)


def _landed_scan(node: Mapping[str, Any], landed: list[str]) -> tuple[int, int] | None:
    """The counter of rows and the columns of a scan of landed files; None for any other node."""
    schema = str(node.get("metadata", {}).get("ReadSchema", ""))
    counter = [m["accumulatorId"] for m in node["metrics"] if m["name"] == ROWS]
    return (counter[0], schema.count(":")) if counter and any(name in schema for name in landed) else None
