"""The warm parent: loads what commands load, forks one child a command, tells each client how its command ended.

It holds nothing of a command but its process id: what the client sends is read by the child. Code that changed makes
it begin anew, in the same process; meanwhile commands start plainly.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from jobs.warm import child, client, wire
from jobs.warm.code import Code, Stamp

WAITING = 64
LOOK_EVERY = 2.0
"""Seconds between looks at code that could not be loaded."""
SETTLED = 1.0
"""Seconds without a change after which code is taken as it is; and that threads of the load get to end."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@dataclass
class Child:
    """A command that runs."""

    pid: int
    connection: socket.socket
    begin: float = field(default_factory=time.monotonic)
    kill_at: float | None = None
    """When it is killed, once it was asked to end."""

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the whole group of the command."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def ask_to_end(self) -> None:
        """TERM, once; KILL follows."""
        if self.kill_at is None:
            self.kill_at = time.monotonic() + wire.PATIENCE
            self.signal(signal.SIGTERM)


def serve(run: Path, code: Code, load: Callable[[], None], work: Callable[[], None]) -> None:
    """Serves commands in the folder ``run`` until TERM or INT, which end them. Raises ``FileExistsError`` when another
    parent listens there.

    ``load`` imports what commands import, and starts no thread; ``work`` is the command, in the child.
    """
    refuse_a_second(run)
    stamp = code.stamp()
    begin = time.monotonic()
    if problem := _load(load):
        _wait_for_other_code(code, stamp, problem)
    Parent(run, code, stamp, work, time.monotonic() - begin).serve()


def refuse_a_second(run: Path) -> None:
    """Raises ``FileExistsError`` when a parent listens in this folder."""
    with suppress(ConnectionRefusedError, FileNotFoundError):
        client.connect(run).close()
        raise FileExistsError("A warm parent listens there already.")


def _load(load: Callable[[], None]) -> str:
    """Loads; what keeps this process from serving, empty when nothing does."""
    os.environ.update(child.ALLOCATORS)
    try:
        load()
    except Exception:
        return traceback.format_exc()
    if len(threads := _threads()) > 1:
        said = f"{len(threads)} threads run ({', '.join(threads)})"
        return f"{said}: a child would be forked without them, and could wait for one for ever"
    gc.collect()
    gc.freeze()  # the collector would write to pages that parent and children share
    return ""


def _threads() -> list[str]:
    """Names of the threads of this process, once those that end with the load have ended."""
    end = time.monotonic() + SETTLED
    while len(threads := sorted(Path("/proc/self/task").iterdir())) > 1 and time.monotonic() < end:
        time.sleep(0.05)
    names = []
    for thread in threads:
        with suppress(OSError):  # it has ended since
            names.append((thread / "comm").read_text().strip())
    return names


def _wait_for_other_code(code: Code, stamp: Stamp, problem: str) -> NoReturn:
    """Says why it does not serve, waits for a change and begins anew: trying the same again would only cost time."""
    _tell(f"does not serve, commands start plainly until the code changes: {problem.strip()}")
    while code.stamp() == stamp:
        time.sleep(LOOK_EVERY)
    _begin_anew(code)


def _begin_anew(code: Code) -> NoReturn:
    """The same process with the code as it is, once nobody writes to it any more."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    before = None
    while before != (before := code.stamp()):
        time.sleep(SETTLED)
    _tell("the code changed: begins anew")
    os.environ.clear()
    os.environ.update(child.STARTED_WITH)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 the same program, loaded again


def _tell(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


class Parent:
    """One loop: connections that come, children that end, clients that go."""

    def __init__(self, run: Path, code: Code, stamp: Stamp, work: Callable[[], None], seconds: float) -> None:
        self.run, self.code, self.stamp, self.work = run, code, stamp, work
        self.children: dict[int, Child] = {}
        self.ending = self.stale = False
        self.listener = listen(run)
        self.woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        self.events = select.poll()
        self.events.register(self.listener, select.POLLIN)
        self.events.register(self.woken, select.POLLIN)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        _tell(f"ready after {seconds:.1f} s, {resident / 1e6:.0f} MB")

    def serve(self) -> None:
        """Serves until it is asked to end; begins anew when the code has changed and no child is left."""
        while not (self.ending or self.stale) or self.children:
            happened = {source for source, _ in self.events.poll(self._milliseconds())}
            # in this order: a descriptor that is closed here may be given to the next connection
            for descriptor in happened - {self.woken, self.listener.fileno()}:
                self._client_went(descriptor)
            if self.listener.fileno() in happened:
                self._accept()
            if self.woken in happened:
                self._hear(os.read(self.woken, 4096))
            for late in [c for c in self.children.values() if c.kill_at and c.kill_at <= time.monotonic()]:
                late.kill_at = time.monotonic() + wire.PATIENCE
                late.signal(signal.SIGKILL)
        if not self.ending:
            _begin_anew(self.code)

    def _milliseconds(self) -> int | None:
        """Until the next child is to be killed; None: nothing is to be done before something happens."""
        times = [c.kill_at for c in self.children.values() if c.kill_at]
        return max(0, round((min(times) - time.monotonic()) * 1000)) + 1 if times else None

    def _hear(self, numbers: bytes) -> None:
        if {signal.SIGTERM, signal.SIGINT} & set(numbers):
            self.ending = True
            self._close()
            for running in self.children.values():
                running.ask_to_end()
        self._reap()

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        if wire.peer(connection)[1] != os.geteuid():
            _tell("a process of another user was refused")
        elif self.code.stamp() != self.stamp:
            self.stale = True
            self._close()
        else:
            self._fork(connection)
            return
        connection.close()

    def _fork(self, connection: socket.socket) -> None:
        me = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child can be ended by them
        try:
            pid = os.fork()
        except OSError as error:  # the machine is full: the client tries by itself
            _tell(f"nothing is forked: {type(error).__name__} {error.errno}")
            connection.close()
            return
        finally:
            if os.getpid() == me:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if pid == 0:
            self._close_all()
            child.become(connection, me, self.work)
        self.children[pid] = Child(pid, connection)
        # not what it sends, which is for the child: only that it closed its side
        self.events.register(connection, select.POLLRDHUP)

    def _close_all(self) -> None:
        """In the child: what is the parent's and the other children's. The socket's file stays."""
        self.listener.close()
        for other in self.children.values():
            other.connection.close()

    def _close(self) -> None:
        """Takes no more commands."""
        if self.listener.fileno() >= 0:
            self.events.unregister(self.listener)
            self.listener.close()
            (self.run / wire.SOCKET).unlink(missing_ok=True)

    def _client_went(self, descriptor: int) -> None:
        self.events.unregister(descriptor)
        for running in self.children.values():
            if running.connection.fileno() == descriptor:
                running.ask_to_end()

    def _reap(self) -> None:
        while self.children:
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if not pid:
                return
            ended, code = self.children.pop(pid), os.waitstatus_to_exitcode(status)
            cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
            seconds = time.monotonic() - ended.begin
            _tell(f"{pid}: ended with {code} after {seconds:.1f} s, {cpu:.1f} CPU-s, {peak / 1e6:.0f} MB")
            with suppress(KeyError):
                self.events.unregister(ended.connection)
            with suppress(OSError):
                wire.say(ended.connection, code=code, cpu=cpu, peak=peak)
            ended.connection.close()


def listen(run: Path) -> socket.socket:
    """Listens in a folder, in the place of a parent that died. Only the user itself may connect."""
    (run / wire.SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        with wire.address(run) as address:
            listener.bind(address)
    finally:
        os.umask(before)
    listener.listen(WAITING)
    return listener
