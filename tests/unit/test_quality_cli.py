"""``hub quality`` on a real hub database: lists, rules, suites, reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from catalogue import db
from jobs.cli.quality import app
from jobs.errors import ConfigError
from jobs.quality.judge import judge
from jobs.quality.rules import load_rules, rule_names
from jobs.quality.verdict import overall
from jobs.settings import Settings

TABLE = "ville/problem"
DELIVERY = "ville/2024-03/v1"


def run(*arguments: str) -> Any:
    """A command's output; its error is raised as the ``hub`` script would see it."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def judged(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A hub that has judged one delivery: half of the rows were quarantined."""
    monkeypatch.setenv("HUB_HOME", str(home.root))
    engine = db.open_engine(home.database)
    db.migrate(engine)
    rules = load_rules(TABLE)
    counts = {r.id: ((40, 100) if r.of == "quarantined" else (0, 60)) for r in rules}
    results = judge(TABLE, rules, counts)
    db.set_counts(engine, DELIVERY, TABLE, counts)
    db.add_quality_run(engine, DELIVERY, [r.model_dump() for r in results], overall(results))
    engine.dispose()
    return home


def test_list_gives_the_keys_that_scripts_rely_on(judged: Settings) -> None:
    rows = json.loads(run("list", "--json"))
    assert len(rows) == len(load_rules(TABLE))
    wanted = {"table", "subject", "delivery", "release", "rule", "severity", "verdict", "violated", "denominator"}
    assert all(set(row) == wanted for row in rows)
    (failed,) = [row for row in rows if row["verdict"] == "failed"]
    assert failed == {
        "table": TABLE,
        "subject": DELIVERY,
        "delivery": DELIVERY,
        "release": None,
        "rule": "GP-PRB-001",
        "severity": "warning",
        "verdict": "failed",
        "violated": 40,
        "denominator": 100,
    }
    assert json.loads(run("list", "--json", "--table", "omop/person")) == []
    assert len(json.loads(run("list", "--json", "--subject", DELIVERY))) == len(rows)


def test_report_writes_both_languages_with_the_words_of_the_rules(judged: Settings) -> None:
    paths = json.loads(run("report", DELIVERY))
    html = Path(paths["fr"]).read_text("utf-8")
    assert Path(paths["fr"]).is_relative_to(judged.reports)
    assert "aucune ligne reçue" in html
    assert 'data-verdict="warning"' in html
    assert "40 sur 100" in html
    assert "no received row is quarantined" in Path(paths["en"]).read_text("utf-8")


def test_data_docs_are_made_from_the_recorded_counts(judged: Settings, tmp_path: Path) -> None:
    index = json.loads(run("data-docs", DELIVERY, "--out", str(tmp_path / "docs")))["index"]
    assert Path(index).is_file()


@pytest.mark.parametrize("command", [("report", "ville/2031-01/v1"), ("data-docs", "ville/2031-01/v1", "--out", "x")])
def test_what_was_never_judged_is_said(judged: Settings, command: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="ville/2031-01/v1"):
        run(*command)


def test_rules_are_shown_with_their_sentences() -> None:
    rows = json.loads(run("rules", "--json"))
    assert {row["table"] for row in rows} == set(rule_names())
    assert all(row["claim_fr"] and row["claim_en"] and row["why_fr"] and row["why_en"] for row in rows)
    assert len(json.loads(run("rules", TABLE, "--json"))) == len(load_rules(TABLE))
    with pytest.raises(ConfigError, match="no rules"):
        run("rules", "ville/nothing")


@pytest.mark.parametrize("table", rule_names())
def test_every_exported_suite_is_one_that_great_expectations_reads(table: str, tmp_path: Path) -> None:
    import great_expectations as gx

    out = tmp_path / "suite.json"
    run("export-suite", table, "--out", str(out))
    suite = json.loads(out.read_text("utf-8"))
    again = gx.ExpectationSuite(**suite)
    exported = [r for r in load_rules(table) if r.of != "unattributable"]
    assert [(e.meta or {})["rule"] for e in again.expectations] == [r.id for r in exported]
    assert [e.severity for e in again.expectations] == [r.severity for r in exported]
    assert "id" not in suite
    assert all(e["type"].startswith("expect_") for e in suite["expectations"])


def test_a_suite_says_the_tolerance_as_great_expectations_does() -> None:
    suite = json.loads(run("export-suite", TABLE))
    (one,) = [e for e in suite["expectations"] if e["meta"]["rule"] == "GP-PRB-004"]
    assert one["type"] == "expect_column_values_to_match_regex"
    assert one["kwargs"]["mostly"] == pytest.approx(0.95)
    assert one["meta"]["claim"]["en"].startswith("code has, as a whole, the form")
