"""Announces what arrived in the outboxes: the Airflow DAG that the doorbell starts."""

from __future__ import annotations

from dags.lib.arrivals import AnnounceOperator
from dags.lib.assets import ARRIVED, DOORBELL, SOURCES
from dags.lib.defaults import Priority, Tag, hub_dag

DOC = """Announces complete deliveries in the contributors' outboxes.

**Makes** one partition (the month) of `arrived/<source>` per delivery announced; it starts `ingest_<source>`.
Of several versions of one month it announces the lowest one that is not finished; the next follows when that one is.

**Input** the folders `outboxes/<source>/<period>/v<n>/` whose files are all there, and what the hub already knows. A
source that delivers to another folder has a connection `outbox_<source>` of the type File (path) that names the folder
above `<source>/`. A watcher looks every 2 seconds, without a worker, and rings; the task reads the folders, so
no ring is one delivery.

**When red** read the task's log. The hub database or the outboxes did not answer: clear the task once they do, or wait,
the bell rings again after a minute. A delivery that was announced without a run: trigger `ingest_<source>` with its
month as partition key.

**Not to use** for asking for a month again: trigger `ingest_<source>`.

**Owner** data-engineering
"""

with hub_dag("arrivals", doc=DOC, tags=[Tag.ARRIVAL], schedule=[DOORBELL], max_active_runs=1):
    AnnounceOperator(
        task_id="announce",
        argv=["delivery", "announce"],
        outboxes_of=SOURCES,
        arrived=ARRIVED,
        priority_weight=Priority.ANNOUNCE,
    )
