"""What is to do: months by their due day, what was refused and not replaced, what waits for a steward."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from catalogue import db
from jobs.cli.delivery import app
from jobs.settings import Settings
from schemas.loader import Due

FIFTEEN = Due(after_days=15)


def delivery(name: str, state: str, **more: Any) -> dict[str, Any]:
    source, period, version = name.split("/")
    told = {"id": name, "source": source, "period": period, "version": int(version[1:]), "synthetic": False}
    return {**told, "state": state, "in_lake": state == "published", **more}


@pytest.mark.parametrize(
    ("days", "period", "day"),
    [(15, "2024-01", date(2024, 2, 15)), (0, "2024-02", date(2024, 2, 29)), (30, "2024-12", date(2025, 1, 30))],
)
def test_a_month_is_due_days_after_its_last(days: int, period: str, day: date) -> None:
    assert Due(after_days=days).day(period) == day


@pytest.mark.parametrize("on", [date(2024, 2, 15), date(2024, 2, 16)])
def test_the_due_day_itself_is_in_time(on: date) -> None:
    first = delivery("ville/2024-01/v1", "rejected")
    late = db.late_months([first], {"ville": FIFTEEN}, on)
    assert [(m.period, m.days, m.last) for m in late] == ([] if on.day == 15 else [("2024-01", 1, "ville/2024-01/v1")])


def test_months_are_late_from_the_first_that_came(home: Settings) -> None:
    came = [delivery("ville/2024-01/v1", "published"), delivery("ville/2024-03/v1", "waiting")]
    late = db.late_months(came, {"ville": FIFTEEN, "dcir": FIFTEEN}, date(2024, 6, 1))
    assert [(m.source, m.period, m.last) for m in late] == [("ville", "2024-02", None), ("ville", "2024-04", None)]


def test_a_contract_may_name_the_first_month() -> None:
    late = db.late_months([], {"ville": Due(after_days=15, first="2024-03")}, date(2024, 5, 20))
    assert [(m.period, m.days) for m in late] == [("2024-03", 35), ("2024-04", 5)]


def test_a_correction_that_was_refused_makes_nothing_late() -> None:
    came = [delivery("ville/2024-01/v1", "published"), delivery("ville/2024-01/v2", "rejected")]
    assert db.late_months(came, {"ville": FIFTEEN}, date(2024, 3, 1)) == []


def test_a_month_that_the_hub_withdrew_is_not_the_contributors_debt() -> None:
    assert db.late_months([delivery("ville/2024-01/v1", "withdrawn")], {"ville": FIFTEEN}, date(2024, 3, 1)) == []


def test_made_up_contributors_are_never_late() -> None:
    came = [delivery("ville/2024-01/v1", "rejected", synthetic=True)]
    assert db.late_months(came, {"ville": FIFTEEN}, date(2026, 1, 1)) == []


@pytest.mark.parametrize(("name", "days"), [("ville/2024-01/v1", 5), ("ville/2024-01/v2", None)])
def test_only_the_first_version_can_come_late(name: str, days: int | None) -> None:
    came = delivery(name, "published", first_seen_at=datetime(2024, 2, 20, tzinfo=UTC))
    (dated,) = db.with_due([came], {"ville": FIFTEEN})
    assert (dated["due"], dated["days_late"]) == (date(2024, 2, 15), days)


@pytest.fixture
def engine(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """January was refused and corrected, February refused, March waits; a build warned, then another one passed."""
    monkeypatch.setenv("HUB_HOME", str(home.root))
    made = db.open_engine(home.database)
    db.migrate(made)
    for name, last in (
        ("ville/2024-01/v1", "rejected"),
        ("ville/2024-01/v2", "published"),
        ("ville/2024-02/v1", "rejected"),
        ("ville/2024-03/v1", "waiting"),
    ):
        db.announce(made, name, {"files": []}, name)
        for state in ("pulled", "staged", last):
            db.record_event(made, name, state)
    db.add_quality_run(made, "ville/2024-03/v1", [], "warning", run="ingest_ville/2024-03__x")
    yield made
    made.dispose()


def test_what_a_later_version_replaced_is_not_to_do(engine: Engine) -> None:
    duties = db.list_duties(engine, date(2024, 5, 1))
    assert [d["id"] for d in duties.refused] == ["ville/2024-02/v1"]
    assert [(d["id"], d["run"]) for d in duties.waiting] == [("ville/2024-03/v1", "ingest_ville/2024-03__x")]
    assert [m.period for m in duties.late] == ["2024-02"]


def test_a_build_waits_until_it_is_decided_or_replaced(engine: Engine) -> None:
    def builds() -> list[str]:
        return [r["subject"] for r in db.list_duties(engine, date(2024, 5, 1)).builds]

    db.add_quality_run(engine, "build/1", [], "warning")
    assert builds() == ["build/1"]
    db.record_decision(engine, "build/1", "anna", datetime.now(UTC), "reject", "no")
    assert builds() == []
    db.add_quality_run(engine, "build/2", [], "warning")
    assert builds() == ["build/2"]
    db.add_quality_run(engine, "build/3", [], "passed")
    assert builds() == []


def test_the_list_shows_dates_and_names_what_is_late(engine: Engine) -> None:
    result = CliRunner().invoke(app, ["list", "--on", "2024-05-01"])
    assert result.exit_code == 0, result.output
    assert "Late: ville 2024-02, due 2024-03-15, 47 days ago: ville/2024-02/v1 was refused." in result.stderr
    header, first = result.stdout.splitlines()[:2]
    assert {"first_seen", "due", "days_late"} <= set(header.split())
    assert "2024-02-15" in first
    (only,) = json.loads(CliRunner().invoke(app, ["list", "--json", "--state", "waiting"]).stdout)
    assert only["due"] == "2024-04-15" and only["days_late"] > 365


def test_scripts_ask_for_what_is_late(engine: Engine) -> None:
    asked = CliRunner().invoke(app, ["late", "--on", "2024-05-20", "--json"])
    assert [(m["period"], m["days"]) for m in json.loads(asked.stdout)] == [("2024-02", 66), ("2024-04", 5)]
    assert "Nothing is late" in CliRunner().invoke(app, ["late", "--on", "2024-03-01"]).stderr
