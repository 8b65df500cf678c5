"""A missing, wrong or swapped key is refused before any data is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catalogue import db
from jobs import keys
from jobs.delivery import DeliveryId
from jobs.errors import KeyRefused
from jobs.hub import SERVER_KEYS, Hub
from jobs.serve.custody import initialise
from jobs.settings import Settings
from jobs.spark import server, session
from jobs.steps import receive, stage
from tests.conftest import free_port
from tests.integration.conftest import World, settings_like, start_again

DELIVERY = DeliveryId("pmsi_mco", "2024-01", 1)
FILES = {"stage2": "hub/p2.key", "lake": "hub/lake.key", "landing": "public/landing.pub.pem"}


def received(world: World) -> list[Path]:
    """Files that the hub made of a delivery."""
    places = (world.settings.landing, world.settings.quarantine, world.settings.lake)
    return [p for place in places for p in place.rglob("*.parquet")]


def test_a_hub_without_a_registered_stage1_key_takes_nothing_in(small: Callable[..., World]) -> None:
    world = small("pmsi_mco", registered=False)
    hub = world.hub()
    receive.announce(hub)
    with pytest.raises(KeyRefused):
        receive.receive(hub, DELIVERY)
    assert received(world) == []
    assert world.deliveries[str(DELIVERY)]["state"] == "announced"  # waits: it is the hub that lacks something


def test_a_delivery_under_another_stage1_key_is_rejected(small: Callable[..., World]) -> None:
    world = small("pmsi_mco")
    manifest = DELIVERY.under(world.settings.outboxes) / "manifest.json"
    told = json.loads(manifest.read_text("utf-8"))
    manifest.write_text(json.dumps(told | {"stage1_key": "0123456789abcdef"}), "utf-8")
    hub = world.hub()
    receive.announce(hub)
    with pytest.raises(KeyRefused):
        receive.receive(hub, DELIVERY)
    found = world.deliveries[str(DELIVERY)]
    assert found["state"] == "rejected"
    assert found["reason"].startswith("stage1_key")
    assert found["rows_published"] == 0
    assert not world.settings.lake.exists()


def test_a_key_file_that_is_not_the_registered_one_is_refused(small: Callable[..., World], tmp_path: Path) -> None:
    world = small()
    keys.generate(tmp_path / "keys")
    (world.settings.root / "keys").unlink()
    (world.settings.root / "keys").symlink_to(tmp_path / "keys")
    with pytest.raises(KeyRefused):
        initialise(world.hub())


@pytest.fixture(scope="module")
def sealed(spark_hub: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that was written with the right lake key."""
    where = tmp_path_factory.mktemp("sealed") / "table"
    spark = session.connect(spark_hub)
    spark.range(3).write.format("delta").save(str(where))
    spark.stop()
    return where


@pytest.fixture(scope="module")
def other(spark_hub: Settings, sealed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The only server at this time; the shared one is started again afterwards."""
    home = tmp_path_factory.mktemp("other")
    settings = settings_like(spark_hub, home=home, spark_port=free_port())
    keys.generate(settings.keys)
    settings.logs.mkdir(parents=True)
    server.stop(spark_hub)
    try:
        start_again(settings)
        yield settings
    finally:
        server.stop(settings)
        start_again(spark_hub)


class TestAServerWithOtherKeys:
    """The hub's registry and files are sound; the Spark server was started with key files of another hub."""

    def registry(self, other: Settings, right: Settings, wrong: str | None, tmp_path: Path) -> Hub:
        """A hub on the other server whose registry holds the right keys; only ``wrong`` is not the server's."""
        hub = Hub(settings_like(other, database_url=f"sqlite:///{tmp_path / 'hub.db'}"))
        for purpose, file in FILES.items():
            path = (right if purpose == wrong else other).keys / file
            check = (
                keys.public_check_value(keys.read_public_key(path))
                if path.suffix == ".pem"
                else keys.check_value(keys.read_key(path))
            )
            db.register_key(hub.engine, f"{purpose}-1", purpose, check)
        return hub

    def test_its_own_hub_is_served(self, other: Settings, spark_hub: Settings, tmp_path: Path) -> None:
        assert self.registry(other, spark_hub, None, tmp_path).spark.range(2).count() == 2

    @pytest.mark.parametrize("wrong", list(SERVER_KEYS.values()))
    def test_each_swapped_key_is_refused(
        self, other: Settings, spark_hub: Settings, wrong: str, tmp_path: Path
    ) -> None:
        name = next(k for k, v in SERVER_KEYS.items() if v == wrong)
        with pytest.raises(KeyRefused, match=f"key {name} is not the registered one") as refused:
            _ = self.registry(other, spark_hub, wrong, tmp_path).spark
        assert refused.value.reason == "key_other"

    def test_a_step_stops_before_it_reads(
        self, other: Settings, spark_hub: Settings, small: Callable[..., World]
    ) -> None:
        world = small("pmsi_mco")
        receive.announce(world.hub())
        receive.receive(world.hub(), DELIVERY)
        before = received(world)
        # the same home and registry, the other server's port and token
        linked = world.settings.root / "keys"
        linked.unlink()
        linked.symlink_to(other.keys)
        with pytest.raises(KeyRefused):
            stage.stage(Hub(settings_like(world.settings, spark_port=other.spark_port)), DELIVERY)
        assert received(world) == before
        assert world.deliveries[str(DELIVERY)]["state"] == "pulled"

    def test_the_lake_cannot_be_read_with_another_lake_key(self, other: Settings, sealed: Path) -> None:
        spark = session.connect(other)
        with pytest.raises(KeyRefused), session.safely("read"):
            spark.read.format("delta").load(str(sealed)).collect()

    @pytest.mark.parametrize("file", ["hub/landing.pem", "workers/spark.token"])
    def test_a_missing_key_file_is_refused(
        self, other: Settings, spark_hub: Settings, file: str, tmp_path: Path
    ) -> None:
        hub, path = self.registry(other, spark_hub, None, tmp_path), other.keys / file
        away = path.rename(other.root / "away")
        try:
            with pytest.raises(KeyRefused):
                _ = hub.spark
        finally:
            away.rename(path)

    def test_a_key_that_was_never_registered_is_refused(self, other: Settings) -> None:
        with pytest.raises(KeyRefused, match="No key is registered"):
            _ = Hub(other).spark
