"""The source agent: stage 1 in the contributor's own custody, before anything reaches the hub.

It reads the contributors' raw exports (with NIR) from the inbox and writes the delivery (with pseudonyms) to the
outbox. Which columns hold NIR, birth date, sex and status the contract says. Nothing with a NIR is written outside the
inbox: the NIR becomes a pseudonym and a status, and every line of every table is searched for NIRs before it is
written; one that is found refuses the month. The manifest comes last, by rename.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from jobs.contributors.agent.canonical import canonical_nir, provisional_nir
from jobs.contributors.agent.codes import sex_of, trimmed
from jobs.contributors.agent.declare import Progress, kept, manifest_of, put_manifest
from jobs.contributors.agent.inbox import Export, Left, read_inbox
from jobs.contributors.agent.rewrite import Row, rewrite, rewrite_persons
from jobs.contributors.agent.search import Finding, NirSearch
from jobs.contributors.agent.stage1 import stage1
from jobs.delivery import DeliveryId
from jobs.errors import ConfigError, ContractRefused, KeyRefused, StorageError
from jobs.intake.connectors import MANIFEST
from jobs.intake.lines import Lines, Place
from jobs.intake.manifest import FileEntry
from jobs.intake.sums import SummedFile
from jobs.keys import check_value, read_key
from schemas.loader import Column, Source, Table, load_source, load_table

FIRST_YEAR = 1850
"""A birth before it is a typing error."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass
class _Books:
    """What is counted on the way: statuses by sender, codes rewritten, codes that the contract lacks, findings."""

    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    rewritten: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class AgentReport:
    """What the agent made: the delivery, its files, and how many patients have which identity status."""

    delivery: DeliveryId
    stage1_key: str
    files: tuple[FileEntry, ...]
    statuses: dict[str, int] = field(default_factory=dict)
    senders: dict[str, dict[str, int]] = field(default_factory=dict)
    """Statuses by sender (a practice), as its files are named."""
    rewritten: dict[str, int] = field(default_factory=dict)
    """Codes that were written otherwise than in the contract and now are as it has them, by ``table.column``."""
    unknown_codes: dict[str, int] = field(default_factory=dict)
    """Codes that the contract does not have, by ``table.column``: the hub will put these rows aside."""
    left: tuple[Left, ...] = ()
    """Entries of the inbox that were not taken, and why."""

    def to_dict(self) -> dict[str, object]:
        """For the one line of JSON that the command prints."""
        files = [f.model_dump() for f in self.files]
        return {**asdict(self), "delivery": str(self.delivery), "files": files}


def raw_columns(table: Table) -> tuple[str, ...]:
    """Columns of the raw export: the contract's, with the NIR in place of the pseudonym, and without the status."""
    return tuple(c.exported_as or c.name for c in table.columns if c.name != table.identity)


def pseudonymise(
    delivery: DeliveryId,
    *,
    inbox: Path,
    outbox: Path,
    key_file: Path,
    progress: Progress | None = None,
    dry_run: bool = False,
    synthetic: bool = False,
) -> AgentReport:
    """Writes ``outbox/<delivery>`` from ``inbox/<period>/v<n>``; with ``dry_run`` the outbox stays as it was. Rows that
    are made up are declared ``synthetic``.

    Raises ``KeyRefused`` without the contributor's key, ``Incomplete`` (empty_inbox), ``ConfigError`` for a source
    that needs no agent, ``StorageError``, and ``ContractRefused`` for an export that is not as agreed: reasons of the
    readers and of the inbox, malformed, nir_elsewhere. On any of them the outbox stays as it was.
    """
    source = _contract(delivery)
    key = contributors_key(key_file)
    box = read_inbox(delivery, inbox, source)
    target = delivery.under(outbox)
    part = target.with_name(f".{target.name}.part")
    books = _Books()
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        entries = [e for exports in box.sets for e in _write_set(delivery, source, exports, part, key, books, progress)]
        if books.findings:
            raise _nir_elsewhere(delivery, books.findings)
        files = tuple(sorted(entries, key=lambda f: (source.tables.index(f.table), f.name)))
        if not dry_run:
            _publish(part, target, manifest_of(delivery, source, check_value(key), files, synthetic=synthetic))
    except OSError as error:
        raise StorageError(
            f"{delivery}: the delivery cannot be made ({error.strerror or type(error).__name__}).",
            next_step=f"Check space and rights of {inbox} and {outbox}, then run again.",
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return AgentReport(
        delivery,
        check_value(key),
        files,
        statuses=dict(sorted(sum(books.statuses.values(), Counter()).items())),
        senders={sender: dict(sorted(counts.items())) for sender, counts in sorted(books.statuses.items())},
        rewritten=dict(sorted(books.rewritten.items())),
        unknown_codes=dict(sorted(books.unknown.items())),
        left=box.left,
    )


def _contract(delivery: DeliveryId) -> Source:
    try:
        source = load_source(delivery.source)
    except KeyError:
        raise ConfigError(f"There is no contract for a source {delivery.source}.", reason="unknown_source") from None
    if source.person_key != "nir":
        raise ConfigError(
            f"{delivery.source} sends stage-1 pseudonyms already: it needs no agent.",
            reason="no_agent_needed",
            next_step="run `hub agent declare`, which writes the manifest",
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


def _write_set(
    delivery: DeliveryId,
    source: Source,
    exports: tuple[Export, ...],
    part: Path,
    key: bytes,
    books: _Books,
    progress: Progress | None,
) -> list[FileEntry]:
    """One sender's files; the NIRs of its patients are looked for in all of them."""
    own: set[str] = set()
    return [_write(delivery, source, export, part, key, own, books, progress) for export in exports]


def _write(
    delivery: DeliveryId,
    source: Source,
    export: Export,
    part: Path,
    key: bytes,
    own: set[str],
    books: _Books,
    progress: Progress | None,
) -> FileEntry:
    """One file of the export to one file of the delivery, block by block, hashed on the way."""
    table = load_table(delivery.source, export.table)
    place = Place(str(delivery), export.path.name, f"{delivery.source}/{table.table}")
    size = export.path.stat().st_size
    tell = None if progress is None else (lambda done: progress(export.path.name, done, size))
    search = NirSearch(export.path.name, table.names, table.names_of("local_id"), own)
    with export.path.open("rb", buffering=0) as stream, SummedFile(part / export.name) as out:
        lines = Lines(stream, place, progress=tell)
        if any(c.exported_as for c in table.columns):
            statuses = books.statuses.setdefault(export.sender, Counter())
            persons = _Persons(table, key, own, statuses)
            counts = rewrite_persons(lines, table, raw_columns(table), source.csv, place, search, out, persons)
        else:
            counts = rewrite(lines, export.path, table, source.csv, place, search, out)
    books.findings += search.findings
    books.rewritten.update({f"{table.table}.{c}": n for c, n in counts.rewritten.items()})
    books.unknown.update({f"{table.table}.{c}": n for c, n in counts.unknown.items()})
    return FileEntry(table=table.table, name=export.name, rows=out.rows, bytes=out.bytes, sha256=out.sha256)


class _Persons:
    """Turns the NIR of a row into pseudonym and status, and keeps the NIRs that it saw."""

    def __init__(self, table: Table, key: bytes, own: set[str], statuses: Counter[str]) -> None:
        self._key, self._own, self._statuses = key, own, statuses
        person, identity = table.person, table.identity
        if person is None or identity is None:
            raise ConfigError(f"{table.table}: the contract names no column for person and status.")
        self._pseudonym, self._status = person, identity
        self._nir = table.column(person).exported_as or person
        self._birth = table.column(table.names_of("birth_date")[0])
        self._sex = table.column(table.names_of("sex")[0])
        self._today = datetime.now(UTC).date()

    def __call__(self, row: Row) -> Row:
        """The two columns that replace the NIR."""
        pseudonym, status = self._identity(row)
        self._statuses[status] += 1
        return {self._pseudonym: pseudonym, self._status: status}

    def _identity(self, row: Row) -> tuple[str, str]:
        nir13, reason = canonical_nir(row[self._nir])
        if known := nir13 or provisional_nir(row[self._nir]):
            self._own.add(known)
        if nir13 is None:
            return "", str(reason)
        birth, fault = _birth_date(row[self._birth.name], self._birth, self._today)
        if birth is None:
            return "", fault
        sex = sex_of(row[self._sex.name])
        if sex is None:
            return "", "sex_invalid" if trimmed(row[self._sex.name]) else "sex_missing"
        return stage1(self._key, nir13, birth, sex), "ok"


def _birth_date(text: str, column: Column, today: date) -> tuple[date | None, str]:
    """The day, or None and the status that says why."""
    text = trimmed(text)
    if not text or text in column.null_values:
        return None, "birth_date_missing"
    try:
        birth = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        birth = None
    if birth is None or birth.year < FIRST_YEAR or birth > today:
        return None, "birth_date_invalid"
    return birth, ""


def _nir_elsewhere(delivery: DeliveryId, findings: list[Finding]) -> ContractRefused:
    return ContractRefused(
        f"{delivery}: NIRs where there should be none: {'; '.join(str(f) for f in findings)}. Nothing was delivered.",
        reason="nir_elsewhere",
        next_step="Remove them from the records that these lines come from, then export again.",
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
