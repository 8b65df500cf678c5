"""``hub spark``: the one warm Spark server."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli import show

app = typer.Typer(no_args_is_help=True, help="The Spark server: start, stop, status.")


@app.command()
def start() -> None:
    """Start the server and wait until it answers and its files are encrypted."""
    from jobs.settings import Settings
    from jobs.spark import selftest, server
    from jobs.spark.session import connect

    settings = Settings()
    pid = server.start(settings)
    server.wait(settings)
    selftest.prove_encrypted(connect(settings), settings)
    show.line({"pid": pid, "port": settings.spark_port, "state": "ready"})


@app.command()
def stop() -> None:
    """Stop the server."""
    from jobs.settings import Settings
    from jobs.spark import server

    server.stop(Settings())
    show.line({"state": "stopped"})


@app.command()
def status(json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False) -> None:
    """Whether the server runs."""
    from jobs.settings import Settings
    from jobs.spark import server

    settings = Settings()
    state = "ready" if server.ready(settings) else "starting" if server.running(settings) else "stopped"
    row = {"state": state, "pid": server.running(settings), "port": settings.spark_port}
    show.table([row], ("state", "pid", "port"), empty="", as_json=json)
