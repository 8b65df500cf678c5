"""publish: one commit a table, which names the files that wait in place of those of its month. No row is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalogue import db
from jobs.delivery import DeliveryId, Subject, require_act
from jobs.hub import Hub, Progress
from jobs.lake.commits import RUN, history, is_same
from jobs.steps.gate import require_passed
from jobs.steps.stage import last_staged, remove_staged, waiting
from schemas.loader import Table, load_tables


def publish(hub: Hub, delivery: DeliveryId, progress: Progress | None = None) -> dict[str, Any]:
    """Publishes a delivery that passed its gate. Every table's commit names the delivery and a sum of its rows: the
    same rows again change nothing, others (a rule or a contract was corrected) replace the month."""
    require_act("publish", delivery, db.delivery_state(hub.engine, delivery))
    require_passed(hub, Subject(delivery))
    newest = db.latest_published(hub.engine, delivery.source, delivery.period)
    if newest and DeliveryId.parse(newest).version > delivery.version:
        db.record_event(hub.engine, delivery, "superseded", reason=newest, run=hub.run)
        remove_staged(hub, delivery)
        return {"id": str(delivery), "period": delivery.period, "state": "superseded", "rows": 0}

    staged, versions = last_staged(hub, delivery), {}
    for table in load_tables(delivery.source).values():
        name = f"{delivery.source}/{table.table}"
        versions[name] = _commit(hub, delivery, table, staged)
        if progress:
            progress(name)
    (known,) = db.list_deliveries(hub.engine, delivery_id=str(delivery))
    rows = {table: books["rows_published"] for table, books in known["tables"].items()}
    db.record_event(hub.engine, delivery, "published", run=hub.run, detail={"versions": versions, "rows": rows})
    remove_staged(hub, delivery)
    return {
        "id": str(delivery),
        "period": delivery.period,
        "state": "published",
        "rows": known["rows_published"],
        "versions": versions,
    }


def _commit(hub: Hub, delivery: DeliveryId, table: Table, staged: Mapping[str, Any]) -> int:
    """Replaces one table's rows of the period; the version that holds them."""
    made = waiting(hub.settings.lake, delivery, staged["writer"], table)
    name = f"{delivery.source}/{table.table}"
    metadata: dict[str, Any] = {"delivery": str(delivery), "table": name, "step": "publish"}
    metadata |= {"period": delivery.period, "content": staged["content"][name], RUN: hub.run}
    last = next((c for c in history(made.root) if c[1].get("period") == delivery.period), None)
    if last and is_same(last[1], metadata):
        return last[0]  # these very rows are there, and nothing replaced them since
    return made.commit(metadata, replaces=lambda of: of["_period"] == delivery.period, claim=month(delivery))


def month(delivery: DeliveryId) -> str:
    """What a delivery's commit claims of a table."""
    return f"_period = '{delivery.period}'"
