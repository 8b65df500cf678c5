"""The borders between rooms: who may import whom. Arrows go one way: dags -> commands -> jobs -> schemas, expectations,
catalogue/db."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("pyspark", "great_expectations", "pandas", "delta", "pyarrow", "sqlalchemy")
FORBIDDEN: dict[str, tuple[str, ...]] = {
    # room: what it may not import, wherever in the file
    "schemas": ("jobs", "catalogue", "expectations", "dags", *HEAVY),
    "expectations": ("jobs", "catalogue", "dags", *HEAVY),
    "catalogue/db": ("dags", "pyspark", "pandas", "great_expectations", "jobs.lake", "jobs.spark", "jobs.steps"),
    "catalogue/web": ("dags", "pyspark", "jobs.lake", "jobs.spark", "jobs.steps", "jobs.harmonise"),
    "jobs/harmonise": ("dags", "catalogue", "jobs.lake", "jobs.steps", "jobs.cli", "jobs.spark", "jobs.settings"),
    "jobs/pseudonymise": ("dags", "catalogue", "jobs.lake", "jobs.steps", "jobs.spark", "pyspark"),
    "jobs/stage": ("dags", "catalogue", "jobs.lake", "jobs.steps", "jobs.settings"),
    "jobs/intake": ("dags", "pyspark", "jobs.spark", "jobs.lake", "jobs.steps"),
    "jobs/synthetic": ("dags", "pyspark", "jobs.spark", "jobs.lake", "jobs.steps"),
    "dags": ("pyspark", "great_expectations", "pandas", "delta", "jobs.spark", "jobs.lake", "jobs.steps", "jobs.stage"),
}
ONE_PLACE = {
    # word in the code: the only module that may say it
    '.format("delta")': {"jobs/lake/tables.py", "jobs/spark/selftest.py"},
    "SparkSession.builder": {"jobs/spark/session.py"},
    "sparkContext": set(),
    "._jvm": set(),
    "ignoreCorruptFiles": set(),
    "inferSchema": set(),
}


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def crossings(room: str, paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in sorted(imported(path))
        if any(name == bad or name.startswith(bad + ".") for bad in FORBIDDEN[room])
    ]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    assert modules(room), f"{room} is empty: mend the name in this test"
    assert crossings(room, modules(room)) == []


def test_the_check_finds_a_crossing(tmp_path: Path) -> None:
    planted = ROOT / "tests" / "unit" / "test_borders.py"
    FORBIDDEN["_planted"] = ("pathlib",)
    try:
        assert crossings("_planted", [planted])
    finally:
        del FORBIDDEN["_planted"]


@pytest.mark.parametrize("word", ONE_PLACE)
def test_one_place_only(word: str) -> None:
    users = {
        str(p.relative_to(ROOT))
        for room in ("jobs", "catalogue", "dags", "schemas", "expectations")
        for p in modules(room)
        if word in p.read_text("utf-8")
    }
    assert users == ONE_PLACE[word]


def test_only_settings_read_the_environment() -> None:
    # JAVA_HOME; the environment of a child process; a switch that Great Expectations reads
    allowed = {
        "jobs/settings.py",
        "jobs/spark/jars.py",
        "jobs/spark/server.py",
        "jobs/serve/airflow.py",
        "jobs/quality/gx.py",
    }
    users = set()
    for room in ("jobs", "catalogue", "schemas", "expectations"):
        for path in modules(room):
            if "os.environ" in path.read_text("utf-8") or "getenv" in path.read_text("utf-8"):
                users.add(str(path.relative_to(ROOT)))
    assert users <= allowed, users - allowed
