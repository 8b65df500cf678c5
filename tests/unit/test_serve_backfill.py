"""Which months are asked for, and what is said when a run does not end well."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.errors import ConfigError, HubError, ServerUnavailable
from jobs.serve import backfill


class Client:
    """Tells the states that it was given, one after the other, the last one for ever."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)

    def run(self, dag: str, run: str) -> dict[str, Any]:
        assert (dag, run) == ("ingest_dcir", "r1")
        return {"state": self.states.pop(0) if len(self.states) > 1 else self.states[0]}


def runs() -> list[dict[str, Any]]:
    return [{"month": "2024-03", "run": "r1", "state": "queued"}]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "LOOK_EVERY", 0.01)


def test_a_range_holds_both_ends_and_passes_over_the_year() -> None:
    assert backfill.months_between("2023-11", "2024-02") == ["2023-11", "2023-12", "2024-01", "2024-02"]
    assert backfill.months_between("2024-12", "2024-12") == ["2024-12"]


@pytest.mark.parametrize(("first", "last"), [("2024-03", "2024-02"), ("2024-13", "2024-13"), ("march", "march"),
                                             ("1990-01", "2024-01")])  # fmt: skip
def test_what_is_no_range_is_refused(first: str, last: str) -> None:
    with pytest.raises(ConfigError):
        backfill.months_between(first, last)


def test_the_states_are_told_once_each() -> None:
    told: list[str] = []
    mine = runs()
    backfill.wait(Client("queued", "running", "running", "success"), "dcir", mine, told.append, 1)  # type: ignore[arg-type]
    assert told == ["dcir 2024-03: running", "dcir 2024-03: success"]
    assert mine[0]["state"] == "success"


def test_a_failed_month_is_named() -> None:
    with pytest.raises(HubError, match="failed for 2024-03"):
        backfill.wait(Client("failed"), "dcir", runs(), lambda _: None, 1)  # type: ignore[arg-type]


def test_a_run_that_waits_is_not_waited_for_for_ever() -> None:
    with pytest.raises(ServerUnavailable, match="Required Actions"):
        backfill.wait(Client("running"), "dcir", runs(), lambda _: None, 0)  # type: ignore[arg-type]
