"""What a piece of work cost: wall clock, CPU-seconds, peak memory, bytes read; of this process and of servers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

MIB = 2**20


@dataclass(frozen=True)
class Cost:
    """One step. Peaks are the largest resident sizes within the step, in bytes."""

    step: str
    seconds: float
    cpu: float
    """CPU-seconds of this process, its ended children and the servers."""
    peak: int
    """Of this process."""
    peak_servers: int
    """Of the servers and the workers of their tasks, each at its own largest, together."""
    peak_task: int
    """Of the largest worker of a server's tasks."""
    read: int
    """Bytes that this process asked of files (``rchar``)."""
    began: float
    """Seconds since 1970."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def cpu_of(pid: int) -> float:
    """CPU-seconds of a process and its ended children so far; 0 when it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def with_workers(servers: Iterable[int]) -> list[int]:
    """Process ids of servers, and of all that they have started and that lives."""
    found: list[int] = []
    for pid in servers:
        with suppress(psutil.Error):
            found += [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return found


def reset_peak(pid: int) -> None:
    """Peak memory is counted anew from now on."""
    with suppress(OSError):  # it has ended
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_of(pid: int) -> int:
    """Largest resident size in bytes since the last reset; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def peaks_of(servers: Iterable[int]) -> tuple[int, int]:
    """Largest resident sizes of servers with the workers of their tasks, together; and that of the largest worker."""
    servers = list(servers)
    each = {pid: peak_of(pid) for pid in with_workers(servers)}
    return sum(each.values()), max((peak for pid, peak in each.items() if pid not in servers), default=0)


def _read_so_far() -> int:
    lines = Path("/proc/self/io").read_text("ascii").splitlines()
    return int(lines[0].split()[1])


@dataclass
class Clock:
    """Cuts the time since its making into steps."""

    servers: tuple[int, ...] = ()
    """Process ids of servers that work for this process."""
    steps: list[Cost] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._start()

    def lap(self, step: str) -> None:
        """Ends a step; the next one begins."""
        seconds, cpu = time.perf_counter() - self._seconds, self._cpu_so_far() - self._cpu
        together, largest = peaks_of(self.servers)
        read = _read_so_far() - self._read
        self.steps.append(Cost(step, seconds, cpu, peak_of(os.getpid()), together, largest, read, self._began))
        self._start()

    def _start(self) -> None:
        for pid in (os.getpid(), *with_workers(self.servers)):
            reset_peak(pid)
        self._began, self._seconds = time.time(), time.perf_counter()
        self._cpu, self._read = self._cpu_so_far(), _read_so_far()

    def _cpu_so_far(self) -> float:
        return cpu_of(os.getpid()) + sum(cpu_of(p) for p in with_workers(self.servers))


def load() -> float:
    """Load average of the last minute."""
    return os.getloadavg()[0]
