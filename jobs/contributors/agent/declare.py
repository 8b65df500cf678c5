"""The manifest of a delivery: what the contributor declares, written last, by rename, so that it announces a whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from jobs.contributors.agent.inbox import shown
from jobs.delivery import DeliveryId
from jobs.errors import ConfigError, ContractRefused, Incomplete, StorageError
from jobs.intake.connectors import MANIFEST, is_safe_name
from jobs.intake.header import match_header
from jobs.intake.lines import Block, Lines, Place, count
from jobs.intake.manifest import FileEntry
from schemas.loader import Source, load_source, load_tables

Manifest = dict[str, object]
Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes read so far, and its size."""


def declare(
    delivery: DeliveryId,
    *,
    outbox: Path,
    key_check: str,
    progress: Progress | None = None,
    dry_run: bool = False,
    synthetic: bool = False,
) -> tuple[FileEntry, ...]:
    """Writes the manifest of the files that lie in ``outbox/<delivery>``, for a source that makes its own pseudonyms.

    A file's table is told by its header. ``key_check``: check value of the stage-1 key that made the pseudonyms. With
    ``dry_run`` nothing is written; ``synthetic`` says that the rows are made up. Raises ``Incomplete`` (empty_outbox),
    ``ConfigError`` (unknown_source, agent_needed), ``StorageError``, and ``ContractRefused`` as the hub would:
    bad_name, unlisted_file, missing_table, and the reasons of the header.
    """
    try:
        source = load_source(delivery.source)
    except KeyError:
        raise ConfigError(f"There is no contract for a source {delivery.source}.", reason="unknown_source") from None
    if source.person_key == "nir":
        raise ConfigError(
            f"{delivery.source} exports NIRs: nothing of it is declared as it is.",
            reason="agent_needed",
            next_step="run `hub agent pseudonymise`, which also writes the manifest",
        )
    folder = delivery.under(outbox)
    try:
        paths = _files(delivery, folder)
        files = tuple(_entry(delivery, source, path, progress) for path in paths)
        if missing := [t for t in source.tables if t not in {f.table for f in files}]:
            raise ContractRefused(
                f"{delivery}: the tables {', '.join(missing)} are missing.",
                reason="missing_table",
                next_step="Put all files of the month there, then declare again.",
            )
        if not dry_run:
            put_manifest(folder, kept(folder, manifest_of(delivery, source, key_check, files, synthetic=synthetic)))
    except OSError as error:
        raise StorageError(
            f"{delivery}: the outbox {folder} cannot be used ({error.strerror or type(error).__name__}).",
            next_step="Check its rights and the space on its disk, then declare again.",
        ) from None
    return files


def _files(delivery: DeliveryId, folder: Path) -> list[Path]:
    """The files of the delivery, all of them: what the hub would find beside them unlisted is refused here."""
    try:
        paths = [p for p in sorted(folder.iterdir()) if not p.name.startswith(".") and p.name != MANIFEST]
    except (FileNotFoundError, NotADirectoryError):
        paths = []
    if odd := [p.name for p in paths if not is_safe_name(p.name) or p.is_symlink() or not p.is_file()]:
        raise ContractRefused(
            f"{delivery}: {', '.join(map(shown, odd))}: the name is not accepted, or it is a link or a folder.",
            reason="bad_name",
            next_step="Use letters, digits, '_', '-' and '.' only, and take folders out.",
        )
    if other := [p.name for p in paths if p.suffix != ".csv"]:
        raise ContractRefused(
            f"{delivery}: {', '.join(map(shown, other))}: not named as a table's file, which ends in .csv.",
            reason="unlisted_file",
            next_step="Rename it to end in .csv if it is a table, else take it out of the outbox.",
        )
    if not paths:
        raise Incomplete(
            f"{delivery}: {folder} holds no .csv file.",
            reason="empty_outbox",
            next_step="Put the files of the month there, then declare again.",
        )
    return paths


def _entry(delivery: DeliveryId, source: Source, path: Path, progress: Progress | None) -> FileEntry:
    size = path.stat().st_size
    tell = None if progress is None else (lambda done: progress(path.name, done, size))
    with path.open("rb", buffering=0) as stream:
        lines = Lines(stream, Place(str(delivery), path.name, f"{delivery.source}/?"), progress=tell)
        table = _table(lines.header, delivery, source, path.name)
        rows = sum(records(block) for block in lines)
        return FileEntry(table=table, name=path.name, rows=rows, bytes=lines.bytes, sha256=lines.sha256)


def _table(header: bytes, delivery: DeliveryId, source: Source, file: str) -> str:
    """The table whose columns the header has; refuses by the nearest one what is not a table's header."""
    tables = load_tables(delivery.source)
    names = set(header.decode(source.csv.encoding, "replace").split(source.csv.delimiter))
    nearest = max(tables, key=lambda t: len(names & set(tables[t].names)) - len(set(tables[t].names) - names))
    match_header(header, source.csv, tables[nearest].names, Place(str(delivery), file, f"{delivery.source}/{nearest}"))
    return nearest


def records(block: Block) -> int:
    """Lines that are not blank, as the hub will count them."""
    ends = count(block.data, 10)
    if b"\n\n" in block.data or b"\n\r\n" in block.data or block.data.startswith((b"\n", b"\r\n")):
        return sum(1 for line in block.data.split(b"\n") if line.rstrip(b"\r"))
    return ends + block.is_cut


def manifest_of(
    delivery: DeliveryId, source: Source, key_check: str, files: Sequence[FileEntry], *, synthetic: bool = False
) -> Manifest:
    """What a contributor declares now; rows that are made up are ``synthetic``."""
    return {
        "contract": source.source,
        "contract_version": source.contract,
        "source": delivery.source,
        "period": delivery.period,
        "version": delivery.version,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "stage1_key": key_check,
        **({"synthetic": True} if synthetic else {}),
        "files": [f.model_dump() for f in files],
    }


def kept(folder: Path, manifest: Manifest) -> Manifest:
    """The manifest that is there when it says the same: the hub then sees the same delivery, not another one."""
    try:
        old = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):  # none, or nothing that could say the same
        return manifest
    same = isinstance(old, dict) and {**old, "created_at": None} == {**manifest, "created_at": None}
    return old if same else manifest


def put_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest at its place, whole or not at all."""
    waiting = folder / f".{MANIFEST}.part"
    waiting.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    os.replace(waiting, folder / MANIFEST)
