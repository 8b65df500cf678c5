"""How much memory the hub takes: everything that it started, shared pages counted once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Self

import psutil

EVERY = 3.0


def proportional(sessions: Iterable[int], also: int | None = None) -> int:
    """Bytes (PSS) of the processes of sessions and of their leaders' children; of ``also`` with its children."""
    wanted = set(sessions)
    # children too: the warm parent's have sessions of their own
    family = {pid for first in {*wanted, *([also] if also else [])} for pid in _family(first)}
    total = 0
    for process in psutil.process_iter():
        try:
            if process.pid in family or os.getsid(process.pid) in wanted:
                total += int(process.memory_full_info().pss)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
    return total


def _family(pid: int) -> set[int]:
    try:
        return {pid} | {child.pid for child in psutil.Process(pid).children(recursive=True)}
    except psutil.Error:
        return set()


class Peak:
    """Looks every few seconds in a thread of its own and keeps the largest sum, in bytes."""

    def __init__(self, sessions: Callable[[], Iterable[int]], every: float = EVERY) -> None:
        self.sessions, self.every = sessions, every
        self.bytes = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5)

    def look(self) -> int:
        """Measures now and returns the present sum."""
        now = proportional(self.sessions(), os.getpid())
        self.bytes = max(self.bytes, now)
        return now

    def _look(self) -> None:
        while not self._end.wait(self.every):
            self.look()
