"""The parent of Spark's Python workers (``spark.python.daemon.module``): it has loaded what tasks run, so that a worker
begins at once, and shares the memory of what was loaded with the others."""

from __future__ import annotations

from pyspark.daemon import manager

from jobs.tasks import landed
from jobs.tasks.code import code

if __name__ == "__main__":
    _ = landed, code()
    manager()
