"""Commands as tasks, with real commands: results, exit codes, stopping, branches."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dags.lib import operators
from dags.lib.arrivals import months
from dags.lib.defaults import MONTH
from dags.lib.failures import POLICY, JobKilled, failure, repeat
from dags.lib.operators import GateOperator, JobOperator
from jobs.errors import BY_EXIT_CODE, RETRYABLE, ConfigError, HubError, QualityErrored, QualityRefused, UnexpectedState


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a Python text the command that tasks run in the place of ``hub``."""

    def use(text: str) -> None:
        script = tmp_path / "command.py"
        script.write_text(text)
        monkeypatch.setattr(operators, "COMMAND", (sys.executable, str(script)))

    return use


def run(**settings: Any) -> Any:
    ti = SimpleNamespace(dag_id="ingest_dcir", run_id="manual__1")
    return JobOperator(task_id="task", **settings).execute({"ti": ti})  # type: ignore[arg-type,typeddict-item]


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
    assert task.process.poll() is not None
    assert [type(e) for e in raised] == [JobKilled]


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


@pytest.mark.parametrize(("text", "good"), [("2024-03", True), ("2024-13", False), ("24-03", False), ("2024-3", False)])
def test_the_form_takes_months_only(text: str, good: bool) -> None:
    assert bool(re.fullmatch(MONTH, text)) is good


def test_the_words_of_an_error_are_red_and_short(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("test.repeat")
    with caplog.at_level(logging.INFO, log.name):
        repeat("dcir/2024-01/v1: A.csv received, 9 bytes", log)
        repeat("hub: missing_column: dcir/2024-01/v1 A.csv: the header lacks: B. Next: Ask the contributor.", log)
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "dcir/2024-01/v1: A.csv received, 9 bytes"),
        ("ERROR", "missing_column"),
        ("ERROR", "dcir/2024-01/v1 A.csv: the header lacks: B."),
        ("ERROR", "Next: Ask the contributor."),
    ]
