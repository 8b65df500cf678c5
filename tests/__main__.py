"""``hub test``: style, types, then every lane of tests, the quick ones first."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Annotated

import typer

from jobs.cli import BESIDE, run, show
from jobs.settings import CHECKOUT

app = typer.Typer(
    help=BESIDE["test"], pretty_exceptions_enable=False, context_settings={"ignore_unknown_options": True}
)

STYLE = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",))
LANES = ("unit", "properties", "spark", "dags", "web", "integration", "privacy")
"""Folders of tests, cheapest first: all run in one process, so that one Spark server serves them."""


@app.callback(invoke_without_command=True)
def test(
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Paths or options of pytest; all lanes by default.")
    ] = None,
    style: Annotated[bool, typer.Option(help="Check style and types first.")] = True,
) -> None:
    """Run style checks, types and tests. Exit status 0 only when all passed."""
    begun = time.monotonic()
    failed = []
    for command in STYLE if style and not arguments else ():
        show.say(f"hub test: {' '.join(command)}")
        if subprocess.run([sys.executable, "-m", *command], cwd=CHECKOUT).returncode:
            failed.append(command[0])
    chosen = arguments or [f"tests/{lane}" for lane in LANES]
    if subprocess.run([sys.executable, "-m", "pytest", *chosen], cwd=CHECKOUT).returncode:
        failed.append("pytest")
    show.say(
        f"hub test: {time.monotonic() - begun:.0f} s, {'failed: ' + ', '.join(failed) if failed else 'all passed'}"
    )
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    run(app, "hub test")
