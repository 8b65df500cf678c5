"""The machine and the versions that figures belong to."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from jobs.spark.jars import java

PACKAGES = (
    "pyspark",
    "delta-spark",
    "pyarrow",
    "great-expectations",
    "apache-airflow",
    "duckdb",
    "deltalake",
    "polars",
)


def describe(settings: Any) -> dict[str, Any]:
    """Day, processor, cores, memory, Java, versions, heap of the Spark server."""
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "java": _java(),
        "heap": settings.spark_memory,
        "versions": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _java() -> str:
    said = subprocess.run([java(), "-version"], capture_output=True, text=True).stderr
    return said.split('"')[1] if '"' in said else "unknown"
