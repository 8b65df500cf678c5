"""What maintenance takes from the disk, and what it leaves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable

from jobs.lake import maintenance
from jobs.lake.commits import WrittenFile, commit, live_files
from jobs.lake.maintenance import find_dead, has_hidden_checkpoint, remove_old_staging, writer_of

COLUMNS = {"n": "int", "_source": "string", "_period": "string"}
RELEASED, WAITING, UNFINISHED, AT_WORK = "build-1-a", "build-3-c", "build-2-b", "build-4-d"
WRITERS = {RELEASED: False, WAITING: True}
MONTH = 30 * 24 * 3600


def write(root: Path, writer: str, period: str, seconds_ago: float = 0) -> WrittenFile:
    path = root / "files" / writer / "_source=dcir" / f"_period={period}" / "part-0.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"PARE")
    then = time.time() - seconds_ago
    os.utime(path, (then, then))
    partition = {"_source": "dcir", "_period": period}
    return WrittenFile(path=str(path.relative_to(root)), rows=1, bytes=4, partition=partition)


def put(root: Path, file: WrittenFile) -> int:
    return commit(
        root, [file], COLUMNS, {"path": file.path}, replaces=lambda of: of == file.partition, claim="release",
        partition_by=["_source", "_period"],
    )  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "omop" / "visit_occurrence"


def dead(root: Path, kept: list[int] | None = None, writers: dict[str, bool] | None = None) -> set[str]:
    files = find_dead(root, kept or [], WRITERS if writers is None else writers).files
    return {str(writer_of(str(f.relative_to(root)))) for f in files}


def test_what_waits_stays_however_old_it_is(root: Path) -> None:
    put(root, write(root, RELEASED, "2024-01", MONTH))
    write(root, WAITING, "2024-01", MONTH)
    assert dead(root) == set()
    assert dead(root, writers={RELEASED: False}) == {WAITING}


def test_what_a_build_left_behind_goes_after_a_day(root: Path) -> None:
    put(root, write(root, RELEASED, "2024-01"))
    write(root, UNFINISHED, "2024-01", 2 * 24 * 3600)
    write(root, AT_WORK, "2024-01", 3600)
    assert dead(root) == {UNFINISHED}


def test_a_live_file_stays_whoever_wrote_it(root: Path) -> None:
    put(root, write(root, UNFINISHED, "2024-01", MONTH))
    assert dead(root) == set()


def test_what_was_replaced_is_kept_for_a_week(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, write(root, RELEASED, "2024-01"))
    again = "build-5-e"
    put(root, write(root, again, "2024-01"))
    known = {RELEASED: False, again: False}
    assert dead(root, writers=known) == set()
    monkeypatch.setattr(maintenance, "WEEK", 0)
    assert dead(root, writers=known) == {RELEASED}


def test_what_a_release_names_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "WEEK", 0)
    named = put(root, write(root, RELEASED, "2024-01"))
    put(root, write(root, "build-5-e", "2024-01"))
    known = {RELEASED: False, "build-5-e": False}
    assert dead(root, [named], known) == set()
    find_dead(root, [named], known).remove()
    assert DeltaTable(root, version=named).file_uris() == [
        str(root / "files" / RELEASED / "_source=dcir/_period=2024-01/part-0.parquet")
    ]
    assert dead(root, [], known) == {RELEASED}


def test_folders_go_with_their_last_file(root: Path) -> None:
    kept = write(root, RELEASED, "2024-01", MONTH)
    put(root, kept)
    left = write(root, UNFINISHED, "2024-02", MONTH)
    (root / left.path).with_name(".part-0.parquet.crc").write_bytes(b"")
    found = find_dead(root, [], WRITERS)
    assert found.bytes == 4
    found.remove()
    found.remove()
    assert [p.name for p in (root / "files").iterdir()] == [RELEASED]
    assert [f.path for f in live_files(root)] == [kept.path]
    assert find_dead(root, [], WRITERS).files == ()


def test_a_table_that_is_not_there_has_nothing(root: Path) -> None:
    assert find_dead(root, [], {}).files == ()
    assert not has_hidden_checkpoint(root)


def test_staging_of_ended_builds_goes(tmp_path: Path) -> None:
    for build, age in (("1", MONTH), ("2", MONTH), ("3", 60)):
        file = tmp_path / "staging" / "build" / build / "stem" / "dcir" / "rows" / "part"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"")
        for path in (file, *file.parents[: len(file.relative_to(tmp_path).parts) - 3]):
            os.utime(path, (time.time() - age,) * 2)
    assert remove_old_staging(tmp_path, 2) == 1
    assert sorted(p.name for p in (tmp_path / "staging" / "build").iterdir()) == ["2", "3"]
