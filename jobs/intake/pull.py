"""Pull: receives one delivery into landing, in one streaming pass per file, or refuses it whole.

Refused: landing is as before, what was received is kept sealed to the stewards' key, the contributor's files are
untouched. Repeating gives the same outcome. Nothing is written in clear.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric import rsa

from jobs.delivery import DeliveryId
from jobs.errors import ConflictError, ContractRefused, HubError, Incomplete, KeyRefused, UnexpectedState
from jobs.intake.connectors import Connector, connect, is_safe_name
from jobs.intake.landing import (
    LANDING,
    NOTED_NAME,
    Apart,
    EncryptedParquet,
    Landed,
    Wrap,
    malformed_name,
    refused_name,
    sealed_to,
)
from jobs.intake.lines import Place
from jobs.intake.manifest import FileEntry, Manifest, read_manifest, require_complete
from jobs.intake.readers.csv import MALFORMED, CsvFile
from jobs.intake.seal import seal
from jobs.keys import read_public_key
from jobs.rows.noted import NOTED, Seen
from jobs.rows.typed import Typed, reader_of, refused_schema, typed_schema, typing_of
from schemas.loader import load_source, load_table, load_tables

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes received so far and the bytes declared."""


@dataclass(frozen=True)
class FileReport:
    """One file as it was received: well-formed rows, malformed lines (in all and by reason), how many of the rows break
    the contract, bytes, sha256."""

    table: str
    file: str
    rows: int
    malformed: int
    reasons: dict[str, int]
    refused: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PullReport:
    """One delivery as it was received."""

    delivery: DeliveryId
    manifest_sha256: str
    stage1_key: str
    reader: str
    """Check value of what made the types (``jobs.rows.typed.reader_of``)."""
    unknown: tuple[str, ...]
    """Tables of which the stage has to find what does not go on (``jobs.rows.noted``)."""
    ended: dict[str, list[tuple[str, str, str | None, int]]]
    """Of the others, how many rows of a file do not go on, by state and reason."""
    files: tuple[FileReport, ...]

    @property
    def rows(self) -> int:
        """Records received, malformed ones counted."""
        return sum(f.rows + f.malformed for f in self.files)

    def to_dict(self) -> dict[str, object]:
        """For the one line of JSON that a task prints."""
        return {**asdict(self), "delivery": str(self.delivery), "files": [asdict(f) for f in self.files]}


@dataclass(frozen=True)
class _Doors:
    """Where one delivery goes while it is being received, and to which keys."""

    delivery: DeliveryId
    connector: Connector
    rows: Path
    apart: Path
    to_landing: Wrap
    to_quarantine: Wrap
    seen: Seen


def pull(
    delivery: DeliveryId,
    *,
    outbox: Path | Connector,
    landing: Path,
    quarantine: Path,
    keys_public: Path,
    stage1_key: str | None = None,
    known: Mapping[str, str] = MappingProxyType({}),
    progress: Progress | None = None,
) -> PullReport:
    """Receives ``delivery`` into ``landing/<delivery>/<table>/<file>.parquet``, typed by its contract. Lines that are
    no records go to ``quarantine/<delivery>/<table>/malformed-<file>.parquet``, and rows that break the contract, as
    they came, to ``refused-<file>.parquet`` beside it. Each is sealed to its own key.

    ``stage1_key``: check value that the contributors' stage-1 key must have; another one raises ``KeyRefused``
    (stage1_key_other). ``known``: sha256 of files that other periods brought, and the delivery that did; the same file
    again, with care in it, is refused (same_as_other_period). Raises ``Incomplete`` while files are missing,
    ``ConflictError`` while another process pulls the same delivery, and ``ContractRefused`` with a reason, after the
    bytes were sealed in ``quarantine/<delivery>/refused/<file>.sealed``. Bytes that differ from the manifest's sha256
    are a checksum_mismatch, whatever else they broke.
    """
    connector = connect(outbox)
    keys = read_public_key(keys_public / "landing.pub.pem"), read_public_key(keys_public / "quarantine.pub.pem")
    manifest: Manifest | None = None
    try:
        manifest, sha256 = read_manifest(connector, delivery)
        require_complete(delivery, manifest, connector.files(delivery))
        if stage1_key is not None and manifest.stage1_key != stage1_key:
            raise _other_stage1_key(delivery)
        _refuse_known(delivery, manifest, known)
        with _replacing(delivery, landing, quarantine) as (rows, apart):
            seen = Seen(load_tables(delivery.source))
            doors = _Doors(delivery, connector, rows, apart, sealed_to(keys[0]), sealed_to(keys[1]), seen)
            files = tuple(_receive(entry, doors, progress) for entry in manifest.files)
            noted, books = seen.ended()
            if noted.num_rows:
                with EncryptedParquet(rows / NOTED_NAME, NOTED, doors.to_landing, LANDING) as kept:
                    kept.write(noted)
        reader = reader_of(load_source(delivery.source).csv, load_tables(delivery.source).values())
        ended = {table: [(*end, n) for end, n in of.items()] for table, of in books.items()}
        return PullReport(delivery, sha256, manifest.stage1_key, reader, tuple(seen.unknown), ended, files)
    except ContractRefused as refusal:
        damaged = _keep_sealed(connector, delivery, manifest, quarantine, keys[1])
        if not damaged or refusal.reason == "checksum_mismatch":
            raise
        raise _checksum_mismatch(delivery, damaged) from None


def _receive(entry: FileEntry, doors: _Doors, progress: Progress | None) -> FileReport:
    """One file: one pass over its bytes."""
    table, dialect = load_table(doors.delivery.source, entry.table), load_source(doors.delivery.source).csv
    place = Place(str(doors.delivery), entry.name, f"{doors.delivery.source}/{entry.table}")
    typed = typing_of(table, dialect, doors.delivery.period)
    target, apart = doors.rows / entry.table, doors.apart / entry.table
    tell = None if progress is None else (lambda done: progress(entry.name, done, entry.bytes))
    refused = 0
    with ExitStack() as stack:
        stream = stack.enter_context(doors.connector.open(doors.delivery, entry.name))
        file = CsvFile(stream, table, dialect, place, limit=entry.bytes, progress=tell)
        good = stack.enter_context(Landed(target, entry.name, typed_schema(table), doors.to_landing))
        malformed = stack.enter_context(Apart(apart / malformed_name(entry.name), MALFORMED, doors.to_quarantine))
        bad = stack.enter_context(Apart(apart / refused_name(entry.name), refused_schema(table), doors.to_quarantine))
        for records in file:
            malformed.write(records.malformed)
            block = _typed(records.rows, typed, place)
            good.write(block.rows)
            bad.write(block.refused)
            refused += block.refused.num_rows
            doors.seen.see(entry.table, entry.name, block.rows)
        _compare(entry, file, place)
    lines = file.records - file.rows
    return FileReport(entry.table, entry.name, file.rows, lines, file.malformed, refused, file.size, file.sha256)


def _typed(rows: pa.Table, typed: Callable[[pa.Table], Typed], place: Place) -> Typed:
    with suppress(Exception):  # whatever it is, its message may quote a value
        return typed(rows)
    raise UnexpectedState(f"{place.table}: its rows could not be given their types.")


def _compare(entry: FileEntry, file: CsvFile, place: Place) -> None:
    if file.sha256 != entry.sha256:
        raise place.refuse("checksum_mismatch", "its bytes differ from those that the contributor declared.")
    if file.records != entry.rows:
        raise place.refuse("row_count_mismatch", f"holds {file.records} rows, {entry.rows} were declared.")
    if 2 * (file.records - file.rows) > file.records:
        raise place.refuse(
            "too_many_malformed", f"{file.records - file.rows} of {file.records} lines do not have the contract's form."
        )


@contextmanager
def _replacing(delivery: DeliveryId, landing: Path, quarantine: Path) -> Iterator[tuple[Path, Path]]:
    """Two folders to fill: they take the delivery's place when all went well and vanish otherwise."""
    target, apart = delivery.under(landing), delivery.under(quarantine)
    name = target.name
    rows, old = target.with_name(f".{name}.partial"), target.with_name(f".{name}.old")
    sealed = apart.with_name(f".{name}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.with_name(f".{name}.lock"), delivery):
        if old.exists() and not target.exists():
            os.rename(old, target)
        for left in (rows, sealed, old):
            shutil.rmtree(left, ignore_errors=True)
        try:
            yield rows, sealed
            new = {p.relative_to(sealed): p for p in sealed.glob("*/*.parquet")}
            for path, made in new.items():
                (apart / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(made, apart / path)
            for stale in apart.glob("*/*.parquet"):
                if stale.relative_to(apart) not in new:
                    stale.unlink()
            for stale in apart.glob("*/rows"):  # what a stage found among the rows that these replace
                shutil.rmtree(stale, ignore_errors=True)
            if target.exists():
                os.rename(target, old)
            os.rename(rows, target)
        finally:
            for left in (rows, sealed, old):
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _alone(lock: Path, delivery: DeliveryId) -> Iterator[None]:
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"{delivery}: another process is pulling it.", reason="already_pulling") from None
        yield


def _keep_sealed(
    connector: Connector, delivery: DeliveryId, manifest: Manifest | None, quarantine: Path, key: rsa.RSAPublicKey
) -> list[str]:
    """Seals what was received; returns the names of files whose bytes are not those that the manifest declares."""
    declared = {f.name: f.sha256 for f in manifest.files} if manifest else {}
    damaged = []
    try:
        names = [n for n, size in connector.files(delivery).items() if size is not None and is_safe_name(n)]
    except ContractRefused:
        # the folder itself is a link: nothing of it is opened
        names = []
    for name in names:
        try:
            stream = connector.open(delivery, name)
        except (ContractRefused, Incomplete):
            # not readable, or gone since: there is nothing to keep
            continue
        with stream:
            target = delivery.under(quarantine) / "refused" / f"{name}.sealed"
            sealed = seal(stream, target, key, f"{delivery}/{name}")
        if declared.get(name, sealed.sha256) != sealed.sha256:
            damaged.append(name)
    return damaged


def _checksum_mismatch(delivery: DeliveryId, names: list[str]) -> HubError:
    return ContractRefused(
        f"{delivery}: the bytes differ from those that the contributor declared: {', '.join(names)}.",
        reason="checksum_mismatch",
        next_step="Ask the contributor to send again: the transport or the export damaged them.",
    )


def _refuse_known(delivery: DeliveryId, manifest: Manifest, known: Mapping[str, str]) -> None:
    care = tables_of_care(delivery.source)
    again = [f for f in manifest.files if f.rows and f.table in care and f.sha256 in known]
    if again:
        said = "; ".join(f"{f.name} is the file of {f.table} that {known[f.sha256]} brought" for f in again[:10])
        raise ContractRefused(
            f"{delivery}: {said} (same sha256).",
            reason="same_as_other_period",
            next_step=f"Send the files of {delivery.period}.",
        )


def tables_of_care(source: str) -> frozenset[str]:
    """Tables whose rows are care of the period: dated ones, details, and what these detail. Registers of persons and
    nomenclatures are none: they may be the same from one period to the next."""
    tables = load_tables(source)
    care = {name for name, table in tables.items() if table.date or table.parent}
    parents = {table.parent.table for table in tables.values() if table.parent}
    return frozenset(care | {name for name in parents if not tables[name].person})


def _other_stage1_key(delivery: DeliveryId) -> KeyRefused:
    return KeyRefused(
        f"{delivery}: its pseudonyms were made with another stage-1 key than the registered one. No data was read.",
        reason="stage1_key_other",
        next_step="Ask the contributor which key the agent used, then send again.",
    )
