"""Airflow's four components, their settings, its users. Everything but the logs lies in ``HUB_HOME/airflow``.

LocalExecutor; SQLite, or PostgreSQL where ``HUB_AIRFLOW_DATABASE_URL`` names one. Users from a generated file: for one
machine and for demonstrations; a ministry puts its own sign-on in their place, over the same ``dags/``.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import httpx

from jobs.errors import ServerUnavailable
from jobs.serve.processes import Server
from jobs.settings import CHECKOUT, Settings
from schemas.loader import source_names

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
HEALTH_NAMES = {"api-server": "metadatabase", "dag-processor": "dag_processor"}
USERS = {"admin": "admin", "steward": "viewer", "reader": "viewer"}
"""Airflow's role of each user. ``dags.lib.auth`` lets the steward, and nobody else, answer a gate's question."""
SECRETS = ("jwt", "api", "fernet")
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "JAVA_HOME", "SSL_CERT_FILE")
"""What a server sees of the environment that it was started from; the hub's settings are said anew."""


def address(settings: Settings) -> str:
    """Where the pages and the REST interface are, as the hub's own processes reach them."""
    return settings.airflow_url or f"http://{settings.host}:{settings.airflow_port}"


def passwords_file(settings: Settings) -> Path:
    """Users' passwords as JSON, readable by their owner only."""
    return settings.airflow / "passwords.json"


def passwords(settings: Settings) -> dict[str, str]:
    """User -> password; made at the first call."""
    path = passwords_file(settings)
    if not path.exists():
        _write_secret(path, json.dumps({user: secrets.token_urlsafe(12) for user in USERS}))
    of_user: dict[str, str] = json.loads(path.read_text("utf-8"))
    return of_user


def hub_environment(settings: Settings) -> dict[str, str]:
    """Environment of any server or command of this hub: the settings, the code, no key and no secret."""
    passed = {k: v for k, v in os.environ.items() if k in PASSED_ON}
    said = {k: v for k, v in settings.model_dump(mode="json").items() if v is not None} | {"home": settings.root}
    return passed | {f"HUB_{k.upper()}": json.dumps(v) if isinstance(v, dict) else str(v) for k, v in said.items()} | {
        "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1", "TZ": "UTC",
    }  # fmt: skip


def environment(settings: Settings) -> dict[str, str]:
    """Environment of Airflow's components. Secrets stay in files, named by commands that print them."""
    home, base = settings.airflow, address(settings)
    variables = {
        "CORE__DAGS_FOLDER": CHECKOUT / "dags",
        "CORE__PLUGINS_FOLDER": CHECKOUT / "dags" / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": parallelism(),
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        "CORE__EXECUTION_API_SERVER_URL": f"{base}/execution/",
        "CORE__AUTH_MANAGER": "dags.lib.auth.HubAuthManager",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords_file(settings),
        "CORE__FERNET_KEY_CMD": _print_secret(settings, "fernet"),
        "API__HOST": settings.host,
        "API__PORT": settings.airflow_port,
        "API__BASE_URL": settings.airflow_public_url or base,
        "API__WORKERS": 1,
        "API__INSTANCE_NAME": "Health data hub",
        "API__SECRET_KEY_CMD": _print_secret(settings, "api"),
        "API_AUTH__JWT_SECRET_CMD": _print_secret(settings, "jwt"),
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "DAG_PROCESSOR__REFRESH_INTERVAL": 60,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 60,
        "DAG_PROCESSOR__PRINT_STATS_INTERVAL": 0,
        "LOGGING__BASE_LOG_FOLDER": settings.logs / "airflow",
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": settings.logs / "airflow" / "dag-processor",
        "LOGGING__COLORED_CONSOLE_LOG": False,
        "SCHEDULER__ENABLE_HEALTH_CHECK": False,
        # a worker often misses the end of its task and looks again after this: 5 s by default, of every task
        "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    if url := settings.airflow_database_url:
        # one driver for both: Airflow's own choice for the second would be another library
        variables |= {"DATABASE__SQL_ALCHEMY_CONN": url, "DATABASE__SQL_ALCHEMY_CONN_ASYNC": url}
    else:
        variables["DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{database(settings)}"
    return hub_environment(settings) | {f"AIRFLOW__{k}": str(v) for k, v in variables.items()} | {
        "AIRFLOW_HOME": str(home), "SCARF_ANALYTICS": "false", "DO_NOT_TRACK": "1",
    }  # fmt: skip


def parallelism() -> int:
    """Tasks at a time: one more than cores, since a task mostly waits for the Spark server."""
    return min(8, (os.cpu_count() or 2) + 1)


def database(settings: Settings) -> Path:
    """Airflow's database on one machine."""
    return settings.airflow / "airflow.db"


def prepare(settings: Settings) -> None:
    """Makes secrets, passwords and Airflow's database with its pools; quick when they are there.

    An empty SQLite database takes Airflow 10 s of work, so one is kept in the cache for the next hub on this machine.
    Raises ``ServerUnavailable`` when Airflow refuses.
    """
    settings.airflow.mkdir(parents=True, exist_ok=True)
    settings.airflow.chmod(0o700)
    for name in SECRETS:
        if not (path := _secret_file(settings, name)).exists():
            # a Fernet key is 32 bytes in URL-safe base64 with its padding
            _write_secret(path, secrets.token_urlsafe(32) + ("=" if name == "fernet" else ""))
    passwords(settings)
    if settings.airflow_database_url:
        _migrate(settings)
        return
    mark, wanted = settings.airflow / "prepared", _fingerprint()
    if database(settings).exists() and mark.exists() and mark.read_text() == wanted:
        return
    ready_made = settings.cache / f"airflow-{wanted}.db"
    if database(settings).exists() or not ready_made.exists():
        _migrate(settings)
        if not ready_made.exists() and not mark.exists():
            settings.cache.mkdir(parents=True, exist_ok=True)
            part = ready_made.with_suffix(f".{os.getpid()}")
            with closing(sqlite3.connect(database(settings))) as connection:
                connection.execute("vacuum into ?", (str(part),))
            part.replace(ready_made)
    else:
        shutil.copyfile(ready_made, database(settings))
    database(settings).chmod(0o600)
    mark.write_text(wanted)


def _migrate(settings: Settings) -> None:
    log = settings.logs / "airflow-prepare.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        done = subprocess.run(
            [sys.executable, "-m", "jobs.serve.airflow_database"], env=environment(settings), stdout=out, stderr=out,
            cwd=settings.airflow, check=False,
        )  # fmt: skip
    if done.returncode:
        raise ServerUnavailable("Airflow's database could not be made.", next_step=f"read {log}")


def _fingerprint() -> str:
    """Changes with Airflow's version and with the pools, which are one per source."""

    return sha256("\n".join([version("apache-airflow-core"), *source_names(), "1"]).encode()).hexdigest()[:16]


def _secret_file(settings: Settings, name: str) -> Path:
    return settings.airflow / "secrets" / name


def _print_secret(settings: Settings, name: str) -> str:
    return shlex.join(["cat", str(_secret_file(settings, name))])


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)


def servers(settings: Settings) -> list[Server]:
    """The four components. One question answers for all: the API server knows who beats."""
    shared = environment(settings)
    health = Health(address(settings))
    options = {"scheduler": ("--skip-serve-logs",), "triggerer": ("--skip-serve-logs",)}
    return [
        Server(
            f"airflow-{name}",
            (sys.executable, "-m", "airflow", name, *options.get(name, ())),
            shared,
            health.of(name),
        )
        for name in COMPONENTS
    ]


class Health:
    """Asks ``/api/v2/monitor/health`` which of the components are healthy, at most once a second."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._at, self._healthy = 0.0, frozenset[str]()

    def healthy(self) -> frozenset[str]:
        """Airflow's names of what is healthy now; empty while nothing answers."""
        if time.monotonic() - self._at > 1:
            try:
                said = httpx.get(f"{self.base}/api/v2/monitor/health", timeout=5, trust_env=False).json()
                good = (k for k, v in said.items() if isinstance(v, dict) and v.get("status") == "healthy")
                self._healthy = frozenset(good)
            except (httpx.HTTPError, ValueError):
                self._healthy = frozenset()
            self._at = time.monotonic()
        return self._healthy

    def of(self, component: str) -> Callable[[], bool]:
        """Whether one component is healthy, as a question."""
        name = HEALTH_NAMES.get(component, component)
        return lambda: name in self.healthy()
