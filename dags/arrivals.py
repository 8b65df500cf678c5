"""Announces what arrived in the outboxes: the Airflow DAG that the doorbell starts."""

from __future__ import annotations

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

from dags.lib.arrivals import AnnounceOperator, run_of
from dags.lib.assets import ARRIVED, DOORBELL, SOURCES
from dags.lib.defaults import Priority, Tag, hub_dag

DOC = """Announces complete deliveries in the contributors' outboxes, and starts a run for each.

**Makes** one partition (the month) of `arrived/<source>` per delivery announced, and one run of `ingest_<source>`. The
month and the version begin the run's id: `2024-03__v1__...`.
Of several versions of one month it announces the lowest one that is not finished; the next follows when that one is.

**Input** the folders `outboxes/<source>/<period>/v<n>/` whose files are all there, and what the hub already knows. A
source that delivers to another folder has a connection `outbox_<source>` of the type File (path) that names the folder
above `<source>/`. A watcher looks every 2 seconds, without a worker, and rings; the tasks read the folders, so
no ring is one delivery.

**When red** read the task's log, then clear the task: a run that was started already is not started again (pink).
- `announce`: the hub database or the outboxes did not answer. Clear it once they do; of what was not announced yet the
  bell rings again after a minute;
- `start`: Airflow could not start the run, for example because `ingest.py` has an import error.

A delivery that was announced by a command in a shell has no run: trigger `ingest_<source>` with its month.

**Not to use** for asking for a month again: trigger `ingest_<source>`.

**Owner** data-engineering
"""

with hub_dag("arrivals", doc=DOC, tags=[Tag.ARRIVAL], schedule=[DOORBELL], max_active_runs=1):
    announce = AnnounceOperator(
        task_id="announce",
        argv=["delivery", "announce"],
        outboxes_of=SOURCES,
        arrived=ARRIVED,
        inlets=[DOORBELL],
        priority_weight=Priority.ANNOUNCE,
    )
    TriggerDagRunOperator.partial(
        task_id="start",
        logical_date=None,
        skip_when_already_exists=True,
        map_index_template="{{ task.trigger_dag_id }} {{ task.trigger_run_id.rpartition('__')[0] }}",
        priority_weight=Priority.ANNOUNCE,
    ).expand_kwargs(announce.output.map(run_of))
