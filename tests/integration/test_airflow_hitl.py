"""The DAGs under a real scheduler, answered through Airflow's REST interface as a steward would.

The code runs from a copy in which the commands that need a Spark server are small ones (``small_commands``); DAGs,
triggers, the other commands, the hub database and the catalogue's pages are the hub's own.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil
import pytest
from sqlalchemy import Engine

from catalogue import db
from catalogue.db.releases import Release
from jobs.delivery import DeliveryId
from jobs.errors import HubError
from jobs.serve import airflow, processes, servers
from jobs.serve.rest import AirflowClient
from jobs.serve.watch import month_of
from jobs.settings import CHECKOUT, FILE, Settings
from jobs.warm import client as warm
from schemas.loader import load_source
from tests.conftest import free_port
from tests.hooks import Hook, listening

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOMS = ("jobs", "dags", "schemas", "catalogue", "expectations")
SECONDS = 180
BEFORE_AN_ANSWER = 4.0
"""Airflow fails a task that is answered in its first second."""


@dataclass(frozen=True)
class Live:
    """A hub whose Airflow runs."""

    settings: Settings
    engine: Engine
    admin: AirflowClient
    steward: AirflowClient
    hook: Hook
    """Where its alerts are posted to."""

    def deliver(self, name: str, root: Path | None = None, **marks: str) -> None:
        """Puts out a delivery of empty files; ``marks`` tell the small commands what to find."""
        delivery = DeliveryId.parse(name)
        contract = load_source(delivery.source)
        folder = delivery.under(root or self.settings.outboxes)
        folder.mkdir(parents=True)
        for mark, text in marks.items():
            (folder / mark).write_text(text)
        files = []
        for table in contract.tables:
            (folder / f"{table}.csv").write_text("a\n")
            files.append({"table": table, "name": f"{table}.csv", "rows": 0, "bytes": 2, "sha256": "0" * 64})
        manifest = {
            "contract": delivery.source, "contract_version": contract.contract, "source": delivery.source,
            "period": delivery.period, "version": delivery.version, "created_at": datetime.now(UTC).isoformat(),
            "stage1_key": "0" * 16, "files": files,
        }  # fmt: skip
        (folder / ".part").write_text(json.dumps(manifest))
        (folder / ".part").rename(folder / "manifest.json")

    def state(self, delivery: str) -> str | None:
        return db.delivery_state(self.engine, delivery)

    def run(self, source: str, month: str) -> dict[str, Any] | None:
        """The last run of a source's month."""
        return next((r for r in self.admin.runs(f"ingest_{source}") if month_of(r) == month), None)

    def finished(self, source: str, month: str) -> dict[str, Any]:
        """That run when it has ended, with the states of its ``tasks``."""

        def ended() -> dict[str, Any] | None:
            run = self.run(source, month)
            return run if run and run["state"] in ("success", "failed") else None

        run = until(ended, f"the run of {source} {month}")
        return run | {"tasks": self.tasks(run)}

    def tasks(self, run: dict[str, Any]) -> dict[str, str]:
        return {t["task_id"]: t["state"] for t in self.admin.tasks(run["dag_id"], run["dag_run_id"])}

    def question(self, source: str, month: str) -> dict[str, Any]:
        """The open question of a source's month, old enough to be answered."""

        def asked() -> dict[str, Any] | None:
            run = self.run(source, month)
            return next(
                (q for q in self.steward.questions() if run and q["task_instance"]["dag_run_id"] == run["dag_run_id"]),
                None,
            )

        found = until(asked, f"the question of {source} {month}")
        time.sleep(BEFORE_AN_ANSWER)
        return found

    def answer(self, client: AirflowClient, question: dict[str, Any], option: str, reason: str) -> None:
        task = question["task_instance"]
        client.answer(task["dag_id"], task["dag_run_id"], option, reason)


def until(ask: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := ask():
            return found
        time.sleep(1)
    raise AssertionError(f"{what} did not come in {seconds:.0f} s")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    code = tmp_path_factory.mktemp("code")
    for room in ROOMS:
        shutil.copytree(CHECKOUT / room, code / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).with_name("small_commands.py"), code / "jobs" / "cli" / "__main__.py")
    settings = Settings(
        home=tmp_path_factory.mktemp("hub"),
        airflow_port=free_port(),
        catalogue_port=free_port(),
        steward_port=free_port(),
        spark_port=free_port(),
    )
    with pytest.MonkeyPatch.context() as patch, listening() as hook:
        (settings.root / FILE).write_text(f'alert_webhook = "{hook.address}"\n')
        patch.setattr(airflow, "CHECKOUT", code)
        servers.prepare(settings)
        airflow.prepare(settings)
        running = servers.servers(settings)
        words = airflow.passwords(settings)
        base = airflow.address(settings)
        try:
            for server in running:
                processes.start(server, settings)
            processes.wait(running, settings, seconds=SECONDS)
            until(lambda: warm.answering(settings.run), "the warm parent")
            with (
                AirflowClient(base, "admin", words["admin"]) as admin,
                AirflowClient(base, "steward", words["steward"]) as steward,
            ):
                found = Live(settings, db.open_engine(settings.database), admin, steward, hook)
                until(lambda: len(admin.dag_ids()) == 8, "every DAG")
                put_out_everything(found)
                yield found
        finally:
            processes.stop(servers.pid_files(settings))
    assert servers.sessions(settings) == []


def put_out_everything(live: Live) -> None:
    """All deliveries of this module at once: one burst, as at the beginning of a month."""
    live.deliver("dcir/2024-01/v1")
    live.deliver("dcir/2024-02/v1", verdict="warning")
    live.deliver("dcir/2024-03/v1", verdict="warning")
    live.deliver("dcir/2024-04/v1", verdict="warning")
    live.deliver("pmsi_mco/2024-01/v1", verdict="critical")
    live.deliver("pmsi_mco/2024-02/v1", verdict="errored")
    live.deliver("ville/2024-01/v1", duplicate="yes")
    live.deliver("ville/2024-02/v1", exit="11")
    live.deliver("ville/2024-02/v2")


def test_a_burst_is_announced_whole_one_version_of_a_month_at_a_time(live: Live) -> None:
    until(lambda: len(db.list_deliveries(live.engine)) >= 8, "every first version")
    assert live.admin.import_errors() == []


def test_the_id_of_a_run_begins_with_its_month_and_version(live: Live) -> None:
    def ids() -> list[str]:
        return [r["dag_run_id"] for s in ("dcir", "pmsi_mco", "ville") for r in live.admin.runs(f"ingest_{s}")]

    # the second version of ville's February follows by itself
    until(lambda: any(name.startswith("2024-02__v2__") for name in ids()), "the run of every delivery", 2 * SECONDS)
    heads = sorted(name.rpartition("__")[0] for name in ids())
    expected = ["2024-01__v1"] * 3 + ["2024-02__v1"] * 3 + ["2024-02__v2", "2024-03__v1", "2024-04__v1"]
    assert heads == sorted(expected), "one run for each delivery"


def test_announcing_again_starts_nothing_twice(live: Live) -> None:
    before = {s: len(live.admin.runs(f"ingest_{s}")) for s in ("dcir", "pmsi_mco", "ville")}
    first = min(live.admin.runs("arrivals"), key=lambda r: str(r["run_after"]))
    live.admin.request(
        "POST", f"/dags/arrivals/dagRuns/{quote(first['dag_run_id'], safe='')}/clear", json={"dry_run": False}
    )
    assert until(lambda: ended(live, "arrivals", first["dag_run_id"]), "the cleared run") == "success"
    assert {s: len(live.admin.runs(f"ingest_{s}")) for s in before} == before


def test_a_clean_delivery_is_published_built_released_and_described(live: Live) -> None:
    run = live.finished("dcir", "2024-01")
    assert run["state"] == "success"
    assert run["tasks"]["publish"] == "success"
    assert run["tasks"]["ask_steward"] == "skipped"
    assert live.state("dcir/2024-01/v1") == "published"
    release = until(lambda: db.current_release(live.engine), "a release")
    assert {"dcir/2024-01/v1", "ville/2024-02/v2"} <= set(release.deliveries), "one build for the burst"
    until(lambda: (live.settings.root / "described-1").exists(), "the description")


def test_approve_publishes_and_only_a_steward_may(live: Live) -> None:
    question = live.question("dcir", "2024-02")
    assert question["subject"] == "Publish dcir/2024-02/v1 with warnings?"
    assert "dcir/er_prs_f: DCIR-PRS-001 (3 of 50)" in question["body"]
    with pytest.raises(HubError, match="403"):
        live.answer(live.admin, question, "Approve", "I am only the administrator")
    pool = {"name": "mine", "slots": 1, "description": "", "include_deferred": False}
    for method, path, body in (
        ("POST", "/pools", pool),
        ("GET", "/connections", None),
        ("POST", "/connections", {"connection_id": "outbox_dcir", "conn_type": "fs"}),
        ("POST", "/variables", {"key": "a", "value": "b"}),
        ("POST", "/dags/ingest_dcir/dagRuns", {"logical_date": None, "partition_key": "2024-02"}),
    ):
        with pytest.raises(HubError, match="403"):
            live.steward.request(method, path, json=body)
    live.answer(live.steward, question, "Approve", "--known since January")
    run = live.finished("dcir", "2024-02")
    assert run["state"] == "success"
    assert run["tasks"]["publish"] == "success"
    assert live.state("dcir/2024-02/v1") == "published"
    decision = db.list_decisions(live.engine, "dcir/2024-02/v1")[0]
    assert (decision["who"], decision["decision"], decision["reason"]) == (
        "steward",
        "approve",
        "--known since January",
    )


def test_reject_publishes_nothing_and_the_run_is_green(live: Live) -> None:
    question = live.question("dcir", "2024-03")
    live.answer(live.steward, question, "Reject", "not plausible")
    run = live.finished("dcir", "2024-03")
    assert run["state"] == "success"
    assert run["tasks"]["record_decision"] == "success"
    assert run["tasks"]["publish"] == "skipped"
    assert live.state("dcir/2024-03/v1") == "rejected"
    assert [d["decision"] for d in db.list_decisions(live.engine, "dcir/2024-03/v1")] == ["reject"]


def test_an_answer_without_a_reason_changes_nothing_and_can_be_asked_again(live: Live) -> None:
    question = live.question("dcir", "2024-04")
    live.answer(live.steward, question, "Approve", "")
    run = live.finished("dcir", "2024-04")
    assert run["tasks"]["record_decision"] == "failed"
    assert run["tasks"]["publish"] == "upstream_failed"
    assert live.state("dcir/2024-04/v1") == "waiting"
    body = {
        "dag_run_id": run["dag_run_id"], "task_ids": ["ask_steward"], "include_downstream": True, "dry_run": False,
        "only_failed": False,
    }  # fmt: skip
    live.admin.request("POST", "/dags/ingest_dcir/clearTaskInstances", json=body)
    live.answer(live.steward, live.question("dcir", "2024-04"), "Reject", "asked twice")
    assert live.finished("dcir", "2024-04")["tasks"]["publish"] == "skipped"
    assert live.state("dcir/2024-04/v1") == "rejected"


@pytest.mark.parametrize(("month", "name"), [("2024-01", "QualityRefused"), ("2024-02", "QualityErrored")])
def test_critical_and_errored_are_red_and_ask_nobody(live: Live, month: str, name: str) -> None:
    run = live.finished("pmsi_mco", month)
    assert run["state"] == "failed"
    assert run["tasks"]["gate"] == "failed"
    assert run["tasks"]["ask_steward"] == "upstream_failed"
    assert run["tasks"]["publish"] == "upstream_failed"
    assert live.state(f"pmsi_mco/{month}/v1") == "rejected"
    assert not any(q["task_instance"]["dag_run_id"] == run["dag_run_id"] for q in live.steward.questions())
    assert name in read_log(live, run, "gate")


def read_log(live: Live, run: dict[str, Any], task: str) -> str:
    folder = (
        live.settings.logs / "airflow" / f"dag_id={run['dag_id']}" / f"run_id={run['dag_run_id']}" / f"task_id={task}"
    )
    return "".join(p.read_text("utf-8") for p in sorted(folder.glob("*.log")))


def test_a_server_that_is_away_is_tried_again_a_broken_contract_is_not(live: Live) -> None:
    def tries(source: str, month: str) -> int:
        run = live.run(source, month)
        tasks = live.admin.tasks(run["dag_id"], run["dag_run_id"]) if run else []
        return next((int(t["try_number"]) for t in tasks if t["task_id"] == "stage"), 0)

    live.deliver("pmsi_mco/2024-03/v1", exit="18")
    until(lambda: tries("pmsi_mco", "2024-03") >= 2, "the second try")
    runs = [r for r in live.admin.runs("ingest_ville") if month_of(r) == "2024-02"]
    first = min(runs, key=lambda r: str(r["run_after"]))
    stage = next(t for t in live.admin.tasks("ingest_ville", first["dag_run_id"]) if t["task_id"] == "stage")
    assert (stage["state"], stage["try_number"]) == ("failed", 1)
    assert "ContractRefused" in read_log(live, first, "stage")


def test_the_next_version_follows_when_the_first_is_finished(live: Live) -> None:
    until(lambda: live.state("ville/2024-02/v2") == "published", "the second version")
    assert live.state("ville/2024-02/v1") == "rejected"


def test_a_duplicate_ends_green_without_more(live: Live) -> None:
    run = live.finished("ville", "2024-01")
    assert run["state"] == "success"
    assert run["tasks"]["pull"] == "success"
    assert {run["tasks"][t] for t in ("stage", "gate", "ask_steward", "record_decision", "publish")} == {"skipped"}


def test_stopping_a_task_ends_its_command(live: Live) -> None:
    def command() -> psutil.Process | None:
        children = psutil.Process(warm.answering(live.settings.run)).children()
        stages = (c for c in children if c.name() == "delivery stage" and time.time() - c.create_time() > 5)
        return next(stages, None)

    live.deliver("ville/2024-03/v1", slow="120")
    process = until(command, "the slow command")
    run = live.run("ville", "2024-03")
    assert run is not None
    where = (
        f"/dags/ingest_ville/dagRuns/{run['dag_run_id'].replace('+', '%2B').replace(':', '%3A')}/taskInstances/stage"
    )
    live.admin.request("PATCH", where, json={"new_state": "failed"})
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "the end of the command", 60)


def test_every_command_of_a_task_was_forked_from_the_warm_parent(live: Live) -> None:
    log = (live.settings.logs / "warm.log").read_text("utf-8")
    begun = {" ".join(line.split()[1:3]) for line in log.splitlines() if line.endswith(" begins")}
    tasks = ("announce", "pull", "stage", "gate", "decide", "publish")
    of_a_build = ("omop build", "omop gate", "omop release", "catalogue describe")
    assert {*(f"delivery {verb}" for verb in tasks), *of_a_build, "alert failed", "alert asked"} <= begun
    ends = {int(line.split()[3]) for line in log.splitlines() if " ended with " in line}
    assert {0, 11, 12, 13, 18, -signal.SIGTERM} <= ends, "with the exit codes that the tasks obeyed"
    assert "starts plainly" not in log
    assert "v1" not in log, "it names no argument"


def test_a_month_by_hand_needs_a_month(live: Live) -> None:
    by_param = live.admin.trigger("ingest_dcir", conf={"month": "2024-01"})
    by_key = live.admin.trigger("ingest_dcir", partition_key="2024-01")
    neither = live.admin.trigger("ingest_dcir")
    states = {"success": [by_param, by_key], "failed": [neither]}
    for state, runs in states.items():
        for run in runs:
            assert until(lambda run=run: ended(live, "ingest_dcir", run), f"{run}") == state  # type: ignore[misc]
    assert live.state("dcir/2024-01/v1") == "published"
    with pytest.raises(HubError, match="4"):
        live.admin.trigger("ingest_dcir", conf={"month": "March"})


def test_months_by_command_make_a_run_each(live: Live) -> None:
    live.deliver("pmsi_mco/2023-11/v1")
    live.deliver("pmsi_mco/2023-12/v1")
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli.__main__", "delivery", "backfill", "--source", "pmsi_mco",
         "--from", "2023-11", "--to", "2023-12"],
        env=airflow.hub_environment(live.settings), capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)
    assert [(r["month"], r["state"]) for r in runs] == [("2023-11", "success"), ("2023-12", "success")]
    for run in runs:
        assert run["run"].startswith(run["month"])
        assert live.admin.run("ingest_pmsi_mco", run["run"])["partition_key"] == run["month"]
        name = f"pmsi_mco/{run['month']}/v1"
        until(lambda name=name: live.state(name) == "published", name)  # by this run or by the doorbell's


def ended(live: Live, dag: str, run: str) -> str | None:
    state = live.admin.run(dag, run)["state"]
    return state if state in ("success", "failed") else None


def test_a_burst_made_few_builds_and_one_that_finds_nothing_is_green(live: Live) -> None:
    # 1: the burst; 2: what a steward approved since
    assert len(live.admin.runs("build_omop")) <= 3
    run = live.admin.trigger("build_omop")
    assert until(lambda: ended(live, "build_omop", run), "the build") == "success"


def test_a_month_is_withdrawn_by_a_form_and_leaves_the_next_release(live: Live) -> None:
    name = "pmsi_mco/2023-11/v1"
    until(lambda: name in (db.current_release(live.engine) or Release(0, datetime.now(UTC), "")).deliveries, name)
    with pytest.raises(HubError, match="4"):
        live.admin.trigger("withdraw_delivery", conf={"delivery": name})
    unknown = {"delivery": "pmsi_mco/2020-01/v1", "reason": "sent by mistake"}
    nothing = live.admin.trigger("withdraw_delivery", conf=unknown)
    assert until(lambda: ended(live, "withdraw_delivery", nothing), "the refusal") == "failed"
    run = live.admin.trigger("withdraw_delivery", conf={"delivery": name, "reason": "--sent by mistake"})
    assert until(lambda: ended(live, "withdraw_delivery", run), "the withdrawal") == "success"
    tasks = live.tasks({"dag_id": "withdraw_delivery", "dag_run_id": run})
    assert tasks == {
        "check": "success", "withdraw_pmsi_mco": "success", "withdraw_dcir": "skipped", "withdraw_ville": "skipped",
    }  # fmt: skip
    found = db.get_delivery(live.engine, name)
    assert found
    assert (found["state"], found["reason"]) == ("withdrawn", "--sent by mistake")
    until(lambda: db.pending_withdrawals(live.engine) == [], "the release without it")
    released = db.current_release(live.engine)
    assert released
    assert name not in released.deliveries
    assert "pmsi_mco/2023-12/v1" in released.deliveries


def test_a_connection_says_where_a_source_puts_out(live: Live, tmp_path: Path) -> None:
    extra = json.dumps({"path": str(tmp_path)})
    live.admin.request(
        "POST", "/connections", json={"connection_id": "outbox_pmsi_mco", "conn_type": "fs", "extra": extra}
    )
    live.deliver("pmsi_mco/2024-07/v1", root=tmp_path, duplicate="x")
    try:  # the watcher saw it, and the pull looked into the same folder
        assert live.finished("pmsi_mco", "2024-07")["state"] == "success"
        assert live.state("pmsi_mco/2024-07/v1") == "duplicate"
    finally:
        live.admin.request("DELETE", "/connections/outbox_pmsi_mco")


def test_people_are_told_of_questions_refusals_and_failures(live: Live) -> None:
    for kind, about, reason in (
        ("question", "dcir/2024-02/v1", "the gate found warnings"),
        ("refusal", "pmsi_mco/2024-01/v1", "task gate, QualityRefused"),
        ("failure", "pmsi_mco/2024-02/v1", "task gate, QualityErrored"),
        ("refusal", "ville/2024-02/v1", "task stage, ContractRefused"),
    ):
        (told,) = until(
            lambda kind=kind, about=about: [  # type: ignore[misc]
                b for b in live.hook.bodies if (b["kind"], b["about"]) == (kind, about)
            ],
            f"{kind} {about}",
        )
        assert told["reason"] == reason
        assert told["run"].startswith(f"ingest_{about.split('/')[0]}/")
        assert "3 of 50" not in json.dumps(told)


def test_late_months_are_told_once(live: Live) -> None:
    for minute in (0, 1):
        dated = {"logical_date": datetime(2026, 1, 1, 6, minute, tzinfo=UTC).isoformat()}  # as a scheduled run is
        run = live.admin.request("POST", "/dags/lateness/dagRuns", json=dated)["dag_run_id"]
        assert until(lambda run=run: ended(live, "lateness", run), "lateness") == "success"  # type: ignore[misc]
        late = [b for b in live.hook.bodies if b["kind"] == "lateness"]
        assert len(late) == 1
    assert "ville 2024-04 (due 2024-05-15)" in late[0]["about"]


def test_a_run_shows_its_quality_report_and_the_menu_the_catalogue(live: Live, browser: Browser) -> None:
    base, run = airflow.address(live.settings), live.finished("dcir", "2024-02")
    quoted = run["dag_run_id"].replace("+", "%2B").replace(":", "%3A")
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.add_cookies([{"name": "_token", "value": live.admin.token, "url": base}])
    page = context.new_page()
    page.goto(f"{base}/dags/ingest_dcir/runs/{quoted}")
    page.get_by_role("link", name="Quality report").click(timeout=30_000)
    report = page.frame_locator("iframe").first
    report.get_by_text("dcir/2024-02/v1").first.wait_for(timeout=30_000)
    page.get_by_role("button", name="Browse").click()
    link = page.get_by_role("link", name="Catalogue").or_(page.get_by_text("Catalogue")).first
    link.wait_for(timeout=10_000)
    context.close()


def test_without_the_warm_parent_tasks_start_their_commands_themselves(live: Live) -> None:
    processes.stop([live.settings.run / "warm.pid"])
    log = (live.settings.logs / "warm.log").read_text("utf-8")
    live.deliver("dcir/2024-08/v1")
    assert live.finished("dcir", "2024-08")["state"] == "success"
    assert live.state("dcir/2024-08/v1") == "published"
    assert (live.settings.logs / "warm.log").read_text("utf-8") == log
