"""Keeps the lake small: the Airflow DAG `maintenance`."""

from __future__ import annotations

from dags.lib.assets import writer
from dags.lib.defaults import Tag, hub_dag
from dags.lib.operators import JobOperator

DOC = """Removes from the lake, every Sunday, the files that no reader can reach any more.

**Makes** room. What was replaced or withdrawn over a week ago goes from the disk, and what builds left unfinished. The
newest version of every table stays, the versions that the current release names, and what waits for a steward.

**Input** the logs of the lake's tables, and the hub's records of builds and releases. Nothing that a run in progress
writes is touched. `hub lake maintain` without `--yes` says in a shell what would go.

**When red** the disk or the hub database; it was tried again. Clear the task: what went already is not looked for
again.

**Not to use** for taking a delivery out: trigger `withdraw_delivery`; its rows leave the disk here, a week after.

**Owner** data-engineering
"""

with hub_dag("maintenance", doc=DOC, tags=[Tag.MAINTENANCE], schedule="0 3 * * 0", max_active_runs=1):
    JobOperator(task_id="maintain", argv=["lake", "maintain", "--yes", "--json"], pool=writer("omop"))
