"""A hung Spark server is seen, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from jobs import keys
from jobs.errors import ServerUnavailable
from jobs.hub import Hub
from jobs.serve import servers
from jobs.settings import Settings
from jobs.spark import health, server
from tests.conftest import free_port


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    own = Settings(home=tmp_path_factory.mktemp("health"), spark_port=free_port())
    keys.generate(own.keys)
    own.logs.mkdir(parents=True)
    server.start(own)
    try:
        server.wait(own)
        yield own
    finally:
        server.stop(own)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.speaks, "__defaults__", (3.0,))


def hang(settings: Settings) -> int:
    """Freezes the server as a hung one is: it keeps its process and its port and says nothing."""
    pid = server.running(settings)
    os.killpg(pid, signal.SIGSTOP)
    return pid


def test_a_ready_server_did_a_small_job(settings: Settings) -> None:
    assert health.state(settings) == "ready"


def test_a_hung_server_is_told_from_a_ready_one_and_no_command_waits_for_it(settings: Settings) -> None:
    pid = hang(settings)
    try:
        assert server.ready(settings), "it still takes connections"
        assert health.state(settings) == "hung"
        with pytest.raises(ServerUnavailable, match="does not answer"):
            _ = Hub(settings).spark
    finally:
        os.killpg(pid, signal.SIGCONT)
    assert health.state(settings) == "ready"


def test_the_hub_starts_a_hung_server_again_when_it_was_silent_twice(settings: Settings) -> None:
    pid, words = hang(settings), []
    silences = servers.keep_spark(settings, 0, words.append)
    assert (silences, server.running(settings), words) == (1, pid, [])
    assert servers.keep_spark(settings, silences, words.append) == 0
    assert words == ["The Spark server does not answer; it is started again."]
    server.wait(settings)
    assert server.running(settings) not in (0, pid)
    assert servers.keep_spark(settings, 0, words.append) == 0


def test_the_command_starts_a_hung_server_again(settings: Settings) -> None:
    server.wait(settings)
    pid = hang(settings)
    environment = os.environ | {"HUB_HOME": str(settings.home), "HUB_SPARK_PORT": str(settings.spark_port)}
    command = [sys.executable, "-m", "jobs.cli", "spark"]
    done = subprocess.run([*command, "start"], env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert "does not answer" in done.stderr
    assert server.running(settings) not in (0, pid)
    said = subprocess.run([*command, "status", "--json"], env=environment, capture_output=True, text=True, timeout=60)
    assert '"state": "ready"' in said.stdout
