"""Where deliveries come from. One interface; the folder outbox is its first form.

A connector only reads: the contributor's files are never changed, moved or deleted. Names are checked before
anything is opened: no path separators, no parent folders, no symbolic links, no pipes or devices.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Protocol, runtime_checkable

from jobs.delivery import DeliveryId
from jobs.errors import ConfigError, ContractRefused, Incomplete, StorageError

MANIFEST = "manifest.json"
_SAFE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,119}", re.ASCII)


def is_safe_name(name: str) -> bool:
    """True for a plain file name: letters, digits, ``_ - .``; no leading dot, no ``..``, at most 120 characters."""
    return _SAFE.fullmatch(name) is not None


@runtime_checkable
class Connector(Protocol):
    """One way to reach deliveries. Every method may raise ``StorageError`` (trying again may help), and those about one
    delivery ``ContractRefused`` (not_readable) when the hub is not allowed to read it."""

    def deliveries(self) -> list[DeliveryId]:
        """Deliveries that exist here, sorted, whether complete or not."""

    def strays(self) -> list[str]:
        """What lies where deliveries are looked for and is none, each with why; hidden names are left out."""

    def files(self, delivery: DeliveryId) -> Mapping[str, int | None]:
        """Sizes in bytes by name of what lies in the delivery; None for what is not a regular file (a link, a folder).

        Hidden names are left out: they are the contributor's files in the making.
        """

    def open(self, delivery: DeliveryId, name: str) -> BinaryIO:
        """The bytes of one file, from its start. ``ContractRefused`` (bad_name) when it must not be opened."""

    def where(self, delivery: DeliveryId) -> str:
        """Address of the delivery, for people."""


class FolderOutbox:
    """Deliveries as folders ``<root>/<source>/<period>/v<n>/``, on a disk that the hub can read.

    ``elsewhere``: roots of the sources that deliver under another one; such a source is looked for there only.
    """

    def __init__(self, root: Path, elsewhere: Mapping[str, Path] = MappingProxyType({})) -> None:
        self._shared, self._elsewhere = root, dict(elsewhere)

    def deliveries(self) -> list[DeliveryId]:
        return sorted(entry for entry in self._entries() if isinstance(entry, DeliveryId))

    def strays(self) -> list[str]:
        return [entry for entry in self._entries() if isinstance(entry, str)]

    def files(self, delivery: DeliveryId) -> Mapping[str, int | None]:
        try:
            with os.scandir(self._folder(delivery)) as entries:
                return {
                    e.name: e.stat(follow_symlinks=False).st_size if e.is_file(follow_symlinks=False) else None
                    for e in sorted(entries, key=lambda e: e.name)
                    if not e.name.startswith(".")
                }
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except PermissionError:
            raise _not_readable(delivery, "its folder") from None
        except OSError as error:
            raise StorageError(f"{delivery}: the outbox cannot be read ({error.strerror}).") from None

    def open(self, delivery: DeliveryId, name: str) -> BinaryIO:
        if not is_safe_name(name):
            raise ContractRefused(
                f"{delivery}: a file name is not accepted, the file was not opened.",
                reason="bad_name",
                next_step="Use letters, digits, '_', '-' and '.' only.",
            )
        path = self._folder(delivery) / name
        try:
            # never through a link; not blocking, so that a pipe cannot hold the worker
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if isinstance(error, PermissionError):
                raise _not_readable(delivery, name) from None
            if path.is_symlink():
                raise _not_a_file(delivery, name) from None
            if isinstance(error, FileNotFoundError):
                raise Incomplete(f"{delivery}: {name} is not there.", reason="missing_file") from None
            raise StorageError(f"{delivery}: {name} cannot be opened ({error.strerror}).") from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise _not_a_file(delivery, name)
        return os.fdopen(handle, "rb", buffering=0)

    def where(self, delivery: DeliveryId) -> str:
        return str(delivery.under(self._root(delivery.source)))

    def _root(self, source: str) -> Path:
        return self._elsewhere.get(source, self._shared)

    def _entries(self) -> Iterator[DeliveryId | str]:
        """Deliveries, and in words what is none. A root that does not answer leaves the others; all of them raise."""
        unread: list[str] = []
        roots = {self._shared, *self._elsewhere.values()}
        for root in sorted(roots):
            try:
                for entry in _walk(root):
                    if isinstance(entry, str) or self._root(entry.source) == root:
                        yield entry
            except OSError as error:
                unread.append(f"{root} cannot be read ({error.strerror})")
        if len(unread) == len(roots):
            raise StorageError(f"The outbox {'; '.join(unread)}.", next_step="look at the disk and its permissions")
        yield from unread

    def _folder(self, delivery: DeliveryId) -> Path:
        """The delivery's own folder, after a check that no part of it below the root is a link."""
        folder = delivery.under(self._root(delivery.source))
        try:
            is_linked = any(f.is_symlink() for f in (folder, folder.parent, folder.parent.parent))
        except PermissionError:
            raise _not_readable(delivery, "its folder") from None
        if is_linked:
            raise ContractRefused(
                f"{delivery}: the outbox folder is a symbolic link.",
                reason="bad_name",
                next_step="Send the folder itself.",
            )
        return folder


def _walk(root: Path, parts: tuple[str, ...] = ()) -> Iterator[DeliveryId | str]:
    """What the names of the folders below ``root`` say: a delivery, or in words why one is none.

    Raises ``OSError`` when ``root`` itself cannot be read; one that is not there is empty.
    """
    try:
        with os.scandir(root.joinpath(*parts)) as unsorted:
            entries = sorted(unsorted, key=lambda e: e.name)
    except FileNotFoundError:
        return
    except OSError as error:
        if not parts:
            raise
        yield f"{'/'.join(parts)}: cannot be read ({error.strerror})"
        return
    for entry in entries:
        below = (*parts, entry.name)
        if entry.name.startswith("."):
            continue
        if why := _why_none(entry, below):
            yield f"{'/'.join((*parts, _shown(entry.name)))}: {why}"
        elif len(below) == len(_LEVELS):
            yield DeliveryId.parse("/".join(below))
        else:
            yield from _walk(root, below)


_LEVELS = (("a source", "dcir"), ("a month", "2024-03"), ("a version", "v1"))
"""What the folders of an outbox are, outermost first, each with an example."""


def _why_none(entry: os.DirEntry[str], parts: tuple[str, ...]) -> str | None:
    """Why a folder cannot be (part of) the name of a delivery; None when it can."""
    level, example = _LEVELS[len(parts) - 1]
    if entry.is_symlink():
        return f"a link where {level} is expected"
    if not entry.is_dir(follow_symlinks=False):
        return f"a file where the folder of {level} is expected"
    try:
        DeliveryId.parse("/".join((*parts, *(e for _, e in _LEVELS[len(parts) :]))))
    except ConfigError:
        return f"not the name of {level}, as in {example}"
    return None


def _shown(name: str) -> str:
    return name if is_safe_name(name) else "(a name that is not accepted)"


def connect(where: Path | Connector) -> Connector:
    """A folder becomes a ``FolderOutbox``; a connector stays itself."""
    return FolderOutbox(where) if isinstance(where, Path) else where


def _not_a_file(delivery: DeliveryId, name: str) -> ContractRefused:
    return ContractRefused(
        f"{delivery}: {name} is a link or not a regular file, it was not opened.",
        reason="bad_name",
        next_step="Send the file itself.",
    )


def _not_readable(delivery: DeliveryId, what: str) -> ContractRefused:
    return ContractRefused(
        f"{delivery}: the hub is not allowed to read {what}.",
        reason="not_readable",
        next_step="Let the hub's user read it, then take the delivery in again, or send it as the next version.",
    )
