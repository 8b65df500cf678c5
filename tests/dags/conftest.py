"""One temporary Airflow home for the whole run: it must be named before Airflow is first imported."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.settings import CHECKOUT

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="hub-airflow-"))
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks look for a warm parent in a home of their own, not in that of a hub that runs in this checkout."""
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "hub"))


@pytest.fixture(scope="session")
def dags_folder() -> Path:
    return CHECKOUT / "dags"


@pytest.fixture(scope="session")
def bag(dags_folder: Path) -> DagBag:
    """Every DAG of the hub, read as Airflow reads them."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dags_folder)
