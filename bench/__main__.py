"""``hub bench``: what the hub costs, beside other engines and step by step. The code lies in ``bench/``."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from jobs.cli import BESIDE, home, run, show
from jobs.errors import ConfigError

app = typer.Typer(
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help=BESIDE["bench"],
)

Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same data.")]
Tell = Callable[[str], None]
Json = Annotated[bool, typer.Option("--json", help=show.JSON_HELP)]


@app.command()
def ingest(
    rows: Annotated[str, typer.Option(help="Lines of ER_PRS_F; several sizes with commas.")] = "5000000",
    rounds: Annotated[int, typer.Option(min=1, help="Measured rounds, after one warm-up.")] = 3,
    seed: Seed = 42,
    again: Annotated[bool, typer.Option("--again/--missing", help="Measure sizes that have figures too.")] = True,
    json: Json = False,
) -> None:
    """The hub's pull, stage, gate and publish against DuckDB and Polars, interleaved; equal results or an error.

    Writes bench/RESULTS.md. Takes the machine for itself: run it when nothing else runs.
    """
    _begin()
    from bench import ingest as bench
    from bench import report

    def run(size: int, tell: Tell) -> dict[str, Any]:
        return bench.run(home.settings(), size, rounds, seed, tell=tell)

    _measure("ingest", rows, "lines", run, report.ingest, again=again, as_json=json)


@app.command()
def pipeline(
    persons: Annotated[
        str, typer.Option(help="Persons of the population; several sizes with commas.")
    ] = "5000,20000,50000",
    airflow: Annotated[bool, typer.Option("--airflow/--no-airflow", help="Then the same by Airflow.")] = True,
    minutes: Annotated[float, typer.Option(help="Give up waiting for Airflow after so many minutes.")] = 120.0,
    seed: Seed = 42,
    again: Annotated[bool, typer.Option("--again/--missing", help="Measure sizes that have figures too.")] = True,
    json: Json = False,
) -> None:
    """From deliveries to a described release, each step by hand, then all of it by Airflow.

    Writes bench/RESULTS.md. Takes the machine for itself: run it when nothing else runs.
    """
    _begin()
    from bench import pipeline as bench
    from bench.report_pipeline import pipeline as words

    def run(size: int, tell: Tell) -> dict[str, Any]:
        return bench.run(home.settings(), size, seed, by_airflow=airflow, minutes=minutes, tell=tell)

    _measure("pipeline", persons, "persons", run, words, again=again, as_json=json)


def _measure(
    kind: str,
    sizes: str,
    unit: str,
    run: Callable[[int, Tell], dict[str, Any]],
    words: Callable[[dict[str, Any]], list[str]],
    *,
    again: bool,
    as_json: bool,
) -> None:
    """Measures the ``sizes`` that have no figures yet, or all of them ``again``; saves and prints their figures."""
    from bench import report

    tell = _clock()
    for size in _numbers(sizes):
        if not again and (file := report.file_of(kind, size)):
            tell(f"{size:,} {unit} have figures: {file}")
            continue
        figures = run(size, tell)
        tell(f"{size:,} {unit}: written to {report.save(kind, size, figures)}")
        if as_json:
            show.line(figures)
        else:
            typer.echo("\n\n".join(words(figures)))


def _begin() -> None:
    """Ends as after Ctrl-C when it is told to end: servers are stopped. Refuses where the bench is not installed."""
    if missing := [name for name in ("bench", "duckdb", "deltalake", "polars") if find_spec(name) is None]:
        raise ConfigError(f"Not installed: {', '.join(missing)}.", next_step="run ./hub bench from a checkout")
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _numbers(text: str) -> list[int]:
    try:
        sizes = [int(part.replace("_", "")) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 500:
        raise ConfigError("Sizes are whole numbers of at least 500, with commas.", reason="bad_option")
    return sizes


def _clock() -> Tell:
    begin = time.monotonic()

    def tell(text: str) -> None:
        show.say(f"{time.monotonic() - begin:6.0f} s  {text}")

    return tell


if __name__ == "__main__":
    run(app, "hub bench")
