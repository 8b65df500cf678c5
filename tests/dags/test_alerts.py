"""What a callback runs: the hub's own command, with the class and the code of an error and never its words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dags.lib import operators
from dags.lib.alerts import ON_FAILURE, ON_QUESTION, described
from dags.lib.failures import red_end
from jobs.errors import QualityRefused


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command in the place of ``hub alert`` that writes down its arguments and its environment's names."""
    out, script = tmp_path / "ran.json", tmp_path / "command.py"
    script.write_text(
        f"import json, os, sys\nopen({str(out)!r}, 'w').write(json.dumps([sys.argv[1:], list(os.environ)]))"
    )
    monkeypatch.setattr(operators, "COMMAND", (sys.executable, str(script)))
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    return out


def context(error: Any = None) -> Any:
    ti = SimpleNamespace(dag_id="ingest_dcir", run_id="2024-03__x", task_id="gate")
    return {"ti": ti, "dag": None, "exception": error}


def test_a_failure_tells_class_and_reason_of_the_error_only(ran: Path) -> None:
    caught = QualityRefused("dcir/2024-03/v1: broken by 3 of 10.", reason="quality", next_step="read")
    log = SimpleNamespace(error=lambda _line: None)
    try:
        with red_end(log):
            raise caught
    except SystemExit as error:
        ON_FAILURE.notify(context(error))
    argv, environment = json.loads(ran.read_text())
    assert argv == [
        "alert", "failed", "--run=ingest_dcir/2024-03__x", "--task=gate", "--error=QualityRefused", "--reason=quality",
    ]  # fmt: skip
    assert not [name for name in environment if name.startswith("AIRFLOW")]


def test_a_question_tells_its_run(ran: Path) -> None:
    ON_QUESTION.notify(context())
    assert json.loads(ran.read_text())[0] == ["alert", "asked", "--run=ingest_dcir/2024-03__x"]


def test_an_alert_that_fails_changes_nothing_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "COMMAND", ("/nowhere/hub",))
    ON_FAILURE.notify(context(ValueError("a value")))


def test_an_error_of_others_is_named_by_its_class() -> None:
    assert described(ValueError("a value of a cell")) == ["--error=ValueError"]
    assert described(None) == []
