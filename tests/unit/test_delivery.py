"""Names of deliveries, what can be judged, and the table of states: who owns each, and what can follow."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from jobs.delivery import FIRST, OPEN, PEOPLE, STATES, DeliveryId, State, Subject, may_act, may_move
from jobs.errors import ConfigError

STEPS = {step for state in STATES.values() for step in state.moves}


@pytest.mark.parametrize("name", STATES)
def test_every_state_is_complete(name: str) -> None:
    state = STATES[name]
    assert state.meaning.endswith(".")
    assert state.owner in PEOPLE or state.owner in state.moves, "its owner is a step that moves it on, or people"
    assert state.owner != "data steward" or "decide" in state.moves
    assert (state.is_open or name == "incomplete") == ("pull" in state.moves), "it is taken in by the next pull"
    assert state.targets <= STATES.keys()


def test_every_state_is_reached_from_the_first() -> None:
    reached = {FIRST}
    while new := {to for state in reached for to in STATES[state].targets} - reached:
        reached |= new
    assert reached == STATES.keys()


def test_an_open_delivery_can_be_published() -> None:
    """No state is a dead end while a step is still before it."""
    for name in OPEN:
        reached = {name}
        while new := {to for state in reached for to in STATES[state].targets} - reached:
            reached |= new
        assert "published" in reached, name


def test_only_the_steps_of_the_hub_move_a_delivery() -> None:
    assert {"announce", "pull", "pull --again", "stage", "gate", "decide", "publish"} <= STEPS
    assert {step for step in STEPS if not may_act(step, FIRST)} >= {"stage", "gate", "decide", "publish"}


def test_the_table_can_not_be_changed() -> None:
    with pytest.raises(TypeError):
        STATES["lost"] = STATES[FIRST]  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        STATES[FIRST].owner = "nobody"  # type: ignore[misc]
    assert {f.name for f in fields(State)} == {"meaning", "owner", "is_open", "moves"}


def test_a_move_may_be_asked_of_one_step() -> None:
    assert may_move("waiting", "approved", by="decide")
    assert not may_move("staged", "approved", by="decide")
    assert may_move("approved", "approved", by="decide"), "the task was repeated"
    assert not may_move("rejected", "approved"), "what was staged of it is gone"
    assert may_move(None, "announced")
    assert not may_move(None, "pulled")
    assert not may_move("lost", "pulled")
    assert not may_move("pulled", "lost")


@pytest.mark.parametrize(
    ("text", "delivery", "build"), [("dcir/2024-03/v1", "dcir/2024-03/v1", None), ("build/7", None, 7)]
)
def test_a_subject_is_a_delivery_or_a_build(text: str, delivery: str | None, build: int | None) -> None:
    subject = Subject.parse(text)
    assert (subject.delivery, subject.build) == (DeliveryId.parse(delivery) if delivery else None, build)
    assert str(subject) == text


@pytest.mark.parametrize("text", ["build/0", "build/", "build/x", "build/7/v1", "dcir/2024-03", "", "build/1\n"])
def test_anything_else_is_no_subject(text: str) -> None:
    with pytest.raises(ConfigError):
        Subject.parse(text)


def test_a_subject_is_one_of_the_two() -> None:
    with pytest.raises(ConfigError):
        Subject()
    with pytest.raises(ConfigError):
        Subject(DeliveryId("dcir", "2024-03", 1), 7)
