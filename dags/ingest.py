"""Takes in the deliveries of each source: one DAG per contract."""

from __future__ import annotations

from airflow.sdk import DAG, PartitionedAtRuntime

from dags.lib.assets import ARRIVED, SOURCE, SOURCES, writer
from dags.lib.defaults import AGAIN, Priority, Tag, again_param, hub_dag, month_param
from dags.lib.gates import GateOperator
from dags.lib.operators import JobOperator
from dags.lib.steward import DecideOperator, ask
from jobs.errors import Incomplete

DOC = """Takes in one month of {source}, from the outbox to the lake.

**Makes** the month of `source/{source}` in the lake, replaced whole or left as it was. `build_omop` follows.

**Input** the oldest announced delivery of the month (the partition key, or `month` in the form) that is not finished.
`arrivals` starts a run for each delivery that it announces; the month and the version begin the run's id.
Nothing of the month is in the outbox, or files of it are missing: `pull` is skipped with all that follows, its log says
what is missing, and the run is green. So it is when the month is finished, or when what was delivered is a duplicate or
older than what is published; then `pull` is green.

**When red** look at the red task:
- `pull`, `stage`: the delivery does not keep its contract (the contributor must send a new version; this one is
  rejected and kept sealed), or a key is missing or wrong (fix it, then clear the task);
- `gate`: critical findings, the delivery is rejected and the lake unchanged; or the gate could not judge (report it,
  clear the task when it is fixed). See the tab *Quality report* of the run;
- `record_decision`: the answer gave no reason; clear `ask_steward`;
- `publish`: storage; it was tried again; clear the task once storage answers. Each task can be repeated at any time.

Orange: a data steward is asked about warnings (*Required Actions*). Other months go on meanwhile.

**A month by hand** trigger with its partition key (`2024-03`), or with `month` in the form; add `again` for one that is
finished. From a shell: `hub delivery backfill --source {source} --from 2024-03`, with `--to` for several months.

**Not to use** for a change of the maps or of the harmonisation: trigger `build_omop` with `again`.

**Owner** data-engineering
"""
MONTH = "{{ partition_key or params.month or '' }}"
DELIVERY = "{{ ti.xcom_pull(task_ids='pull')['id'] }}"


def ingest(source: str) -> DAG:
    """The DAG of one source. Several months at once: one that waits for a steward must not hold up the others, and the
    pool lets only one of them write."""
    dag = hub_dag(
        f"ingest_{source}",
        doc=DOC.format(source=source),
        tags=[Tag.INGEST, Tag.STEWARD],
        schedule=PartitionedAtRuntime(),
        max_active_runs=16,
        params={"month": month_param(), "again": again_param("Take the month in again although it is finished.")},
    )
    with dag:
        pull = GateOperator(
            task_id="pull",
            argv=["delivery", "pull", "--source", source, "--period", MONTH, AGAIN],
            outboxes_of=[source],
            inlets=[ARRIVED[source]],
            skip_on_exit_code=Incomplete.exit_code,
            by="next",
            to={"stage": "stage", "stop": None},
            priority_weight=Priority.PULL,
        )
        stage = JobOperator(task_id="stage", argv=["delivery", "stage", DELIVERY], priority_weight=Priority.STAGE)
        gate = GateOperator(
            task_id="gate",
            argv=["delivery", "gate", DELIVERY],
            by="verdict",
            to={"passed": "publish", "warning": "ask_steward"},
            priority_weight=Priority.GATE,
        )
        question = ask(f"Publish {DELIVERY} with warnings?", "the delivery")
        record = DecideOperator(
            task_id="record_decision",
            noun="delivery",
            subject=DELIVERY,
            approved="publish",
            priority_weight=Priority.PUBLISH,
        )
        publish = JobOperator(
            task_id="publish",
            argv=["delivery", "publish", DELIVERY],
            asset=SOURCE[source],
            inlets=[ARRIVED[source]],
            pool=writer(source),
            trigger_rule="none_failed_min_one_success",
            priority_weight=Priority.PUBLISH,
        )
        pull >> stage >> gate >> [question, publish]
        question >> record >> publish
    return dag


for name in SOURCES:
    globals()[f"ingest_{name}"] = ingest(name)
