"""``hub delivery`` on a real hub database: what is in the lake, apart from the last attempt."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from catalogue.db import records
from jobs.cli.delivery import app
from jobs.settings import Settings


@pytest.fixture
def hub(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A hub that holds one month in its second version; a third one of the next month was refused after its first."""
    monkeypatch.setenv("HUB_HOME", str(home.root))
    engine = records.open_engine(home.database)
    records.migrate(engine)
    for name, rows in (("ville/2024-01/v1", 1000), ("ville/2024-01/v2", 1200), ("ville/2024-02/v1", 500)):
        records.announce(engine, name, {"files": []}, name)
        for state in ("pulled", "staged"):
            records.record_event(engine, name, state)
        records.record_event(engine, name, "published", detail={"rows": {"patient": rows}})
    records.record_event(engine, "ville/2024-02/v1", "rejected", reason="quality")
    engine.dispose()
    return home


def test_the_list_tells_the_lake_apart_from_the_last_attempt(hub: Settings) -> None:
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line.split()[1:4] for line in result.stdout.splitlines()[1:]}
    assert lines["ville/2024-01/v1"][:3] == ["0", "ville/2024-01/v2", "published"]
    assert lines["ville/2024-01/v2"][:2] == ["1,200", "published"]
    assert lines["ville/2024-02/v1"][:2] == ["500", "rejected"]
    assert "In the lake: 1,700 rows of 2 deliveries." in result.stderr


def test_scripts_read_both(hub: Settings) -> None:
    result = CliRunner().invoke(app, ["list", "--json", "--period", "2024-02"])
    (found,) = json.loads(result.stdout)
    assert (found["state"], found["in_lake"], found["rows_in_lake"]) == ("rejected", True, 500)
    assert found["published_at"] <= found["at"]
    assert result.stderr == ""


def test_a_history_says_that_the_lake_keeps_the_rows(hub: Settings) -> None:
    kept = CliRunner().invoke(app, ["show", "ville/2024-02/v1"]).stdout
    assert "The lake holds 500 rows of it, as published 20" in kept
    replaced = CliRunner().invoke(app, ["show", "ville/2024-01/v1"]).stdout
    assert "The lake holds the rows of ville/2024-01/v2 instead." in replaced
