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
from jobs.errors import ConfigError, ContractRefused, StorageError

MANIFEST = "manifest.json"
_SAFE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,119}", re.ASCII)


def is_safe_name(name: str) -> bool:
    """True for a plain file name: letters, digits, ``_ - .``; no leading dot, no ``..``, at most 120 characters."""
    return _SAFE.fullmatch(name) is not None


@runtime_checkable
class Connector(Protocol):
    """One way to reach deliveries. Every method may raise ``StorageError`` (trying again may help)."""

    def deliveries(self) -> list[DeliveryId]:
        """Deliveries that exist here, sorted, whether complete or not."""

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

    ``elsewhere``: roots of the sources that put out under another one; such a source is looked for there only.
    """

    def __init__(self, root: Path, elsewhere: Mapping[str, Path] = MappingProxyType({})) -> None:
        self._shared, self._elsewhere = root, dict(elsewhere)

    def deliveries(self) -> list[DeliveryId]:
        return sorted(
            delivery
            for root in {self._shared, *self._elsewhere.values()}
            for delivery in _named(root)
            if self._root(delivery.source) == root and self._folder_is_real(delivery)
        )

    def files(self, delivery: DeliveryId) -> Mapping[str, int | None]:
        try:
            with os.scandir(self._folder(delivery)) as entries:
                return {
                    e.name: e.stat(follow_symlinks=False).st_size if e.is_file(follow_symlinks=False) else None
                    for e in sorted(entries, key=lambda e: e.name)
                    if not e.name.startswith(".")
                }
        except FileNotFoundError:
            return {}
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
            if path.is_symlink():
                raise _not_a_file(delivery, name) from None
            raise StorageError(f"{delivery}: {name} cannot be opened ({error.strerror}).") from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise _not_a_file(delivery, name)
        return os.fdopen(handle, "rb", buffering=0)

    def where(self, delivery: DeliveryId) -> str:
        return str(delivery.under(self._root(delivery.source)))

    def _root(self, source: str) -> Path:
        return self._elsewhere.get(source, self._shared)

    def _folder_is_real(self, delivery: DeliveryId) -> bool:
        return delivery.under(self._root(delivery.source)).is_dir() and not self._has_link(delivery)

    def _has_link(self, delivery: DeliveryId) -> bool:
        folder = delivery.under(self._root(delivery.source))
        return any(f.is_symlink() for f in (folder, folder.parent, folder.parent.parent))

    def _folder(self, delivery: DeliveryId) -> Path:
        """The delivery's own folder, after a check that no part of it below the root is a link."""
        if self._has_link(delivery):
            raise ContractRefused(f"{delivery}: the outbox folder is a symbolic link.", reason="bad_name")
        return delivery.under(self._root(delivery.source))


def _named(root: Path) -> Iterator[DeliveryId]:
    """What the names of the folders below ``root`` say; other names are no deliveries."""
    for folder in root.glob("*/*/v*"):
        try:
            yield DeliveryId.parse("/".join(folder.relative_to(root).parts))
        except ConfigError:
            continue


def connect(where: Path | Connector) -> Connector:
    """A folder becomes a ``FolderOutbox``; a connector stays itself."""
    return FolderOutbox(where) if isinstance(where, Path) else where


def _not_a_file(delivery: DeliveryId, name: str) -> ContractRefused:
    return ContractRefused(
        f"{delivery}: {name} is a link or not a regular file, it was not opened.",
        reason="bad_name",
        next_step="Send the file itself.",
    )
