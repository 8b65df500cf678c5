"""The agent alone, as a practice installs it: without Spark, Airflow, a database, Arrow; and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.contributors.agent import app as module
from tests.unit.intake_kit import shared_keys
from tests.unit.test_agent import PARENT, PATIENTS, export, nir

CHECKOUT = Path(__file__).resolve().parents[2]
OF_THE_HUB = (
    "airflow", "alembic", "catalogue", "delta", "expectations", "fastapi", "great_expectations", "httpx", "jinja2",
    "jobs.harmonise", "jobs.lake", "jobs.settings", "jobs.spark", "jobs.rows", "jobs.steps", "pandas", "psutil",
    "psycopg", "pyarrow", "pydantic_settings", "pyspark", "sqlalchemy", "uvicorn",
)  # fmt: skip
ALONE = f"""
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if any(name == n or name.startswith(n + ".") for n in {OF_THE_HUB!r}):
            raise ImportError(name + " is not installed with the agent")
sys.meta_path.insert(0, Without())
from jobs.contributors.agent.app import main
main()
"""


def hub_agent(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs ``hub-agent`` in a folder, where nothing of the hub can be imported."""
    return subprocess.run(
        [sys.executable, "-c", ALONE, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


MONTH = ("--source", "ville", "--period", "2024-03", "--version", "1")


@pytest.fixture
def practice(tmp_path: Path) -> Path:
    """A folder with the inbox of a month and the contributors' key, as the guide for practices says."""
    export(tmp_path / "inbox")
    os.link(shared_keys() / "contributors" / "p1.key", tmp_path / "p1.key")
    return tmp_path


def test_the_agent_runs_without_the_hub(practice: Path) -> None:
    rehearsal = hub_agent(practice, "pseudonymise", *MONTH, "--dry-run")
    assert rehearsal.returncode == 0, rehearsal.stderr
    assert not (practice / "outbox" / "ville" / "2024-03" / "v1").exists()
    done = hub_agent(practice, "pseudonymise", *MONTH, "--synthetic")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["put_out"] and answer["senders"]["p1"]["ok"] == 3
    assert "p1: birth_date_invalid 1, birth_date_missing 1, nir_form 1," in done.stderr
    raw = (practice / "outbox" / "ville" / "2024-03" / "v1" / "manifest.json").read_bytes()
    assert raw.startswith(b"{") and json.loads(raw)["synthetic"] is True
    assert all(f["sha256"] == f["sha256"].lower() for f in json.loads(raw)["files"])
    for patient in PATIENTS:
        if len(patient["nir"]) > 5:
            assert patient["nir"] not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("pseudonymise", *MONTH[:-1], "2"), 17, "empty_inbox"),
        (("pseudonymise", *MONTH, "--key", "inbox"), 15, "key_missing"),
        (("pseudonymise", *MONTH, "--outbox", "p1.key"), 14, "Check space and rights"),
        (("pseudonymise", "--source", "VILLE", *MONTH[2:]), 10, "bad_delivery_id"),
        (("pseudonymise", "--source", "dcir", *MONTH[2:]), 10, "no_agent_needed"),
        (("declare", *MONTH), 10, "agent_needed"),
        (("declare", "--source", "dcir", *MONTH[2:]), 17, "empty_outbox"),
        (("pseudonymise",), 2, "--source"),
    ],
)
def test_every_mistake_ends_in_one_line_and_its_exit_code(
    practice: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    ended = hub_agent(practice, *arguments)
    assert ended.returncode == status, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_nir_elsewhere_is_said_without_it(practice: Path) -> None:
    names = "practice_id;encounter_id;patient_local_id;practitioner_rpps;date_time;type;reason_text"
    export(practice / "inbox", encounter=f"{names}\np1;1;2;3;2024-03-01T08:00:00;cabinet;NIR {nir(PARENT)}\n")
    ended = hub_agent(practice, "pseudonymise", *MONTH)
    assert ended.returncode == 11
    assert "column reason_text: line 2" in ended.stderr
    assert PARENT not in ended.stderr + ended.stdout


def test_a_fault_that_nobody_foresaw_names_its_place_and_no_value(
    practice: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError(PARENT)

    monkeypatch.setattr(module, "write_delivery", broken)
    monkeypatch.setattr(sys, "argv", ["hub-agent", "pseudonymise", *MONTH])
    with pytest.raises(SystemExit) as ended:
        module.main()
    said = capsys.readouterr().err
    assert ended.value.code == 20
    assert "ValueError in test_agent_app.py, line" in said
    assert PARENT not in said and "Traceback" not in said
