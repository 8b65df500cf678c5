"""``hub airflow``: Airflow's components one by one, each in the foreground. `hub up` runs them all."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from jobs.cli import home, show
from jobs.errors import ServerUnavailable

app = typer.Typer(no_args_is_help=True, help="Airflow's components, each in the foreground, as in a container.")


class Component(StrEnum):
    """What Airflow is made of."""

    API_SERVER = "api-server"
    SCHEDULER = "scheduler"
    DAG_PROCESSOR = "dag-processor"
    TRIGGERER = "triggerer"


One = Annotated[Component, typer.Argument(help="Component of Airflow.")]


@app.command()
def prepare() -> None:
    """Make Airflow's secrets, its users' passwords, its database and pools; only what is missing."""
    from jobs.serve import airflow

    settings = home.settings()
    airflow.prepare(settings)
    show.line({"users": list(airflow.USERS), "passwords": str(airflow.passwords_file(settings))})


@app.command()
def run(component: One) -> None:
    """Become a component of Airflow, with the hub's settings of it."""
    from jobs.serve import airflow

    server = next(s for s in airflow.servers(home.settings()) if s.name == f"airflow-{component}")
    os.execve(server.argv[0], server.argv, dict(server.environment))  # noqa: S606 no shell is wanted


@app.command()
def status(component: One) -> None:
    """Whether a component is healthy, as the API server knows. Exit 18 when it is not."""
    from jobs.serve import airflow

    settings = home.settings()
    if not airflow.Health(airflow.address(settings)).of(component)():
        raise ServerUnavailable(f"Airflow's {component} is not healthy.", next_step="wait, or read its log")
    show.line({"component": component.value, "state": "healthy"})
