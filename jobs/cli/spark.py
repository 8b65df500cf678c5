"""``hub spark``: the one warm Spark server."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli import home, show
from jobs.errors import ServerUnavailable

app = typer.Typer(no_args_is_help=True, help="The Spark server: start, stop, status.")


@app.command()
def start() -> None:
    """Start the server and wait until it answers and its files are encrypted; it is stopped when they are not.

    A server that is there and does not answer is stopped first.
    """
    from jobs.spark import health, selftest, server
    from jobs.spark.session import connect

    settings = home.settings()
    if server.running(settings) and health.state(settings) == "hung":
        show.say("The Spark server does not answer: it is stopped and started again.")
        server.stop(settings)
    pid = server.start(settings)
    server.wait(settings)
    try:
        selftest.prove_encrypted(connect(settings), settings)
    except BaseException:
        server.stop(settings)
        raise
    show.line({"pid": pid, "port": settings.spark_port, "state": "ready"})


@app.command()
def serve() -> None:
    """Run the server in the foreground until TERM, as a container does; ends when its files are not encrypted."""
    from jobs.spark import selftest, server
    from jobs.spark.session import connect

    settings = home.settings()

    def prove() -> None:
        selftest.prove_encrypted(connect(settings), settings)
        server.mark_proved(settings)
        show.line({"port": settings.spark_port, "state": "ready"})

    raise SystemExit(server.serve(settings, prove))


@app.command()
def stop() -> None:
    """Stop the server."""
    from jobs.spark import server

    server.stop(home.settings())
    show.line({"state": "stopped"})


@app.command()
def status(
    proved: Annotated[bool, typer.Option("--proved", help="Exit 18 unless `serve` saw that it encrypts.")] = False,
    json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False,
) -> None:
    """Whether the server is ready (it did a small job), busy (its cores are taken), hung, starting or stopped."""
    from jobs.hub import no_hub
    from jobs.spark import health, server

    settings = home.settings()
    if not settings.root.is_dir():
        raise no_hub(settings)
    state = health.state(settings)
    if proved and not (state in ("ready", "busy") and server.proved(settings)):
        raise ServerUnavailable(f"The Spark server is {state}, not proved.", next_step="wait, or read its log")
    numbers = {"pid": server.running(settings) or None, "port": settings.spark_port}
    row = {"state": state, **(numbers if json else {k: v and str(v) for k, v in numbers.items()})}
    show.table([row], ("state", "pid", "port"), empty="", as_json=json)
