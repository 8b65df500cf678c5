"""What each extra brings with it, by the lock: a contributor's agent needs neither Spark nor Airflow."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from jobs.settings import CHECKOUT

LOCK = tomllib.loads((CHECKOUT / "uv.lock").read_text("utf-8"))["package"]
HEAVY = {
    "apache-airflow",
    "delta-spark",
    "fastapi",
    "great-expectations",
    "pandas",
    "pyarrow",
    "pyspark",
    "sqlalchemy",
}


def packages(*extras: str) -> set[str]:
    """Every package that ``healthhub[<extras>]`` installs, on any platform."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for package in LOCK:
        by_name.setdefault(package["name"], []).append(package)
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting = [("healthhub", extras)]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for package in by_name[name]:
            needed = [*package.get("dependencies", []), *_optional(package, wanted)]
            waiting += [(d["name"], tuple(d.get("extra", ()))) for d in needed]
    return {name for name, _ in seen} - {"healthhub"}


def _optional(package: dict[str, Any], extras: tuple[str, ...]) -> list[dict[str, Any]]:
    return [d for extra in extras for d in package.get("optional-dependencies", {}).get(extra, [])]


def test_the_agent_comes_without_spark_airflow_and_databases() -> None:
    assert packages("agent") & HEAVY == set()
    assert "cryptography" in packages("agent")


@pytest.mark.parametrize(
    ("extra", "needs", "lacks"),
    [
        (
            "spark",
            {"pyspark", "pyarrow", "pandas", "cryptography"},
            {"apache-airflow", "great-expectations", "sqlalchemy", "fastapi"},
        ),
        (
            "catalogue",
            {"sqlalchemy", "fastapi", "psycopg"},
            {"apache-airflow", "great-expectations", "pyspark", "pyarrow"},
        ),
        ("airflow", {"apache-airflow", "deltalake", "great-expectations", "pyspark", "sqlalchemy"}, {"delta-spark"}),
    ],
)
def test_an_image_gets_what_its_target_imports(extra: str, needs: set[str], lacks: set[str]) -> None:
    found = packages(extra)
    assert needs <= found
    assert lacks & found == set()


def test_all_is_everything() -> None:
    assert packages("all") >= HEAVY
