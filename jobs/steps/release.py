"""release: commits name the files that wait, then one SQL row makes all of it visible at once. No row is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalogue import db
from jobs.delivery import DeliveryId, Subject
from jobs.hub import Hub, Progress
from jobs.lake import tables as lake
from jobs.lake.commits import RUN, is_same, last_commit
from jobs.lake.waiting import WaitingTable
from jobs.steps.build import KEPT_EVIDENCE, waiting
from jobs.steps.gate import require_passed
from jobs.steps.whole import Slice
from schemas.loader import omop_names

Answer = dict[str, Any]


def release(hub: Hub, build: int, progress: Progress | None = None) -> Answer:
    """Releases a build that passed its gate. Repeating gives the same release; a table that the build does not change
    keeps its version."""
    subject = Subject(build=build)
    deliveries = db.build_deliveries(hub.engine, build)
    require_passed(hub, subject)
    withdrawn = db.build_deliveries(hub.engine, build, withdrawn=True)
    known = next((r for r in db.list_releases(hub.engine) if r.build == str(subject)), None)
    if known is None:
        detail = db.build_detail(hub.engine, build)

        def release_table(table: str) -> tuple[str, int]:
            name = f"omop/{table}"
            version = _commit(hub, build, name, detail, deliveries)
            if progress:
                progress(name)
            return name, version

        versions = dict(detail["versions"]) | dict(map(release_table, omop_names()))
        _keep_evidence(hub, build, detail, {DeliveryId.parse(d).slice for d in (*deliveries, *withdrawn)})
        number = db.add_release(hub.engine, versions, deliveries, build, withdrawn=withdrawn)
    else:
        number, versions = known.id, known.tables
    lake.remove_staged(hub.settings.lake, subject)
    answer = {"release": number, "build": build, "tables": len(versions), "deliveries": deliveries}
    return answer | {"withdrawn": withdrawn}


def _commit(hub: Hub, build: int, name: str, detail: Mapping[str, Any], deliveries: list[str]) -> int:
    """Makes the rows that wait those of an OMOP table; the version that holds them. Event tables change by slices."""
    made = waiting(hub.settings.lake, detail["writer"], name)
    metadata = {"build": build, "table": name, "content": detail["content"][name]}
    metadata |= {"deliveries": deliveries, RUN: hub.run}
    last = last_commit(made.root)
    if last and (
        is_same(last[1], metadata) or (not made.partition_by and last[1].get("content") == metadata["content"])
    ):
        return last[0]
    return _replace(made, metadata, {(s, p) for s, p in (of.split("/") for of in detail["slices"])})


def _keep_evidence(hub: Hub, build: int, detail: Mapping[str, Any], slices: set[Slice]) -> None:
    """What the build learned of persons. Months that were added because their persons changed keep their evidence: only
    the pending ones were made again."""
    made = waiting(hub.settings.lake, detail["writer"], KEPT_EVIDENCE)
    metadata = {"build": build, "table": KEPT_EVIDENCE, RUN: hub.run}
    last = last_commit(made.root)
    if not (last and is_same(last[1], metadata)):
        _replace(made, metadata, slices)


def _replace(made: WaitingTable, metadata: Mapping[str, Any], slices: set[Slice]) -> int:
    return made.commit(
        metadata, replaces=lambda of: not of or (of["_source"], of["_period"]) in slices, claim="release"
    )
