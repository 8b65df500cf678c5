"""Commits of files that were written once: from then on a table's log names them as its rows, and no longer others.

No Spark and no key: no row is read or written again. The log of a table is read here too: what it says of its versions
costs no job.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions
from pydantic import BaseModel, ConfigDict

from jobs.errors import ConflictError, StorageError
from jobs.intake.landing import ENCRYPTED
from jobs.lake.layout import LOG

RUN = "run"
"""Key under which a commit's metadata names the Airflow run that made it."""
TOLD = "userMetadata"
"""Where a commit keeps its metadata, as Spark writes and shows it."""
LOOKED_AT = 10
"""Commits among which ours must be, seen from the newest."""
DELTA_TYPES = {"int": "integer", "bigint": "long"}
"""Spark's names of types that Delta's schema calls otherwise."""
CONFIGURATION = {
    "delta.dataSkippingNumIndexedCols": "0",  # no statistics: a log holds no value of a cell
    "delta.enableDeletionVectors": "false",
}

STATS = "delta.dataSkippingStatsColumns"
"""Columns of which the log holds extremes, so that files are skipped by them: named one by one."""

Commit = tuple[int, dict[str, Any]]
"""Version, and the metadata that the commit was given."""
Partition = Mapping[str, str]
"""Partition column to value."""
Columns = Mapping[str, str]
"""Column to type, as Spark SQL writes it."""


class WrittenFile(BaseModel):
    """One data file that lies below a table's root."""

    model_config = ConfigDict(frozen=True)

    path: str
    """From the table's root on."""
    rows: int
    bytes: int
    partition: dict[str, str] = {}
    extremes: dict[str, tuple[str | int, str | int, int]] = {}
    """Column to its least and greatest value and the number of rows without one, of columns that the log may tell of:
    dates, years and months."""


def history(where: str | Path, limit: int = 1000) -> list[Commit]:
    """The last commits, newest first; empty when there is no table."""
    table = _open(where)
    if table is None:
        return []
    return [(int(c["version"]), json.loads(c.get(TOLD) or "{}")) for c in table.history(limit)]


def last_commit(where: str | Path) -> Commit | None:
    """Version and metadata of the last commit, or None when there is no table."""
    commits = history(where, limit=1)
    return commits[0] if commits else None


def is_same(written: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Whether a commit says what ``metadata`` says, whichever run made it: a step that is repeated in another run finds
    what the first one wrote."""
    return {k: v for k, v in written.items() if k != RUN} == {k: v for k, v in metadata.items() if k != RUN}


def measure(where: str | Path) -> tuple[int, int]:
    """Rows and bytes of the newest version, as the log says them; (0, 0) when there is no table."""
    live = live_files(where)
    return sum(f.rows for f in live), sum(f.bytes for f in live)


def live_files(where: str | Path, version: int | None = None) -> list[WrittenFile]:
    """The files that hold the rows of one version, or of the newest."""
    table = _open(where, version)
    return [] if table is None else _files(table)


def unreferenced(where: str | Path, hours: int, kept: Collection[int]) -> list[str]:
    """Paths, from the table's root on, of files that hold no row of the newest version, nor of the ``kept`` ones, and
    that were replaced so many ``hours`` ago, or written then and never committed. Empty when there is no table."""
    table = _open(where)
    if table is None:
        return []
    try:
        return table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True, keep_versions=[*kept])
    except DeltaError as error:
        raise _failed(Path(where), error) from None


def commit(
    where: str | Path,
    files: Sequence[WrittenFile],
    columns: Columns | None,
    metadata: Mapping[str, Any],
    *,
    replaces: Callable[[Partition], bool],
    claim: str,
    partition_by: Sequence[str] = (),
    stats: Sequence[str] = (),
) -> int:
    """Makes ``files`` rows of the table, in place of those whose partition ``replaces`` is true of; the new version.

    ``claim`` names what is replaced: of two writers who looked at the same moment and claim the same, one is refused,
    also where there was nothing to replace. ``columns``: all of the table, with its partition columns; None where rows
    only go. The table is made when there is none; of ``stats`` its log may hold extremes. Raises ``ConflictError`` when
    another writer commits meanwhile, ``StorageError`` when a file is not as it was written, is not encrypted, or has
    other columns than rows that stay.
    """
    root = Path(where)
    _prove_written(root, files)
    table = _open(root)
    told = {TOLD: json.dumps(dict(metadata), sort_keys=True)}
    try:
        if table is None:
            _create(root, _schema(columns or {}), files, partition_by, stats, told, claim)
        else:
            _change(root, table, columns, files, replaces, told, claim)
    except DeltaError as error:
        made_meanwhile = table is None and _open(root) is not None
        if made_meanwhile or isinstance(error, CommitFailedError):
            raise _not_first(root) from None
        raise _failed(root, error) from None
    found = next((version for version, said in history(root, LOOKED_AT) if is_same(said, metadata)), None)
    if found is None:
        raise StorageError(f"{root.name}: the commit is not in the table's log.", next_step="try again")
    return found


def _create(
    root: Path,
    schema: Schema,
    files: Sequence[WrittenFile],
    partition_by: Sequence[str],
    stats: Sequence[str],
    told: dict[str, str],
    claim: str,
) -> None:
    """The first commit of a table. Another writer's makes it fail: tried again, it would come second, beside
    what the other one brought."""
    root.mkdir(parents=True, exist_ok=True)
    create_table_with_add_actions(
        str(root),
        schema,
        _adds(files),
        mode="error",
        partition_by=list(partition_by),
        configuration=CONFIGURATION | ({STATS: ",".join(stats)} if stats else {}),
        commit_properties=CommitProperties(told, max_commit_retries=0, app_transactions=[Transaction(claim, 0)]),
    )


def _change(
    root: Path,
    table: DeltaTable,
    columns: Columns | None,
    files: Sequence[WrittenFile],
    replaces: Callable[[Partition], bool],
    told: dict[str, str],
    claim: str,
) -> None:
    schema = table.schema() if columns is None else _schema(columns)
    live = _files(table)
    if {file.path for file in files} & {file.path for file in live}:
        raise _not_first(root)
    gone = [file for file in live if replaces(file.partition)]
    changed = _types(schema) != _types(table.schema())
    if changed and len(gone) < len(live):
        raise StorageError(
            f"{root.name}: its columns are not those of the contract any more, and older rows would stay.",
            next_step="build everything again with `hub omop build --again`",
        )
    # an append changes nothing that it does not name; where the columns change, all rows go, and an overwrite says so
    actions: list[AddAction | RemoveAction] = [*_adds(files), *([] if changed else _removes(gone))]
    table.create_write_transaction(
        actions,
        "overwrite" if changed else "append",
        schema,
        table.metadata().partition_columns,
        commit_properties=CommitProperties(custom_metadata=told, app_transactions=[_next(table, claim)]),
    )


def _adds(files: Sequence[WrittenFile]) -> list[AddAction]:
    now = int(time.time() * 1000)
    return [AddAction(f.path, f.bytes, dict(f.partition), now, True, _statistics(f)) for f in files]


def _statistics(file: WrittenFile) -> str:
    said: dict[str, Any] = {"numRecords": file.rows}
    # a file is skipped by its extremes only where all three are told
    for at, name in enumerate(("minValues", "maxValues", "nullCount") if file.extremes else ()):
        said[name] = {column: ends[at] for column, ends in file.extremes.items()}
    return json.dumps(said)


def _removes(files: Sequence[WrittenFile]) -> list[RemoveAction]:
    now = int(time.time() * 1000)
    return [RemoveAction(f.path, True, now, f.bytes, dict(f.partition)) for f in files]


def _next(table: DeltaTable, claim: str) -> Transaction:
    last = table.transaction_version(claim)
    return Transaction(claim, 0 if last is None else last + 1)


def _prove_written(root: Path, files: Sequence[WrittenFile]) -> None:
    """A log names whatever it is told to: that a file is there, whole and encrypted is looked at before."""
    for file in files:
        path = root / file.path
        try:
            with path.open("rb") as stream:
                begins = stream.read(len(ENCRYPTED))
            whole = path.stat().st_size == file.bytes
        except OSError:
            begins, whole = b"", False
        if not whole:
            raise StorageError(
                f"{root.name}: {path.name} is not there as it was written.",
                next_step="run the step that writes it again",
            )
        if begins != ENCRYPTED:
            raise StorageError(f"{root.name}: {path.name} is not encrypted.", next_step="check the Spark server's keys")


def _open(where: str | Path, version: int | None = None) -> DeltaTable | None:
    if not (Path(where) / LOG).is_dir():
        return None
    try:
        return DeltaTable(str(where), version=version)
    except DeltaError as error:
        raise _failed(Path(where), error) from None


def _files(table: DeltaTable) -> list[WrittenFile]:
    adds = table.get_add_actions(flatten=True)
    columns = {name: adds.column(name).to_pylist() for name in adds.column_names}
    named = {name: name.removeprefix("partition.") for name in columns if name.startswith("partition.")}
    return [
        WrittenFile(
            path=path,
            rows=columns["num_records"][at] or 0,
            bytes=columns["size_bytes"][at],
            partition={column: columns[name][at] for name, column in named.items()},
        )
        for at, path in enumerate(columns["path"])
    ]


def _schema(columns: Columns) -> Schema:
    fields = [
        {"name": name, "type": DELTA_TYPES.get(kind, kind), "nullable": True, "metadata": {}}
        for name, kind in columns.items()
    ]
    return Schema.from_json(json.dumps({"type": "struct", "fields": fields}))


def _types(schema: Schema) -> dict[str, Any]:
    return {f["name"]: f["type"] for f in json.loads(schema.to_json())["fields"]}


def _not_first(root: Path) -> ConflictError:
    return ConflictError(f"Another writer committed to {root.name} first.", next_step="try again")


def _failed(root: Path, error: DeltaError) -> StorageError:
    """Errors of the log quote paths and versions, never a row; still only what can be acted on is said."""
    if "encrypted footer" in str(error):
        return StorageError(
            f"{root.name}: the checkpoint of its log is encrypted.",
            next_step="run `hub lake maintain`, which rewrites it",
        )
    return StorageError(f"{root.name}: its log cannot be used ({type(error).__name__}).", next_step="try again")
