"""``hub bench ingest``: the hub's own steps against DuckDB and Polars, interleaved, on one delivery."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import events, machine, ours
from bench.data import DELIVERY, SOURCE, TABLE, Data, make
from bench.measure import load
from bench.outcome import Outcome
from bench.worker import OURS, PEERS
from jobs.delivery import DeliveryId
from jobs.errors import HubError, UnexpectedState
from jobs.hub import Hub
from jobs.intake.landing import open_encrypted, opened_by
from jobs.keys import read_key, read_private_key
from jobs.lake.sealed import landed_files
from jobs.rows.pseudonymised import pseudonyms
from jobs.serve.custody import initialise
from jobs.settings import Settings
from jobs.spark import selftest, session
from jobs.spark import server as spark
from jobs.steps import receive
from schemas.loader import load_table

ENGINES = (OURS, *PEERS)
WARM_UPS, WARM_UP_ROWS = 3, 500_000
"""Runs of the hub alone, on at most so many lines, before the rounds: a hub's server runs for weeks, and Java compiles
what it has seen often."""
APART = ("prepare", "imports")
"""Steps that are paid once a hub or once a process: shown, not part of the job."""

Progress = Callable[[str], None]
Run = dict[str, Any]


def run(settings: Settings, rows: int, rounds: int, seed: int, *, tell: Progress) -> dict[str, Any]:
    """Measures one size and returns all of it: machine, data, every run of every engine.

    The server is warmed first, then one warm-up of each engine, then ``rounds`` rounds, each starting with another
    engine. Raises ``UnexpectedState`` when two engines disagree.
    """
    root = settings.root / "bench"
    data = make(root / "data", rows, seed, tell)
    runs: list[Run] = []
    small = make(root / "data", min(rows, WARM_UP_ROWS), seed, tell)

    def warm_up(at: Settings, pid: int) -> None:
        for number in range(WARM_UPS):
            tell(f"warming the server, {number + 1} of {WARM_UPS}")
            _one("warm-up", OURS, 0, small, at, pid, lambda _: None)

    with server(settings, root / "server", data) as (at, pid):
        warm_up(at, pid)
        for number in range(rounds + 1):
            turn = number % len(ENGINES)
            for engine in ENGINES[turn:] + ENGINES[:turn]:
                runs.append(_one(engine, engine, number, data, at, pid, tell))
        tell("the share of the pseudonyms")
        pseudonym = pseudonym_share(at, data, root / "run")
        versions = machine.describe(at)
    require_equal(data, runs)
    facts = {
        "rows": data.rows,
        "bytes": data.size,
        "delivery_bytes": data.delivery_bytes,
        "seed": seed,
        "rounds": rounds,
        "books": data.books,
    }
    return {**facts, "pseudonym": pseudonym, "machine": versions, "runs": runs}


def require_equal(data: Data, runs: list[Run]) -> None:
    """Every run came to the rows that the generator's tags say, and to the same rules' counts and content."""
    first = Outcome(**runs[0]["outcome"])
    if first.books != data.books:
        raise UnexpectedState(f"{runs[0]['name']}: its books are not those of the generator's tags.")
    for one in runs[1:]:
        if differ := first.differences(Outcome(**one["outcome"])):
            raise UnexpectedState(f"{one['name']} and {runs[0]['name']} do not agree on: {', '.join(differ)}.")


def _one(name: str, engine: str, number: int, data: Data, at: Settings, pid: int, tell: Progress) -> Run:
    """One run in a process of its own and an empty home, which is removed afterwards."""
    tell(f"{name}: {f'round {number}' if number else 'warm-up'}, load {load():.1f}")
    home = at.root.parent / "run"
    shutil.rmtree(home, ignore_errors=True)
    if engine == OURS:
        ours.home_of(data, home)
    task: dict[str, Any] = {"engine": engine, "home": str(home), "data": {**asdict(data), "home": str(data.home)}}
    task |= {"port": at.spark_port, "server": pid}
    busy = load()
    done = subprocess.run([sys.executable, "-m", "bench.worker", json.dumps(task)], capture_output=True, text=True)
    if done.returncode:
        raise HubError(f"{name} failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}")
    run: Run = json.loads(done.stdout.splitlines()[-1])
    run |= {"name": name, "round": number, "load": [round(busy, 2), round(load(), 2)]}
    run["disk"] = sum(f.stat().st_size for f in (home / "lake").rglob("*.parquet"))
    if engine == OURS:
        events.settle()
        for step in run["steps"]:
            began = step["began"]
            seen = events.seen(at.logs / "spark-events", load_table(SOURCE, TABLE), began, began + step["seconds"])
            step["spark"] = asdict(seen)
    shutil.rmtree(home, ignore_errors=True)
    return run


@contextmanager
def server(settings: Settings, home: Path, data: Data) -> Iterator[tuple[Settings, int]]:
    """A Spark server of the bench's own, with the hub's configuration; its settings and process id."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / "keys").symlink_to(data.keys)
    at = settings.model_copy(update={"home": home, "spark_event_log": True, "spark_remote": None})
    at.logs.mkdir()
    pid = spark.start(at)
    try:
        spark.wait(at)
        asking = session.connect(at)
        selftest.prove_encrypted(asking, at)
        asking.stop()
        yield at, pid
    finally:
        spark.stop(at)


def pseudonym_share(at: Settings, data: Data, home: Path) -> dict[str, float]:
    """CPU-seconds of one pass over the identifying columns of the landed lines, with and without the pseudonyms.

    The middle one of three passes each, in turns, in this process. The difference is what pseudonyms cost: three to a
    line.
    """

    shutil.rmtree(home, ignore_errors=True)
    ours.home_of(data, home)
    hub, delivery = Hub(at.model_copy(update={"home": home})), DeliveryId.parse(DELIVERY)
    initialise(hub)
    receive.announce(hub)
    receive.receive(hub, delivery)
    table = load_table(SOURCE, TABLE)
    domains = {c.name: c.pseudonym for c in table.columns if c.pseudonym}
    unwrap = opened_by(read_private_key(data.keys / "hub" / "landing.pem"))
    key = read_key(data.keys / "hub" / "p2.key")
    seen: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(3):
        for name, cpu in seen.items():
            began = time.process_time()
            for path, _file in landed_files(delivery.under(hub.settings.landing), table):
                rows = open_encrypted(Path(path), unwrap, read_dictionary=list(domains))
                for group in range(rows.num_row_groups):
                    block = rows.read_row_group(group, columns=list(domains)).unify_dictionaries().combine_chunks()
                    for column, domain in domains.items() if name == "with" else ():
                        pseudonyms(block.column(column), domain, key)
            cpu.append(time.process_time() - began)
    shutil.rmtree(home, ignore_errors=True)
    return {name: statistics.median(cpu) for name, cpu in seen.items()}


def job(one: Mapping[str, Any], what: str) -> float:
    """Sum of seconds or CPU-seconds of a run's steps that are part of the job."""
    return sum(float(s[what]) for s in one["steps"] if s["step"] not in APART)
