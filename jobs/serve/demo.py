"""The demo: a synthetic population delivers, Airflow runs the hub, the demo watches. It calls no job itself."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from catalogue import db
from jobs.errors import ConfigError, HubError
from jobs.serve import airflow, servers
from jobs.serve.display import Display
from jobs.serve.memory import Peak
from jobs.serve.rest import AirflowClient
from jobs.serve.watch import Record, Sight, Watcher, read_expected
from jobs.settings import Settings

LOOK_EVERY = 2.0
GIB = 2**30
OF_A_DEMO = (
    *("agents", "hub.db", "hub.db-shm", "hub.db-wal", "lake", "landing", "logs", "outboxes", "quarantine", "reports"),
    *("run", "synthetic", "airflow/airflow.db", "airflow/airflow.db-shm", "airflow/airflow.db-wal", "airflow/prepared"),
)
"""What a fresh demo begins without. Keys and passwords stay."""


@dataclass(frozen=True)
class Demo:
    """What to make: the parameters of the generator."""

    persons: int = 5000
    months: int = 3
    seed: int = 42

    def options(self) -> list[str]:
        return [f"--{name}={value}" for name, value in asdict(self).items()]


def mark(settings: Settings) -> Path:
    """The file that says that a home holds a demo, and which."""
    return settings.root / "demo.json"


def make_room(settings: Settings, demo: Demo, *, keep: bool) -> bool:
    """Prepares the home and tells whether there is something to generate.

    A demo's home is emptied (keys stay), or kept with ``keep``. Raises ``ConfigError`` when the home holds something
    else than a demo, or another demo than the one to keep.
    """
    made = json.loads(mark(settings).read_text("utf-8")) if mark(settings).exists() else None
    in_use = [n for n in ("hub.db", "lake", "outboxes") if _holds_something(settings.root / n)]
    if made is None and in_use:
        raise ConfigError(
            f"{settings.root} holds a hub that is not a demo.",
            next_step="set HUB_HOME to another directory for the demo",
        )
    if keep and made is not None:
        if made != asdict(demo):
            raise ConfigError("The demo kept there was made with other options.", next_step="leave --keep out")
        if read_expected(settings):
            return False
    if settings.database_url and made is not None and not keep:
        raise ConfigError(
            "A demo on a database server is not emptied.", next_step="use --keep, or unset HUB_DATABASE_URL"
        )
    for name in OF_A_DEMO if made is not None else ():
        path = settings.root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    settings.root.mkdir(parents=True, exist_ok=True)
    mark(settings).write_text(json.dumps(asdict(demo)), "utf-8")
    return True


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def run(settings: Settings, demo: Demo, *, headless: bool, keep: bool, minutes: float) -> int:
    """The whole demo. Exit status: 0 when every delivery reached the state that it should."""
    from jobs.contributors.synthetic.generate import Parameters, check

    check(Parameters(**asdict(demo)))
    servers.require_stopped(settings)
    generate = make_room(settings, demo, keep=keep)
    with Display(live=False if headless else None) as display:
        display.say(
            f"{demo.persons:,} persons, {demo.months} months, seed {demo.seed}; everything lies in {settings.root}"
        )
        servers.prepare(settings)
        synth = servers.command(settings, "synth", "generate", *demo.options()) if generate else None
        try:
            with Peak(lambda: servers.sessions(settings)) as peak, servers.running(settings, display.say):
                if synth:
                    servers.finish(settings, synth, "synth", "generate")
                    display.say(f"{len(read_expected(settings))} deliveries are in the outboxes; Airflow takes over")
                status = _watch(settings, display, minutes)
                peak.look()
                display.say(f"Peak memory of everything together: {peak.bytes / GIB:.1f} GiB")
                if not headless:
                    _invite(settings, display)
                    servers.serve(settings, display.say)
        finally:
            if synth and synth.poll() is None:
                synth.terminate()
    return status


def _watch(settings: Settings, display: Display, minutes: float) -> int:
    engine = db.open_engine(settings.database)
    expected = read_expected(settings)
    with AirflowClient(airflow.address(settings), "admin", airflow.passwords(settings)["admin"]) as client:
        if broken := client.import_errors():
            raise HubError(f"Airflow could not read {', '.join(broken)}.")
        watcher = Watcher(settings, engine, client)
        upkeep = servers.Upkeep(settings, display.say)
        sight = _until_complete(watcher, expected, display.show, upkeep, time.monotonic() + 60 * minutes)
        verdicts = {r["subject"]: r["verdict"] for r in db.list_quality_runs(engine, latest=True)}
        display.books(sight, expected, verdicts)
        if release := db.current_release(engine):
            verdict = verdicts.get(release.build, "")
            display.say(
                f"Release {release.id}: {len(release.tables)} tables, {len(release.deliveries)} deliveries, {verdict}"
            )
        wrong = sight.wrong(expected)
        for sentence in wrong or ["Every delivery reached the state that it should."]:
            display.say(sentence)
        for words in watcher.failures() if wrong else ():
            display.say(words)
    engine.dispose()
    return 1 if wrong else 0


def _until_complete(
    watcher: Watcher, expected: list[Record], show: Callable[[Sight], None], upkeep: servers.Upkeep, until: float
) -> Sight:
    """Looks until all is as it should be, or nothing more will come, or time is over. The last sight."""
    while True:
        upkeep.look()
        sight = watcher.look()
        show(sight)
        if sight.complete(expected) or watcher.stuck() or time.monotonic() > until:
            return sight
        time.sleep(LOOK_EVERY)


def _invite(settings: Settings, display: Display) -> None:
    words = airflow.passwords(settings)
    for line in servers.addresses(settings):
        display.say(line)
    display.say(f"           users: admin {words['admin']}   steward {words['steward']}   reader {words['reader']}")
    display.say("A delivery that is waiting asks its steward: Airflow, Browse, Required Actions, as the user steward.")
    display.say("Ctrl-C stops everything.")
