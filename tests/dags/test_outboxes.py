"""Connections that say where a source delivers, through Airflow's own way of finding connections."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from dags.lib import outboxes
from jobs.delivery import DeliveryId
from jobs.errors import ConfigError
from jobs.intake.connectors import FolderOutbox
from jobs.settings import Settings

SOURCES = ("dcir", "ville")


def connect(monkeypatch: pytest.MonkeyPatch, source: str, kind: str, **extra: str) -> None:
    value = json.dumps({"conn_type": kind, "extra": extra})
    monkeypatch.setenv(f"AIRFLOW_CONN_{outboxes.connection_id(source).upper()}", value)


def test_a_source_without_a_connection_stays_where_it_was(dags_folder: Path) -> None:
    assert outboxes.folders_of(SOURCES) == {}
    assert outboxes.environment(SOURCES) == {}


def test_a_command_learns_the_folder_of_a_connection(
    dags_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, "ville", "fs", path=str(tmp_path))
    assert asyncio.run(outboxes.usable_folders(SOURCES)) == {"ville": tmp_path}
    monkeypatch.setenv("HUB_OUTBOX", json.dumps({"dcir": "/srv/dcir", "ville": "/srv/ville"}))
    monkeypatch.setenv("HUB_OUTBOX", outboxes.environment(SOURCES)["HUB_OUTBOX"])
    assert Settings().outbox == {"dcir": Path("/srv/dcir"), "ville": tmp_path}


@pytest.mark.parametrize(("kind", "path"), [("fs", "relative/path"), ("fs", ""), ("ssh", "/srv/ville")])
def test_a_connection_without_a_folder_turns_the_task_red(
    dags_folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, path: str
) -> None:
    connect(monkeypatch, "ville", kind, path=path)
    with pytest.raises(ConfigError, match="outbox_ville"):
        outboxes.environment(SOURCES)
    assert asyncio.run(outboxes.usable_folders(SOURCES)) == {}, "the watcher goes on for the others"


def test_a_source_is_looked_for_in_one_place_only(tmp_path: Path) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    for folder in (shared / "ville/2024-01/v1", shared / "dcir/2024-01/v1", own / "ville/2024-02/v1",
                   own / "dcir/2024-02/v1"):  # fmt: skip
        folder.mkdir(parents=True)
    outbox = FolderOutbox(shared, {"ville": own})
    assert list(map(str, outbox.deliveries())) == ["dcir/2024-01/v1", "ville/2024-02/v1"]
    assert outbox.where(DeliveryId("ville", "2024-02", 1)) == str(own / "ville/2024-02/v1")
