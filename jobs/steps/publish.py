"""publish: one atomic replace of (source, period) per table, proved by reading the commit back."""

from __future__ import annotations

from typing import Any

from pyspark.sql import functions as F

from catalogue import db
from jobs.delivery import DeliveryId, Subject, require_act
from jobs.hub import Hub, Progress
from jobs.lake import tables as lake
from jobs.lake.commits import RUN, history, is_same
from jobs.lake.layout import table_path
from jobs.lake.staged import StagedTable
from jobs.rows.exceptions import PLACE
from jobs.spark.session import safely
from jobs.steps.gate import require_passed
from jobs.steps.stage import staged_content
from schemas.loader import Table, load_tables


def publish(hub: Hub, delivery: DeliveryId, progress: Progress | None = None) -> dict[str, Any]:
    """Publishes a delivery that passed its gate. Every table's commit names the delivery and a sum of its rows: the
    same rows again change nothing, others (a rule or a contract was corrected) replace the month."""
    require_act("publish", delivery, db.delivery_state(hub.engine, delivery))
    require_passed(hub, Subject(delivery))
    _ = hub.spark  # checks the keys before any data is read
    newest = db.latest_published(hub.engine, delivery.source, delivery.period)
    if newest and DeliveryId.parse(newest).version > delivery.version:
        db.record_event(hub.engine, delivery, "superseded", reason=newest, run=hub.run)
        return {"id": str(delivery), "period": delivery.period, "state": "superseded", "rows": 0}

    content = staged_content(hub, delivery)

    def publish_table(table: Table) -> tuple[str, int]:
        name = f"{delivery.source}/{table.table}"
        version = _commit(hub, delivery, table, content[name], first=newest is None)
        if progress:
            progress(name)
        return name, version

    versions = dict(lake.at_once(publish_table, load_tables(delivery.source).values()))
    (known,) = db.list_deliveries(hub.engine, delivery_id=str(delivery))
    rows = {table: books["rows_published"] for table, books in known["tables"].items()}
    db.record_event(hub.engine, delivery, "published", run=hub.run, detail={"versions": versions, "rows": rows})
    lake.remove_staged(hub.settings.lake, Subject(delivery))
    return {
        "id": str(delivery),
        "period": delivery.period,
        "state": "published",
        "rows": known["rows_published"],
        "versions": versions,
    }


def _commit(hub: Hub, delivery: DeliveryId, table: Table, content: str, *, first: bool) -> int:
    """Replaces one table's rows of the period; the version that holds them. ``first``: no delivery of this period was
    published before."""
    name = f"{delivery.source}/{table.table}"
    where = table_path(hub.settings.lake, name)
    metadata: dict[str, Any] = {"delivery": str(delivery), "table": name, "step": "publish"}
    metadata |= {"period": delivery.period, "content": content, RUN: hub.run}
    commits = [c for c in history(where) if c[1].get("period") == delivery.period]
    if commits and is_same(commits[0][1], metadata):
        return commits[0][0]  # these very rows are there, and nothing replaced them since
    with safely(f"publish of {name}"):
        rows = StagedTable.of_delivery(hub.settings.lake, delivery, table).read_kept(hub.spark)
        return lake.replace(
            hub.spark,
            rows.select(*[c.name for c in table.lake_columns], *PLACE, F.lit(delivery.period).alias("_period")),
            where,
            f"_period = '{delivery.period}'",
            metadata,
            partition_by=["_period"],
            stats=table.stats,
            new=first and not commits,
        )
