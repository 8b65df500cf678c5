"""The source agent: stage 1 in the contributor's own custody, before anything reaches the hub.

It reads the practice's raw export (with NIR) from the inbox and writes the delivery (with pseudonyms) to the outbox.
Nothing with a NIR is written outside the inbox: the patient table's ``nir`` becomes ``patient_pseudonym`` and
``identity_status``, and every line that is written, of every table, is searched for a NIR with a valid key; finding
one stops the agent before the line is written. The manifest comes last, by rename.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from jobs.delivery import DeliveryId
from jobs.errors import ConfigError, ContractRefused, Incomplete, KeyRefused, StorageError
from jobs.intake.connectors import MANIFEST, is_safe_name
from jobs.intake.header import match_header
from jobs.intake.lines import Block, Lines, Place, decoded
from jobs.intake.manifest import FileEntry
from jobs.intake.sums import SummedFile
from jobs.pseudonymise.canonical import canonical_nir, find_nir
from jobs.pseudonymise.declare import kept, manifest_of, put_manifest, records
from jobs.pseudonymise.keys import check_value, read_key
from jobs.pseudonymise.stage1 import stage1
from schemas.loader import Csv, Source, Table, load_source, load_table

NIR, PSEUDONYM, STATUS = "nir", "patient_pseudonym", "identity_status"
_SEX = {"1": "1", "M": "1", "2": "2", "F": "2"}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_WITHOUT_OWN_STATUS = {"nir_form": "nir_key_invalid", "identity_incomplete": "nir_missing"}
"""Where the contract's list of statuses lacks one: the nearest that it has."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class AgentReport:
    """What the agent made: the delivery, its files, and how many patients have which identity status."""

    delivery: DeliveryId
    stage1_key: str
    files: tuple[FileEntry, ...]
    statuses: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """For the one line of JSON that the command prints."""
        files = [f.model_dump() for f in self.files]
        return {**asdict(self), "delivery": str(self.delivery), "files": files}


def raw_columns(table: Table) -> tuple[str, ...]:
    """Columns of the raw export: the contract's, with ``nir`` in place of pseudonym and status."""
    return tuple(NIR if c == PSEUDONYM else c for c in table.names if c != STATUS)


def pseudonymise(
    delivery: DeliveryId, *, inbox: Path, outbox: Path, key_file: Path, progress: Progress | None = None
) -> AgentReport:
    """Writes ``outbox/<delivery>`` from ``inbox/<period>/v<n>``.

    Raises ``KeyRefused`` without the contributor's key, ``Incomplete`` (empty_inbox), ``ConfigError`` for a source
    that needs no agent, and ``ContractRefused`` for an export that is not as agreed: reasons of the readers, and
    bad_name, unknown_table, missing_table, malformed, nir_elsewhere. On any of them the outbox stays as it was.
    """
    source = _contract(delivery)
    key = contributors_key(key_file)
    raw = inbox.joinpath(*delivery.parts[1:])
    exports = _exports(delivery, raw, source)
    target = delivery.under(outbox)
    part = target.with_name(f".{target.name}.part")
    statuses: Counter[str] = Counter()
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        files = tuple(
            _write(delivery, source, table, path, part / path.name, key, statuses, progress) for table, path in exports
        )
        _publish(part, target, manifest_of(delivery, source, check_value(key), files))
    except OSError as error:
        raise StorageError(f"{delivery}: the delivery cannot be written ({error.strerror}).") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return AgentReport(delivery, check_value(key), files, dict(sorted(statuses.items())))


def _contract(delivery: DeliveryId) -> Source:
    try:
        source = load_source(delivery.source)
    except KeyError:
        raise ConfigError(f"There is no contract with a source {delivery.source}.", reason="unknown_source") from None
    if source.person_key != "nir":
        raise ConfigError(
            f"{delivery.source} sends stage-1 pseudonyms already: it needs no agent.", reason="no_agent_needed"
        )
    return source


def contributors_key(key_file: Path) -> bytes:
    """The contributors' key; the hub's own keys cannot stand in for it."""
    if key_file.is_dir():
        raise KeyRefused(
            f"{key_file} is a folder: the agent needs the contributors' own key file, p1.key. No data was read.",
            reason="key_missing",
            next_step="Name the key file with --key; the hub does not hold it.",
        )
    if key_file.parent.name == "hub":
        raise KeyRefused(
            f"{key_file} is a key of the hub: stage 1 needs the contributors' own key. No data was read.",
            reason="key_swapped",
            next_step="Name the contributors' p1.key with --key.",
        )
    return read_key(key_file)


def _exports(delivery: DeliveryId, raw: Path, source: Source) -> list[tuple[str, Path]]:
    """(table, file) of the raw export, in load order. A file's table is the end of its name."""
    found: list[tuple[str, Path]] = []
    for path in sorted(raw.glob("*.csv")):
        tables = [t for t in source.tables if path.name.endswith(f"_{t}.csv")]
        if not is_safe_name(path.name) or path.is_symlink() or not path.is_file():
            raise ContractRefused(f"{delivery}: a name in the inbox is not accepted.", reason="bad_name")
        if not tables:
            raise ContractRefused(
                f"{delivery} {path.name}: its name ends in no table of the contract.",
                reason="unknown_table",
                next_step=f"Name files as {source.file_name}.",
            )
        found.append((tables[0], path))
    if not found:
        raise Incomplete(f"{delivery}: the agent's inbox {raw} holds no export.", reason="empty_inbox")
    if missing := [t for t in source.tables if t not in {table for table, _ in found}]:
        raise ContractRefused(f"{delivery}: the export lacks the tables {', '.join(missing)}.", reason="missing_table")
    return sorted(found, key=lambda f: (source.tables.index(f[0]), f[1].name))


def _write(
    delivery: DeliveryId,
    source: Source,
    table: str,
    path: Path,
    target: Path,
    key: bytes,
    statuses: Counter[str],
    progress: Progress | None,
) -> FileEntry:
    """One file of the export to one file of the delivery, block by block, hashed on the way."""
    contract, place = load_table(delivery.source, table), Place(str(delivery), path.name, f"{delivery.source}/{table}")
    has_nir = PSEUDONYM in contract.names
    size = path.stat().st_size
    tell = None if progress is None else (lambda done: progress(path.name, done, size))
    with path.open("rb", buffering=0) as stream, SummedFile(target) as out:
        lines = Lines(stream, place, progress=tell)
        if has_nir:
            _patients(lines, contract, source.csv, place, key, out, statuses)
        else:
            _copy(lines, path, contract, source.csv, place, out)
    return FileEntry(table=table, name=path.name, rows=out.rows, bytes=out.bytes, sha256=out.sha256)


def _copy(lines: Lines, path: Path, contract: Table, dialect: Csv, place: Place, out: SummedFile) -> None:
    """A table without NIR, byte for byte."""
    match_header(lines.header, dialect, contract.names, place)
    with path.open("rb") as first:
        header = first.readline()
    _search(header, 1, place)
    out.write(header, 0)
    for block in lines:
        _search(block.data, block.line, place)
        out.write(block.data, records(block))


def _patients(
    lines: Lines, contract: Table, dialect: Csv, place: Place, key: bytes, out: SummedFile, statuses: Counter[str]
) -> None:
    """The patient table: the NIR of each row becomes its pseudonym and the outcome of making it."""
    names = match_header(lines.header, dialect, raw_columns(contract), place)
    out.write((dialect.delimiter.join(contract.names) + "\n").encode(dialect.encoding), 0)
    column = contract.column(STATUS)
    for block in lines:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=dialect.delimiter, quotechar=dialect.quote, lineterminator="\n")
        rows = 0
        for row in _rows(block, names, dialect, place):
            person = _identity(row, contract, key)
            if column.values and person[STATUS] not in column.values:
                person[STATUS] = _WITHOUT_OWN_STATUS.get(person[STATUS], person[STATUS])
            statuses[person[STATUS]] += 1
            writer.writerow([person.get(name, row.get(name, "")) for name in contract.names])
            rows += 1
        data = text.getvalue().encode(dialect.encoding)
        _search(data, block.line, place)
        out.write(data, rows)


def _rows(block: Block, names: tuple[str, ...], dialect: Csv, place: Place) -> Iterator[dict[str, str]]:
    text = decoded(block.data, dialect.encoding, block.line, place)
    text = block.data.decode("ascii") if text is None else text
    # a line is a record: an open quote cannot reach the next line
    for number, line in enumerate(text.split("\n"), start=block.line):
        bare = line.removesuffix("\r")
        if not bare:
            continue
        try:
            fields = next(csv.reader([bare], delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True))
        except csv.Error:
            fields = []
        if len(fields) != len(names):
            raise place.refuse(
                "malformed",
                f"line {number} does not have the {len(names)} fields of the header: its NIR cannot be found safely.",
                "Correct the export, then run the agent again.",
            )
        yield dict(zip(names, fields, strict=True))


def _identity(row: dict[str, str], contract: Table, key: bytes) -> dict[str, str]:
    found = canonical_nir(row[NIR])
    if found.nir13 is None:
        return {PSEUDONYM: "", STATUS: str(found.reason)}
    birth = _birth_date(row["birth_date"].strip(), contract.column("birth_date").null_values)
    sex = _SEX.get(row["sex"].strip().upper())
    if birth is None or sex is None:
        return {PSEUDONYM: "", STATUS: "identity_incomplete"}
    return {PSEUDONYM: stage1(key, found.nir13, birth, sex), STATUS: "ok"}


def _birth_date(text: str, sentinels: tuple[str, ...]) -> date | None:
    if text in sentinels or not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _search(data: bytes, line: int, place: Place) -> None:
    """Refuses nir_elsewhere: bytes that are about to be written and hold a NIR with a valid key."""
    at = find_nir(data)
    if at is not None:
        raise place.refuse(
            "nir_elsewhere",
            f"line {line + data[:at].count(10)}: a NIR stands outside the column {NIR}. It was not written.",
            "Remove it from the practice's record, then export again.",
        )


def _publish(part: Path, target: Path, manifest: dict[str, object]) -> None:
    """The delivery takes its place; its manifest is written last, and is the old one when it says the same."""
    made = {p.name for p in part.iterdir()}
    target.mkdir(parents=True, exist_ok=True)
    manifest = kept(target, manifest)
    (target / MANIFEST).unlink(missing_ok=True)
    for stale in target.glob("*.csv"):
        if stale.name not in made:
            stale.unlink()
    for name in sorted(made):
        os.replace(part / name, target / name)
    put_manifest(target, manifest)
