"""A mistake of the user ends with a code and a next step of its own, never as a fault of the hub."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from catalogue import db
from jobs.cli import app
from jobs.delivery import STATES
from jobs.errors import ConfigError, HubError, NotReady
from jobs.settings import Settings
from tests.unit.records_kit import shortest_ways

SAID = ["--who", "a steward", "--reason", "known"]
NEW, PULLED, STAGED, PUBLISHED = "ville/2024-01/v1", "ville/2024-02/v1", "ville/2024-03/v1", "ville/2024-04/v1"
UNKNOWN = "ville/2030-01/v1"


@pytest.fixture
def hub(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A hub with deliveries in four states, and a build that is not complete; no Spark server."""
    monkeypatch.setenv("HUB_HOME", str(home.root))
    engine = db.open_engine(home.database)
    db.migrate(engine)
    states = {NEW: (), PULLED: ("pulled",), STAGED: ("pulled", "staged"), PUBLISHED: ("pulled", "staged", "published")}
    for name, moves in states.items():
        db.announce(engine, name, {"files": []}, name)
        for state in moves:
            db.record_event(engine, name, state, detail={"files": [], "content": {}, "versions": {}, "rows": {}})
    db.start_build(engine, [PUBLISHED])
    engine.dispose()
    return home


@pytest.mark.parametrize(
    ("words", "kind", "said", "following"),
    [
        (["delivery", "stage", UNKNOWN], ConfigError, "was never announced", "`hub delivery list`"),
        (["delivery", "gate", UNKNOWN], ConfigError, "was never announced", "`hub delivery list`"),
        (["delivery", "publish", UNKNOWN], ConfigError, "was never announced", "`hub delivery list`"),
        (["delivery", "withdraw", UNKNOWN, "--reason", "x"], ConfigError, "was never announced", "hub delivery list"),
        (["delivery", "decide", UNKNOWN, "--decision", "approve", *SAID], ConfigError, "never announced", "announce"),
        (["delivery", "decide", STAGED, "--decision", "maybe", *SAID], ConfigError, "approve or reject", "one of them"),
        (["delivery", "stage", NEW], NotReady, "is announced", "`hub delivery pull --source ville --period 2024-01`"),
        (["delivery", "gate", NEW], NotReady, "is announced", "`hub delivery pull --source ville --period 2024-01`"),
        (["delivery", "publish", NEW], NotReady, "is announced", "hub delivery pull --source ville --period 2024-01"),
        (["delivery", "gate", PULLED], NotReady, "is pulled", f"`hub delivery stage {PULLED}` comes first"),
        (["delivery", "publish", PULLED], NotReady, "is pulled", f"`hub delivery stage {PULLED}` comes first"),
        (["delivery", "publish", STAGED], NotReady, "was not judged yet", f"`hub delivery gate {STAGED}` first"),
        (
            ["delivery", "decide", STAGED, "--decision", "approve", *SAID],
            NotReady,
            "not judged yet",
            "hub delivery gate",
        ),
        (["omop", "show", "9"], ConfigError, "There is no build 9.", "`hub omop build`"),
        (["omop", "show", "1"], NotReady, "Build 1 is not complete.", "`hub omop build` first"),
        (["omop", "gate", "9"], ConfigError, "There is no build 9.", "`hub omop build`"),
        (["omop", "release", "9"], ConfigError, "There is no build 9.", "`hub omop build`"),
        (["omop", "release", "1"], NotReady, "build/1 was not judged yet.", "`hub omop gate 1` first"),
        (
            ["omop", "decide", "9", "--decision", "approve", *SAID],
            ConfigError,
            "There is no build 9.",
            "hub omop build",
        ),
        (
            ["omop", "decide", "1", "--decision", "approve", *SAID],
            NotReady,
            "not judged yet",
            "`hub omop gate 1` first",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_says_its_kind_and_the_next_step(
    hub: Settings, words: list[str], kind: type[HubError], said: str, following: str
) -> None:
    with pytest.raises(HubError) as refused:
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert type(refused.value) is kind
    what, _, step = str(refused.value).partition(" Next: ")
    assert said in what
    assert following in step
    assert refused.value.exit_code in (10, 21)


@pytest.mark.parametrize("state", sorted(STATES))
@pytest.mark.parametrize("step", ["stage", "gate", "publish"])
def test_no_state_of_a_delivery_makes_a_step_a_fault_of_the_hub(hub: Settings, state: str, step: str) -> None:
    """Whatever state a delivery is in, a step goes on (to the Spark server, which is not there) or says its kind."""
    name = "dcir/2024-01/v1"
    engine = db.open_engine(hub.database)
    db.announce(engine, name, {"files": []}, "m1")
    for move in shortest_ways()[state]:
        db.record_event(engine, name, move, detail={"files": [], "content": {}, "versions": {}, "rows": {}})
    engine.dispose()
    with pytest.raises(HubError) as refused:
        CliRunner().invoke(app, ["delivery", step, name], catch_exceptions=False)
    assert refused.value.exit_code in (12, 13, 18, 21), str(refused.value)
    assert refused.value.next_step
