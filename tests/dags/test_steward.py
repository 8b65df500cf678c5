"""A steward's answer: what is recorded, which branch follows, and that Reject publishes nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from dags.lib.steward import DecideOperator, arguments
from jobs.errors import ConfigError

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


def answer(option: str, reason: str | None) -> dict[str, Any]:
    given = {} if reason is None else {"reason": reason}
    return {"chosen_options": [option], "params_input": given, "responded_by_user": {"id": "s1", "name": "steward"}}


def test_approve_and_reject_are_recorded_with_who_and_why() -> None:
    assert arguments(answer("Approve", "known since January")) == [
        "--decision=approve",
        "--who=steward",
        "--reason=known since January",
    ]
    assert arguments(answer("Reject", "--not an option"))[::2] == ["--decision=reject", "--reason=--not an option"]


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_an_answer_without_a_reason_is_refused(reason: str | None) -> None:
    with pytest.raises(ConfigError, match="no reason"):
        arguments(answer("Approve", reason))


class Recorded(DecideOperator):
    """Keeps what it would run and which branch it takes; everything between is the operator's own."""

    def run_command(self, context: Any) -> Any:
        context["ran"].append(self.argv)
        return {"decision": "approve"}

    def do_branch(self, context: Any, branches_to_execute: Any) -> Any:
        context["branches"].append(branches_to_execute)
        return branches_to_execute


@pytest.mark.parametrize(("option", "branch"), [("Approve", "publish"), ("Reject", None)])
def test_the_answer_decides_whatever_the_command_says(option: str, branch: str | None) -> None:
    ti = SimpleNamespace(xcom_pull=lambda task_ids: answer(option, "seen"))
    context: Any = {"ti": ti, "ran": [], "branches": []}
    Recorded(task_id="record_decision", noun="delivery", subject="dcir/2024-01/v1", approved="publish").execute(context)
    assert context["branches"] == [branch]
    assert context["ran"][0][:3] == ["delivery", "decide", "dcir/2024-01/v1"]


@pytest.mark.parametrize(("dag_id", "last"), [("ingest_dcir", "publish"), ("build_omop", "release")])
def test_the_way_past_the_gate_is_the_steward_or_a_pass(bag: DagBag, dag_id: str, last: str) -> None:
    dag = bag.dags[dag_id]
    gate, record, target = dag.get_task("gate"), dag.get_task("record_decision"), dag.get_task(last)
    # Reject skips ``publish`` directly: it must be a child of the task that decides (trap A1)
    assert target.upstream_task_ids == {"gate", "record_decision"}
    assert target.trigger_rule.value == "none_failed_min_one_success"
    assert gate.to == {"passed": last, "warning": "ask_steward"}
    assert record.to == {"approve": last, "reject": None}


def test_the_question_shows_counts_and_only_stewards_answer(bag: DagBag) -> None:
    task = bag.dags["ingest_dcir"].get_task("ask_steward")
    assert [u["id"] for u in task.assigned_users] == ["steward"]
    assert task.options == ["Approve", "Reject"]
    assert "Who may answer: steward, and no other user." in task.body
    from jinja2 import Environment, StrictUndefined

    gate = {
        "rules": 30,
        "failed": {"critical": 0, "warning": 2, "info": 1},
        "failed_rules": ["dcir/er_prs_f: DCIR-PRS-001 (3 of 50)"],
        "report": "http://127.0.0.1:8000/en/quality/dcir/2024-01/v1",
    }
    ti = SimpleNamespace(xcom_pull=lambda task_ids: {"gate": gate}[task_ids])
    text = Environment(autoescape=False, undefined=StrictUndefined).from_string(task.body).render(ti=ti)
    assert "**2 that warn**" in text
    assert "- dcir/er_prs_f: DCIR-PRS-001 (3 of 50)\n" in text
    assert "[Quality report](http://127.0.0.1:8000/en/quality/dcir/2024-01/v1)\n" in text
    gate["books"] = "http://127.0.0.1:8000/en/deliveries/dcir/2024-01/v1"
    text = Environment(autoescape=False, undefined=StrictUndefined).from_string(task.body).render(ti=ti)
    assert "· [Books and quarantine](http://127.0.0.1:8000/en/deliveries/dcir/2024-01/v1)\n" in text
