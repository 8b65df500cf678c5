"""A commit names files that are there: which ones go, who is refused, what is proved before and after."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from jobs.errors import ConflictError, StorageError
from jobs.lake import commits
from jobs.lake.commits import Partition, WrittenFile, commit, history, live_files, measure

COLUMNS = {"day": "date", "amount": "decimal(9,2)", "_period": "string"}
JANUARY, FEBRUARY = "2024-01", "2024-02"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "lake" / "t"


def written(root: Path, name: str, period: str, rows: int = 3, content: bytes = b"PARE and more") -> WrittenFile:
    """A file as a writer leaves it below the table's root."""
    path = root / "files" / "w" / f"_period={period}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return WrittenFile(path=str(path.relative_to(root)), rows=rows, bytes=len(content), partition={"_period": period})


def of(period: str) -> Callable[[Partition], bool]:
    return lambda partition: partition["_period"] == period


def put(root: Path, period: str, *names: str, said: str = "", columns: dict[str, str] | None = None) -> int:
    files = [written(root, name, period) for name in names]
    told = {"period": period, "names": list(names), "said": said}
    return commit(root, files, columns or COLUMNS, told, replaces=of(period), claim=period, partition_by=["_period"])


def names(root: Path) -> set[str]:
    return {Path(f.path).name for f in live_files(root)}


def test_where_nothing_was_committed_there_is_no_table(root: Path) -> None:
    assert (history(root), live_files(root), measure(root)) == ([], [], (0, 0))
    assert commits.last_commit(root) is None


def test_exactly_the_files_of_the_slice_go(root: Path) -> None:
    put(root, JANUARY, "a", "b")
    put(root, FEBRUARY, "c")
    assert names(root) == {"a", "b", "c"}
    put(root, JANUARY, "d")
    assert names(root) == {"c", "d"}
    assert measure(root) == (6, 2 * len(b"PARE and more"))
    assert [said.get("names") for _, said in history(root)] == [["d"], ["c"], ["a", "b"]]
    assert {Path(f.path).name for f in live_files(root, version=1)} == {"a", "b", "c"}


def test_a_commit_of_nothing_is_a_commit(root: Path) -> None:
    first = put(root, JANUARY)
    assert live_files(root) == []
    assert put(root, JANUARY) == first + 1


def test_rows_may_only_go(root: Path) -> None:
    put(root, JANUARY, "a")
    put(root, FEBRUARY, "b")
    version = commit(root, [], None, {"step": "withdraw"}, replaces=of(JANUARY), claim=JANUARY)
    assert names(root) == {"b"}
    assert history(root, 1) == [(version, {"step": "withdraw"})]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.unlink(), "not there as it was written"),
        (lambda path: path.write_bytes(b"PARE and much more"), "not there as it was written"),
        (lambda path: path.write_bytes(b"PAR1 and more"), "not encrypted"),
    ],
)
def test_what_is_not_as_it_was_written_is_not_committed(root: Path, spoil: Callable[[Path], object], why: str) -> None:
    put(root, JANUARY, "a")
    file = written(root, "b", FEBRUARY)
    spoil(root / file.path)
    with pytest.raises(StorageError, match=why):
        commit(root, [file], COLUMNS, {}, replaces=of(FEBRUARY), claim=FEBRUARY, partition_by=["_period"])
    assert names(root) == {"a"}


def test_columns_change_only_where_all_rows_do(root: Path) -> None:
    other = {"code": "string"} | COLUMNS
    put(root, JANUARY, "a")
    put(root, FEBRUARY, "b")
    with pytest.raises(StorageError, match="older rows would stay"):
        put(root, JANUARY, "c", columns=other)
    file = written(root, "d", FEBRUARY)
    commit(root, [file], other, {}, replaces=lambda _: True, claim="all", partition_by=["_period"])
    assert names(root) == {"d"}
    assert [f.name for f in DeltaTable(root).schema().fields] == list(other)


@pytest.mark.parametrize("before", [{}, {FEBRUARY: "z"}, {FEBRUARY: "z", JANUARY: "a"}], ids=["", "z", "z, a"])
def test_of_two_who_claim_the_same_one_is_refused(root: Path, before: dict[str, str]) -> None:
    for period, name in before.items():
        put(root, period, name)
    looked, answers = threading.Barrier(2), []
    opened = commits._open

    def together(where: str | Path) -> DeltaTable | None:
        found = opened(where)
        if threading.current_thread().name in ("b", "c") and threading.current_thread() not in seen:
            seen.add(threading.current_thread())
            looked.wait(10)  # both have seen the same version
        return found

    def write(name: str) -> None:
        try:
            put(root, JANUARY, name, said=name)
            answers.append(name)
        except ConflictError:
            answers.append("refused")

    seen: set[threading.Thread] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commits, "_open", together)
        writers = [threading.Thread(target=write, args=(name,), name=name) for name in ("b", "c")]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    assert sorted(answers)[1] == "refused"
    assert names(root) == {sorted(answers)[0], *(["z"] if before else [])}


def test_who_comes_with_files_that_are_there_already_was_not_first(root: Path) -> None:
    put(root, JANUARY, "a")
    with pytest.raises(ConflictError, match="first"):
        put(root, JANUARY, "a", said="the same file")
    assert names(root) == {"a"}


def test_two_who_claim_different_slices_both_come_in(root: Path) -> None:
    put(root, JANUARY, "a")
    writers = [threading.Thread(target=put, args=(root, period, period)) for period in (FEBRUARY, "2024-03")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert names(root) == {"a", FEBRUARY, "2024-03"}


def test_the_log_holds_no_statistics(root: Path) -> None:
    put(root, JANUARY, "a")
    put(root, JANUARY, "b")
    text = "".join(p.read_text() for p in sorted((root / "_delta_log").glob("*.json")))
    assert "minValues" not in text
    assert text.count("numRecords") == 2


def test_a_log_that_cannot_be_read_is_named(root: Path) -> None:
    put(root, JANUARY, "a")
    for entry in (root / "_delta_log").glob("*.json"):
        entry.write_text("{")
    with pytest.raises(StorageError, match="t: its log cannot be used"):
        history(root)
