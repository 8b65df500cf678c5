"""Starts a command of the hub: forked from the warm parent where one answers, as a process of its own where none does.

Both are followed in the same way, and end in the same way: exit code, streams, signals.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol, TextIO, TypeVar

from jobs.warm import wire
from jobs.warm.wire import PATIENCE, Request

PLAIN = (sys.executable, "-m", "jobs.cli")
CODE = Path(__file__).resolve().parents[2]
ANSWER_WITHIN = 10.0
"""Seconds after which a parent that says nothing is left alone."""


class Command(Protocol):
    """A command that was started."""

    pid: int
    stderr: Any
    """Its standard error as a stream of text, when ``start`` was asked for it."""

    def poll(self) -> int | None:
        """The exit code, None while it runs; of one that a signal ended the signal's negative number."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises ``subprocess.TimeoutExpired`` when it has not in these seconds."""

    def stop(self) -> None:
        """Ends it, when it runs: TERM, and after ``PATIENCE`` KILL. Returns when it has ended."""


Started = TypeVar("Started", Command, Command | None)


class Plain(subprocess.Popen[bytes]):
    """A command in a process of its own."""

    def stop(self) -> None:
        if self.poll() is not None:
            return
        self.terminate()
        try:
            self.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()


class Forked:
    """A command in a child of the warm parent, which ends the child's whole group when it is stopped."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.connection, self.pid = connection, pid
        self.stderr: TextIO | None = None
        self.returncode: int | None = None
        self.cpu = 0.0
        """CPU-seconds that it took, once it has ended."""

    def __del__(self) -> None:
        self.connection.close()

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode = self._code(timeout)
        return self.returncode

    def _code(self, timeout: float | None) -> int:
        asked = select.poll()
        asked.register(self.connection, select.POLLIN)
        if not asked.poll(None if timeout is None else max(0, round(timeout * 1000))):
            raise subprocess.TimeoutExpired("hub", timeout or 0)
        try:  # looked at and left there: a thread and a handler of signals may both wait for it
            answer = self.connection.recv(wire.AT_ONCE, socket.MSG_PEEK)
        except OSError:
            answer = b""
        if not answer.endswith(b"\n"):  # a parent that died took its children with it
            return -signal.SIGKILL
        said = json.loads(answer)
        self.cpu = float(said["cpu"])
        return int(said["code"])

    def stop(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
        with suppress(subprocess.TimeoutExpired):  # a parent that hangs; it ends the command once it goes on
            self.wait(2 * PATIENCE)


def start(
    argv: Sequence[str],
    *,
    run: Path,
    environment: Mapping[str, str],
    stdout: IO[Any],
    stderr: IO[Any] | None = None,
    plain: Sequence[str] = PLAIN,
) -> Command:
    """Starts ``hub <argv>`` with exactly this environment, standard input empty.

    ``run``: the folder ``run`` of the hub, in which its warm parent listens. ``stderr``: a file; without one the
    command's ``stderr`` is a stream to read. ``plain``: what is started in the place of ``hub`` without a parent.
    """

    def forked(said: int) -> Command | None:
        return fork(argv, run, environment, stdout.fileno(), said)

    def alone(said: int) -> Command:
        return Plain([*plain, *argv], env=dict(environment), stdin=subprocess.DEVNULL, stdout=stdout, stderr=said)

    if stderr is not None:
        return forked(stderr.fileno()) or alone(stderr.fileno())
    # a pipe for each: a parent that hangs would hold the first one open
    return _heard(forked) or _heard(alone)


def _heard(begin: Callable[[int], Started]) -> Started:
    """What ``begin`` starts with a new pipe as its standard error, whose other end is its ``stderr``."""
    read, write = os.pipe()
    stream = open(read, encoding="utf-8", errors="replace")  # noqa: SIM115 the command's reader closes it
    try:
        command = begin(write)
    except BaseException:
        stream.close()
        raise
    finally:
        os.close(write)
    if command is None:
        stream.close()
    else:
        command.stderr = stream
    return command


def fork(argv: Sequence[str], run: Path, environment: Mapping[str, str], stdout: int, stderr: int) -> Forked | None:
    """The command as a child of the warm parent; None where none answers or it will not: nothing was begun then."""
    try:
        connection = connect(run)
    except OSError:
        return None
    try:
        with open(os.devnull) as nothing:
            wire.send_request(connection, _request(argv, environment), [nothing.fileno(), stdout, stderr])
        if pid := _begun(connection):
            return Forked(connection, pid)
    except (OSError, ValueError):
        pass
    connection.close()
    return None


def connect(run: Path) -> socket.socket:
    """A connection to the warm parent of a hub. Raises ``OSError`` where none listens, or one of another user."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(ANSWER_WITHIN)
        with wire.address(run) as address:
            connection.connect(address)
        if wire.peer(connection)[1] != os.geteuid():
            raise PermissionError("The warm parent is another user's.")
    except OSError:
        connection.close()
        raise
    return connection


def answering(run: Path) -> int:
    """Process id of the warm parent that listens in this folder, 0 when none does."""
    try:
        with connect(run) as connection:
            return wire.peer(connection)[0]
    except OSError:
        return 0


def _request(argv: Sequence[str], environment: Mapping[str, str]) -> Request:
    umask = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Umask:"))
    return Request(tuple(argv), dict(environment), os.getcwd(), int(umask.split()[1], 8), sys.executable, str(CODE))


def _begun(connection: socket.socket) -> int:
    """Process id of the child that says that it begins, 0 when it will not. Raises ``OSError``, ``ValueError``."""
    said = b""
    while not said.endswith(b"\n"):
        try:
            letter = connection.recv(1)
        except TimeoutError:
            # from now on no child can say that it begins; one that has said it already is ended, and was no success
            connection.shutdown(socket.SHUT_RDWR)
            letter = connection.recv(1)
        if not letter:
            return 0
        said += letter
    connection.settimeout(None)
    return int(json.loads(said).get("pid", 0))
