"""``hub demo``: a whole hub with a synthetic population."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli import home

app = typer.Typer(help="A whole hub with a synthetic population, from deliveries to the catalogue, run by Airflow.")


@app.command()
def demo(
    persons: Annotated[int, typer.Option(min=100, help="Persons of the synthetic population.")] = 5000,
    months: Annotated[int, typer.Option(min=1, max=60, help="Months that are delivered, from 2024-01.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same persons.")] = 42,
    headless: Annotated[
        bool, typer.Option("--headless", help="End after the books; exit status 0 only if all is as it should be.")
    ] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep/--fresh", help="Keep what an earlier demo made; a fresh demo empties its home first."),
    ] = False,
    minutes: Annotated[float, typer.Option(help="Give up watching after so many minutes.")] = 60.0,
) -> None:
    """Make deliveries of a synthetic French population, start the hub, and watch Airflow take them in.

    Ends with the books of every delivery, the release and the addresses; then serves until Ctrl-C, which stops
    everything. Everything lies under HUB_HOME; only a home that a demo made is ever emptied.
    """
    from jobs.serve.demo import Demo, run

    status = run(home.settings(), Demo(persons, months, seed), headless=headless, keep=keep, minutes=minutes)
    raise typer.Exit(status)
