"""The hub database on a real PostgreSQL: a private cluster in a temporary directory, reached by its socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import Engine, text

from catalogue import db
from tests.unit.test_records_deliveries import DeliveriesSuite
from tests.unit.test_records_engine import EngineSuite
from tests.unit.test_records_figures import FiguresSuite
from tests.unit.test_records_holdings import HoldingsSuite
from tests.unit.test_records_quality import QualitySuite
from tests.unit.test_records_releases import ReleasesSuite


def _programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``, the newest Debian version first."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    folders = [*debian, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


def _owner() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: another user of this machine, then."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a running PostgreSQL whose database ``template_hub`` is an empty, migrated hub database."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    owner = _owner()
    user, group = (owner.pw_uid, owner.pw_gid) if owner else (None, None)
    # a socket's path is short: not under pytest's long temporary directories
    home = Path(tempfile.mkdtemp(prefix="hubpg", dir="/tmp"))
    if owner:
        os.chown(home, owner.pw_uid, owner.pw_gid)
    others: list[int] | None = [] if owner else None
    data = home / "data"
    server = None
    try:
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "hub", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=home,
            user=user,
            group=group,
            extra_groups=others,
        )
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", home, "-c", "listen_addresses=", "-c", "fsync=off"],
            stdout=subprocess.DEVNULL,
            stderr=(home / "log").open("wb"),
            cwd=home,
            user=user,
            group=group,
            extra_groups=others,
        )
        url = f"postgresql://hub@/{{name}}?host={quote(str(home))}"
        _wait_until_ready(url)
        _execute(url, "create database template_hub")
        engine = db.open_engine(url.format(name="template_hub"))
        db.migrate(engine)
        engine.dispose()
        yield url
    finally:
        if server:
            server.terminate()
            server.wait(30)
        shutil.rmtree(home, ignore_errors=True)


def _wait_until_ready(url: str) -> None:
    for attempt in range(30):
        try:
            _execute(url, "select 1")
            return
        except Exception:
            if attempt == 29:
                raise
            time.sleep(1)


def _execute(url: str, statement: str) -> None:
    engine = db.open_engine(url.format(name="postgres"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
    engine.dispose()


class TestPostgres(DeliveriesSuite, QualitySuite, HoldingsSuite, ReleasesSuite, FiguresSuite, EngineSuite):
    @pytest.fixture
    def engine(self, cluster: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
        name = f"hub_{abs(hash(request.node.nodeid))}"
        _execute(cluster, f"create database {name} template template_hub")
        engine = db.open_engine(cluster.format(name=name))
        yield engine
        engine.dispose()
        _execute(cluster, f"drop database {name} with (force)")
