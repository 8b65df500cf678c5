"""A warm parent of small commands, as a process of its own.

A command is a Python text and its arguments; or, when what the parent loads says ``SCRIPT``, the text of that file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jobs.settings import CHECKOUT
from jobs.warm import client

PARENT = """
import sys
from pathlib import Path
from jobs.warm import parent, wire
from jobs.warm.code import Code

run, code, patience = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
wire.PATIENCE = patience
loaded = {}


def load():
    exec((code / "loaded.py").read_text(), loaded)


def work():
    del sys.argv[0]
    if script := loaded.get("SCRIPT"):
        sys.argv.insert(0, script)
    text = Path(script).read_text() if script else sys.argv[0]
    exec(compile(text, "command", "exec"), {"__name__": "__main__", **loaded})


parent.serve(run, Code((code,)), load, work)
"""
PLAIN = (sys.executable, "-c")
"""What runs the same texts without a parent."""


@dataclass
class Warm:
    """A parent, the folder in which it listens, the folder of its code."""

    run: Path
    code: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.run / "log").read_text("utf-8")

    def end(self) -> None:
        self.process.kill()
        self.process.wait(20)


def start_parent(folder: Path, loaded: str = "", patience: float = 20) -> Warm:
    """Starts a parent, without waiting for it. ``loaded``: the text that it loads, whose names commands find."""
    run, code = folder / "run", folder / "code"
    for made in (run, code):
        made.mkdir(parents=True, exist_ok=True)
    if not (code / "loaded.py").exists():
        (code / "loaded.py").write_text(loaded)
    with (run / "log").open("w") as log:
        argv = [sys.executable, "-c", PARENT, str(run), str(code), str(patience)]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log, cwd=CHECKOUT, start_new_session=True)
    return Warm(run, code, process)


def ready(folder: Path, loaded: str = "", patience: float = 20) -> Warm:
    """Starts a parent and waits until it serves."""
    warm = start_parent(folder, loaded, patience)
    until(lambda: bool(client.answering(warm.run)))
    return warm


def start(run: Path, text: str, *arguments: object, **environment: str) -> client.Command:
    """Starts a small command in the place of one of ``hub``; its standard output goes to ``out`` beside the socket."""
    with (run / "out").open("w") as out:
        return client.start(
            [text, *map(str, arguments)], run=run, environment=os.environ | environment, stdout=out, plain=PLAIN
        )


def result(run: Path, text: str, *arguments: object, **environment: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a small command."""
    command = start(run, text, *arguments, **environment)
    with command.stderr as said:
        words = said.read()
    return command.wait(20), (run / "out").read_text(), words


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
