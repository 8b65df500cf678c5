"""Which months are asked for, and what is said when a run does not end well."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.errors import ConfigError, HubError, ServerUnavailable
from jobs.serve import airflow, backfill, rest
from jobs.serve.rest import AirflowClient
from jobs.settings import Settings


class Client:
    """Tells the states that it was given, one after the other, the last one for ever."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)

    def run(self, dag: str, run: str) -> dict[str, Any]:
        assert (dag, run) == ("ingest_dcir", "r1")
        return {"state": self.states.pop(0) if len(self.states) > 1 else self.states[0]}


def runs() -> list[dict[str, Any]]:
    return [{"month": "2024-03", "run": "r1", "state": "queued"}]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "LOOK_EVERY", 0.01)


def test_a_range_holds_both_ends_and_passes_over_the_year() -> None:
    assert backfill.months_between("2023-11", "2024-02") == ["2023-11", "2023-12", "2024-01", "2024-02"]
    assert backfill.months_between("2024-12", "2024-12") == ["2024-12"]


@pytest.mark.parametrize(("first", "last"), [("2024-03", "2024-02"), ("2024-13", "2024-13"), ("march", "march"),
                                             ("1990-01", "2024-01")])  # fmt: skip
def test_what_is_no_range_is_refused(first: str, last: str) -> None:
    with pytest.raises(ConfigError):
        backfill.months_between(first, last)


def test_the_states_are_told_once_each() -> None:
    told: list[str] = []
    mine = runs()
    backfill.wait(Client("queued", "running", "running", "success"), "dcir", mine, told.append, 1)  # type: ignore[arg-type]
    assert told == ["dcir 2024-03: running", "dcir 2024-03: success"]
    assert mine[0]["state"] == "success"


def test_a_failed_month_is_named() -> None:
    with pytest.raises(HubError, match="failed for 2024-03"):
        backfill.wait(Client("failed"), "dcir", runs(), lambda _: None, 1)  # type: ignore[arg-type]


def test_a_run_that_waits_is_not_waited_for_for_ever() -> None:
    with pytest.raises(ServerUnavailable, match="Required Actions"):
        backfill.wait(Client("running"), "dcir", runs(), lambda _: None, 0)  # type: ignore[arg-type]


class Interrupted:
    """Starts runs, says that the first has ended, and is interrupted at a call of its own."""

    def __init__(self, *_: str) -> None:
        self.started = 0

    def __enter__(self) -> Interrupted:
        return self

    def __exit__(self, *_: object) -> None: ...

    def trigger(self, dag: str, *, partition_key: str, conf: object, name: str) -> str:
        if partition_key == "2024-09":
            raise KeyboardInterrupt
        self.started += 1
        return f"run-{self.started}"

    def run(self, dag: str, run: str) -> dict[str, Any]:
        if run == "run-1":
            return {"state": "success"}
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("first", "last", "going_on"),
    [("2024-01", "2024-03", ["2024-02  run-2", "2024-03  run-3"]), ("2024-08", "2024-09", ["2024-08  run-1"])],
    ids=["while waiting", "while starting"],
)
def test_ctrl_c_says_which_runs_go_on_and_where(
    home: Settings, monkeypatch: pytest.MonkeyPatch, first: str, last: str, going_on: list[str]
) -> None:
    monkeypatch.setenv("HUB_HOME", str(home.root))
    monkeypatch.setattr(rest, "AirflowClient", Interrupted)
    airflow.passwords(home)
    ended = CliRunner().invoke(app, ["delivery", "backfill", "--source", "dcir", "--from", first, "--to", last])
    assert ended.exit_code == 130
    assert ended.stdout == ""
    said = [line.strip() for line in ended.stderr.splitlines()]
    assert [line.removesuffix("  queued") for line in said if line.endswith("queued")] == going_on
    assert any(line.startswith(f"Interrupted: {len(going_on)} of ") for line in said)
    page = f"{airflow.address(home)}/dags/ingest_dcir"
    assert said[-1] == f"Look at them under {page}; to stop one, open it there and mark it as failed."


def test_the_month_begins_the_id_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def request(method: str, path: str, *, json: dict[str, Any]) -> dict[str, Any]:
        asked.append((f"{method} {path}", json))
        return {"dag_run_id": json["dag_run_id"]}

    with AirflowClient("http://127.0.0.1", "admin", "") as client:
        monkeypatch.setattr(client, "request", request)
        started = list(backfill.start(client, "ville", ["2024-03", "2024-04"], again=True))
    assert [r["month"] for r in started] == ["2024-03", "2024-04"]
    for run, (where, body) in zip(started, asked, strict=True):
        assert where == "POST /dags/ingest_ville/dagRuns"
        assert (body["partition_key"], body["conf"]) == (run["month"], {"again": True})
        # what Airflow takes for an id, by its default
        assert re.fullmatch(rf"{run['month']}__[A-Za-z0-9_.~:+-]+", run["run"])
