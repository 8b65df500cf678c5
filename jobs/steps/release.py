"""release: the staged slices of a build replace theirs, then one SQL row makes all of it visible at once."""

from __future__ import annotations

from typing import Any

from catalogue.db import records
from jobs.delivery import DeliveryId, Subject
from jobs.lake import tables as lake
from jobs.spark.session import safely
from jobs.steps.build import EVIDENCE, SLICES, staging
from jobs.steps.gate import require_passed
from jobs.steps.hub import Hub
from jobs.steps.stage import Progress
from schemas.loader import omop_names

Answer = dict[str, Any]


def release(hub: Hub, build: int, progress: Progress | None = None) -> Answer:
    """Releases a build that passed its gate. Repeating gives the same release; a table that the build does not change
    keeps its version."""
    from jobs.harmonise.build import EVENT_TABLES

    subject = Subject(build=build)
    require_passed(hub, subject)
    deliveries = records.build_deliveries(hub.engine, build)
    known = next((r for r in records.list_releases(hub.engine) if r.build == str(subject)), None)
    if known is None:
        detail = records.build_detail(hub.engine, build)
        slices = [tuple(s.split("/")) for s in detail["slices"]]
        predicate = lake.slices(slices)
        versions = dict(detail["versions"])
        spark = hub.spark

        def one(table: str) -> tuple[str, int]:
            name = f"omop/{table}"
            where = lake.path(hub.settings.lake, name)
            told = {"build": build, "table": name, "content": detail["content"][name]}
            told |= {"deliveries": deliveries, lake.RUN: hub.run}
            commit = lake.last_commit(spark, where)
            if commit and (
                lake.is_same(commit[1], told) or (table not in EVENT_TABLES and commit[1]["content"] == told["content"])
            ):
                return name, commit[0]
            with safely(f"release of {name}"):
                rows = lake.read_staged(spark, staging(hub, build, name))
                if table in EVENT_TABLES:
                    done = lake.replace(spark, rows, where, predicate, told, partition_by=SLICES, new=commit is None)
                else:
                    done = lake.overwrite(spark, rows, where, told)
            if progress:
                progress(name)
            return name, done

        versions |= dict(lake.at_once(one, omop_names()))
        pending = [DeliveryId.parse(d).slice for d in deliveries]
        _keep_evidence(hub, build, lake.slices(pending))
        number = records.add_release(hub.engine, versions, deliveries, build)
    else:
        number, versions = known.id, known.tables
    lake.remove(staging(hub, build))
    return {"release": number, "build": build, "tables": len(versions), "deliveries": deliveries}


def _keep_evidence(hub: Hub, build: int, predicate: str) -> None:
    where = lake.path(hub.settings.lake, EVIDENCE)
    told = {"build": build, "table": EVIDENCE, lake.RUN: hub.run}
    commit = lake.last_commit(hub.spark, where)
    if commit and lake.is_same(commit[1], told):
        return
    # months that were added because their persons changed keep their evidence: only the pending ones were made again
    fresh = lake.read_staged(hub.spark, staging(hub, build, "evidence"))
    with safely("evidence of persons"):
        lake.replace(hub.spark, fresh, where, predicate, told, partition_by=SLICES, new=commit is None)
