"""Commands as tasks, with real commands: results, exit codes, stopping, branches."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException
from structlog.testing import capture_logs

from dags.lib import operators
from dags.lib.arrivals import AnnounceOperator, months, run_of
from dags.lib.defaults import MONTH
from dags.lib.failures import POLICY, JobKilled, failure, lines_of
from dags.lib.gates import GateOperator
from dags.lib.operators import JobOperator
from jobs.errors import (
    BY_EXIT_CODE,
    RETRYABLE,
    ConfigError,
    ContractRefused,
    HubError,
    Incomplete,
    QualityErrored,
    QualityRefused,
    UnexpectedState,
)
from jobs.serve import airflow
from jobs.settings import Settings
from schemas.loader import source_names
from tests import warm_kit

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[warm_kit.Warm]:
    """The warm parent of a hub, whose command is the text of ``command.py``."""
    home = tmp_path_factory.mktemp("warm")
    parent = warm_kit.ready(home, loaded=f"SCRIPT = {str(home / 'command.py')!r}")
    yield parent
    parent.end()


@pytest.fixture(params=["forked", "plain"])
def command(
    request: pytest.FixtureRequest, tmp_path: Path, warm: warm_kit.Warm, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Makes a Python text the command that tasks run in the place of ``hub``: forked by a parent, then by themselves.
    Which of the two it was is looked at in the parent's log."""
    home = warm.run.parent if request.param == "forked" else tmp_path
    monkeypatch.setenv("HUB_HOME", str(home))
    before = warm.log.count(" begins")

    def use(text: str) -> None:
        script = home / "command.py"
        script.write_text(text)
        monkeypatch.setattr(operators, "COMMAND", (sys.executable, str(script)))

    yield use
    # a month that is missing is refused before anything runs
    assert (warm.log.count(" begins") > before) == (request.param == "forked") or "without_a_month" in request.node.name


def run(**settings: Any) -> Any:
    ti = SimpleNamespace(dag_id="ingest_dcir", run_id="manual__1")
    return JobOperator(task_id="task", **settings).execute({"ti": ti})  # type: ignore[arg-type,typeddict-item]


def said_in(log: Any) -> list[tuple[str, str]]:
    """Level and text of what a task logged, without Airflow's remark that a test calls it."""
    return [(line["log_level"], line["event"]) for line in log if "outside of the Task Runner" not in line["event"]]


def test_the_last_line_is_the_result(command: Any) -> None:
    command("import sys; print('words'); print('{\"rows\": 5}'); print('more', file=sys.stderr)")
    assert run(argv=["delivery", "pull"]) == {"rows": 5}


def test_the_command_is_told_its_run_and_none_of_airflows_settings(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "not for jobs")
    command("import os, json; print(json.dumps({k: v for k, v in os.environ.items() if k[:4] in ('HUB_', 'AIRF')}))")
    environment = run(argv=["delivery", "pull"])
    assert environment["HUB_AIRFLOW_RUN"] == "ingest_dcir/manual__1"
    assert [k for k in environment if k.startswith("AIRFLOW")] == []


def test_every_exit_code_has_its_error(command: Any) -> None:
    command("import sys; sys.exit(int(sys.argv[3]))")
    for code, kind in BY_EXIT_CODE.items():
        with pytest.raises(kind, match=f"`hub delivery stage`: exit code {code}"):
            run(argv=["delivery", "stage", str(code)])
    with pytest.raises(HubError, match="exit code 1"):
        run(argv=["delivery", "stage", "1"])


@pytest.mark.parametrize("code", [1, *BY_EXIT_CODE, -9, 137])
def test_only_what_a_retry_can_help_is_tried_again(code: int) -> None:
    error = failure(code, "delivery stage")
    again = isinstance(error, (*RETRYABLE, JobKilled))
    decision = POLICY.evaluate(error, 1, 3)
    assert decision.action.value == ("retry" if again else "fail"), type(error).__name__
    assert not again or (decision.retry_delay or timedelta()) >= timedelta(seconds=10)


def test_contract_quality_and_keys_are_never_tried_again() -> None:
    fail = {c.__name__ for c in BY_EXIT_CODE.values() if POLICY.evaluate(c("x"), 1, 3).action.value == "fail"}
    assert {"ContractRefused", "QualityRefused", "QualityErrored", "KeyRefused", "ConfigError"} <= fail


def test_a_result_that_is_not_json_is_a_fault(command: Any) -> None:
    command("print('done')")
    with pytest.raises(UnexpectedState):
        run(argv=["delivery", "stage"])


def test_a_run_without_a_month_says_so(command: Any) -> None:
    command("print('{}')")
    with pytest.raises(ConfigError, match="partition key or a month"):
        run(argv=["delivery", "pull", "--period", ""])


def test_stopping_the_task_ends_the_command(command: Any, tmp_path: Path) -> None:
    command(f"import time; open({str(tmp_path / 'up')!r}, 'w'); time.sleep(60)")
    task = JobOperator(task_id="task", argv=["delivery", "stage"])
    raised: list[BaseException] = []

    def work() -> None:
        try:
            task.execute({"ti": SimpleNamespace(dag_id="d", run_id="r")})  # type: ignore[arg-type,typeddict-item]
        except HubError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    end = time.monotonic() + 20
    while not (tmp_path / "up").exists() and time.monotonic() < end:
        time.sleep(0.1)
    task.on_kill()
    thread.join(20)
    assert task.process is not None
    assert task.process.poll() == -signal.SIGTERM
    assert [isinstance(e, JobKilled) for e in raised] == [True]


def test_a_task_whose_process_is_killed_leaves_no_command(command: Any, tmp_path: Path) -> None:
    """As Airflow kills one: the group of the task's process."""
    pid = tmp_path / "pid"
    command(f"import os, time; open({str(pid)!r}, 'w').write(f'{{os.getpid()}} '); time.sleep(60)")
    text = (
        "import sys; from types import SimpleNamespace; from dags.lib import operators; "
        "operators.COMMAND = tuple(sys.argv[1:]); "
        "operators.JobOperator(task_id='task', argv=['delivery', 'stage'])"
        ".execute({'ti': SimpleNamespace(dag_id='d', run_id='r')})"
    )
    task = subprocess.Popen([sys.executable, "-c", text, *operators.COMMAND], process_group=0)
    warm_kit.until(lambda: pid.exists() and pid.read_text().endswith(" "))
    os.killpg(task.pid, signal.SIGKILL)
    task.wait()
    warm_kit.until(lambda: not psutil.pid_exists(int(pid.read_text())))


def gate(**to: str | None) -> GateOperator:
    return GateOperator(task_id="gate", argv=["delivery", "gate"], by="verdict", to=to)


@pytest.mark.parametrize(("verdict", "follows"), [("passed", "publish"), ("warning", "ask_steward")])
def test_the_verdict_chooses_the_branch(verdict: str, follows: str) -> None:
    assert gate(passed="publish", warning="ask_steward").choose({"verdict": verdict}) == follows


@pytest.mark.parametrize(("verdict", "kind"), [("critical", QualityRefused), ("errored", QualityErrored)])
def test_critical_and_errored_ask_nobody(verdict: str, kind: type[HubError]) -> None:
    with pytest.raises(kind):
        gate(passed="publish", warning="ask_steward").choose({"verdict": verdict})


@pytest.mark.parametrize("result", [None, [], {}, {"verdict": "fine"}])
def test_an_unknown_answer_goes_nowhere(result: Any) -> None:
    with pytest.raises(UnexpectedState):
        gate(passed="publish").choose(result)


def test_stop_skips_what_follows() -> None:
    pull = GateOperator(task_id="pull", argv=["x"], by="next", to={"stage": "stage", "stop": None})
    assert pull.choose({"next": "stop"}) is None


def test_months_are_announced_once_per_source() -> None:
    announced = [
        {"source": "ville", "period": "2024-02", "version": 1},
        {"source": "dcir", "period": "2024-03", "version": 2},
        {"source": "dcir", "period": "2024-01", "version": 1},
        {"source": "dcir", "period": "2024-03", "version": 1},
    ]
    assert months(announced) == {"dcir": ["2024-01", "2024-03"], "ville": ["2024-02"]}
    assert months([]) == {}


def test_the_run_of_a_delivery_says_its_month_and_version_and_is_the_same_again() -> None:
    announced = {"source": "dcir", "period": "2024-03", "version": 2, "at": "2024-04-02T08:00:00.000001+00:00"}
    run = run_of(announced)
    assert run == {
        "trigger_dag_id": "ingest_dcir",
        "trigger_run_id": "2024-03__v2__2024-04-02T08:00:00.000001+00:00",
        "conf": {"month": "2024-03"},
    }
    assert run_of(dict(announced)) == run
    # what Airflow takes for an id, by its default
    assert re.fullmatch(r"[A-Za-z0-9_.~:+-]+", run["trigger_run_id"])


@pytest.mark.parametrize(("text", "good"), [("2024-03", True), ("2024-13", False), ("24-03", False), ("2024-3", False)])
def test_the_form_takes_months_only(text: str, good: bool) -> None:
    assert bool(re.fullmatch(MONTH, text)) is good


SAYS = """
import sys
print("dcir/2024-01/v1: A.csv received, 9 bytes", file=sys.stderr)
print("hub: missing_column: dcir/2024-01/v1 A.csv: the header lacks: B. Next: Ask the contributor.", file=sys.stderr)
print("a thread said something more", file=sys.stderr)
sys.exit(int(sys.argv[3]))
"""
WORDS = [
    "ContractRefused: missing_column",
    "dcir/2024-01/v1 A.csv: the header lacks: B.",
    "Next: Ask the contributor.",
]


def test_the_words_of_an_error_are_red_short_and_last(command: Any) -> None:
    command(SAYS)
    with capture_logs() as log, pytest.raises(ContractRefused) as raised:
        run(argv=["delivery", "pull", str(ContractRefused.exit_code)])
    assert said_in(log) == [
        ("info", "dcir/2024-01/v1: A.csv received, 9 bytes"),
        ("info", "a thread said something more"),
        *(("error", line) for line in WORDS),
    ]
    assert lines_of(raised.value) == WORDS


def test_a_failure_ends_as_an_exit_of_its_own_class(command: Any) -> None:
    command(SAYS)
    for code, kind in BY_EXIT_CODE.items():
        with pytest.raises(SystemExit) as raised:
            run(argv=["delivery", "pull", str(code)])
        assert isinstance(raised.value, kind)
        assert raised.value.code == code
        again = "retry" if issubclass(kind, RETRYABLE) else "fail"
        assert POLICY.evaluate(raised.value, 1, 3).action.value == again


def test_a_month_that_is_not_there_skips_the_pull_and_nothing_else(command: Any) -> None:
    command(SAYS)
    code = Incomplete.exit_code
    with pytest.raises(AirflowSkipException, match="the header lacks: B"):
        run(argv=["delivery", "pull", str(code)], skip_on_exit_code=code)
    with pytest.raises(Incomplete):
        run(argv=["delivery", "stage", str(code)])
    for other in BY_EXIT_CODE.keys() - {code}:
        with pytest.raises(BY_EXIT_CODE[other]):
            run(argv=["delivery", "pull", str(other)], skip_on_exit_code=code)


def test_only_the_pull_may_skip(bag: DagBag) -> None:
    may = {(d.dag_id, t.task_id) for d in bag.dags.values() for t in d.tasks if getattr(t, "skip_on_exit_code", None)}
    assert may == {(f"ingest_{source}", "pull") for source in source_names()}


class Events(dict[Any, Any]):
    """The outlet events of a run: the partitions of each asset."""

    def __missing__(self, asset: Asset) -> Any:
        months: list[str] = []
        self[asset] = SimpleNamespace(add_partitions=months.extend, months=months)
        return self[asset]


def test_a_source_that_has_no_dag_is_said_and_the_others_go_on(command: Any) -> None:
    announced = [{"source": s, "period": "2024-03", "version": 1} for s in ("dcir", "had")]
    command(f"print({json.dumps(json.dumps(announced))})")
    arrived = {s: Asset(name=f"arrived/{s}", uri=f"hub://arrived/{s}") for s in ("dcir", "ville")}
    task = AnnounceOperator(task_id="announce", argv=["delivery", "announce"], arrived=arrived)
    events = Events()
    context: Any = {"ti": SimpleNamespace(dag_id="arrivals", run_id="r"), "outlet_events": events}
    with capture_logs() as log:
        assert task.execute(context) == announced[:1]
    assert {asset.name: event.months for asset, event in events.items()} == {"arrived/dcir": ["2024-03"]}
    assert [a.name for a in task.outlets] == ["arrived/dcir"]
    assert said_in(log) == [("warning", "had has no ingest DAG, 2024-03 waits. Next: look for its contract.")]


MONTH_THAT_IS_NOT_THERE = """
import sys
from collections.abc import Iterator
from datetime import timedelta
from airflow.sdk import DAG
from dags.lib.defaults import hub_dag
from dags.lib.gates import GateOperator
from dags.lib.operators import JobOperator
from jobs.errors import Incomplete
doc = "A month that is not there."
with hub_dag("nothing", doc=doc, tags=[], schedule=None) as dag:
    argv = ["delivery", "pull", "--source", "dcir", "--period", "2024-03"]
    JobOperator(task_id="red", argv=argv) >> JobOperator(task_id="after_red", argv=["delivery", "stage", "x"])
    pull = GateOperator(
        task_id="pull", argv=argv, by="next", to={"stop": None}, skip_on_exit_code=Incomplete.exit_code
    )
    pull >> JobOperator(task_id="stage", argv=["delivery", "stage", "x"])
if __name__ == "__main__":
    for ti in dag.test().get_task_instances():
        print("STATE", ti.task_id, ti.state)
"""


def test_airflow_prints_no_traceback_of_an_error_of_the_hub(tmp_path: Path) -> None:
    """Airflow's own task runner, with the hub's own command."""
    settings = Settings(home=tmp_path / "hub")
    airflow.prepare(settings)
    script = tmp_path / "nothing.py"
    script.write_text(MONTH_THAT_IS_NOT_THERE)
    environment = airflow.environment(settings) | {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    said = done.stdout + done.stderr
    states = dict(line.split()[1:3] for line in said.splitlines() if line.startswith("STATE "))
    assert states == {"red": "failed", "after_red": "upstream_failed", "pull": "skipped", "stage": "skipped"}, said
    red = [line for line in said.splitlines() if "[error" in line]
    assert len(red) == 4, said
    said_in_red = ("Incomplete", "No complete delivery of dcir for 2024-03", "Next: look into", "exit_code=17")
    assert all(words in line for line, words in zip(red, said_in_red, strict=True)), said
    assert [line for line in said.splitlines() if "Skipping task." in line and "No complete delivery" in line]
    assert "Traceback" not in said
