"""Files that are counted and hashed while they are written, so that a manifest needs no second reading."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Self


class SummedFile:
    """A new file with the sums of what went into it; on the disk for good when the context ends."""

    def __init__(self, target: Path) -> None:
        self._stream: BinaryIO = target.open("xb")
        self._hash = hashlib.sha256()
        self.bytes = 0
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def write(self, data: bytes, rows: int) -> None:
        """Adds bytes that hold so many rows."""
        self._stream.write(data)
        self._hash.update(data)
        self.bytes += len(data)
        self.rows += rows

    @property
    def sha256(self) -> str:
        """Of the bytes written so far, in hexadecimal."""
        return self._hash.hexdigest()
