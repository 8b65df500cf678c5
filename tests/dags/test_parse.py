"""Reading the DAGs is quick and loads nothing heavy; seen in a process of its own, as Airflow's DAG processor has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.settings import CHECKOUT

HEAVY = ("pyspark", "great_expectations", "pandas", "numpy", "pyarrow", "delta", "catalogue.db.models", "jobs.steps")
SCRIPT = """
import json, sys, time
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
begin = time.perf_counter()
bag = DagBag(sys.argv[1])
seconds = time.perf_counter() - begin
found = {"seconds": seconds, "errors": bag.import_errors, "dags": sorted(bag.dags), "modules": list(sys.modules)}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory, dags_folder: Path) -> dict[str, Any]:
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(dags_folder)], env=environment, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_every_dag_is_read(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert parsed["dags"] == [
        "arrivals",
        "build_omop",
        "ingest_dcir",
        "ingest_pmsi_mco",
        "ingest_ville",
        "lateness",
        "maintenance",
        "withdraw_delivery",
    ]


def test_reading_takes_under_two_seconds(parsed: dict[str, Any]) -> None:
    assert parsed["seconds"] < 2


@pytest.mark.parametrize("heavy", HEAVY)
def test_nothing_heavy_is_loaded(parsed: dict[str, Any], heavy: str) -> None:
    assert [m for m in parsed["modules"] if m == heavy or m.startswith(heavy + ".")] == []


def test_files_are_short(dags_folder: Path) -> None:
    lengths = {
        str(p.relative_to(dags_folder)): len(p.read_text("utf-8").splitlines()) for p in dags_folder.rglob("*.py")
    }
    assert {p: n for p, n in lengths.items() if n > 120} == {}
