"""Builds the OMOP tables from what was published, and releases them: the Airflow DAG `build_omop`."""

from __future__ import annotations

from dags.lib.assets import CATALOGUE, OMOP, QUIET, SOURCE, writer
from dags.lib.defaults import AGAIN, Priority, Tag, again_param, hub_dag
from dags.lib.gates import GateOperator
from dags.lib.operators import JobOperator
from dags.lib.steward import DecideOperator, ask

DOC = """Builds the OMOP tables from all published deliveries that are in no release yet, and releases them.

**Makes** staged OMOP tables, judged; then one release, which readers see whole or not at all; then the catalogue's
figures of it.

**Input** the tables of every `source/<source>`. A watcher starts it when deliveries were published and nothing more is
under way (or after 15 minutes of waiting for that): a burst of deliveries is one build on purpose, and a build takes
all that is pending. A run that finds nothing skips its tasks and is green.

**When red** readers still see the last release. Look at the red task:
- `build`: storage or the Spark server; it was tried again; clear the task once they answer;
- `gate`: critical findings, nothing is released; or the gate could not judge. See the tab *Quality report* of the run;
- `record_decision`: the answer gave no reason; clear `ask_steward`;
- `release`, `describe`: clear the task. Each task can be repeated at any time.

Orange: a data steward is asked about warnings (*Required Actions*). Builds after this one wait: a release is a whole.

**After a change of the maps or of the harmonisation** trigger it with `again`: all that is published is built anew.

**Not to use** for taking in a delivery: trigger `ingest_<source>` with its month.

**Owner** data-engineering
"""
BUILD = "{{ ti.xcom_pull(task_ids='build')['build'] }}"
RELEASE = "{{ ti.xcom_pull(task_ids='release')['release'] }}"

with hub_dag(
    "build_omop",
    doc=DOC,
    tags=[Tag.BUILD, Tag.STEWARD],
    schedule=[QUIET],
    max_active_runs=1,
    params={"again": again_param("Build everything that is published anew, as after a change of the maps.")},
):
    build = GateOperator(
        task_id="build",
        argv=["omop", "build", AGAIN],
        by="next",
        to={"gate": "gate", "stop": None},
        inlets=list(SOURCE.values()),
        pool=writer("omop"),
        priority_weight=Priority.BUILD,
    )
    gate = GateOperator(
        task_id="gate",
        argv=["omop", "gate", BUILD],
        by="verdict",
        to={"passed": "release", "warning": "ask_steward"},
        priority_weight=Priority.GATE,
    )
    question = ask(f"Release build {BUILD} with warnings?", "the build")
    record = DecideOperator(
        task_id="record_decision",
        noun="omop",
        subject=BUILD,
        approved="release",
        priority_weight=Priority.PUBLISH,
    )
    release = JobOperator(
        task_id="release",
        argv=["omop", "release", BUILD],
        asset=OMOP,
        inlets=list(SOURCE.values()),
        pool=writer("omop"),
        trigger_rule="none_failed_min_one_success",
        priority_weight=Priority.PUBLISH,
    )
    describe = JobOperator(
        task_id="describe",
        argv=["catalogue", "describe", RELEASE],
        asset=CATALOGUE,
        inlets=[OMOP],
        priority_weight=Priority.PUBLISH,
    )
    build >> gate >> [question, release]
    question >> record >> release >> describe
