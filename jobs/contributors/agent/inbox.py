"""The agent's inbox: which files make the sets of a month, and why any other is left. Nothing is opened here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from jobs.contributors.agent.finder import holds_nir
from jobs.delivery import DeliveryId
from jobs.errors import ContractRefused, Incomplete, StorageError
from jobs.intake.connectors import is_safe_name
from schemas.loader import Source

_UNFINISHED = re.compile(
    r"^[.~]|^(?:thumbs\.db|desktop\.ini)$|\.(?:part|tmp|temp|crdownload|partial|swp|bak)$|~$", re.IGNORECASE
)
_MEANING = {
    "practice": r"(?P<sender>[A-Za-z0-9][A-Za-z0-9_-]*?)",
    "yyyymmdd": r"(?P<day>[0-9]{8})",
}
_OTHER_FIELD = r"[A-Za-z0-9-]+"


@dataclass(frozen=True)
class Export:
    """One file that is taken: one table of one sender."""

    sender: str
    day: str
    """Day of extraction, YYYYMMDD; empty where names have none."""
    table: str
    path: Path

    @property
    def name(self) -> str:
        """As it is delivered: the ending in lower case, as the hub wants it."""
        return f"{self.path.stem}.csv"


@dataclass(frozen=True)
class Left:
    """One entry of the inbox that is not taken."""

    name: str
    why: str


@dataclass(frozen=True)
class Inbox:
    """The files of a month, sender by sender, each set in load order, and the entries that were left."""

    sets: tuple[tuple[Export, ...], ...]
    left: tuple[Left, ...]


def read_inbox(delivery: DeliveryId, inbox: Path, source: Source) -> Inbox:
    """The newest set of every sender in ``inbox/<period>/v<n>``.

    Raises ``Incomplete`` (empty_inbox), ``StorageError``, and ``ContractRefused``: bad_name, unknown_table,
    other_month, duplicated_file, missing_table.
    """
    folder = inbox.joinpath(*delivery.parts[1:])
    exports: list[Export] = []
    left = _beside(inbox, delivery)
    for path in _entries(delivery, folder):
        taken = _export(delivery, path, source)
        if isinstance(taken, Export):
            exports.append(taken)
        else:
            left.append(taken)
    if not exports:
        raise Incomplete(
            f"{delivery}: the agent's inbox {folder} holds no export.{_listed(left)}",
            reason="empty_inbox",
            next_step=f"Put the files of the month there, named {source.file_name}.",
        )
    sets = []
    for sender in sorted({e.sender for e in exports}):
        own = [e for e in exports if e.sender == sender]
        newest = max(e.day for e in own)
        left += [Left(e.path.name, f"replaced by the extraction of {newest}") for e in own if e.day != newest]
        sets.append(_set(delivery, sender, [e for e in own if e.day == newest], source))
    return Inbox(tuple(sets), tuple(sorted(left, key=lambda entry: entry.name)))


def _entries(delivery: DeliveryId, folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(
            f"{delivery}: the inbox {folder} cannot be read ({error.strerror}).",
            next_step="Give the agent the right to read it, then run again.",
        ) from None


def _beside(inbox: Path, delivery: DeliveryId) -> list[Left]:
    """Files that lie in a folder above the month's: whoever put them there meant them for some month."""
    month = inbox / delivery.period
    where = f"lies outside {delivery.period}/v{delivery.version}"
    return [
        Left(shown(p.name), where)
        for folder in (inbox, month)
        for p in _entries(delivery, folder)
        if not p.is_dir() and not p.name.startswith(".")
    ]


def _export(delivery: DeliveryId, path: Path, source: Source) -> Export | Left:
    if _UNFINISHED.search(path.name):
        return Left(shown(path.name), "a temporary or hidden file")
    if path.suffix.lower() != ".csv":
        is_folder = path.is_dir() and not path.is_symlink()
        return Left(shown(path.name), "a folder" if is_folder else "not a .csv file")
    if not is_safe_name(path.name) or path.is_symlink() or not path.is_file():
        raise ContractRefused(
            f"{delivery} {shown(path.name)}: the name is not accepted, or it is a link or a folder; it was not opened.",
            reason="bad_name",
            next_step=f"Name files as {source.file_name}: letters, digits, '_', '-' and '.' only.",
        )
    name = _pattern(source).fullmatch(path.name)
    if not name:
        raise ContractRefused(
            f"{delivery} {shown(path.name)}: it is not named as a table of the contract ({', '.join(source.tables)}).",
            reason="unknown_table",
            next_step=f"Name files as {source.file_name}, or take it out of the inbox.",
        )
    fields = name.groupdict()
    day = fields.get("day") or ""
    if day and not _may_hold(day, delivery.period):
        raise ContractRefused(
            f"{delivery} {shown(path.name)}: extracted before the month began, or on no day of the calendar.",
            reason="other_month",
            next_step=f"Put it into the folder of its own month, and an export of {delivery.period} here.",
        )
    return Export(fields.get("sender") or "", day, fields["table"].lower(), path)


def _pattern(source: Source) -> re.Pattern[str]:
    """The contract's ``file_name``, as in ``GP_<practice>_<yyyymmdd>_<table>.csv``, in any case."""
    meaning = _MEANING | {"table": f"(?P<table>{'|'.join(source.tables)})"}
    parts = re.split(r"<([^>]+)>", source.file_name)
    pattern = [meaning.get(p, _OTHER_FIELD) if i % 2 else re.escape(p) for i, p in enumerate(parts)]
    return re.compile("".join(pattern), re.IGNORECASE)


def _may_hold(day: str, period: str) -> bool:
    try:
        return f"{date(int(day[:4]), int(day[4:6]), int(day[6:])):%Y-%m}" >= period
    except ValueError:
        return False


def _set(delivery: DeliveryId, sender: str, exports: list[Export], source: Source) -> tuple[Export, ...]:
    """The files of one sender, in load order: each table once."""
    of = f" of {sender}" if sender else ""
    tables = [e.table for e in exports]
    if missing := [t for t in source.tables if t not in tables]:
        raise ContractRefused(
            f"{delivery}: the export{of} lacks the tables {', '.join(missing)}.",
            reason="missing_table",
            next_step="Export the whole set of the practice; a table without rows is sent with its header.",
        )
    if twice := sorted({t for t in tables if tables.count(t) > 1}):
        raise ContractRefused(
            f"{delivery}: the export{of} holds twice: {', '.join(twice)}.",
            reason="duplicated_file",
            next_step="Leave one file for each table in the inbox.",
        )
    return tuple(sorted(exports, key=lambda e: source.tables.index(e.table)))


def _listed(left: list[Left]) -> str:
    return f" Left: {'; '.join(f'{entry.name} ({entry.why})' for entry in left)}." if left else ""


def shown(name: str) -> str:
    """A file's name for people: escaped, cut, and not at all when it holds a NIR."""
    if holds_nir(name):
        return "(a file whose name holds a NIR)"
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text if len(text) <= 120 else text[:117] + "..."
