"""From a fork of the warm parent to a command: all that a process gets from the one that starts it, then the command,
then the end as Python ends."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import TextIOWrapper
from typing import NoReturn, TextIO

from jobs.warm import wire
from jobs.warm.wire import Request

LIBC = ctypes.CDLL(None)
SET_DEATH_SIGNAL, SET_NAME = 1, 15
"""Options of prctl(2)."""
READ_AT_START = ("PYTHON", "LD_", "LANG", "LC_", "HOME", "XDG_", "TMPDIR", "OPENSSL_", "GX_", "MALLOC_", "TERMINAL_")
"""How variables begin that Python, or a library, reads once when it is loaded: they must be the parent's."""
ALLOCATORS = {
    # threads that a fork would not have: of the BLAS library, of the allocators in pyarrow and in libraries in Rust
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "_RJEM_MALLOC_CONF": "background_thread:false",
}
"""What the parent sets before it loads anything; a child has what its client has."""
STARTED_WITH = dict(os.environ)
"""The parent's, as it was started."""


def become(connection: socket.socket, parent: int, work: Callable[[], None]) -> NoReturn:
    """In a new fork: becomes the command that is asked for on the connection and does ``work``; or says why not.

    ``work`` finds arguments, environment and all else as ``python -m jobs.cli`` would.
    """
    _leave(parent)
    code = 0
    try:
        if asked := wire.receive_request(connection):
            request, streams = asked
            if why := _other(request):
                _tell(f"{name(request.argv)} starts plainly: {why}")
                wire.say(connection, plain=why)
            else:
                _put_on(request)
                _tell(f"{name(request.argv)} begins")
                wire.say(connection, pid=os.getpid())  # raises when nobody waits any more: it does not begin then
                _connect_streams(streams)
                connection.close()
                code = _code_of(work)
    except OSError as error:
        _tell(f"nothing begins: {type(error).__name__}")
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        _end(code)


def name(argv: tuple[str, ...]) -> str:
    """A command as a log may show it: noun and verb, never what follows."""
    return " ".join(argv[:2])


def _leave(parent: int) -> None:
    """A session of its own, signals as Python has them at its start; killed when the parent is no more."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    LIBC.prctl(SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _other(request: Request) -> str:
    """In what the process that the client would start differs from this one; empty when in nothing."""
    if (request.python, request.code) != (sys.executable, _code_folder()):
        return "other code or another Python"
    theirs, ours = _at_start(request.environment), _at_start(STARTED_WITH)
    differs = sorted(k for k in theirs.keys() | ours.keys() if theirs.get(k) != ours.get(k))
    return f"another {', '.join(differs)}" if differs else ""


def _code_folder() -> str:
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith(READ_AT_START)}


def _put_on(request: Request) -> None:
    """Folder, mask, environment, time zone and arguments of the request."""
    os.chdir(request.cwd)
    os.umask(request.umask)
    # what modules set while they were loaded, such as a switch of a library, they set in a plain process too
    said_by_modules = {k: v for k, v in os.environ.items() if STARTED_WITH.get(k) != v and k not in ALLOCATORS}
    os.environ.clear()
    os.environ.update(said_by_modules | dict(request.environment))
    time.tzset()
    sys.argv = ["hub", *request.argv]
    LIBC.prctl(SET_NAME, name(request.argv).encode())


def _connect_streams(streams: list[int]) -> None:
    """Standard input, output and error, buffered as Python does it."""
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, encoding=sys.stdin.encoding, errors=sys.stdin.errors, closefd=False)  # noqa: SIM115
    sys.stdout = _writer(1, sys.stdout, line_buffering=os.isatty(1), at_once=at_once)
    sys.stderr = _writer(2, sys.stderr, line_buffering=True, at_once=at_once)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc, assignment]


def _writer(descriptor: int, like: TextIO, *, line_buffering: bool, at_once: bool) -> TextIO:
    raw = open(descriptor, "wb", buffering=0 if at_once else -1, closefd=False)  # noqa: SIM115
    return TextIOWrapper(
        raw, encoding=like.encoding, errors=like.errors, line_buffering=line_buffering, write_through=at_once
    )


def _code_of(work: Callable[[], None]) -> int:
    """Does the work; its exit code, as Python reads it off what the work raises."""
    try:
        work()
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return int(ending.code or 0)
        sys.stderr.write(f"{ending.code}\n")
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """What Python does at its end, but for taking apart the memory that is the parent's."""
    try:
        threading._shutdown()  # type: ignore[attr-defined] # waits for threads, as an interpreter that ends
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        code = code or 120
    with suppress(Exception):
        sys.stderr.flush()
    os._exit(code & 0xFF)


def _tell(words: str) -> None:
    """A line of the parent's own log."""
    sys.stderr.write(f"{os.getpid()}: {words}\n")
    sys.stderr.flush()
