"""``hub delivery`` on a real hub database: what is in the lake, apart from the last attempt."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from catalogue import db
from jobs.cli.delivery import app
from jobs.errors import ConfigError
from jobs.settings import Settings


@pytest.fixture
def hub(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A hub that holds one month in its second version; a third one of the next month was refused after its first."""
    monkeypatch.setenv("HUB_HOME", str(home.root))
    engine = db.open_engine(home.database)
    db.migrate(engine)
    for name, rows in (("ville/2024-01/v1", 1000), ("ville/2024-01/v2", 1200), ("ville/2024-02/v1", 500)):
        db.announce(engine, name, {"files": []}, name)
        for state in ("pulled", "staged"):
            db.record_event(engine, name, state)
        db.record_event(engine, name, "published", detail={"rows": {"patient": rows}})
    db.record_event(engine, "ville/2024-02/v1", "rejected", reason="quality")
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


def test_a_withdrawal_says_first_what_goes_and_changes_nothing(hub: Settings) -> None:
    before = CliRunner().invoke(app, ["list", "--json"]).stdout
    result = CliRunner().invoke(app, ["withdraw", "ville/2024-01/v2", "--reason", "sent by mistake"])
    assert result.exit_code == 0, result.output
    assert "ville/2024-01/v2, published 20" in result.stderr
    assert "1,200 rows go from the lake" in result.stderr
    assert "Nothing was changed: repeat with --yes" in result.stderr
    planned = json.loads(result.stdout)
    assert (planned["source"], planned["state"], planned["rows"]) == ("ville", "published", 1200)
    assert CliRunner().invoke(app, ["list", "--json"]).stdout == before


@pytest.mark.parametrize(
    ("delivery", "said"),
    [
        ("ville/2024-01/v1", "but those of ville/2024-01/v2. Next: withdraw ville/2024-01/v2"),
        ("ville/2024-03/v1", "was never announced"),
        ("ville/2024-01", "not the name of a delivery"),
    ],
)
def test_only_what_the_lake_holds_is_withdrawn(hub: Settings, delivery: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CliRunner().invoke(app, ["withdraw", delivery, "--reason", "x", "--yes"], catch_exceptions=False)


def test_what_is_being_taken_in_again_is_not_withdrawn_meanwhile(hub: Settings) -> None:
    engine = db.open_engine(hub.database)
    db.record_event(engine, "ville/2024-01/v2", "pulled")
    engine.dispose()
    with pytest.raises(ConfigError, match="is pulled: it is being taken in again"):
        CliRunner().invoke(app, ["withdraw", "ville/2024-01/v2", "--reason", "x"], catch_exceptions=False)


def test_a_history_says_that_the_lake_keeps_the_rows(hub: Settings) -> None:
    kept = CliRunner().invoke(app, ["show", "ville/2024-02/v1"]).stdout
    assert "The lake holds 500 rows of it, as published 20" in kept
    replaced = CliRunner().invoke(app, ["show", "ville/2024-01/v1"]).stdout
    assert "The lake holds the rows of ville/2024-01/v2 instead." in replaced
