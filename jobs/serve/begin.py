"""A hub of one's own: its commented configuration, its folders, its keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from jobs.errors import ConfigError
from jobs.serve import demo, servers
from jobs.settings import FILE, NOT_IN_FILE, Settings

HEAD = f"""\
# The configuration of this hub. Every setting stands here with its default, switched off: take the "# " before a
# line away to change it. A variable HUB_<SETTING> of the environment wins over this file. The hub finds the file by
# HUB_HOME, the folder that it lies in. Servers read it when they start: `hub up --stop`, then `hub up`.
# `hub init --show` prints this text for the version that is installed. The name of the file is {FILE}.
"""


EMPTY: tuple[Any, ...] = (None, {}, ())
"""Defaults that say nothing: an example stands there instead."""


def configuration() -> str:
    """The text of a new ``hub.toml``: each setting with its meaning and its default, or an example, commented out."""
    fields = {name: field for name, field in Settings.model_fields.items() if name not in NOT_IN_FILE}
    # TOML: a table ends what stands before it, so tables come last
    plain = [_entry(name, field) for name, field in fields.items() if not isinstance(field.default, dict)]
    tables = [_entry(name, field) for name, field in fields.items() if isinstance(field.default, dict)]
    return "\n".join([HEAD, *plain, *tables])


def _entry(name: str, field: FieldInfo) -> str:
    meaning = [f"## {line}".rstrip() for line in (field.description or "").replace("``", "").splitlines()]
    value = field.default if field.default not in EMPTY else (field.examples or [None])[0]
    if isinstance(value, dict):
        lines = [f"# [{name}]", *(f"# {key} = {_toml(inner)}" for key, inner in value.items())]
    else:
        lines = [f"# {name} = {_toml(value)}"]
    example = [] if field.default not in EMPTY else ["## Not set by default; for example:"]
    return "\n".join([*meaning, *example, *lines]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def begin(settings: Settings) -> tuple[Path, list[str]]:
    """Writes ``hub.toml`` into the home, then makes folders, hub database and keys. The file, and the keys it made.

    Raises ``ConfigError`` when there is a ``hub.toml`` already, or when the home holds a demo.
    """
    path = settings.root / FILE
    if demo.mark(settings).exists():
        raise ConfigError(
            f"{settings.root} holds a demo.", reason="home_taken", next_step="set HUB_HOME to another folder"
        )
    settings.root.mkdir(parents=True, exist_ok=True)
    try:
        # it may come to hold the password of a database
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{path} is there already; nothing was changed.", reason="home_taken", next_step="change it by hand"
        ) from None
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(configuration())
    return path, servers.prepare(settings)
