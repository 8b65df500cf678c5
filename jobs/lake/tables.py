"""Tables of the lake: the only module that says "delta". A write names what it is, and is proved after it was made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jobs.delivery import Subject
from jobs.lake.layout import staging

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 3


def read(spark: SparkSession, where: str, version: int | None = None) -> DataFrame:
    """The table at a path, at one version when asked."""
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(where)


def read_files(spark: SparkSession, where: str | Path, columns: Mapping[str, str]) -> DataFrame:
    """The rows of Parquet files. ``columns``: column to type, as Spark SQL writes it; no footer is read to learn it."""
    schema = ", ".join(f"`{name}` {kind}" for name, kind in columns.items())
    return spark.read.schema(schema).parquet(str(where))


def at_once(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Does independent work on tables side by side: planning one commit leaves cores idle. The first error is raised
    after all have ended."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        running = [pool.submit(work, item) for item in items]
    return [done.result() for done in running]


def slices(pairs: Sequence[tuple[str, str]]) -> str:
    """Predicate of (source, period) slices of an event table."""
    return " OR ".join(f"(_source = '{s}' AND _period = '{p}')" for s, p in sorted(pairs))


def remove_staged(lake: Path, subject: Subject) -> None:
    """Removes all staged tables of a delivery or a build: nobody reads them any more."""
    shutil.rmtree(staging(lake, subject), ignore_errors=True)
