"""Takes a published delivery out of the lake again: the Airflow DAG `withdraw_delivery`."""

from __future__ import annotations

from dags.lib.assets import SOURCE, SOURCES, writer
from dags.lib.defaults import Priority, Tag, delivery_param, hub_dag, reason_param
from dags.lib.gates import GateOperator
from dags.lib.operators import JobOperator

DOC = """Takes a published delivery out of the lake, and out of the next release.

**Makes** the month of the delivery in `source/<source>`, emptied in one commit a table; the delivery is `withdrawn`,
with your reason. `build_omop` follows by itself and releases the OMOP tables without it: persons known only from it go.

**Input** the form: the delivery and the reason, which is kept. `check` says first what will go, and stops at a
delivery of which the lake holds nothing; then the task of its source does it.

**When red** readers still see the last release. Look at the red task:
- `check`: there is no such delivery, the lake holds another one of its month, or it is being taken in again (the log
  says which): start a new run with the right one;
- `withdraw_<source>`: storage or the Spark server; it was tried again; clear the task once they answer. What was begun
  is finished then. It can be repeated at any time.

**To take it in again** trigger `ingest_<source>` with its month and `again`.

**Not to use** for a correction: the contributor sends the next version, which replaces the month.

**Owner** data-engineering
"""
COMMAND = ["delivery", "withdraw", "{{ params.delivery }}", "--reason={{ params.reason }}"]

with hub_dag(
    "withdraw_delivery",
    doc=DOC,
    tags=[Tag.WITHDRAW],
    schedule=None,
    params={"delivery": delivery_param(), "reason": reason_param()},
):
    check = GateOperator(
        task_id="check",
        argv=COMMAND,
        by="source",
        to={source: f"withdraw_{source}" for source in SOURCES},
        priority_weight=Priority.PUBLISH,
    )
    for name in SOURCES:
        check >> JobOperator(
            task_id=f"withdraw_{name}",
            argv=[*COMMAND, "--yes"],
            asset=SOURCE[name],
            pool=writer(name),
            priority_weight=Priority.PUBLISH,
        )
