"""Maintenance of the lake: removes files that no reader can reach any more, and puts checkpoints of logs in clear.

What stays: the newest version of every table, the versions that the current release names, all that these replaced
within the last week (questions that run read it still), and what waits for a steward, however long.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.intake.landing import ENCRYPTED
from jobs.lake.commits import unreferenced
from jobs.lake.layout import FILES, LOG
from jobs.spark.session import safely

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WEEK, DAY = 7 * 24, 24
"""Hours: how long what was replaced is kept; how long a writer that nobody knows may still be at work."""


@dataclass(frozen=True)
class Dead:
    """What may go of one table."""

    root: Path
    files: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        """Their size together."""
        return sum(f.stat().st_size for f in self.files if f.is_file())

    def remove(self) -> None:
        """Removes the files, and the folders that they leave empty."""
        for file in self.files:
            file.unlink(missing_ok=True)
            file.with_name(f".{file.name}.crc").unlink(missing_ok=True)
            for folder in file.parents:
                if folder == self.root or (folder.is_dir() and any(folder.iterdir())):
                    break
                if folder.is_dir():
                    folder.rmdir()


def find_dead(root: Path, kept: Collection[int], writers: Mapping[str, bool]) -> Dead:
    """Files below a table's root that nobody can reach. ``kept``: versions that must stay whole. ``writers``: those
    that are known, and whether what they wrote may still be committed; what any other wrote is dead after a day."""
    by_age = {p for p in unreferenced(root, WEEK, kept) if not writers.get(writer_of(p) or "")}
    unknown = {p for p in unreferenced(root, 0, kept) if (w := writer_of(p)) and w not in writers}
    ended = {p for p in unknown if _age(root / FILES / str(writer_of(p))) >= DAY}
    return Dead(root, tuple(root / p for p in sorted(by_age | ended)))


def writer_of(path: str) -> str | None:
    """The writer whose file this is, by its path from the table's root on."""
    folder, *below = Path(path).parts
    return below[0] if folder == FILES and len(below) > 1 else None


def _age(folder: Path) -> float:
    """Hours since anything in a folder was written."""
    newest = max((p.stat().st_mtime for p in folder.rglob("*") if p.is_file()), default=0.0)
    return (time.time() - newest) / 3600


def remove_old_staging(lake: Path, open_build: int | None) -> int:
    """Removes what builds made on their way, but for the one that may go on; the number of builds."""
    dead = [b for b in (lake / "staging" / "build").glob("*") if b.name != str(open_build) and _age(b) >= DAY]
    for folder in dead:
        shutil.rmtree(folder)
    return len(dead)


def has_hidden_checkpoint(root: Path) -> bool:
    """Whether a checkpoint of the table's log is encrypted, so that nobody without the lake's key can use the log."""
    return any(_begins_encrypted(file) for file in (root / LOG).glob("*.checkpoint*.parquet"))


def rewrite_checkpoint(spark: SparkSession, root: Path) -> None:
    """Writes a new checkpoint, in clear, and removes the encrypted ones: two commits that change no row."""
    with safely(f"checkpoint of {root.name}"):
        spark.sql(f"ALTER TABLE delta.`{root}` SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
        spark.sql(f"ALTER TABLE delta.`{root}` UNSET TBLPROPERTIES ('delta.checkpointInterval')")
    for file in (root / LOG).glob("*.checkpoint*.parquet"):
        if _begins_encrypted(file):
            file.unlink()


def _begins_encrypted(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(ENCRYPTED)) == ENCRYPTED
