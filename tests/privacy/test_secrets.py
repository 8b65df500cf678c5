"""Keys and the Spark server's token: in their files and nowhere else; without the token the server does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.errors import HubError, ServerUnavailable
from jobs.settings import Settings
from jobs.spark import server, session
from tests.privacy import scan
from tests.privacy.conftest import Left

AIRFLOWS_OWN = ("airflow/secrets", "airflow/passwords.json")


def secrets_of(keys: Path) -> dict[str, bytes]:
    """Name -> secret bytes of every private file under ``keys/``: a PEM by the lines of its body."""
    found = {}
    for path in scan.files(keys, without=("public",)):
        content = path.read_bytes()
        if path.suffix == ".pem":
            lines = [line for line in content.splitlines() if line and not line.startswith(b"-----")]
            found |= {f"{path.name} line {n}": line for n, line in enumerate(lines) if len(line) >= 32}
        else:
            found[path.name] = content.strip() if path.suffix == ".token" else content
    return found


@pytest.fixture(scope="module")
def needles(left: Left) -> dict[bytes, str]:
    secrets = secrets_of(left.settings.keys)
    assert {"p1.key", "p2.key", "lake.key", "spark.token", "landing.pem line 0"} <= {
        n.replace("line 1", "line 0") for n in secrets
    }
    return scan.of_secrets(secrets)


def test_no_key_and_no_token_is_found_outside_its_file(left: Left, needles: dict[bytes, str]) -> None:
    assert scan.leaks(left.settings.root, needles, without=("keys",)) == []


def test_the_search_finds_them_in_their_files(left: Left, needles: dict[bytes, str]) -> None:
    kinds = {leak.what.partition(" ")[0] for leak in scan.leaks(left.settings.keys, needles)}
    assert kinds == {"p1.key", "p2.key", "lake.key", "spark.token", "landing.pem", "quarantine.pem"}


def test_nothing_that_the_hub_tells_holds_one(left: Left, needles: dict[bytes, str]) -> None:
    told = {**left.pages, **left.said, **left.answers}
    assert [leak for name, text in told.items() for leak in scan.in_bytes(text, needles, name)] == []


def test_processes_show_none(left: Left, needles: dict[bytes, str]) -> None:
    """Neither in a command line nor in an environment, which a look at the process list shows."""
    assert len(left.processes) > 6
    assert any(name.startswith("spark") for name in left.processes)
    assert [leak for name, seen in left.processes.items() for leak in scan.in_bytes(seen, needles, name)] == []


def test_secret_files_can_be_read_by_their_owner_only(left: Left) -> None:
    private = list(scan.files(left.settings.keys, without=("public",)))
    own = [p for place in AIRFLOWS_OWN for p in _files(left.settings.root / place)]
    assert len(private) >= 6
    assert own
    assert {oct(p.stat().st_mode & 0o777) for p in private} == {"0o400"}
    assert {oct(p.stat().st_mode & 0o077) for p in own} == {"0o0"}


def _files(path: Path) -> Iterator[Path]:
    return scan.files(path) if path.is_dir() else iter([path])


@pytest.mark.parametrize("shown", ["", "token=wrong", "token="])
def test_a_client_without_the_token_is_refused(spark_hub: Settings, shown: str) -> None:
    address = f"sc://localhost:{spark_hub.spark_port}/;{shown}"
    with pytest.raises((ServerUnavailable, HubError), match="UNAUTHENTICATED"):
        session.open_session(address).range(1).collect()


def test_a_client_with_the_token_is_served(spark_hub: Settings) -> None:
    assert session.open_session(session.address(spark_hub)).range(3).count() == 3


def test_the_server_listens_on_loopback_only(spark_hub: Settings) -> None:
    import psutil

    pid = server.running(spark_hub)
    found = [
        c.laddr.ip
        for p in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for c in p.net_connections()
        if c.status == psutil.CONN_LISTEN
    ]
    assert found
    assert {ip.removeprefix("::ffff:") for ip in found} <= {"127.0.0.1", "::1"}
