"""One small hub that took in everything the generator makes, and empty hubs beside it on the same Spark server.

``world`` is driven once, in this process, step by step as Airflow's tasks do it. ``small`` are empty hubs with two
months of sound deliveries in their outboxes: tests damage them as they like. All share one Spark server and its keys.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from jobs.delivery import Subject
from jobs.errors import HubError
from jobs.hub import Hub
from jobs.settings import Settings

PERSONS, MONTHS = 600, 2


@dataclass
class World:
    """A hub and what its steps answered; ``errors`` by delivery and step."""

    settings: Settings
    answers: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    errors: dict[str, HubError] = field(default_factory=dict)

    def hub(self) -> Hub:
        """Opened anew, as a task does."""
        return Hub(self.settings)

    def read(self, name: str) -> Any:
        """What the generator left under ``synthetic/``: expected, truth."""
        return json.loads((self.settings.root / "synthetic" / f"{name}.json").read_text("utf-8"))

    @property
    def deliveries(self) -> dict[str, dict[str, Any]]:
        from catalogue import db

        return {d["id"]: d for d in db.list_deliveries(self.hub().engine)}

    def versions(self) -> dict[str, int]:
        """The Delta version of every table, read from the file names of its log."""
        found = {}
        for log in sorted(self.settings.lake.rglob("_delta_log")):
            numbers = [int(p.stem) for p in log.glob("*.json")]
            found[str(log.parent.relative_to(self.settings.lake))] = max(numbers)
        return found


def take_in(world: World, hub: Hub | None = None) -> None:
    """Announces, pulls, stages, gates and publishes until no outbox has anything new."""
    from jobs.steps import gate, publish, receive, stage

    hub = hub or world.hub()
    while new := receive.announce(hub):
        for found in new:
            delivery = receive.choose(hub, found["source"], found["period"])
            try:
                answer = receive.receive(hub, delivery)
                if answer["next"] == "stop":
                    continue
                stage.stage(hub, delivery)
                judged = gate.gate(hub, Subject(delivery))
                if judged["verdict"] == "passed":
                    world.answers.append((str(delivery), publish.publish(hub, delivery)))
            except HubError as error:
                world.errors[str(delivery)] = error


def build_and_release(world: World, hub: Hub | None = None) -> dict[str, Any]:
    """Builds, gates and releases what is published and not released yet; the release's answer."""
    from jobs.steps import build, gate, release

    hub = hub or world.hub()
    built = build.build(hub)
    if built["next"] == "stop":
        return built
    answer = gate.gate(hub, Subject(build=built["build"]))
    assert answer["verdict"] == "passed", answer["failed_rules"]
    return release.release(hub, built["build"])


def describe(hub: Hub) -> dict[str, int]:
    """Makes the figures of the current release."""
    from catalogue import db
    from jobs.lake import tables as lake
    from jobs.lake.layout import table_path
    from jobs.steps.describe import describe as figures

    release = db.current_release(hub.engine)
    assert release
    return figures(
        hub.engine,
        release.id,
        lambda name: lake.read(hub.spark, table_path(hub.settings.lake, name), release.tables[name]),
    )


@pytest.fixture(scope="session")
def world(spark_hub: Settings) -> World:
    """A hub that was driven to its end once: 600 persons, 2 months, all planted faults, one release."""
    from jobs.contributors.synthetic.generate import Parameters, generate
    from jobs.serve.custody import initialise
    from jobs.spark import selftest

    made = World(spark_hub)
    generate(spark_hub.root, Parameters(persons=PERSONS, months=MONTHS))
    hub = made.hub()
    initialise(hub)
    selftest.prove_encrypted(hub.spark, spark_hub)
    take_in(made, hub)
    made.answers.append(("release", build_and_release(made, hub)))
    made.answers.append(("describe", describe(hub)))
    return made


def settings_like(settings: Settings, **changed: Any) -> Settings:
    """The same settings with some changed; nothing that was worked out from the old ones comes along."""
    return Settings(**(settings.model_dump() | changed))


def start_again(settings: Settings) -> None:
    """Starts a stopped server and waits for it. This process forgets its sessions: pyspark would go on asking the first
    one it made, which the new server does not know (a task is a process of its own and never outlives its server)."""
    from pyspark.sql.connect.session import SparkSession

    from jobs.spark import server

    SparkSession._default_session, SparkSession._active_session = None, threading.local()
    server.start(settings)
    server.wait(settings)


def copy_of(world: World, home: Path) -> World:
    """A hub of its own with all that the world's hub holds; it uses the same server and keys."""
    ignored = shutil.ignore_patterns("keys", "run", "logs", "agents", "*.lock")
    shutil.copytree(world.settings.root, home, ignore=ignored)
    (home / "keys").symlink_to(world.settings.keys)
    return World(settings_like(world.settings, home=home))


@pytest.fixture(scope="session")
def sound(spark_hub: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of sound deliveries of few persons, in the outboxes of a home that nobody drives."""
    from jobs.contributors.synthetic.generate import Parameters, generate

    home = tmp_path_factory.mktemp("sound")
    (home / "keys").symlink_to(spark_hub.keys)
    generate(home, Parameters(persons=300, months=2, with_faults=False))
    return home


@pytest.fixture
def small(spark_hub: Settings, sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., World]:
    """Makes an empty hub with the sound deliveries of these sources in its outboxes, on the shared server."""
    from jobs.serve.custody import initialise

    def make(*sources: str, registered: bool = True) -> World:
        home = tmp_path_factory.mktemp("small")
        (home / "keys").symlink_to(spark_hub.keys)
        for source in sources:
            shutil.copytree(sound / "outboxes" / source, home / "outboxes" / source)
        made = World(settings_like(spark_hub, home=home))
        if registered:
            initialise(made.hub())
        return made

    return make
