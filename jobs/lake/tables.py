"""Tables of the lake: the only module that says "delta". A write names what it is, and is proved after it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.delivery import Subject
from jobs.errors import ConflictError, StorageError
from jobs.lake.commits import history, is_same, last_commit
from jobs.lake.layout import staging
from jobs.spark.session import safely

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 3


def read(spark: SparkSession, where: str, version: int | None = None) -> DataFrame:
    """The table at a path, at one version when asked."""
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(where)


def at_once(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Does independent work on tables side by side: planning one commit leaves cores idle. The first error is raised
    after all have ended."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        running = [pool.submit(work, item) for item in items]
    return [done.result() for done in running]


def _prove(where: str, metadata: Mapping[str, Any]) -> int | None:
    """The version that holds our commit, or None. Delta skips some writes and reports success: look, do not believe."""
    return next((version for version, written in history(where, limit=10) if is_same(written, metadata)), None)


def _unproved(where: str) -> StorageError:
    return StorageError(f"{Path(where).name}: the commit is not in the table's log.", next_step="try again")


def replace(
    spark: SparkSession,
    df: DataFrame,
    where: str,
    predicate: str,
    metadata: Mapping[str, Any],
    *,
    partition_by: Sequence[str],
    stats: Sequence[str] = (),
    new: bool = False,
) -> int:
    """Replaces, in one commit, the rows that a predicate over partition columns describes. Rows outside are refused.

    ``new``: the caller found no row of the predicate in the table; adding is several times cheaper. Delta lets two
    appends pass side by side, so an append also says "the first one of this predicate" (``txnAppId``): a second writer
    that looked at the same moment is refused or skipped, never added. Raises ``ConflictError`` then.
    """
    with safely(f"write of {Path(where).name}"):
        writer = _writer(df, metadata, stats).partitionBy(*partition_by)
        if new:
            writer.mode("append").option("txnAppId", predicate).option("txnVersion", 0).save(where)
        else:
            writer.mode("overwrite").option("replaceWhere", predicate).save(where)
        if (version := _prove(where, metadata)) is not None:
            return version
        # Delta makes no commit where nothing goes and nothing comes: then, and only then, the table is as it should be
        commit = last_commit(where)
        if commit and df.isEmpty() and read(spark, where).where(predicate).isEmpty():
            return commit[0]
    if new:
        raise ConflictError(f"Another writer committed to {Path(where).name} first.", next_step="try again")
    raise _unproved(where)


def _writer(df: DataFrame, metadata: Mapping[str, Any], stats: Sequence[str]) -> Any:
    writer = df.write.format("delta").option("userMetadata", json.dumps(dict(metadata), sort_keys=True))
    return writer.option("delta.dataSkippingStatsColumns", ",".join(stats)) if stats else writer


def slices(pairs: Sequence[tuple[str, str]]) -> str:
    """Predicate of (source, period) slices of an event table."""
    return " OR ".join(f"(_source = '{s}' AND _period = '{p}')" for s, p in sorted(pairs))


def remove_staged(lake: Path, subject: Subject) -> None:
    """Removes all staged tables of a delivery or a build: nobody reads them any more."""
    shutil.rmtree(staging(lake, subject), ignore_errors=True)
