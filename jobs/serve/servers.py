"""The hub as a whole: keys, database, servers; up and down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from jobs.errors import BY_EXIT_CODE, ConfigError, HubError
from jobs.hub import Hub
from jobs.serve import airflow, processes
from jobs.serve.custody import initialise
from jobs.serve.processes import Server
from jobs.settings import Settings
from jobs.spark import health
from jobs.spark import server as spark
from jobs.warm import client as warm

AIRFLOW_SECONDS = 180.0
SPARK, WARM = "spark", "warm"
START_SPARK = ("spark", "start")
ASK_SPARK, SILENCES = 30.0, 2
"""The Spark server is asked every so many seconds; it is started again after so many questions without an answer."""
STOP_SECONDS = 90.0
"""How long a hub may take to stop all its servers."""

Tell = Callable[[str], None]


def catalogue_server(settings: Settings) -> Server:
    """The catalogue's public pages."""
    return _pages("catalogue", f"http://{settings.host}:{settings.catalogue_port}/", settings)


def steward_server(settings: Settings) -> Server:
    """The same pages with exact counts, on an address of their own."""
    return _pages("steward", f"http://{settings.steward_host}:{settings.steward_port}/", settings, "--steward")


def warm_server(settings: Settings) -> Server:
    """The parent that the tasks' commands are forked from. Nobody waits for it: without it they start plainly."""
    argv = (sys.executable, "-m", "jobs.cli", WARM, "serve")
    return Server(WARM, argv, airflow.hub_environment(settings), None)


def _pages(name: str, address: str, settings: Settings, *options: str) -> Server:

    def ready() -> bool:
        try:
            return httpx.get(address, timeout=5, trust_env=False).status_code < 500
        except httpx.HTTPError:
            return False

    argv = (sys.executable, "-m", "jobs.cli", "catalogue", "serve", *options)
    return Server(name, argv, airflow.hub_environment(settings), ready)


def servers(settings: Settings) -> list[Server]:
    """What this module starts itself; the Spark server starts itself."""
    return [*airflow.servers(settings), catalogue_server(settings), steward_server(settings), warm_server(settings)]


def pid_files(settings: Settings) -> list[Path]:
    """Files of every server of this hub, in the order in which they are stopped: who gives work first."""
    return [settings.run / f"{name}.pid" for name in (*(f"airflow-{c}" for c in reversed(airflow.COMPONENTS)),
            WARM, "catalogue", "steward", SPARK)]  # fmt: skip


def sessions(settings: Settings) -> list[int]:
    """Session ids of what runs."""
    return [pid for file in pid_files(settings) if (pid := processes.session_of(file))]


def require_stopped(settings: Settings) -> None:
    """Refuses with ``ConfigError`` when this hub runs, or when one of its ports is taken."""
    if processes.running(keeper(settings)) or sessions(settings):
        raise ConfigError(
            f"The hub in {settings.root} runs already.",
            reason="hub_runs",
            next_step="stop it where it was started with Ctrl-C, or with `hub up --stop`",
        )
    processes.require_free(settings, airflow_port="Airflow", catalogue_port="the catalogue")
    processes.require_free(settings, settings.steward_host, steward_port="the stewards' pages")
    if not settings.spark_remote:
        processes.require_free(settings, spark_port="the Spark server")


def prepare(settings: Settings) -> list[str]:
    """Makes what is missing: folders, the hub database, keys. Names of the keys that it made."""

    for folder in (settings.root, settings.run, settings.logs, settings.outboxes, settings.reports):
        folder.mkdir(parents=True, exist_ok=True)
    hub = Hub(settings)
    try:
        return list(initialise(hub)["made"])
    finally:
        hub.engine.dispose()


def command(settings: Settings, *argv: str) -> subprocess.Popen[str]:
    """Starts a command of the hub beside this one; its words go to a file in ``logs``, named after it."""
    log = settings.logs / f"{'-'.join(argv[:2])}.log"
    with log.open("a", encoding="utf-8") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.cli", *argv], env=airflow.hub_environment(settings), stdin=subprocess.DEVNULL,
            stdout=out, stderr=out, text=True,
        )  # fmt: skip


def finish(settings: Settings, process: subprocess.Popen[str], *argv: str) -> None:
    """Waits for such a command. Raises the error of its exit code, with the last line that it said."""
    if code := process.wait():
        log = settings.logs / f"{'-'.join(argv[:2])}.log"
        said = log.read_text("utf-8", errors="replace").strip().splitlines()
        kind = BY_EXIT_CODE.get(code, HubError)
        raise kind(f"`hub {' '.join(argv[:2])}` failed: {said[-1] if said else code}", next_step=f"read {log}")


def start(settings: Settings, tell: Tell) -> None:
    """Starts every server and returns when all are ready. Raises ``ServerUnavailable``, ``KeyRefused``."""
    begin = time.monotonic()

    def ready(name: str) -> None:
        tell(f"{name} is ready ({time.monotonic() - begin:.0f} s)")

    # the JVM warms up, and proves that it encrypts, while Airflow makes its database and imports itself
    spark = command(settings, *START_SPARK)
    try:
        airflow.prepare(settings)
        started = servers(settings)
        for server in started:
            processes.start(server, settings)
        processes.wait(started, settings, seconds=AIRFLOW_SECONDS, tell=lambda name, _: ready(name))
        finish(settings, spark, *START_SPARK)
        ready("spark")
        if warm.answering(settings.run):
            ready(WARM)
        else:
            tell(f"Commands start plainly until {WARM} is ready (its log: {settings.logs / WARM}.log)")
    finally:
        spark.terminate()


def keeper(settings: Settings) -> Path:
    """File that names the command which keeps this hub up."""
    return settings.run / "hub.pid"


def end(settings: Settings) -> None:
    """Ends the command that keeps this hub up, which stops its servers, and stops those that it left."""
    processes.end(keeper(settings), STOP_SECONDS)
    stop(settings)


def stop(settings: Settings) -> None:
    """Stops every server of this hub, also those that an earlier command left."""
    processes.stop([f for f in pid_files(settings) if f.stem != SPARK])
    spark.stop(settings)


@contextmanager
def running(settings: Settings, tell: Tell) -> Iterator[None]:
    """The hub, up inside the ``with`` and down after it, whatever happens. TERM ends it as Ctrl-C does."""
    require_stopped(settings)
    before = signal.signal(signal.SIGTERM, _interrupt)
    settings.run.mkdir(parents=True, exist_ok=True)
    processes.note(keeper(settings), os.getpid())
    try:
        start(settings, tell)
        yield
    finally:
        patient = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        tell("Stopping what was started ...")
        stop(settings)
        keeper(settings).unlink(missing_ok=True)
        tell("Stopped.")
        signal.signal(signal.SIGINT, patient)
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


@dataclass
class Upkeep:
    """Starts again what ended by itself, and a Spark server that does not answer."""

    settings: Settings
    tell: Tell
    asked: float = field(default_factory=time.monotonic)
    """When the Spark server was asked last."""
    silences: int = 0
    fault: str = ""
    """What kept the last look from starting something; it is told once."""

    def look(self) -> None:
        """Looks once. What cannot be started now is tried again by the next look."""
        try:
            for server in servers(self.settings):
                if not processes.running(server.pid_file(self.settings)):
                    log = server.log_file(self.settings)
                    self.tell(f"{server.name} ended; it is started again (its log: {log})")
                    processes.stop([server.pid_file(self.settings)])
                    processes.start(server, self.settings)
            late = time.monotonic() - self.asked > ASK_SPARK
            if not self.settings.spark_remote and (late or not spark.running(self.settings)):
                self.asked = time.monotonic()
                self.silences = keep_spark(self.settings, self.silences, self.tell)
            self.fault = ""
        except HubError as error:
            if str(error) != self.fault:
                self.tell(f"{error} It is tried again.")
            self.fault = str(error)


def serve(settings: Settings, tell: Tell, every: float = 5.0) -> None:
    """Returns at Ctrl-C. Until then keeps everything running."""
    upkeep = Upkeep(settings, tell)
    try:
        while True:
            time.sleep(every)
            upkeep.look()
    except KeyboardInterrupt:
        tell("")


def keep_spark(settings: Settings, silences: int, tell: Tell) -> int:
    """Looks at the Spark server once and starts it again when it ended, or gave no answer ``SILENCES`` times in a row.
    ``silences``: how often it was silent before this look; the number after it."""
    if not spark.running(settings):
        tell(f"The Spark server ended; it is started again (its log: {settings.logs / 'spark.log'})")
    elif not spark.ready(settings) or health.speaks(settings):
        return 0
    elif silences + 1 < SILENCES:
        return silences + 1
    else:
        tell("The Spark server does not answer; it is started again.")
        spark.stop(settings)
    spark.start(settings)
    return 0


def addresses(settings: Settings) -> list[str]:
    """Where a person goes, as lines."""
    return [
        f"Catalogue  {settings.catalogue_address}",
        f"Stewards   {settings.steward_address}  (exact counts: not public)",
        f"Airflow    {airflow.address(settings)}",
    ]
