"""``hub release``: which version of every table readers see."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.cli import home, show
from jobs.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Releases: which version of every table readers see.")

Json = Annotated[bool, typer.Option("--json", help=show.JSON_HELP)]


@app.command("list")
def list_(json: Json = False) -> None:
    """Every release, newest first: id, at, build, tables and deliveries."""
    from catalogue import db

    hub = home.hub(reads=True)
    releases = db.list_releases(hub.engine)
    rows = [_record(r) for r in releases]
    if not json:
        rows = [asdict(r) | {"tables": len(r.tables), "deliveries": len(r.deliveries)} for r in releases]
    columns = ("id", "at", "build", "tables", "deliveries", "added")
    show.table(rows, columns, empty=_none_yet(hub.settings.root), as_json=json)


@app.command("show")
def show_(
    number: Annotated[int | None, typer.Argument(help="Release; the current one by default.")] = None,
    json: Json = False,
) -> None:
    """One release: the Delta version of every table, and the deliveries it holds."""
    from catalogue import db

    hub = home.hub(reads=True)
    release = db.current_release(hub.engine) if number is None else db.get_release(hub.engine, number)
    if release is None and db.current_release(hub.engine) is None:
        raise ConfigError(_none_yet(hub.settings.root))
    if release is None:
        where = hub.settings.root
        raise ConfigError(f"There is no release {number} in {where}.", next_step="`hub release list` shows all")
    if json:
        show.line(_record(release))
        return
    show.say(f"Release {release.id} of {release.at:%Y-%m-%d %H:%M} UTC, from {release.build}")
    tables: list[dict[str, Any]] = [{"table": t, "delta_version": v} for t, v in release.tables.items()]
    show.table(tables, ("table", "delta_version"), empty="It holds no table.", as_json=False)
    deliveries = [{"delivery": d, "new": "new" if d in release.added else ""} for d in release.deliveries]
    show.table(deliveries, ("delivery", "new"), empty="It holds no delivery.", as_json=False)
    show.say(f"What its build left out, and why: hub omop show {release.build.removeprefix('build/')}")


def _none_yet(home: Path) -> str:
    return f"There is no release yet in {home}: `hub omop build` starts one."


def _record(release: Any) -> dict[str, Any]:
    fields = asdict(release)
    return {
        **fields,
        "at": release.at.isoformat(),
        "deliveries": list(release.deliveries),
        "added": list(release.added),
    }
