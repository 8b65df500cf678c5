"""Tables of the lake: the only module that says "delta". A write names what it is, and is proved after it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pyspark.errors import AnalysisException

from jobs.delivery import Subject
from jobs.errors import ConflictError, StorageError
from jobs.lake.layout import staging
from jobs.spark.session import safely

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 3
RUN = "run"
"""Key under which a commit's metadata names the Airflow run that made it."""
MISSING = (
    "PATH_NOT_FOUND",
    "DELTA_MISSING_DELTA_TABLE",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_PATH_DOES_NOT_EXIST",
    "DELTA_TABLE_ONLY",
)


def read(spark: SparkSession, where: str, version: int | None = None) -> DataFrame:
    """The table at a path, at one version when asked."""
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(where)


def last_commit(spark: SparkSession, where: str) -> tuple[int, dict[str, Any]] | None:
    """Version and metadata of the last commit, or None when there is no table. Raises ``StorageError``."""
    commits = history(spark, where, limit=1)
    return commits[0] if commits else None


def history(spark: SparkSession, where: str, limit: int = 1000) -> list[tuple[int, dict[str, Any]]]:
    """(version, metadata) of the last commits, newest first; empty when there is no table."""

    with safely(f"history of {Path(where).name}"):
        try:
            rows = (
                spark.sql(f"DESCRIBE HISTORY delta.`{where}` LIMIT {limit}").select("version", "userMetadata").collect()
            )
        except AnalysisException as error:
            if any(m in str(error) for m in MISSING):
                return []
            raise
    return [(int(r["version"]), json.loads(r["userMetadata"] or "{}")) for r in rows]


def at_once(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Does independent work on tables side by side: planning one commit leaves cores idle. The first error is raised
    after all have ended."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        running = [pool.submit(work, item) for item in items]
    return [done.result() for done in running]


def _prove(spark: SparkSession, where: str, metadata: Mapping[str, Any]) -> int | None:
    """The version that holds our commit, or None. Delta skips some writes and reports success: look, do not believe."""
    return next((version for version, written in history(spark, where, limit=10) if is_same(written, metadata)), None)


def is_same(written: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Whether a commit says what ``metadata`` says, whichever run made it: a step that is repeated in another run finds
    what the first one wrote."""
    return {k: v for k, v in written.items() if k != RUN} == {k: v for k, v in metadata.items() if k != RUN}


def _unproved(where: str) -> StorageError:
    return StorageError(f"{Path(where).name}: the commit is not in the table's log.", next_step="try again")


def overwrite(
    spark: SparkSession,
    df: DataFrame,
    where: str,
    metadata: Mapping[str, Any],
    *,
    partition_by: Sequence[str] = (),
    stats: Sequence[str] = (),
) -> int:
    """Replaces a whole table and returns its new version. ``stats``: columns that the log may hold extremes of."""
    with safely(f"write of {Path(where).name}"):
        writer = _writer(df, metadata, stats).option("overwriteSchema", "true").partitionBy(*partition_by)
        writer.mode("overwrite").save(where)
    if (version := _prove(spark, where, metadata)) is None:
        raise _unproved(where)
    return version


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
        if (version := _prove(spark, where, metadata)) is not None:
            return version
        # Delta makes no commit where nothing goes and nothing comes: then, and only then, the table is as it should be
        commit = last_commit(spark, where)
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
