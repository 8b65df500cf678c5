"""Servers of the hub as real processes: started in a session of their own, waited for, stopped with all children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from jobs.errors import ConfigError, ServerUnavailable
from jobs.serve import memory, processes, servers
from jobs.serve.processes import Server
from jobs.settings import Settings
from tests.conftest import free_port

PARENT = """
import subprocess, sys, time
child = "import os, time; os.setpgid(0, 0); open(sys.argv[1], 'w').close(); time.sleep(120)"
subprocess.Popen([sys.executable, "-c", "import sys;" + child, sys.argv[1]])
time.sleep(120)
"""
STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").close()
time.sleep(120)
"""
KEEPER = """
import sys
from jobs.serve import servers
from jobs.serve import processes
from jobs.settings import Settings
from tests.conftest import free_port
argv = (sys.executable, "-c", "import time; time.sleep(120)")
server = processes.Server("catalogue", argv, {}, lambda: True)
servers.servers = lambda settings: [server]
servers.start = lambda settings, tell: processes.start(server, settings)
with servers.running(Settings(), print):
    servers.serve(Settings(), print, every=0.1)
"""
"""A hub of one server that is kept up as ``hub up`` keeps it."""


@pytest.fixture
def settings(home: Settings) -> Iterator[Settings]:
    yield home
    processes.stop(home.run.glob("*.pid"), patience=1)


def server(script: str, up: Path, name: str = "parent") -> Server:
    argv = (sys.executable, "-c", script, str(up))
    return Server(name, argv, {"PATH": os.environ["PATH"]}, up.exists)


def test_a_server_is_started_once_and_stopped_with_its_children(settings: Settings, tmp_path: Path) -> None:
    parent = server(PARENT, tmp_path / "up")
    pid = processes.start(parent, settings)
    assert processes.start(parent, settings) == pid
    processes.wait([parent], settings, seconds=30)
    assert os.getsid(pid) == pid
    family = processes.session(pid)
    assert len(family) == 2
    assert len({os.getpgid(p.pid) for p in family}) == 2, "the child left the group, not the session"
    processes.stop([parent.pid_file(settings)])
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert not parent.pid_file(settings).exists()


def test_a_hub_that_is_kept_up_is_ended_with_its_keeper(settings: Settings) -> None:
    ports = {f"HUB_{name}_PORT": str(free_port()) for name in ("CATALOGUE", "STEWARD", "AIRFLOW")}
    told = {"HUB_HOME": str(settings.home), "HUB_SPARK_REMOTE": "sc://nowhere:1", **ports}
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER], env={**os.environ, **told})
    file = settings.run / "catalogue.pid"
    until(lambda: bool(processes.running(file)))
    killed = processes.running(file)
    processes.stop([file])
    until(lambda: processes.running(file) not in (0, killed))  # it is kept up
    with pytest.raises(ConfigError, match="runs already"):
        servers.require_stopped(settings)
    servers.end(settings)
    keeper.wait(5)  # raises while it lives
    time.sleep(0.5)
    assert not processes.running(file)
    assert not servers.keeper(settings).exists()
    servers.end(settings)  # nothing is left to end


def test_what_cannot_be_started_now_is_tried_again_and_told_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub whose Spark server ended and whose keys are out of reach."""
    monkeypatch.setattr(servers, "servers", lambda _: [])
    said: list[str] = []
    upkeep = servers.Upkeep(settings, said.append)
    upkeep.look()
    upkeep.look()
    assert [line for line in said if "Next:" in line] == said[1:2]
    assert "It is tried again." in said[1]
    assert said[0] == said[2]  # it was tried


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_children_of_a_dead_server_are_found(settings: Settings, tmp_path: Path) -> None:
    parent = server(PARENT, tmp_path / "up")
    pid = processes.start(parent, settings)
    processes.wait([parent], settings, seconds=30)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert processes.running(parent.pid_file(settings)) == 0
    assert processes.session_of(parent.pid_file(settings)) == pid
    processes.stop([parent.pid_file(settings)])
    assert processes.session(pid) == []


def test_one_that_ignores_term_is_killed(settings: Settings, tmp_path: Path) -> None:
    stubborn = server(STUBBORN, tmp_path / "up")
    pid = processes.start(stubborn, settings)
    processes.wait([stubborn], settings, seconds=30)
    processes.stop([stubborn.pid_file(settings)], patience=1)
    assert processes.session(pid) == []


def test_the_id_of_another_program_is_not_ours(settings: Settings, tmp_path: Path) -> None:
    settings.run.mkdir(parents=True)
    file = settings.run / "old.pid"
    file.write_text(f"{os.getpid()} 1.0\n")  # this very process, but it did not start in 1970
    assert processes.running(file) == 0
    assert processes.session_of(file) == 0
    processes.stop([file])  # would end this test run
    assert not file.exists()


def test_a_server_that_ends_while_it_starts_is_reported_with_its_log(settings: Settings, tmp_path: Path) -> None:
    dying = server("raise SystemExit(3)", tmp_path / "never", "dying")
    processes.start(dying, settings)
    with pytest.raises(ServerUnavailable, match=r"dying ended while it started.*dying\.log"):
        processes.wait([dying], settings, seconds=30)


def test_a_server_that_is_late_is_reported(settings: Settings, tmp_path: Path) -> None:
    slow = server(PARENT, tmp_path / "up", "slow")
    late = Server(slow.name, slow.argv, slow.environment, lambda: False)
    processes.start(late, settings)
    with pytest.raises(ServerUnavailable, match="not ready after 1 s"):
        processes.wait([late], settings, seconds=1)


def test_nobody_waits_for_a_server_without_a_question(settings: Settings, tmp_path: Path) -> None:
    parent = server(PARENT, tmp_path / "up")
    processes.wait([Server("spare", parent.argv, parent.environment, None)], settings, seconds=1)


def test_a_port_in_use_names_the_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(airflow_port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="HUB_AIRFLOW_PORT"):
            processes.require_free(settings, airflow_port="Airflow")


def test_free_ports_are_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes.require_free(Settings(airflow_port=port), airflow_port="Airflow")


def test_memory_of_a_child_in_a_session_of_its_own_is_counted(settings: Settings, tmp_path: Path) -> None:
    child = "import sys, time; x = b'x' * 60_000_000; open(sys.argv[1], 'w').close(); time.sleep(60)"
    argv = f"import subprocess, sys; a = [sys.executable, '-c', {child!r}, sys.argv[1]]"
    begin = f"{argv}; p = subprocess.Popen(a, start_new_session=True)"
    parent = server(f"{begin}; import time; time.sleep(3); p.kill(); p.wait()", tmp_path / "up", "warm")
    pid = processes.start(parent, settings)
    processes.wait([parent], settings, seconds=30)
    assert memory.proportional([pid]) > 60_000_000


def test_memory_of_a_session_is_counted(settings: Settings, tmp_path: Path) -> None:
    eater = "import sys, time; x = bytearray(60_000_000); x[::4096] = b'x' * len(x[::4096]); "
    hungry = server(f"{eater} open(sys.argv[1], 'w').close(); time.sleep(60)", tmp_path / "up", "hungry")
    pid = processes.start(hungry, settings)
    processes.wait([hungry], settings, seconds=30)
    assert memory.proportional([pid]) > 60_000_000
    with memory.Peak(lambda: [pid], every=0.2) as peak:
        time.sleep(1)
    assert peak.bytes > 60_000_000
