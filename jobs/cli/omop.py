"""``hub omop``: build the OMOP tables, judge them, release them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from jobs.cli import home, show
from jobs.delivery import Subject

app = typer.Typer(no_args_is_help=True, help="OMOP tables: build them, judge them, release them.")
Build = Annotated[int, typer.Argument(help="Number of the build.")]


@app.command()
def build(
    again: Annotated[
        bool, typer.Option(help="Build all that is published anew, as after a change of the maps.")
    ] = False,
) -> None:
    """Build everything that is published and in no release yet."""
    from jobs.steps.build import build as step

    show.line(step(home.hub(), lambda t: show.say(f"build: {t}"), again=again))


@app.command("show")
def show_(number: Build, json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False) -> None:
    """One build: what it brings in, and what its sources' filters and the harmonisation left out, and why."""
    from catalogue import db

    engine = home.hub(reads=True).engine
    deliveries = db.build_deliveries(engine, number)
    books, losses = db.filter_books(engine, number), db.build_losses(engine, number)
    if json:
        show.line({"build": number, "deliveries": deliveries, "filtered": books, "losses": losses})
        return
    show.say(f"Build {number} brings in {', '.join(deliveries)}.")
    sums = [{**b, "left_out": {reason["filter"]: reason["rows"] for reason in b["left_out"]}} for b in books]
    show.table(sums, ("table", "period", "rows", "stay", "left_out"), empty="It filtered no row.", as_json=False)
    show.table(reasons(books), ("table", "filter", "rows", "why"), empty="Its filters left out no row.", as_json=False)
    said = [{**loss, "why": loss["why"]["en"]} for loss in losses]
    columns = ("source", "period", "kind", "rows", "why")
    show.table(said, columns, empty="Every event reaches a table, with all its values.", as_json=False)


def reasons(books: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per table and filter over all periods: ``table, filter, rows, why``."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for book in books:
        for reason in book["left_out"]:
            at = book["table"], reason["filter"]
            row = {"table": at[0], "filter": at[1], "rows": 0, "why": reason["why"]["en"]}
            rows.setdefault(at, row)["rows"] += reason["rows"]
    return list(rows.values())


@app.command()
def gate(number: Build) -> None:
    """Judge a staged build. Exit 12 when it is refused, 13 when it could not be judged."""
    from jobs.steps.gate import gate as step

    show.line(step(home.hub(), Subject(build=number)))


@app.command()
def decide(
    number: Build,
    decision: Annotated[str, typer.Option(help="approve or reject.")],
    who: Annotated[str, typer.Option(help="Name of the steward.")],
    reason: Annotated[str, typer.Option(help="Why, in one sentence.")],
    at: Annotated[datetime | None, typer.Option(help="When it was decided; now by default.")] = None,
) -> None:
    """Record a steward's decision on a build with warnings."""
    from jobs.steps.gate import decide as step

    when = at.replace(tzinfo=at.tzinfo or UTC) if at else None
    show.line(step(home.hub(), Subject(build=number), decision, who, reason, when))


@app.command()
def release(number: Build) -> None:
    """Make a build that passed its gate visible to readers, all tables at once."""
    from jobs.steps.release import release as step

    show.line(step(home.hub(), number, lambda t: show.say(f"release {number}: {t}")))
