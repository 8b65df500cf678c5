"""The two watchers with real folders and a real hub database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from catalogue import db
from dags.lib import quiet
from dags.lib.doorbell import Doorbell, unannounced
from dags.lib.quiet import Quiet
from dags.lib.watch import Watch
from jobs.delivery import DeliveryId
from jobs.settings import Settings
from schemas.loader import load_source

Deliver = Callable[..., Path]


@pytest.fixture
def engine(home: Settings) -> Engine:
    engine = db.open_engine(home.database)
    db.migrate(engine)
    return engine


@pytest.fixture
def deliver(home: Settings) -> Deliver:
    """Puts out a delivery of empty files, its manifest last; ``without`` leaves a file out."""

    def put(name: str, without: str = "") -> Path:
        delivery = DeliveryId.parse(name)
        contract = load_source(delivery.source)
        folder = delivery.under(home.outboxes)
        folder.mkdir(parents=True)
        files = []
        for table in contract.tables:
            if table != without:
                (folder / f"{table}.csv").write_text("a\n")
            files.append({"table": table, "name": f"{table}.csv", "rows": 0, "bytes": 2, "sha256": "0" * 64})
        manifest = {
            "contract": delivery.source, "contract_version": contract.contract, "source": delivery.source,
            "period": delivery.period, "version": delivery.version, "created_at": datetime.now(UTC).isoformat(),
            "stage1_key": "0" * 16, "files": files,
        }  # fmt: skip
        (folder / ".part").write_text(json.dumps(manifest))
        (folder / ".part").rename(folder / "manifest.json")
        return folder

    return put


def announce(engine: Engine, name: str, *states: str) -> None:
    db.announce(engine, name, {"files": []}, name)
    for state in states:
        db.record_event(engine, name, state)


def test_a_complete_delivery_is_news_until_it_is_announced(home: Settings, engine: Engine, deliver: Deliver) -> None:
    assert Doorbell().look(home.outboxes, engine) == frozenset()
    deliver("dcir/2024-01/v1")
    assert Doorbell().look(home.outboxes, engine) == {"dcir/2024-01/v1"}
    announce(engine, "dcir/2024-01/v1")
    assert Doorbell().look(home.outboxes, engine) == frozenset()


def test_a_correction_waits_for_the_end_of_the_version_before(home: Settings, engine: Engine, deliver: Deliver) -> None:
    deliver("dcir/2024-01/v1")
    deliver("dcir/2024-01/v2")
    announce(engine, "dcir/2024-01/v1")
    for state in ("pulled", "staged", "waiting", "approved"):
        db.record_event(engine, "dcir/2024-01/v1", state)
        assert Doorbell().look(home.outboxes, engine) == frozenset(), state
    db.record_event(engine, "dcir/2024-01/v1", "published")
    assert Doorbell().look(home.outboxes, engine) == {"dcir/2024-01/v2"}


def test_a_delivery_that_lacks_a_file_rings_once_and_again_when_whole(
    home: Settings, engine: Engine, deliver: Deliver
) -> None:
    folder = deliver("ville/2024-01/v1", without="patient")
    assert Doorbell().look(home.outboxes, engine) == {"ville/2024-01/v1"}
    announce(engine, "ville/2024-01/v1", "incomplete")
    assert Doorbell().look(home.outboxes, engine) == frozenset()
    (folder / "patient.csv").write_text("a\n")
    assert Doorbell().look(home.outboxes, engine) == {"ville/2024-01/v1"}


def test_a_folder_still_being_written_or_of_a_stranger_is_no_news(home: Settings, engine: Engine) -> None:
    for name in ("dcir/2024-01/v1", "stranger/2024-01/v1"):
        (home.outboxes / name).mkdir(parents=True)
    (home.outboxes / "dcir/2024-01/v1" / "ER_PRS_F_202401.csv").write_text("a\n")
    assert Doorbell().look(home.outboxes, engine) == frozenset()


def test_other_months_and_sources_are_not_held_up() -> None:
    found = [DeliveryId.parse(n) for n in ("dcir/2024-01/v2", "dcir/2024-02/v1", "ville/2024-01/v1")]
    free = unannounced(found, {"dcir/2024-01/v1": "waiting"}, ("dcir", "ville"))
    assert [str(d) for d in free] == ["dcir/2024-02/v1", "ville/2024-01/v1"]


async def rings(bell: Watch, seconds: float) -> list[dict[str, int]]:
    """What the bell says in so many seconds."""
    heard: list[dict[str, int]] = []

    async def listen() -> None:
        async for event in bell.run():
            heard.append(event.payload)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(listen(), seconds)
    return heard


def test_the_bell_rings_once_for_a_burst_and_again_when_nobody_comes(
    home: Settings, engine: Engine, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_HOME", str(home.home))
    for month in ("2024-01", "2024-02", "2024-03"):
        deliver(f"dcir/{month}/v1")
    assert asyncio.run(rings(Doorbell(every=0.2, again=60), 2)) == [{"waiting": 3}]
    assert len(asyncio.run(rings(Doorbell(every=0.2, again=0.5), 2.5))) >= 2


def test_what_comes_after_a_ring_rings_at_once(
    home: Settings, engine: Engine, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_HOME", str(home.home))
    deliver("dcir/2024-01/v1")

    async def both() -> list[dict[str, int]]:
        task = asyncio.create_task(rings(Doorbell(every=0.2, again=60), 3))
        await asyncio.sleep(1)
        await asyncio.to_thread(deliver, "ville/2024-01/v1")
        return await task

    assert asyncio.run(both()) == [{"waiting": 1}, {"waiting": 2}]


def test_a_fault_does_not_silence_the_bell(
    home: Settings, engine: Engine, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_HOME", str(home.home))
    monkeypatch.setenv("HUB_DATABASE_URL", f"sqlite:///{home.root / 'other.db'}")  # without a schema
    deliver("dcir/2024-01/v1")

    async def repaired() -> list[dict[str, int]]:
        task = asyncio.create_task(rings(Doorbell(every=0.2, again=60), 4))
        await asyncio.sleep(1)
        await asyncio.to_thread(db.migrate, db.open_engine(f"sqlite:///{home.root / 'other.db'}"))
        return await task

    assert asyncio.run(repaired()) == [{"waiting": 1}]


def test_the_trigger_carries_no_address() -> None:
    name, settings = Doorbell(every=1, again=2).serialize()
    assert name == "dags.lib.doorbell.Doorbell"
    assert settings == {"every": 1, "again": 2}


def published(engine: Engine, *names: str) -> None:
    for name in names:
        announce(engine, name, "pulled", "staged", "published")


def test_a_build_waits_until_nothing_is_under_way(home: Settings, engine: Engine, deliver: Deliver) -> None:
    bell = Quiet()
    assert bell.look(home.outboxes, engine) == frozenset()
    published(engine, "dcir/2024-01/v1")
    announce(engine, "ville/2024-01/v1", "pulled")
    assert [bell.look(home.outboxes, engine) for _ in range(3)] == [frozenset()] * 3
    db.record_event(engine, "ville/2024-01/v1", "rejected")
    deliver("dcir/2024-01/v2")
    assert [bell.look(home.outboxes, engine) for _ in range(3)] == [frozenset()] * 3, "a correction is at the door"
    published(engine, "dcir/2024-01/v2")
    assert bell.look(home.outboxes, engine) == frozenset(), "once may be a moment between two states"
    assert bell.look(home.outboxes, engine) == {"dcir/2024-01/v2"}


def test_a_build_follows_a_withdrawal_of_what_was_released(home: Settings, engine: Engine) -> None:
    bell = Quiet()
    published(engine, "dcir/2024-01/v1", "dcir/2024-02/v1")
    db.add_release(engine, {}, ["dcir/2024-01/v1"], 1)
    assert [bell.look(home.outboxes, engine) for _ in range(2)][-1] == {"dcir/2024-02/v1"}
    for name in ("dcir/2024-01/v1", "dcir/2024-02/v1"):  # nobody ever saw the second one
        db.record_event(engine, name, "withdrawn", reason="sent by mistake")
    announce(engine, "ville/2024-01/v1", "pulled")  # nobody waits with a withdrawal until this one is in
    assert bell.look(home.outboxes, engine) == {"dcir/2024-01/v1 withdrawn"}
    db.add_release(engine, {}, [], 2, withdrawn=["dcir/2024-01/v1"])
    assert bell.look(home.outboxes, engine) == frozenset()


def test_a_build_waits_for_no_steward_and_not_for_ever(
    home: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(engine, "dcir/2024-01/v1")
    announce(engine, "ville/2024-01/v1", "pulled", "staged", "waiting")
    bell = Quiet()
    assert [bell.look(home.outboxes, engine) for _ in range(2)][-1] == {"dcir/2024-01/v1"}
    announce(engine, "ville/2024-02/v1", "pulled")  # its run may be red for days
    begun_anew = Quiet()
    assert [begun_anew.look(home.outboxes, engine) for _ in range(3)][-1] == frozenset()
    assert Quiet(patience=-1).look(home.outboxes, engine) == {"dcir/2024-01/v1"}
    states = {"ville/2024-02/v1": "pulled"}
    assert quiet.under_way(engine, states)
    monkeypatch.setattr(quiet, "STILL", timedelta(0))
    assert not quiet.under_way(engine, states)


def test_a_build_is_rung_for_once_and_for_what_comes_after(
    home: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_HOME", str(home.home))
    published(engine, "dcir/2024-01/v1")

    async def both() -> list[dict[str, int]]:
        task = asyncio.create_task(rings(Quiet(every=0.2), 4))
        await asyncio.sleep(2)
        await asyncio.to_thread(published, engine, "ville/2024-01/v1")
        return await task

    assert asyncio.run(both()) == [{"waiting": 1}, {"waiting": 2}]
    assert Quiet().serialize()[0] == "dags.lib.quiet.Quiet"
