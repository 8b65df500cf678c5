"""Whether files are still those that were loaded: by their times and sizes, a few milliseconds for the whole code."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

SUFFIXES = (".py", ".toml", ".csv", ".html")
"""What a process of the hub keeps in its memory once it has read it."""

Stamp = Mapping[str, tuple[int, int, int]]
"""Path -> time of the last change in nanoseconds, size in bytes, inode."""


@dataclass(frozen=True)
class Code:
    """What a process was made from. ``trees``: folders of which every file counts that it may have loaded. ``places``:
    files, and folders of which only the entries count, as those of the installed packages."""

    trees: tuple[Path, ...]
    places: tuple[Path, ...] = ()

    def stamp(self) -> Stamp:
        """How it is now; what is not there is left out. Another stamp: the code was changed."""
        return dict(_stamps(chain(self.places, *map(_files, self.trees))))


def _stamps(paths: Iterable[Path | os.DirEntry[str]]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    for path in paths:
        try:
            is_now = path.stat()
        except OSError:
            continue
        yield os.fspath(path), (is_now.st_mtime_ns, is_now.st_size, is_now.st_ino)


def _files(tree: Path) -> Iterator[os.DirEntry[str]]:
    """Entries of the files below a folder that may be loaded; what Python compiled is not among them."""
    waiting = [os.fspath(tree)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        waiting += [e.path for e in entries if e.name != "__pycache__" and e.is_dir(follow_symlinks=False)]
        yield from (e for e in entries if e.name.endswith(SUFFIXES))
