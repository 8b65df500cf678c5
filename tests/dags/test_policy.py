"""What every DAG keeps to, and the edges of each as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dags.lib.alerts import ON_FAILURE, ON_QUESTION
from dags.lib.assets import POOLS
from dags.lib.defaults import OWNER, Tag
from schemas.loader import source_names

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

DAGS = ("arrivals", "build_omop", "withdraw_delivery", *(f"ingest_{s}" for s in source_names()))
WRITERS = {"publish", "build", "release", *(f"withdraw_{s}" for s in source_names())}
INGEST = """
ask_steward -> record_decision
gate -> ask_steward
gate -> publish
pull -> stage
record_decision -> publish
stage -> gate
"""
BUILD = """
ask_steward -> record_decision
build -> gate
gate -> ask_steward
gate -> release
record_decision -> release
release -> describe
"""
WITHDRAW = "\n".join(f"check -> withdraw_{s}" for s in sorted(source_names()))
EDGES = {
    "arrivals": "announce -> start",
    "lateness": "",
    "maintenance": "",
    "build_omop": BUILD,
    "withdraw_delivery": WITHDRAW,
} | {f"ingest_{s}": INGEST for s in source_names()}


def assets_of(timetable: Any) -> list[str]:
    """Names of the assets that start a DAG."""
    from airflow.sdk import Asset

    def leaves(condition: Any) -> list[str]:
        if isinstance(condition, Asset):
            return [condition.name]
        return [name for part in condition.objects for name in leaves(part)]

    return leaves(timetable.asset_condition)


@pytest.fixture(params=DAGS)
def dag(request: pytest.FixtureRequest, bag: DagBag) -> Any:
    return bag.dags[request.param]


def test_tags_come_from_the_closed_list(dag: Any) -> None:
    assert dag.tags
    assert set(dag.tags) <= {t.value for t in Tag}


def test_the_page_says_what_an_operator_needs(dag: Any) -> None:
    for word in ("**Makes**", "**Input**", "**When red**", "**Not to use**", "**Owner**"):
        assert word in dag.doc_md, word
    assert 20 < len(dag.description) < 120
    assert "{" not in dag.doc_md.replace("{month", "").replace('{"month"', "")


def test_no_run_is_made_up_for_the_past(dag: Any) -> None:
    assert dag.catchup is False


def test_tasks_are_owned_limited_and_retried_a_few_times(dag: Any) -> None:
    for task in dag.tasks:
        assert task.owner == OWNER
        assert 0 <= task.retries <= 3
        assert task.execution_timeout is not None, task.task_id


def test_every_failure_is_told_and_every_question(dag: Any) -> None:
    for task in dag.tasks:
        assert list(task.on_failure_callback) == [ON_FAILURE], task.task_id
        if task.task_id == "ask_steward":
            assert list(task.notifiers) == [ON_QUESTION]


def test_commands_have_the_retry_policy(dag: Any) -> None:
    for task in dag.tasks:
        if task.task_id != "ask_steward":
            assert task.retry_policy is not None, task.task_id


def test_every_writer_holds_a_pool_of_one_slot(dag: Any) -> None:
    for task in dag.tasks:
        if task.task_id in WRITERS:
            assert task.pool in POOLS, task.task_id
            of = {"build_omop": "omop", "withdraw_delivery": task.task_id.removeprefix("withdraw_")}
            assert task.pool == f"writer_{of.get(dag.dag_id, dag.dag_id.removeprefix('ingest_'))}"


def test_one_build_at_a_time_and_several_months(bag: DagBag) -> None:
    assert bag.dags["build_omop"].max_active_runs == 1
    assert bag.dags["arrivals"].max_active_runs == 1
    assert bag.dags["ingest_dcir"].max_active_runs > 1, "a month that waits for a steward must not hold up the others"


def test_edges(dag: Any) -> None:
    edges = sorted(f"{t.task_id} -> {below}" for t in dag.tasks for below in t.downstream_task_ids)
    assert "\n".join(edges) == EDGES[dag.dag_id].strip()


def test_what_is_under_way_goes_first() -> None:
    from dags.lib.defaults import Priority as P

    assert P.BUILD < P.PULL < P.STAGE < P.GATE < P.PUBLISH < P.ANNOUNCE


def test_a_build_follows_what_was_published(bag: DagBag) -> None:
    from dags.lib.assets import QUIET

    assert assets_of(bag.dags["build_omop"].timetable) == ["source"]
    assert [w.name for w in QUIET.watchers] == ["quiet"]
    read = bag.dags["build_omop"].get_task("build").inlets
    written = [bag.dags[f"ingest_{s}"].get_task("publish").outlets[0] for s in source_names()]
    assert [a.name for a in read] == [a.name for a in written] == [f"source/{s}" for s in source_names()]


def test_a_withdrawal_asks_for_a_delivery_and_a_reason_and_tells_the_source(bag: DagBag) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    dag = bag.dags["withdraw_delivery"]
    assert dag.schedule is None
    for source in source_names():
        task = dag.get_task(f"withdraw_{source}")
        assert [a.name for a in task.outlets] == [f"source/{source}"]
        assert task.argv[-1] == "--yes"
    assert "--yes" not in dag.get_task("check").argv
    given = {"delivery": "ville/2024-03/v1", "reason": "sent by mistake"}
    for name, wrong in (("delivery", "ville/2024-03"), ("delivery", "--yes"), ("delivery", None), ("reason", " ")):
        param = dag.params.get_param(name)
        assert param.resolve(given[name]) == given[name]
        with pytest.raises(ParamValidationError):
            param.resolve(wrong)


@pytest.mark.parametrize("source", source_names())
def test_only_arrivals_or_a_person_starts_a_source(bag: DagBag, source: str) -> None:
    timetable = bag.dags[f"ingest_{source}"].timetable
    assert timetable.can_be_scheduled is False
    assert timetable.partitioned_at_runtime, "a person may give the month as a partition key"


def test_what_is_announced_is_started_once_and_without_a_date(bag: DagBag) -> None:
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

    start = bag.dags["arrivals"].get_task("start")
    assert issubclass(start.operator_class, TriggerDagRunOperator)
    assert start.partial_kwargs["skip_when_already_exists"] is True
    assert start.partial_kwargs["logical_date"] is None, "two runs of one DAG may begin in the same instant"
    assert not start.partial_kwargs.get("reset_dag_run")


def test_the_lineage_has_no_gap_from_the_outboxes_to_the_catalogue(bag: DagBag) -> None:
    """Airflow's graph of an asset follows the inlets and outlets of one task at a time."""
    leads: dict[str, set[str]] = {}
    for dag in bag.dags.values():
        for task in dag.tasks:
            for inlet in task.inlets:
                leads.setdefault(inlet.name, set()).update(outlet.name for outlet in task.outlets)
    assert leads["outboxes"] == {f"arrived/{s}" for s in source_names()}
    for source in source_names():
        assert leads[f"arrived/{source}"] == {f"source/{source}"}
        assert leads[f"source/{source}"] == {"omop"}
    assert leads["omop"] == {"catalogue"}


def test_the_outboxes_are_watched(bag: DagBag) -> None:
    from dags.lib.assets import DOORBELL

    assert [w.name for w in DOORBELL.watchers] == ["complete_deliveries"]
    assert assets_of(bag.dags["arrivals"].timetable) == ["outboxes"]
