"""Airflow's settings: where things lie, what is secret, what a worker is told."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli.airflow import Component, app
from jobs.serve import airflow, servers
from jobs.settings import CHECKOUT, Settings


@pytest.fixture
def settings(home: Settings) -> Settings:
    """With a database of Airflow's that looks ready, so that nothing heavy is started."""
    home.cache.mkdir(parents=True, exist_ok=True)
    home.airflow.mkdir(parents=True)
    airflow.database(home).touch()
    (home.airflow / "prepared").write_text(airflow._fingerprint())
    airflow.prepare(home)
    return home


def test_secrets_and_passwords_are_made_once_for_their_owner_only(settings: Settings) -> None:
    files = [*(settings.airflow / "secrets").iterdir(), airflow.passwords_file(settings)]
    before = {f: f.read_text() for f in files}
    assert len(files) == len(airflow.SECRETS) + 1
    assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}
    assert stat.S_IMODE(settings.airflow.stat().st_mode) == 0o700
    airflow.prepare(settings)
    assert {f: f.read_text() for f in files} == before
    assert all(len(text) >= 32 for f, text in before.items() if f.parent.name == "secrets")


def test_users_have_different_generated_passwords(settings: Settings) -> None:
    words = airflow.passwords(settings)
    assert set(words) == {"admin", "steward", "reader"}
    assert len(set(words.values())) == 3
    assert json.loads(airflow.passwords_file(settings).read_text()) == words


def test_no_secret_and_no_key_is_in_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TEST_SPARK_REMOTE", "sc://localhost/;token=planted")
    monkeypatch.setenv("HUB_KEYS", "planted")
    monkeypatch.setenv("SPARK_CONNECT_AUTHENTICATE_TOKEN", "planted")
    values = airflow.environment(settings)
    secrets = [f.read_text() for f in (settings.airflow / "secrets").iterdir()]
    for text in (*secrets, *airflow.passwords(settings).values(), "planted"):
        assert [k for k, v in values.items() if text in v] == []
    assert "AIRFLOW__API_AUTH__JWT_SECRET" not in values


def test_the_secrets_commands_print_the_secrets(settings: Settings) -> None:
    values = airflow.environment(settings)
    for name, option in (("jwt", "API_AUTH__JWT_SECRET"), ("api", "API__SECRET_KEY"), ("fernet", "CORE__FERNET_KEY")):
        said = subprocess.run(shlex.split(values[f"AIRFLOW__{option}_CMD"]), capture_output=True, text=True, check=True)
        assert said.stdout == (settings.airflow / "secrets" / name).read_text()


def test_a_path_with_spaces_is_quoted(tmp_path: Path) -> None:
    values = airflow.environment(Settings(home=tmp_path / "a hub"))
    assert shlex.split(values["AIRFLOW__API__SECRET_KEY_CMD"])[1].endswith("a hub/airflow/secrets/api")


def test_everything_lies_in_the_hubs_home_and_ports_agree(settings: Settings) -> None:
    values = airflow.environment(settings)
    for name in ("AIRFLOW_HOME", "HUB_HOME", "AIRFLOW__LOGGING__BASE_LOG_FOLDER"):
        assert values[name].startswith(str(settings.root)), name
    assert str(settings.root) in values["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    port = str(settings.airflow_port)
    assert values["AIRFLOW__API__PORT"] == port
    assert f":{port}/execution/" in values["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
    assert values["PYTHONPATH"] == str(CHECKOUT)
    assert values["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"


def test_a_database_server_and_other_addresses(tmp_path: Path) -> None:
    url = "postgresql+psycopg://airflow@database/airflow?passfile=/secrets/airflow.pass"
    settings = Settings(
        home=tmp_path,
        airflow_database_url=url,
        airflow_url="http://airflow:8080",
        airflow_public_url="https://hub.example",
        host="0.0.0.0",
    )
    values = airflow.environment(settings)
    assert values["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == values["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"] == url
    assert values["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://airflow:8080/execution/"
    assert values["AIRFLOW__API__BASE_URL"] == "https://hub.example"
    assert values["AIRFLOW__API__HOST"] == "0.0.0.0"


def test_a_component_runs_in_the_foreground_with_the_hubs_settings_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = {}
    monkeypatch.setattr("os.execve", lambda program, argv, env: started.update(program=program, argv=argv, env=env))
    monkeypatch.setenv("HUB_HOME", str(settings.root))
    for component in airflow.COMPONENTS:
        CliRunner().invoke(app, ["run", component], catch_exceptions=False)
        assert started["argv"][1:4] == ("-m", "airflow", component)
        assert started["env"]["AIRFLOW_HOME"] == str(settings.airflow)
    assert CliRunner().invoke(app, ["run", "webserver"]).exit_code == 2
    assert tuple(Component) == airflow.COMPONENTS


def test_a_command_gets_the_settings_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in airflow.hub_environment(settings).items():
        monkeypatch.setenv(name, value)
    again = Settings()
    assert (again.root, again.spark_port, again.catalogue_port) == (
        settings.root,
        settings.spark_port,
        settings.catalogue_port,
    )
    assert again.database_url is None


def test_the_servers_and_the_order_of_stopping(settings: Settings) -> None:
    names = [s.name for s in servers.servers(settings)]
    assert names == [
        "airflow-api-server",
        "airflow-scheduler",
        "airflow-dag-processor",
        "airflow-triggerer",
        "catalogue",
        "steward",
        "warm",
    ]
    assert {f.stem for f in servers.pid_files(settings)} == {*names, "spark"}
    assert servers.sessions(settings) == []


def test_two_hubs_differ_in_nothing_but_home_and_ports(tmp_path: Path) -> None:
    one = airflow.environment(Settings(home=tmp_path / "a", airflow_port=1))
    two = airflow.environment(Settings(home=tmp_path / "b", airflow_port=2))
    differ = {k for k in one if one[k] != two[k]}
    assert differ
    assert all("/a" in one[k] or "1" in one[k] for k in differ)
