"""publish: one atomic replace of (source, period) per table, proved by reading the commit back."""

from __future__ import annotations

from typing import Any

from catalogue.db import records
from jobs.delivery import DeliveryId, Subject, may_act
from jobs.errors import UnexpectedState
from jobs.lake import tables as lake
from jobs.quality.counters import kept
from jobs.spark.session import safely
from jobs.steps.gate import require_passed
from jobs.steps.hub import Hub
from jobs.steps.stage import Progress, staged, staged_content, staging
from schemas.loader import load_source, load_table


def publish(hub: Hub, delivery: DeliveryId, progress: Progress | None = None) -> dict[str, Any]:
    """Publishes a delivery that passed its gate. Every table's commit names the delivery and a sum of its rows: the
    same rows again change nothing, others (a rule or a contract was mended) replace the month."""
    from pyspark.sql import functions as F

    from jobs.stage.marks import PLACE

    spark = hub.spark
    state = records.delivery_state(hub.engine, delivery)
    if not may_act("publish", state):
        raise UnexpectedState(f"{delivery} is {state}: it cannot be published.", next_step="run the steps before it")
    require_passed(hub, Subject(delivery))
    newest = records.latest_published(hub.engine, delivery.source, delivery.period)
    if newest and DeliveryId.parse(newest).version > delivery.version:
        records.record_event(hub.engine, delivery, "superseded", reason=newest, run=hub.run)
        return {"id": str(delivery), "period": delivery.period, "state": "superseded", "rows": 0}

    content = staged_content(hub, delivery)

    def one(name: str) -> tuple[str, int]:
        one_name = f"{delivery.source}/{name}"
        where = lake.path(hub.settings.lake, one_name)
        told: dict[str, Any] = {"delivery": str(delivery), "table": one_name, "step": "publish"}
        told |= {"period": delivery.period, "content": content[one_name], lake.RUN: hub.run}
        commits = [c for c in lake.history(spark, where) if c[1].get("period") == delivery.period]
        if commits and lake.is_same(commits[0][1], told):
            return one_name, commits[0][0]  # these very rows are there, and nothing replaced them since
        with safely(f"publish of {one_name}"):
            table = load_table(delivery.source, name)
            rows = kept(staged(hub, delivery, table)).select(*[c.name for c in table.lake_columns], *PLACE)
            done = lake.replace(
                spark,
                rows.withColumn("_period", F.lit(delivery.period)),
                where,
                f"_period = '{delivery.period}'",
                told,
                partition_by=["_period"],
                stats=table.stats,
                new=newest is None and not commits,
            )
        if progress:
            progress(one_name)
        return one_name, done

    versions = dict(lake.at_once(one, load_source(delivery.source).tables))
    rows_published = next(d for d in records.list_deliveries(hub.engine, delivery.source, delivery.period)
                          if d["id"] == str(delivery))["rows_published"]  # fmt: skip
    records.record_event(hub.engine, delivery, "published", run=hub.run, detail={"versions": versions})
    lake.remove(staging(hub, delivery))
    return {
        "id": str(delivery),
        "period": delivery.period,
        "state": "published",
        "rows": rows_published,
        "versions": versions,
    }
