"""What the demo decides: which homes it may empty, when all is done, what is wrong."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from jobs.errors import ConfigError
from jobs.serve.demo import Demo, make_room, mark
from jobs.serve.display import Display
from jobs.serve.watch import Sight
from jobs.settings import Settings

DEMO = Demo(persons=200, months=1)
EXPECTED = [{"id": "dcir/2024-01/v1", "state": "published"}, {"id": "ville/2024-01/v1", "state": "waiting"}]


def delivery(name: str, state: str, **more: Any) -> dict[str, Any]:
    source, period, version = name.split("/")
    counts = {"rows_in": 10, "rows_published": 8, "rows_quarantined": {"conflict": 2}, "rows_duplicate": 0}
    identity = {"id": name, "source": source, "period": period, "version": int(version[1:]), "state": state}
    return identity | counts | {"rows_settled": 0, "reason": None} | more


DONE = Sight(
    deliveries=[delivery("dcir/2024-01/v1", "published"), delivery("ville/2024-01/v1", "waiting")],
    tasks=[
        {"dag_id": "ingest_ville", "month": "2024-01", "task_id": "ask_steward", "state": "awaiting_input", "run": "r"}
    ],
    release=1,
    described=1,
)


def test_an_empty_home_becomes_a_demo(home: Settings) -> None:
    assert make_room(home, DEMO, keep=False)
    assert mark(home).exists()


def test_a_demo_is_emptied_and_keeps_its_keys(home: Settings) -> None:
    make_room(home, DEMO, keep=False)
    for name in (
        "hub.db",
        "lake/omop/x",
        "outboxes/dcir/x",
        "keys/hub/p2.key",
        "airflow/airflow.db",
        "airflow/secrets/jwt",
    ):
        (home.root / name).parent.mkdir(parents=True, exist_ok=True)
        (home.root / name).touch()
    assert make_room(home, DEMO, keep=False)
    left = sorted(str(p.relative_to(home.root)) for p in home.root.rglob("*") if p.is_file())
    assert left == ["airflow/secrets/jwt", "demo.json", "keys/hub/p2.key"]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("name", ["hub.db", "outboxes/dcir/manifest.json", "lake/omop/x"])
def test_a_hub_that_is_no_demo_is_never_touched(home: Settings, name: str, keep: bool) -> None:
    (home.root / name).parent.mkdir(parents=True)
    (home.root / name).touch()
    with pytest.raises(ConfigError, match="HUB_HOME"):
        make_room(home, DEMO, keep=keep)
    assert (home.root / name).exists()
    assert not mark(home).exists()


def test_a_kept_demo_is_the_same_demo(home: Settings) -> None:
    make_room(home, DEMO, keep=False)
    (home.root / "synthetic").mkdir()
    (home.root / "synthetic" / "expected.json").write_text('[{"id": "dcir/2024-01/v1", "state": "published"}]')
    assert not make_room(home, DEMO, keep=True)
    with pytest.raises(ConfigError, match="other options"):
        make_room(home, replace(DEMO, seed=7), keep=True)


def test_done_is_every_state_right_and_one_described_release_of_all() -> None:
    assert DONE.complete(EXPECTED)
    assert DONE.wrong(EXPECTED) == []
    assert not DONE.busy, "waiting for a person is not work"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pending": 1}, "1 published deliveries are in no release."),
        ({"pending": 1, "questions": ("Release build 1 with warnings?",)}, "A steward is asked: Release build 1 with"),
        ({"release": 0}, "There is no release."),
        ({"release": 2}, "The last release is not described in the catalogue."),
        ({"deliveries": DONE.deliveries[:1]}, "ville/2024-01/v1 is not announced, it should be waiting."),
        (
            {"deliveries": [DONE.deliveries[1], delivery("dcir/2024-01/v1", "rejected")]},
            "dcir/2024-01/v1 is rejected, it",
        ),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], words: str) -> None:
    sight = replace(DONE, **change)
    assert not sight.complete(EXPECTED)
    assert any(s.startswith(words) for s in sight.wrong(EXPECTED))


def test_what_airflow_does_is_shown_for_the_open_version_only() -> None:
    task = {"dag_id": "ingest_dcir", "month": "2024-01", "task_id": "stage", "state": "running", "run": "r"}
    sight = replace(DONE, tasks=[task])
    assert sight.busy
    assert sight.doing(delivery("dcir/2024-01/v2", "pulled")) == "stage running"
    assert sight.doing(delivery("dcir/2024-01/v1", "published")) == ""
    assert sight.doing(delivery("dcir/2024-02/v1", "pulled")) == ""


def test_plain_lines_say_only_what_is_new_and_the_books_balance_in_view() -> None:
    display = Display(live=False)
    display.console = Console(file=io.StringIO(), width=200)
    display.show(DONE)
    display.show(DONE)
    display.books(
        DONE, [*EXPECTED[:1], {"id": "ville/2024-01/v1", "state": "published"}], {"dcir/2024-01/v1": "passed"}
    )
    text = display.console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("dcir/2024-01/v1 published") == 1
    assert "2 conflict" in text
    assert "as expected" in text
    assert "should be published" in text
