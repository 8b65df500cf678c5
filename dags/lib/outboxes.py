"""The folder to which a source delivers, when an Airflow connection says so: ``outbox_<source>``, of the type File."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from jobs.errors import ConfigError
from jobs.settings import Settings


def connection_id(source: str) -> str:
    """Name of the connection of a source."""
    return f"outbox_{source}"


def folder(source: str, connection: Any) -> Path:
    """The folder that a connection names. Raises ``ConfigError`` when it names none."""
    path = Path(str(connection.extra_dejson.get("path") or ""))
    if connection.conn_type != "fs" or not path.is_absolute():
        raise ConfigError(
            f"The Airflow connection {connection_id(source)} names no folder.",
            next_step="give it the type File (path) and an absolute path, or delete it; then clear the task",
        )
    return path


def folders_of(sources: Iterable[str]) -> dict[str, Path]:
    """Source -> folder, for the sources that have a connection; for a task. Raises ``ConfigError``."""
    folders = {}
    for source in sources:
        try:
            folders[source] = folder(source, BaseHook.get_connection(connection_id(source)))
        except AirflowNotFoundException:
            continue
    return folders


async def usable_folders(sources: Iterable[str]) -> dict[str, Path]:
    """The same for a watcher, which passes over a connection that names no folder: the task says what is wrong."""
    folders = {}
    for source in sources:
        try:
            folders[source] = folder(source, await BaseHook.aget_connection(connection_id(source)))
        except (AirflowNotFoundException, ConfigError):
            continue
    return folders


def environment(sources: Iterable[str]) -> Mapping[str, str]:
    """Environment that tells a command what the connections say; empty when there is none. Raises ``ConfigError``."""
    folders = folders_of(sources)
    known = Settings().outbox | folders
    return {"HUB_OUTBOX": json.dumps({s: str(path) for s, path in known.items()})} if folders else {}
