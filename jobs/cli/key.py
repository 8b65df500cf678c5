"""``hub key``: key files by custody, and the registry that tells a right key from a wrong one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from jobs.cli import home, show

app = typer.Typer(no_args_is_help=True, help="Keys: make them, register them, compare them with the registry.")


class Keeper(StrEnum):
    """Who keeps private keys."""

    HUB = "hub"
    STEWARD = "steward"
    CONTRIBUTORS = "contributors"


@app.command()
def init(
    keeper: Annotated[list[Keeper] | None, typer.Option(help="Only this keeper's keys; may be repeated.")] = None,
) -> None:
    """Make the keys that are missing, and register them. Never overwrites a key."""
    from jobs.serve.custody import initialise

    show.line(initialise(home.hub(), tuple(keeper or Keeper)))


@app.command()
def register(
    purpose: Annotated[str, typer.Option(help="stage1, stage2, lake, landing or quarantine.")],
    key_id: Annotated[str, typer.Option(help="Name of the key, as in stage1-2026.")],
    check_value: Annotated[str, typer.Option(help="16 hexadecimal characters that its keeper tells.")],
) -> None:
    """Register a key by its check value, as its keeper tells it: the hub never sees the contributors' key."""
    from catalogue import db

    db.register_key(home.hub().engine, key_id, purpose, check_value)
    show.line({"key": key_id, "purpose": purpose})


@app.command("list")
def list_(json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False) -> None:
    """The registered keys: check values only."""
    from catalogue import db

    hub = home.hub(reads=True)
    rows = db.list_keys(hub.engine)
    columns = ("key_id", "purpose", "check_value", "registered_at")
    show.table(rows, columns, empty=f"No key is registered yet in {hub.settings.root}: `hub key init`.", as_json=json)


@app.command()
def check() -> None:
    """Compare the Spark server's keys with the registry. Exit 15 when one is wrong."""
    from jobs.hub import SERVER_KEYS

    _ = home.hub(reads=True).spark
    show.line({"checked": list(SERVER_KEYS)})
