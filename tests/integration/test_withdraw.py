"""A published month is taken out of the lake and out of the next release, and may come back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from catalogue import db
from jobs.delivery import DeliveryId, Subject
from jobs.errors import ConfigError, ConflictError, StorageError
from jobs.lake import tables as lake
from jobs.lake.commits import commit
from jobs.lake.layout import table_path
from jobs.steps import build, gate, publish, receive, release, stage, withdraw
from schemas.loader import load_source, omop_names
from tests.integration.conftest import World, build_and_release, take_in

GONE = DeliveryId("ville", "2024-01", 1)
TABLES = [f"ville/{t}" for t in load_source("ville").tables]


def lines(world: World, name: str, version: int | None = None) -> list[tuple[Any, ...]]:
    """The rows of a table as the lake holds them, or of a version of it, sorted."""
    hub = world.hub()
    frame = lake.read(hub.spark, table_path(hub.settings.lake, name), version)
    rows = [tuple(bytes(v) if isinstance(v, bytearray) else v for v in r) for r in frame.collect()]
    return sorted(rows, key=repr)


def released(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """The OMOP tables that readers see. Without the table that says on which day a database was made."""
    current = db.current_release(world.hub().engine)
    assert current
    names = [f"omop/{t}" for t in omop_names() if t != "cdm_source"]
    return {name: lines(world, name, current.tables[name]) for name in names}


def by_id(rows: list[tuple[Any, ...]]) -> dict[Any, tuple[Any, ...]]:
    return {row[0]: row for row in rows}


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[World], None]:
    """Withdraws and is killed after the first table was committed."""

    def interrupt(world: World) -> None:
        made, done = withdraw.commit, []

        def once(*args: Any, **options: Any) -> int:
            if done:
                raise StorageError("The disk went away.")
            done.append(made(*args, **options))
            return int(done[0])

        with monkeypatch.context() as patch:
            patch.setattr(withdraw, "commit", once)
            with pytest.raises(StorageError):
                withdraw.withdraw(world.hub(), GONE, "sent by mistake")

    return interrupt


def test_a_withdrawn_month_is_gone_from_the_next_release_and_may_come_back(
    small: Callable[..., World], interrupted: Callable[[World], None]
) -> None:
    world, other = small("ville"), small("ville")
    shutil.rmtree(GONE.under(other.settings.outboxes))  # this hub never hears of the month
    for hub in (world, other):
        take_in(hub)
        build_and_release(hub)
        assert not hub.errors
    engine = world.hub().engine
    first, before, never = db.current_release(engine), released(world), released(other)
    assert first and before != never
    lake_before = {name: lines(world, name) for name in TABLES}

    planned = withdraw.plan(world.hub(), GONE)
    assert planned["rows"] == world.deliveries[str(GONE)]["rows_published"] > 0
    assert {name: lines(world, name) for name in TABLES} == lake_before

    # killed after its first table: nobody calls it withdrawn, no build takes half of it, repeating finishes it
    interrupted(world)
    assert world.deliveries[str(GONE)]["state"] == "published"
    assert build.build(world.hub())["next"] == "stop"
    assert GONE.under(world.settings.landing).exists()
    answer = withdraw.withdraw(world.hub(), GONE, "sent by mistake")
    assert (answer["state"], answer["rows"]) == ("withdrawn", planned["rows"])
    assert not GONE.under(world.settings.landing).exists()
    for name in TABLES:
        assert lines(world, name) == [row for row in lake_before[name] if row[-1] != GONE.period], name
    known = world.deliveries[str(GONE)]
    assert (known["state"], known["reason"], known["in_lake"]) == ("withdrawn", "sent by mistake", False)

    versions = world.versions()
    assert withdraw.withdraw(world.hub(), GONE, "sent by mistake")["state"] == "withdrawn"
    assert world.versions() == versions
    assert released(world) == before  # readers see the release before until there is a new one

    built = build.build(world.hub())
    assert (built["deliveries"], built["withdrawn"]) == ([], [str(GONE)])
    assert gate.gate(world.hub(), Subject(build=built["build"]))["verdict"] == "passed"
    for _ in range(2):
        answer = release.release(world.hub(), built["build"])
    assert answer["withdrawn"] == [str(GONE)]
    assert build.build(world.hub())["next"] == "stop"
    second = db.current_release(engine)
    assert second and set(first.deliveries) - set(second.deliveries) == {str(GONE)}
    assert not second.added
    for name in TABLES:  # what readers of the source see is the lake as it is now
        assert lines(world, name, second.tables[name]) == lines(world, name)

    after = released(world)
    assert after == never  # as if it had never come: rows, persons, ids
    persons, remaining = by_id(before["omop/person"]), by_id(after["omop/person"])
    assert remaining.keys() < persons.keys()
    for table in ("visit_occurrence", "condition_occurrence", "drug_exposure"):
        stayed = by_id(after[f"omop/{table}"])
        assert stayed.keys() <= by_id(before[f"omop/{table}"]).keys(), table

    # it comes back only when it is asked for
    assert receive.choose(world.hub(), "ville", GONE.period) == GONE
    assert receive.receive(world.hub(), GONE)["next"] == "stop"
    assert receive.receive(world.hub(), GONE, again=True)["next"] == "stage"
    with pytest.raises(ConfigError, match="holds no rows"):
        withdraw.plan(world.hub(), GONE)
    stage.stage(world.hub(), GONE)
    assert gate.gate(world.hub(), Subject(GONE))["verdict"] == "passed"
    publish.publish(world.hub(), GONE)
    assert build_and_release(world)["deliveries"] == [str(GONE)]
    assert released(world) == before
    assert {name: lines(world, name) for name in TABLES} == lake_before


def test_what_another_delivery_replaced_meanwhile_is_not_withdrawn(small: Callable[..., World]) -> None:
    world, first, second = small("pmsi_mco"), DeliveryId("pmsi_mco", "2024-01", 1), DeliveryId("pmsi_mco", "2024-01", 2)
    shutil.rmtree(world.settings.outboxes / "pmsi_mco" / "2024-02")
    take_in(world)
    with pytest.raises(ConfigError, match="never announced"):
        withdraw.plan(world.hub(), second)
    with pytest.raises(ConfigError, match="reason"):
        withdraw.withdraw(world.hub(), first, " ")
    table = "pmsi_mco/t_mcoaac"
    where = table_path(world.settings.lake, table)
    metadata = {"delivery": str(second), "table": table, "step": "publish", "period": "2024-01"}
    commit(where, [], None, metadata, replaces=lambda _: False, claim="_period = '2024-01'")
    before = {f"pmsi_mco/{t}": lines(world, f"pmsi_mco/{t}") for t in load_source("pmsi_mco").tables}
    with pytest.raises(ConflictError, match="now holds pmsi_mco/2024-01/v2"):
        withdraw.withdraw(world.hub(), first, "sent by mistake")
    assert {name: lines(world, name) for name in before} == before
    assert world.deliveries[str(first)]["state"] == "published"
