"""``hub lake``: what is in the lake, and aggregate questions to it."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli import home, show

app = typer.Typer(no_args_is_help=True, help="The lake: what is in it, and aggregate questions to it.")


@app.command("show")
def show_(json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False) -> None:
    """Every table with its rows, Delta version and bytes."""
    from jobs.lake.inventory import inventory

    hub = home.hub(reads=True)
    rows = inventory(hub)
    empty = f"Nothing is in the lake of {hub.settings.root} yet: `hub delivery list` says how far deliveries are."
    show.table(rows, ("table", "rows", "delta_version", "bytes"), empty=empty, as_json=json)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="SELECT with aggregates; tables by name: `dcir/er_prs_f`, omop.person.")],
    json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False,
    released: Annotated[bool, typer.Option(help="The last release; --no-released: the newest versions.")] = False,
) -> None:
    """Ask an aggregate question. Refuses to print identifiers."""
    from jobs.lake.query import ask

    rows, columns = ask(home.hub(reads=True), sql, released=released)
    # as they are: a year is not an amount
    shown = rows if json else [{k: None if v is None else str(v) for k, v in row.items()} for row in rows]
    show.table(shown, columns, empty="No row answers this question.", as_json=json)


@app.command()
def maintain(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would go.")] = False,
    json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False,
) -> None:
    """Remove files that no reader can reach any more: what was replaced over a week ago, what builds left behind."""
    from jobs.steps.maintain import maintain as step

    hub = home.hub(reads=not yes)
    rows = step(hub, lambda table: None if json else show.say(f"{table}: looked at"), yes=yes)
    empty = f"Nothing of the lake of {hub.settings.root} can go."
    show.table(rows, ("table", "files", "bytes", "checkpoint"), empty=empty, as_json=json)
    if rows and not yes:
        show.say("Nothing was changed: repeat with --yes to remove these files.")
