"""The ``hub`` command: nouns and verbs. Parses, calls one step, prints, and turns errors into exit codes.

Every command that a task runs prints one line of JSON at the end of standard output; all that is for people goes to
standard error. What opens a hub, and each command's step, is imported inside: ``jobs.cli.home``.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from jobs.errors import ConfigError, HubError
from schemas.names import InvalidContract

NOUNS = {
    "agent": "The contributor's own agent: makes stage-1 pseudonyms before anything leaves the practice.",
    "alert": "Alerts by webhook and mail: refusals, questions, failures, late deliveries; a test.",
    "airflow": "Airflow's components, each in the foreground, as in a container.",
    "catalogue": "The catalogue: describe a release, serve the pages.",
    "delivery": "Deliveries: announce, pull, stage, gate, publish; list them and their books.",
    "key": "Keys: make them, register them, compare them with the registry.",
    "lake": "The lake: what is in it, and aggregate questions to it.",
    "omop": "OMOP tables: build them, judge them, release them.",
    "quality": "Rules and results: check a table, list results, export suites.",
    "release": "Releases: which version of every table readers see.",
    "spark": "The Spark server: start, stop, status.",
    "synth": "A synthetic French population and its deliveries.",
    "warm": "The warm parent of Airflow's commands: serve, status.",
}
VERBS = {
    "demo": "A whole hub with a synthetic population, from deliveries to the catalogue, run by Airflow.",
    "init": "A hub of one's own: its commented configuration, folders and fresh keys, without demo data.",
    "up": "The hub without demo data: Spark server, Airflow, catalogue; until Ctrl-C.",
}

BESIDE = {
    "bench": "Measure the hub: beside other engines, and step by step.",
    "docs": "The documentation: reference pages from the code, pictures of a running demo, the site.",
    "test": "The whole test suite.",
}
"""What a checkout has besides. The script ``./hub`` runs these from their own folders, an installed hub has none."""


class Lazy(TyperGroup):
    """Knows the names of its commands; loads one's module when it is asked for: ``hub --help`` stays quick."""

    # typer carries click inside itself: its classes are taken from what it is given
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=help_) for name, help_ in {**VERBS, **NOUNS}.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in self.commands:
            self.commands[args[0]] = loaded(args[0])
        return super().resolve_command(ctx, args)


def loaded(name: str, module: str | None = None) -> Any:
    """The command of a noun or verb, its module imported (``jobs.cli.<name>`` unless another is given)."""
    app = importlib.import_module(module or f"jobs.cli.{name}").app
    app._add_completion = False  # the shell completes nothing of a command that `hub` loads when it is asked for
    command = typer.main.get_command(app)
    command.help = command.help or {**VERBS, **NOUNS}.get(name)
    return command


EPILOG = f"In a checkout, ./hub also has: {', '.join(BESIDE)}. Exit codes are in docs/reference/errors.md."

app = typer.Typer(cls=Lazy, no_args_is_help=True, pretty_exceptions_enable=False, epilog=EPILOG)


def _say_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"healthhub {version('healthhub')}\n")
        raise typer.Exit


@app.callback()
def hub(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Say the version and exit.")
    ] = False,
) -> None:
    """A national health data hub: deliveries in, pseudonymised OMOP in a Delta lake out, described in a catalogue."""


def main() -> None:
    """Entry point of ``hub``."""
    run(app, "hub")


def run(commands: typer.Typer, name: str) -> None:
    """Runs commands under a name: one line for an error, its exit code, never a traceback that could quote data."""
    try:
        commands(prog_name=name)
    except HubError as error:
        sys.stderr.write(f"hub: {error.reason}: {error}\n")
        raise SystemExit(error.exit_code) from None
    except InvalidContract as error:
        sys.stderr.write(f"hub: contract: {error} Next: correct the file.\n")
        raise SystemExit(ConfigError.exit_code) from None
    except Exception as error:
        sys.stderr.write(f"hub: fault: {type(error).__name__} at {place_of(error)}. Next: please report this line.\n")
        raise SystemExit(HubError.exit_code) from None


def place_of(error: BaseException) -> str:
    """The innermost line of the hub's own code that an error went through: ``jobs/lake/tables.py:12``."""
    code = Path(__file__).resolve().parents[2]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(code)]
    own = [f for f in frames if "site-packages" not in Path(f.filename).relative_to(code).parts]
    return f"{Path(own[-1].filename).relative_to(code)}:{own[-1].lineno}" if own else "an unknown place"
