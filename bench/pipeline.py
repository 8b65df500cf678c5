"""``hub bench pipeline``: from deliveries to a described release, step by step by hand, then the same by Airflow."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import machine
from bench.measure import Cost, cpu_of, load, peak_of, peaks_of, reset_peak, with_workers
from catalogue import db
from jobs.contributors.synthetic.generate import Parameters, generate
from jobs.errors import HubError
from jobs.serve import airflow, processes, servers
from jobs.serve.memory import Peak
from jobs.serve.rest import AirflowClient
from jobs.serve.watch import Watcher, read_expected
from jobs.settings import Settings
from jobs.spark import server as spark
from jobs.warm import client

Progress = Callable[[str], None]
Step = dict[str, Any]

MONTHS = 3
LOOK_EVERY = 1.0
LOOK_OFTEN = 0.05
FINAL = ("published",)


def run(settings: Settings, persons: int, seed: int, *, by_airflow: bool, minutes: float, tell: Progress) -> Step:
    """Measures one population and returns all of it. ``minutes``: patience with Airflow."""
    root = settings.root / "bench" / "pipeline"
    shutil.rmtree(root, ignore_errors=True)
    at = settings.model_copy(update={"home": root, "spark_remote": None, "database_url": None})
    rows, seconds = _deliver(at, persons, seed, tell)
    figures: Step = {"persons": persons, "months": MONTHS, "seed": seed, "rows": rows, "generate_seconds": seconds}
    figures |= {"machine": machine.describe(at), "load": [load()]}
    figures["by_hand"] = _by_hand(at, tell)
    figures["load"].append(load())
    if by_airflow:
        for name in ("hub.db", "hub.db-wal", "hub.db-shm", "lake", "landing", "quarantine", "run", "logs", "reports"):
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        figures["by_airflow"] = _by_airflow(at, minutes, tell)
        figures["load"].append(load())
    shutil.rmtree(root, ignore_errors=True)
    return figures


def _deliver(at: Settings, persons: int, seed: int, tell: Progress) -> tuple[dict[str, int], float]:
    """Sound deliveries of all sources in the outboxes: rows by table, seconds."""

    tell(f"making {persons:,} persons, {MONTHS} months")
    made = generate(at.root, Parameters(persons, MONTHS, seed=seed, with_faults=False))
    return made.rows, made.seconds


def _by_hand(at: Settings, tell: Progress) -> Step:
    """The commands that Airflow's tasks run, one after another, forked from the warm parent, on one Spark server."""

    servers.prepare(at)
    steps: list[Step] = []

    def step(what: str, of: str, *argv: str, rows: int = 0) -> Step:
        tell(f"by hand: {what} {of}")
        cost, answer = command(at, what, argv)
        steps.append({**asdict(cost), "of": of, "rows": rows or int(answer.get("rows_in", 0))})
        return answer

    try:
        step("start spark", "", "spark", "start")
        parent = servers.warm_server(at)
        processes.start(parent, at)
        while not client.answering(at.run) and processes.running(parent.pid_file(at)):
            time.sleep(LOOK_OFTEN)
        while True:
            announced = step("announce", "", "delivery", "announce")["answers"]
            if not announced:
                break
            for new in announced:
                of = f"{new['source']}/{new['period']}"
                pulled = step("pull", of, "delivery", "pull", "--source", new["source"], "--period", new["period"])
                rows = int(pulled["rows_in"])
                for what in ("stage", "gate", "publish"):
                    step(what, of, "delivery", what, pulled["id"], rows=rows)
        total = sum(s["rows"] for s in steps if s["step"] == "pull")
        built = step("build", "omop", "omop", "build", rows=total)
        number = str(built["build"])
        step("gate of the build", "omop", "omop", "gate", number, rows=total)
        released = step("release", "omop", "omop", "release", number, rows=total)
        step("describe", "catalogue", "catalogue", "describe", str(released["release"]), rows=total)
    finally:
        processes.stop([at.run / f"{servers.WARM}.pid"])
        spark.stop(at)
    return {"steps": steps}


def command(at: Settings, what: str, argv: Iterable[str]) -> tuple[Cost, Step]:
    """Runs one command of the hub as a task does, and what it cost together with the Spark server.

    Raises ``HubError`` with the command's last words when it fails.
    """

    servers = [p for p in (spark.running(at),) if p]
    for pid in with_workers(servers):
        reset_peak(pid)
    cpu = sum(cpu_of(p) for p in with_workers(servers))
    children = ended_children()
    began, clock = time.time(), time.perf_counter()
    out, words = at.root / "bench.out", at.root / "bench.log"
    with out.open("w", encoding="utf-8") as answered, words.open("w", encoding="utf-8") as said:
        process = client.start(
            list(argv), run=at.run, environment=airflow.hub_environment(at), stdout=answered, stderr=said
        )
        peak = 0
        while process.poll() is None:  # not ru_maxrss: it holds what this process had when it forked
            peak = max(peak, peak_of(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_OFTEN)
        code, seconds = process.wait(), time.perf_counter() - clock
    printed, last = out.read_text("utf-8"), (words.read_text("utf-8").strip().splitlines() or [""])[-1]
    if code:
        raise HubError(f"`hub {' '.join(argv)}` failed: {last}")
    servers = servers or [p for p in (spark.running(at),) if p]
    own = process.cpu if isinstance(process, client.Forked) else ended_children() - children
    spent = own + sum(cpu_of(p) for p in with_workers(servers)) - cpu
    answer = json.loads(printed.strip().splitlines()[-1]) if printed.strip() else {}
    result = answer if isinstance(answer, dict) else {"answers": answer}
    return Cost(what, seconds, spent, peak, *peaks_of(servers), 0, began), result


def ended_children() -> float:
    """CPU-seconds of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Shares:
    """CPU-seconds of sessions by name, looked at every second: what a session used stays when it has ended."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files
        self.cpu: dict[str, float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="shares", daemon=True)

    def __enter__(self) -> Shares:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5)

    def look(self) -> dict[str, float]:
        """CPU-seconds so far: of living processes and of all that they have seen end."""
        for name, file in self.files.items():
            if sid := processes.session_of(file):
                now = sum(cpu_of(p.pid) for p in processes.session(sid))
                self.cpu[name] = max(self.cpu.get(name, 0.0), now)
        return dict(self.cpu)

    def _look(self) -> None:
        while not self._end.wait(LOOK_EVERY):
            self.look()


def _by_airflow(at: Settings, minutes: float, tell: Progress) -> Step:
    """The same deliveries, taken in by Airflow's schedule; ends when a described release holds all of them."""

    servers.prepare(at)
    files = {f.stem: f for f in servers.pid_files(at)}
    begin = time.perf_counter()
    with Shares(files) as shares, Peak(lambda: servers.sessions(at)) as peak, servers.running(at, tell):
        started, at_start = time.perf_counter() - begin, shares.look()
        engine, expected = db.open_engine(at.database), read_expected(at)
        begin = time.perf_counter()
        with AirflowClient(airflow.address(at), "admin", airflow.passwords(at)["admin"]) as client:
            watcher, until, said = Watcher(at, engine, client), time.monotonic() + 60 * minutes, ""
            while not (sight := watcher.look()).complete(expected):
                if watcher.stuck() or time.monotonic() > until:
                    raise HubError(f"Airflow did not finish: {' '.join(sight.wrong(expected))}")
                done = sum(state in FINAL for state in sight.states.values())
                now = f"Airflow: {done} of {len(expected)} deliveries published, release {sight.release or 'none'}"
                if now != said:
                    tell(now)
                said = now
                time.sleep(LOOK_EVERY)
            seconds, at_end = time.perf_counter() - begin, shares.look()
            peak.look()
            tasks = [_task(t) for t in _all_tasks(client)]
        engine.dispose()
    used = {name: round(at_end[name] - at_start.get(name, 0.0), 2) for name in at_end}
    return {
        "start_seconds": started,
        "start_cpu": at_start,
        "seconds": seconds,
        "cpu": used,
        "peak": peak.bytes,
        "tasks": [t for t in tasks if t["seconds"] is not None],
    }


def _all_tasks(client: Any) -> list[Step]:
    tasks: list[Step] = []
    while True:
        path, params = "/dags/~/dagRuns/~/taskInstances", {"limit": 100, "offset": len(tasks), "state": ["success"]}
        page = client.request("GET", path, params=params)["task_instances"]
        if not page:
            return tasks
        tasks += page


def _task(task: Step) -> Step:
    return {
        "task": f"{task['dag_id']}.{task['task_id']}",
        "began": task["start_date"],
        "ended": task["end_date"],
        "seconds": task["duration"],
    }
