"""release: the staged slices of a build replace theirs, then one SQL row makes all of it visible at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalogue import db
from jobs.delivery import DeliveryId, Subject
from jobs.harmonise.omop import event_names
from jobs.hub import Hub, Progress
from jobs.lake import tables as lake
from jobs.lake.layout import table_path
from jobs.lake.staged import StagedTable
from jobs.spark.session import safely
from jobs.steps.build import EVIDENCE, SLICES
from jobs.steps.gate import require_passed
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
        _ = hub.spark  # checks the keys before any data is read

        def release_table(table: str) -> tuple[str, int]:
            version = _commit(hub, build, table, detail, deliveries)
            if progress:
                progress(f"omop/{table}")
            return f"omop/{table}", version

        versions = dict(detail["versions"]) | dict(lake.at_once(release_table, omop_names()))
        changed = [DeliveryId.parse(d).slice for d in (*deliveries, *withdrawn)]
        _keep_evidence(hub, build, lake.slices(changed))
        number = db.add_release(hub.engine, versions, deliveries, build, withdrawn=withdrawn)
    else:
        number, versions = known.id, known.tables
    lake.remove_staged(hub.settings.lake, subject)
    answer = {"release": number, "build": build, "tables": len(versions), "deliveries": deliveries}
    return answer | {"withdrawn": withdrawn}


def _commit(hub: Hub, build: int, table: str, detail: Mapping[str, Any], deliveries: list[str]) -> int:
    """Makes a staged OMOP table the one of the lake; the version that holds it. Event tables change by slices."""
    name = f"omop/{table}"
    where = table_path(hub.settings.lake, name)
    metadata = {"build": build, "table": name, "content": detail["content"][name]}
    metadata |= {"deliveries": deliveries, lake.RUN: hub.run}
    commit, by_slices = lake.last_commit(hub.spark, where), table in event_names()
    if commit and (
        lake.is_same(commit[1], metadata) or (not by_slices and commit[1]["content"] == metadata["content"])
    ):
        return commit[0]
    with safely(f"release of {name}"):
        rows = StagedTable.of_build(hub.settings.lake, build, name).read(hub.spark)
        if not by_slices:
            return lake.overwrite(hub.spark, rows, where, metadata)
        slices = lake.slices([tuple(s.split("/")) for s in detail["slices"]])
        return lake.replace(hub.spark, rows, where, slices, metadata, partition_by=SLICES, new=commit is None)


def _keep_evidence(hub: Hub, build: int, predicate: str) -> None:
    where = table_path(hub.settings.lake, EVIDENCE)
    metadata = {"build": build, "table": EVIDENCE, lake.RUN: hub.run}
    commit = lake.last_commit(hub.spark, where)
    if commit and lake.is_same(commit[1], metadata):
        return
    # months that were added because their persons changed keep their evidence: only the pending ones were made again
    fresh = StagedTable.of_build(hub.settings.lake, build, "evidence").read(hub.spark)
    with safely("evidence of persons"):
        lake.replace(hub.spark, fresh, where, predicate, metadata, partition_by=SLICES, new=commit is None)
