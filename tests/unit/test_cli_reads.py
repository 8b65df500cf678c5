"""Commands that only read create nothing, and tell no hub, nothing yet and nothing that matches apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from catalogue import db
from catalogue.db.engine import VERSION_TABLE
from jobs.cli import app
from jobs.errors import ConfigError
from jobs.settings import Settings

D = "ville/2024-01/v1"
READS = [
    ["delivery", "list"],
    ["delivery", "list", "--json"],
    ["delivery", "show", D],
    ["delivery", "quarantined", D],
    ["delivery", "withdraw", D, "--reason", "x"],
    ["quality", "list"],
    ["quality", "report", D],
    ["quality", "data-docs", D, "--out", "never-made"],
    ["quality", "check", "ville/problem"],
    ["release", "list"],
    ["release", "show"],
    ["omop", "show", "1"],
    ["key", "list"],
    ["key", "check"],
    ["lake", "show"],
    ["lake", "query", "select count(*) from omop.person", "--released"],
    ["catalogue", "serve"],
    ["catalogue", "serve", "--steward"],
    ["spark", "status"],
]


def ask(*words: str) -> Any:
    """A command's result; its error is raised as the ``hub`` script would see it."""
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.fixture
def hub(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A hub with its database, and nothing in it."""
    monkeypatch.setenv("HUB_HOME", str(home.root))
    engine = db.open_engine(home.database)
    db.migrate(engine)
    engine.dispose()
    return home


@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_without_a_hub_nothing_is_created_and_the_home_is_named(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"There is no hub in .*nowhere\. Next: make one with `hub init`.*HUB_HOME"):
        ask(*words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [w for w in READS if w != ["spark", "status"]], ids=" ".join)
def test_in_a_folder_that_is_no_hub_nothing_is_created(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUB_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="There is no hub in"):
        ask(*words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("noun", "said"),
    [
        ("delivery", "No delivery was announced yet in {home}: `hub delivery announce`."),
        ("quality", "Nothing was judged yet in {home}: `hub delivery gate`."),
        ("release", "There is no release yet in {home}: `hub omop build` starts one."),
        ("key", "No key is registered yet in {home}: `hub key init`."),
    ],
)
def test_an_empty_hub_says_that_there_is_nothing_yet(hub: Settings, noun: str, said: str) -> None:
    words = said.format(home=hub.root) + "\n"
    assert (ask(noun, "list").stdout, ask(noun, "list").stderr) == ("", words)
    assert (json.loads(ask(noun, "list", "--json").stdout), ask(noun, "list", "--json").stderr) == ([], words)


def test_filters_that_match_nothing_are_told_from_an_empty_hub(hub: Settings) -> None:
    engine = db.open_engine(hub.database)
    db.announce(engine, D, {"files": []}, "a")
    engine.dispose()
    said = f"No delivery of ville for 2024-03 in {hub.root}: `hub delivery list` shows all.\n"
    asked = ask("delivery", "list", "--source", "ville", "--period", "2024-03", "--on", "2024-04-01")  # not due yet
    assert asked.stderr == said
    assert ask("delivery", "list", "--state", "staged").stderr.startswith("No delivery in state staged in")
    assert json.loads(ask("delivery", "list", "--state", "announced", "--json").stdout)[0]["id"] == D
    columns, row = ask("delivery", "list").stdout.splitlines()[:2]
    assert {"first_seen", "last_event"} <= set(columns.split())
    assert row.count(":") == 4  # two instants


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["delivery", "list", "--source", "vile"], "no source 'vile'. Next: did you mean ville"),
        (["delivery", "list", "--source", "zzz"], "no source 'zzz'. Next: one of dcir, pmsi_mco"),
        (["delivery", "list", "--period", "2024-13"], "'2024-13' is not a month. Next: write it YYYY-MM"),
        (["delivery", "list", "--state", "publishd"], "did you mean published"),
        (["delivery", "show", "vile/2024-01/v1"], "did you mean ville"),
        (["delivery", "show", "ville/2024-01"], "not the name of a delivery"),
        (["delivery", "show", "ville/2024-02/v1"], "was never announced"),
        (["delivery", "quarantined", "ville/2024-02/v1"], "was never announced"),
        (["delivery", "pull", "--source", "vile", "--period", "2024-01"], "did you mean ville"),
        (["delivery", "pull", "--source", "ville", "--period", "202401"], "is not a month"),
        (["quality", "list", "--table", "dcir/er_prs"], "'dcir/er_prs' has no rules. Next: did you mean dcir/er_prs_f"),
        (["quality", "list", "--subject", "build/x"], "not the name of a delivery or a build"),
        (["quality", "rules", "omop/persn"], "did you mean omop/person"),
        (["release", "show", "7"], "There is no release yet in"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_word_that_names_nothing_is_answered_with_what_is_accepted(
    hub: Settings, words: list[str], said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        ask(*words)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("revision", "said"), [("9999", "made by a newer version"), ("0001", "not migrated yet. Next: `hub up`")]
)
def test_a_database_of_another_version_is_neither_migrated_nor_misread(hub: Settings, revision: str, said: str) -> None:
    engine = db.open_engine(hub.database)
    with engine.begin() as connection:
        connection.execute(text(f"update {VERSION_TABLE} set version_num = '{revision}'"))
    with pytest.raises(ConfigError, match=said):
        ask("delivery", "list")
    if revision == "9999":
        with pytest.raises(ConfigError, match=said):
            db.migrate(engine)
    with engine.connect() as connection:
        assert connection.scalar(text(f"select version_num from {VERSION_TABLE}")) == revision
    engine.dispose()
