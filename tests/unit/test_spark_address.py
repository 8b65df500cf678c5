"""Where a client finds the Spark server, and how the foreground server ends; no Spark is started here."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli.spark import app
from jobs.errors import ConfigError, KeyRefused, StorageError
from jobs.settings import Settings
from jobs.spark import health, server, session

TOKEN = "planted-token-of-43-characters-and-no-other"


def with_token(home: Path, remote: str | None) -> Settings:
    settings = Settings(home=home, spark_remote=remote, spark_port=15999)
    server.token_file(settings).parent.mkdir(parents=True)
    server.token_file(settings).write_text(TOKEN + "\n")
    return settings


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        (None, f"sc://localhost:15999/;token={TOKEN}"),
        ("sc://spark:15002", f"sc://spark:15002/;token={TOKEN}"),
        ("sc://spark:15002/", f"sc://spark:15002/;token={TOKEN}"),
        ("sc://spark:443/;use_ssl=true", f"sc://spark:443/;use_ssl=true;token={TOKEN}"),
        ("sc://spark:443/;use_ssl=true;user_id=hub;", f"sc://spark:443/;use_ssl=true;user_id=hub;token={TOKEN}"),
    ],
)
def test_the_token_comes_from_its_file(tmp_path: Path, remote: str | None, address: str) -> None:
    from pyspark.sql.connect.client import DefaultChannelBuilder

    found = session.address(with_token(tmp_path, remote))
    assert found == address
    assert DefaultChannelBuilder(found).token == TOKEN


def test_a_token_in_the_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a token") as refused:
        session.address(with_token(tmp_path, f"sc://spark:15002/;token={TOKEN}"))
    assert TOKEN not in str(refused.value)


def test_without_the_file_nothing_is_asked(tmp_path: Path) -> None:
    with pytest.raises(KeyRefused):
        session.address(Settings(home=tmp_path, spark_remote="sc://spark:15002"))


class Sleeper:
    """Stands where the JVM would: a process that waits, started and stopped by the module's own code."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch, program: str = "sleep") -> None:
        self.settings, self.program = settings, program
        monkeypatch.setattr(server, "start", self.start)
        # one that sleeps listens while it lives; one that fails was seen listening before it did
        monkeypatch.setattr(server, "ready", lambda s: program == "fail" or bool(server.running(s)))

    def start(self, settings: Settings) -> int:
        code = "import time; time.sleep(60)" if self.program == "sleep" else "raise SystemExit(3)"
        self.process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        settings.run.mkdir(parents=True, exist_ok=True)
        (settings.run / "spark.pid").write_text(str(self.process.pid))
        return self.process.pid


def test_a_server_that_does_not_encrypt_is_stopped(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = Sleeper(home, monkeypatch)

    def refuse() -> None:
        assert server.running(home)
        raise StorageError("The Spark server writes files in clear.")

    with pytest.raises(StorageError, match="in clear"):
        server.serve(home, refuse)
    assert not server.running(home)
    sleeper.process.wait(5)  # raises while it lives; how it ended is known to whoever reaped it first


def test_a_server_that_ends_by_itself_ends_the_command_with_its_status(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    Sleeper(home, monkeypatch, "fail")
    assert server.serve(home, lambda: None, every=0.05) == 3


def test_term_stops_it_and_is_no_failure(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = Sleeper(home, monkeypatch)
    timer = threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGTERM))
    timer.start()
    assert server.serve(home, lambda: None, every=0.05) == 0
    sleeper.process.wait(5)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_server_of_the_same_hub_is_refused(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Sleeper(home, monkeypatch)
    first.start(home)
    with pytest.raises(ConfigError, match="runs already"):
        server.serve(home, lambda: None)
    assert server.running(home)  # the first one was left alone
    server.stop(home)


def test_proved_is_said_of_the_running_server_only(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Sleeper(home, monkeypatch)
    monkeypatch.setenv("HUB_HOME", str(home.root))
    # the stand-in listens and speaks no Spark: a real one is asked in the integration tests
    monkeypatch.setattr(health, "state", lambda s: "ready" if server.running(s) else "stopped")
    first.start(home)
    assert CliRunner().invoke(app, ["status", "--proved"]).exit_code
    server.mark_proved(home)
    assert CliRunner().invoke(app, ["status", "--proved"]).exit_code == 0
    server.stop(home)
    assert CliRunner().invoke(app, ["status", "--proved"]).exit_code
    first.start(home)
    assert CliRunner().invoke(app, ["status", "--proved"]).exit_code
    server.stop(home)
