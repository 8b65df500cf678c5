"""Settings: what was given in code, then the environment, then the home's own file."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from jobs.cli import init
from jobs.errors import ConfigError
from jobs.serve import airflow, begin, demo
from jobs.settings import FILE, NOT_IN_FILE, Settings, places


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / FILE


def test_the_file_of_the_home_is_read_and_the_environment_wins(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('spark_port = 7001\nairflow_port = 7002\n[outbox]\nville = "/srv/out"\n')
    monkeypatch.setenv("HUB_HOME", str(tmp_path))
    monkeypatch.setenv("HUB_AIRFLOW_PORT", "8002")
    settings = Settings()
    assert (settings.root, settings.spark_port, settings.airflow_port) == (tmp_path, 7001, 8002)
    assert settings.outbox == {"ville": Path("/srv/out")}
    assert Settings(spark_port=9001).spark_port == 9001
    assert Settings(home=tmp_path / "other").spark_port != 7001


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spark_prot = 1", "spark_prot"),
        ('home = "/elsewhere"', "home"),
        ('spark_port = "hunter2"', "spark_port"),
        ("[outbox", "TOMLDecodeError"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_without_its_values(
    tmp_path: Path, file: Path, text: str, said: str
) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        Settings(home=tmp_path)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "elsewhere" not in str(refused.value)


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_configuration_names_every_setting_with_its_default(tmp_path: Path, file: Path) -> None:
    text = begin.configuration()
    file.write_text(text)
    assert Settings(home=tmp_path) == Settings(home=tmp_path / "none").model_copy(update={"home": tmp_path})
    switched_on = re.sub(r"^# (?=\[?\w+\]?(?: = |$))", "", text, flags=re.MULTILINE)
    file.write_text(switched_on)
    on = Settings(home=tmp_path)
    assert on.model_fields_set == Settings.model_fields.keys() - NOT_IN_FILE | {"home"}
    for name in on.model_fields_set - {"home"}:
        field = Settings.model_fields[name]
        value = getattr(on, name)
        shown = value.get_secret_value() if isinstance(value, SecretStr) else value
        assert shown == (field.default if field.default not in begin.EMPTY else (field.examples or [])[0])


def test_init_makes_a_hub_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "hub"
    monkeypatch.setenv("HUB_HOME", str(home))
    said = CliRunner().invoke(init.app, [])
    assert said.exit_code == 0, said.output
    assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600
    assert {p.name for p in (home / "keys").iterdir()} == {"contributors", "hub", "public", "steward", "workers"}
    assert (home / "outboxes").is_dir()
    keys = {p: p.read_bytes() for p in (home / "keys").rglob("*") if p.is_file()}
    (home / FILE).write_text("spark_port = 7001\n")
    with pytest.raises(ConfigError, match="already"):
        begin.begin(Settings())
    assert (home / FILE).read_text() == "spark_port = 7001\n"
    assert {p: p.read_bytes() for p in keys} == keys


def test_init_leaves_a_demo_alone(home: Settings) -> None:
    home.root.mkdir(parents=True)
    demo.mark(home).write_text("{}")
    with pytest.raises(ConfigError, match="demo"):
        begin.begin(home)
    assert not (home.root / FILE).exists()


def test_init_shows_without_changing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "hub"))
    said = CliRunner().invoke(init.app, ["--show"])
    assert said.output == begin.configuration()
    assert not (tmp_path / "hub").exists()


def test_commands_are_told_of_outboxes_elsewhere(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    told = airflow.hub_environment(Settings(home=home.home, outbox={"ville": Path("/srv/out")}))
    monkeypatch.setenv("HUB_OUTBOX", told["HUB_OUTBOX"])
    assert Settings(home=home.home).outbox == {"ville": Path("/srv/out")}


def test_settings_are_keys_of_caches(tmp_path: Path) -> None:
    known = {Settings(home=tmp_path, outbox={"ville": Path("/srv/out")}): "x"}
    assert known[Settings(home=tmp_path, outbox={"ville": Path("/srv/out")})] == "x"
    assert Settings(home=tmp_path) not in known


def test_a_checkout_keeps_its_data_and_an_installed_package_uses_the_users_folder(tmp_path: Path) -> None:
    assert places(tmp_path, {"XDG_DATA_HOME": "/srv/data"}) == (
        Path("/srv/data/healthhub/home"),
        Path("/srv/data/healthhub/cache"),
    )
    assert places(tmp_path, {})[0] == Path.home() / ".local" / "share" / "healthhub" / "home"
    (tmp_path / "pyproject.toml").touch()
    assert places(tmp_path, {"XDG_DATA_HOME": "/srv/data"}) == (tmp_path / ".hub", tmp_path / ".cache")
