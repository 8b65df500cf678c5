"""``hub init``: a hub of one's own."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli import home, show

app = typer.Typer(help="A hub of one's own: its commented configuration, folders and fresh keys, without demo data.")


@app.command()
def init(
    print_only: Annotated[
        bool, typer.Option("--show", help="Print the commented configuration, and change nothing.")
    ] = False,
) -> None:
    """Write HUB_HOME/hub.toml with every setting explained, and make folders, database and keys that are missing.

    Refuses when the home has a hub.toml already or holds a demo; no key is ever overwritten.
    """
    from jobs.serve import begin

    if print_only:
        typer.echo(begin.configuration(), nl=False)
        return
    settings = home.settings()
    path, made = begin.begin(settings)
    show.say(f"Configuration  {path}")
    show.say(f"Keys           {settings.keys} ({len(made)} made). Give each folder to its keeper:")
    show.say("               contributors/ to who makes stage-1 pseudonyms, steward/ to the data stewards,")
    show.say("               hub/ to the Spark server alone. Without a copy of them the lake cannot be read again.")
    show.say(f"Outboxes       {settings.outboxes}")
    show.say("Next: read the configuration, then `hub up`.")
