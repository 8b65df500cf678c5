"""``hub release`` and ``hub catalogue`` as scripts and the hub itself call them."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from catalogue import db
from jobs.cli import catalogue, release
from jobs.errors import ConfigError
from jobs.settings import Settings
from tests.web import seed


@pytest.fixture
def filled(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A hub with two releases, the one that commands find."""
    monkeypatch.setenv("HUB_HOME", str(home.home))
    engine = db.open_engine(home.database)
    db.migrate(engine)
    seed.fill(engine)
    engine.dispose()
    return home


@pytest.mark.usefixtures("filled")
def test_releases_are_listed_for_scripts() -> None:
    found = json.loads(CliRunner().invoke(release.app, ["list", "--json"]).stdout)
    assert [r["id"] for r in found] == [2, 1]
    assert set(found[0]) == {"id", "at", "build", "tables", "deliveries", "added"}
    assert found[0]["added"] == ["dcir/2024-02/v2"]
    assert len(found[0]["deliveries"]) == 7
    shown = json.loads(CliRunner().invoke(release.app, ["show", "1", "--json"]).stdout)
    assert shown == found[1]


@pytest.mark.usefixtures("filled")
def test_releases_are_shown_to_people() -> None:
    listed = CliRunner().invoke(release.app, ["list"]).output
    assert re.search(r"^2 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +build/2 +\d+ +7 +dcir/2024-02/v2 *$", listed, re.MULTILINE)
    shown = CliRunner().invoke(release.app, ["show"]).output
    assert "omop/visit_occurrence" in shown
    assert "dcir/2024-02/v2" in shown


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(("app", "line"), [(release.app, ["show", "9"]), (catalogue.app, ["describe", "9"])])
def test_an_unknown_release_is_refused(app: object, line: list[str]) -> None:
    outcome = CliRunner().invoke(app, line)  # type: ignore[arg-type]
    assert isinstance(outcome.exception, ConfigError)


@pytest.mark.parametrize(
    ("host", "origins"),
    [
        ("127.0.0.1", ("http://127.0.0.1:8080", "http://localhost:8080")),
        ("hub.example.org", ("http://hub.example.org:8080",)),
    ],
)
def test_only_airflow_may_frame(host: str, origins: tuple[str, ...]) -> None:
    assert catalogue.airflow_origins(host, 8080) == origins


def test_a_public_address_of_airflow_is_the_only_framer() -> None:
    assert catalogue.airflow_origins("0.0.0.0", 8080, "https://hub.example/airflow/") == ("https://hub.example",)
