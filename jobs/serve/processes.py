"""Starts, watches and stops the hub's servers: each in a session of its own, known by a file in ``HUB_HOME/run``.

Children may change their process group but keep their session: a server is stopped by its session id.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from jobs.errors import ConfigError, ServerUnavailable
from jobs.settings import Settings

PATIENCE = 15.0
"""Seconds between asking a server to end and ending it."""
ASK_AGAIN = 5.0
"""Seconds after which it is asked again: Airflow's scheduler waits for its tasks unless it is asked twice."""


@dataclass(frozen=True)
class Server:
    """One long-running process of the hub."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ready: Callable[[], bool] | None
    """Asked about once a second until it says yes; must answer at once. None: nobody waits for this server."""

    def pid_file(self, settings: Settings) -> Path:
        return settings.run / f"{self.name}.pid"

    def log_file(self, settings: Settings) -> Path:
        return settings.logs / f"{self.name}.log"


def require_free(settings: Settings, host: str | None = None, **variables: str) -> None:
    """Refuses with ``ConfigError`` when a port of ``host`` (the settings' by default) is in use. ``variables``: field
    of the settings -> what it is for."""
    host = host or settings.host
    for name, purpose in variables.items():
        port = getattr(settings, name)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                raise ConfigError(
                    f"Port {port} of {host} is in use; it is meant for {purpose}.",
                    reason="port_in_use",
                    next_step=f"stop what uses it, or set HUB_{name.upper()} to a free port",
                ) from None


def start(server: Server, settings: Settings) -> int:
    """Starts a server in a new session and returns its process id; does nothing when it runs already."""
    if pid := running(server.pid_file(settings)):
        return pid
    for folder in (settings.run, settings.logs):
        folder.mkdir(parents=True, exist_ok=True)
    with server.log_file(settings).open("ab") as log:
        process = subprocess.Popen(
            server.argv, env=dict(server.environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd=settings.run, start_new_session=True,
        )  # fmt: skip
    note(server.pid_file(settings), process.pid)
    return process.pid


def note(pid_file: Path, pid: int) -> None:
    """Writes down a process so that it is known again, also when its number is another program's by then."""
    pid_file.write_text(f"{pid} {psutil.Process(pid).create_time()}\n")


def running(pid_file: Path) -> int:
    """Process id of the server that a file names, 0 when it is not running (or the id is another program's by now)."""
    pid, created = _read(pid_file)
    try:
        process = psutil.Process(pid) if pid else None
        if process is None or (created and abs(process.create_time() - created) > 1):
            return 0
        if process.status() == psutil.STATUS_ZOMBIE:
            _reap(pid)
            return 0
    except psutil.Error:
        return 0
    return pid


def end(pid_file: Path, seconds: float) -> None:
    """Asks the process that a file names to end, waits, then kills it after so many seconds. It need not be a child."""
    if not (pid := running(pid_file)):
        return
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.terminate()
        try:
            process.wait(seconds)
        except psutil.TimeoutExpired:
            process.kill()


def session_of(pid_file: Path) -> int:
    """Session id of what a server left running, also when the server itself is gone; 0 when nothing is left."""
    pid, _ = _read(pid_file)
    # the number of a session is given to no other process as long as a member of it lives
    return pid if pid and (running(pid_file) or (not psutil.pid_exists(pid) and session(pid))) else 0


def _read(pid_file: Path) -> tuple[int, float]:
    try:
        pid, _, created = pid_file.read_text().strip().partition(" ")
        return int(pid), float(created or 0)
    except (OSError, ValueError):
        return 0, 0.0


def wait(
    servers: Iterable[Server],
    settings: Settings,
    *,
    seconds: float,
    tell: Callable[[str, float], None] = lambda _name, _seconds: None,
) -> None:
    """Waits until every server is ready; ``tell`` hears of each one with the seconds that it took.

    Raises ``ServerUnavailable`` when one ends or takes too long; its log is named.
    """
    begin = time.monotonic()
    waiting = [(server, server.ready) for server in servers if server.ready]
    while waiting:
        for server, ready in list(waiting):
            if ready():
                waiting.remove((server, ready))
                tell(server.name, time.monotonic() - begin)
            elif not running(server.pid_file(settings)):
                raise _unavailable(server, settings, "ended while it started")
        if waiting and time.monotonic() - begin > seconds:
            raise _unavailable(waiting[0][0], settings, f"was not ready after {seconds:.0f} s")
        if waiting:
            time.sleep(1)


def _unavailable(server: Server, settings: Settings, what: str) -> ServerUnavailable:
    return ServerUnavailable(
        f"The server {server.name} {what}.", reason="server_start", next_step=f"read {server.log_file(settings)}"
    )


def session(sid: int) -> list[psutil.Process]:
    """All processes of a session, the oldest first."""
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == sid and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (ProcessLookupError, psutil.Error):
            continue
    return sorted(members, key=lambda p: p.create_time() if p.is_running() else 0.0)


def stop(pid_files: Iterable[Path], *, patience: float = PATIENCE) -> None:
    """Stops the servers that the files name, with all their children: TERM, then KILL. Nothing of them is left."""
    files = [f for f in pid_files if f.exists()]
    sessions = {f: pid for f in files if (pid := session_of(f))}
    left = set(sessions.values())
    begin = asked = time.monotonic() - ASK_AGAIN
    while left and time.monotonic() - begin - ASK_AGAIN < patience:
        if time.monotonic() - asked >= ASK_AGAIN:
            asked = time.monotonic()
            for pid in left:
                _signal(session(pid), signal.SIGTERM)
        time.sleep(0.5)
        for pid in list(left):
            _reap(pid)
            if not session(pid):
                left.discard(pid)
    for pid in left:
        _signal(session(pid), signal.SIGKILL)
    end = time.monotonic() + 5
    while any(session(pid) for pid in left) and time.monotonic() < end:
        time.sleep(0.1)
    for pid in left:
        _reap(pid)
    for file in files:
        file.unlink(missing_ok=True)


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
