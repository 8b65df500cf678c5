"""``hub synth``: a seeded synthetic French population and its deliveries."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from jobs.cli import home, show
from jobs.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="A seeded synthetic French population and its deliveries.",
)


@app.command()
def generate(
    persons: Annotated[int, typer.Option(help="Size of the population.")] = 5000,
    months: Annotated[int, typer.Option(help="Number of months.")] = 3,
    first_month: Annotated[str, typer.Option(help="First month, YYYY-MM.")] = "2024-01",
    seed: Annotated[int, typer.Option(min=0, help="The same seed and key give the same files.")] = 42,
    with_faults: Annotated[bool, typer.Option("--with-faults/--no-faults", help="Plant the demo's faults.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Write deliveries of all sources into the outboxes, and what to expect of them into synthetic/."""
    from jobs.contributors.synthetic.generate import Parameters
    from jobs.contributors.synthetic.generate import generate as make

    parameters = Parameters(persons, months, first_month, seed, with_faults)
    report = make(home.settings().root, parameters, _bar if sys.stderr.isatty() else None)
    if as_json:
        entries = _summary(report.expected)
        show.line({"seconds": round(report.seconds, 2), "rows": report.rows, "deliveries": entries})
        return
    made = [{**entry, "delivery": entry["id"], "rows": entry["rows_in"]} for entry in report.expected]
    show.table(made, ("delivery", "rows", "state", "reason", "faults"), empty="", as_json=False)
    rows = sum(report.rows.values())
    typer.echo(f"{persons:,} persons, {months} months, {rows:,} rows in {report.seconds:.1f} s.")


@app.command()
def expected(
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole list as JSON.")] = False,
) -> None:
    """What should become of each synthetic delivery: state, reason, books."""
    path = home.settings().root / "synthetic" / "expected.json"
    if not path.exists():
        raise ConfigError(
            "No synthetic deliveries here.", reason="nothing_generated", next_step="run `hub synth generate`"
        )
    entries = json.loads(path.read_text("utf-8"))
    if as_json:
        show.line(entries)
        return
    for entry in entries:
        typer.echo(f"{entry['id']:24} {entry['state']:10} {entry['rows_in']:>9,} rows {entry['reason'] or ''}")


def _summary(entries: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{k: e[k] for k in ("id", "state", "reason", "faults", "rows_in")} for e in entries]


def _bar(what: str, done: int, total: int) -> None:
    width = 30
    filled = width * done // total
    typer.echo(f"\r[{'#' * filled}{'.' * (width - filled)}] {done}/{total} {what:24}", nl=done == total, err=True)
