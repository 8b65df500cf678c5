"""``hub warm``: the warm parent, which forks commands instead of letting each import for seconds."""

from __future__ import annotations

import importlib
import pkgutil
import runpy
import sys
import sysconfig
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli import NOUNS, home, loaded, show
from jobs.errors import ConfigError
from jobs.warm import client, parent
from jobs.warm.code import Code
from schemas.loader import load_omop, load_tables, omop_names, source_names

app = typer.Typer(no_args_is_help=True, help="The warm parent of Airflow's commands: serve, status.")

ROOMS = (
    "jobs.alerts",
    "jobs.disclosure",
    "jobs.harmonise",
    "jobs.hub",
    "jobs.intake",
    "jobs.lake",
    "jobs.quality",
    "jobs.rows",
    "jobs.sources",
    "jobs.steps",
    "catalogue.db",
)
"""What commands of Airflow's tasks are made of: every module of these rooms is loaded."""
LIBRARIES = (
    "great_expectations",
    "grpc",
    "pandas",
    "psycopg",
    "pyspark.sql.connect.session",
    "sqlalchemy.dialects.sqlite",
)
"""What these import inside their functions."""
CODE = ("jobs", "schemas", "expectations", "catalogue")


@app.command()
def serve() -> None:
    """Load what commands load, then fork one child for each command, in the foreground until TERM.

    Begins anew when the code or the Python environment has changed. `hub up` and `hub demo` keep one up.
    """
    settings = home.settings()
    settings.run.mkdir(parents=True, exist_ok=True)
    try:
        parent.serve(settings.run, code(client.CODE), load, run_command)
    except FileExistsError:
        raise ConfigError(
            "A warm parent of this hub runs already.", reason="warm_runs", next_step="leave it: it serves every command"
        ) from None


@app.command()
def status(json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False) -> None:
    """Whether a warm parent answers; where none does, commands start plainly."""
    pid = client.answering(home.settings().run)
    row = {"state": "ready" if pid else "stopped", "pid": (pid if json else str(pid)) if pid else None}
    show.table([row], ("state", "pid"), empty="", as_json=json)


def code(checkout: Path) -> Code:
    """What a command is made from: the hub's own files, the lock, the installed packages."""
    packages, python = Path(sysconfig.get_path("purelib")), Path(sys.prefix) / "pyvenv.cfg"
    return Code(tuple(checkout / name for name in CODE), (checkout / "uv.lock", python, packages))


def load() -> None:
    """Imports what the commands import, and reads the contracts and rules that each would read."""
    from jobs.quality.rules import load_rules, rule_names

    for room in ROOMS:
        for module in _modules(room):
            importlib.import_module(module)
    for library in LIBRARIES:
        importlib.import_module(library)
    for noun in NOUNS.keys() - {"warm"}:
        loaded(noun)
    for source in source_names():
        load_tables(source)
    for table in omop_names():
        load_omop(table)
    for name in rule_names():
        load_rules(name)


def _modules(room: str) -> list[str]:
    """Names of a room and of all below it."""
    package = importlib.import_module(room)
    below = pkgutil.walk_packages(getattr(package, "__path__", ()), f"{room}.")
    return [room, *(m.name for m in below if ".migrations" not in m.name)]


def run_command() -> None:
    """The command that ``sys.argv`` names, as ``python -m jobs.cli`` runs it."""
    runpy.run_module("jobs.cli", run_name="__main__", alter_sys=True)
