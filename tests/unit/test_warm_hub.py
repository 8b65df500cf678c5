"""The warm parent of a hub, with all that it loads: what its commands are told, what it holds, what it spares them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.serve import airflow, processes, servers
from jobs.settings import CHECKOUT, FILE, Settings
from jobs.warm import client
from tests.conftest import free_port
from tests.warm_kit import until

SPARED = """
import json, os, sys
from jobs.warm import child
os.environ.update(child.ALLOCATORS)
from jobs.cli import warm
warm.load()
before = set(sys.modules)
for argv in json.loads(sys.argv[1]):
    sys.argv = ["hub", *argv]
    try:
        warm.run_command()
    except SystemExit:
        pass
new = {name.partition(".")[0] for name in set(sys.modules) - before}
threads = len(os.listdir("/proc/self/task"))
print(json.dumps([sorted(new), os.environ["GX_ANALYTICS_ENABLED"], threads]), file=sys.stderr)
"""
"""Runs commands after the load, in one process, and says which packages they still imported."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A hub of which nothing runs but its warm parent."""
    settings = Settings(home=tmp_path_factory.mktemp("hub"), spark_port=free_port())
    server = servers.warm_server(settings)
    processes.start(server, settings)
    try:
        until(lambda: bool(client.answering(settings.run)), 120)
        yield settings
    finally:
        processes.stop([server.pid_file(settings)])
    assert not (settings.run / "warm.sock").exists()


def ask(settings: Settings, *argv: str, **environment: str) -> tuple[int, str, str]:
    """Exit code and words of a command that the hub's parent forked."""
    told = airflow.hub_environment(settings) | environment
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as said:
        command = client.fork(argv, settings.run, told, out.fileno(), said.fileno())
        assert command is not None, "it was started plainly"
        code = command.wait(60)
        out.seek(0)
        said.seek(0)
        return code, out.read(), said.read()


def test_every_command_reads_the_settings_of_its_own_environment(settings: Settings, tmp_path: Path) -> None:
    code, out, _ = ask(settings, "spark", "status", "--json")
    assert (code, json.loads(out)[0]["port"]) == (0, settings.spark_port)
    code, out, _ = ask(settings, "spark", "status", "--json", HUB_SPARK_PORT="1111")
    assert (code, json.loads(out)[0]["port"]) == (0, 1111)
    (tmp_path / FILE).write_text("spark_port = 2222\n")
    told = airflow.hub_environment(settings)
    told = {k: v for k, v in told.items() if k != "HUB_SPARK_PORT"} | {"HUB_HOME": str(tmp_path)}
    with tempfile.TemporaryFile("w+") as out_file:
        command = client.fork(["spark", "status", "--json"], settings.run, told, out_file.fileno(), 2)
        assert command is not None
        assert command.wait(60) == 0
        out_file.seek(0)
        assert json.loads(out_file.read())[0]["port"] == 2222
    for home in (tmp_path / "one", tmp_path / "two"):
        code, _, said = ask(settings, "delivery", "list", "--json", HUB_HOME=str(home))
        assert code == 10
        assert f"There is no hub in {home}." in said


def test_a_mistake_and_an_answer_are_those_of_a_command_in_a_process_of_its_own(settings: Settings) -> None:
    for argv in (["quality", "rules", "dcir/er_prs_f", "--json"], ["quality", "rules", "dcir/nothing"], ["nothing"]):
        alone = subprocess.run(
            [*client.PLAIN, *argv], env=airflow.hub_environment(settings), capture_output=True, text=True, check=False
        )
        assert ask(settings, *argv) == (alone.returncode, alone.stdout, alone.stderr)


def test_the_parent_holds_no_key(settings: Settings) -> None:
    code, _, said = ask(settings, "key", "init")
    assert code == 0, said
    # the last 24 bytes of each: of a PEM file, some of its secret number
    ends = {p.name: p.read_bytes().strip().rpartition(b"\n-----END")[0] or p.read_bytes().strip()
            for p in settings.keys.rglob("*") if p.is_file() and "public" not in p.parts}  # fmt: skip
    assert {"p2.key", "lake.key", "spark.token", "landing.pem"} <= ends.keys()
    held = memory_of(client.answering(settings.run))
    assert b"expectation_suite_name" in held, "it was looked at"
    assert [name for name, secret in ends.items() if secret[-24:] in held] == []
    assert b"HUB_HOME" in held


def memory_of(pid: int) -> bytes:
    """All that a process of this user holds in memory of its own."""
    parts = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in maps:
            span, mode, _, _, inode = line.split()[:5]
            if mode.startswith("rw") and inode == "0":
                begin, end = (int(n, 16) for n in span.split("-"))
                memory.seek(begin)
                try:
                    parts.append(memory.read(end - begin))
                except OSError:
                    continue
    return b"".join(parts)


def test_commands_find_all_that_is_slow_loaded_already(tmp_path: Path) -> None:
    argv = (["delivery", "list", "--json"], ["quality", "list"], ["quality", "rules"], ["omop", "gate", "1"],
            ["delivery", "announce"], ["alert", "failed", "--run=a/b", "--task=c", "--error=D"])  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", SPARED, json.dumps(argv)], capture_output=True, text=True, check=True, cwd=CHECKOUT,
        env=os.environ | {"HUB_HOME": str(tmp_path)},
    )  # fmt: skip
    new, analytics, threads = json.loads(done.stderr.splitlines()[-1])
    # the migrations of a database that is made, and what draws tables and mistakes for people
    assert set(new) - set(sys.stdlib_module_names) <= {"catalogue", "rich", "typer", "pygments", "markdown_it", "mdurl"}
    assert analytics == "false"
    assert threads == 1


def test_a_second_parent_of_a_hub_is_refused(settings: Settings) -> None:
    code, _, said = ask(settings, "warm", "serve")
    assert code == 10
    assert said.startswith("hub: warm_runs: ")


def test_the_status_names_the_parent(settings: Settings, tmp_path: Path) -> None:
    def status(**environment: str) -> dict[str, object]:
        code, out, said = ask(settings, "warm", "status", "--json", **environment)
        assert code == 0, said
        (row,) = json.loads(out)
        return dict(row)

    assert status() == {"state": "ready", "pid": client.answering(settings.run)}
    assert status(HUB_HOME=str(tmp_path)) == {"state": "stopped", "pid": None}
