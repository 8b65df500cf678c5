"""``hub up``: the hub without demo data."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli import home, show

app = typer.Typer(help="The hub without demo data: Spark server, Airflow, catalogue; until Ctrl-C.")


@app.command()
def up(
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop this hub, wherever `hub up` or `hub demo` runs it, and end.")
    ] = False,
) -> None:
    """Start the Spark server, Airflow and the catalogue; serve until Ctrl-C, which stops everything it started.

    Makes keys and databases that are missing. Deliveries are taken in as they arrive in HUB_HOME/outboxes.
    """
    from jobs.serve import airflow, servers

    settings = home.settings()
    if stop:
        servers.end(settings)
        show.say("Stopped.")
        return
    servers.require_stopped(settings)
    if made := servers.prepare(settings):
        show.say(f"Made {len(made)} keys in {settings.keys}")
    with servers.running(settings, show.say):
        for line in servers.addresses(settings):
            show.say(line)
        show.say(f"Users      {', '.join(airflow.USERS)}; passwords in {airflow.passwords_file(settings)}")
        show.say(f"Outboxes   {settings.outboxes}")
        show.say("Ctrl-C stops everything.")
        servers.serve(settings, show.say)
