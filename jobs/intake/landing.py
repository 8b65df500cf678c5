"""Rows at rest: Parquet (zstd), encrypted to a public key, so that a worker can write what it cannot read.

Uniform encryption, single wrapping: one fresh 256-bit key per file, wrapped by RSA-OAEP (SHA-256, MGF1 SHA-256) and
stored in base64 in the file's own key metadata under the master key id ``landing`` or ``quarantine``. The Spark
server holds landing's private key, the stewards hold quarantine's.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.hazmat.primitives.asymmetric import rsa

from jobs.errors import KeyRefused, StorageError
from jobs.intake.seal import OAEP

LANDING, QUARANTINE = "landing", "quarantine"
"""Master key ids, as the Java key client knows them."""
ROW_GROUP_BYTES = 32 * 2**20
ENCRYPTED = b"PARE"
LANDED = ".parquet"
"""What the name of a landing or quarantine file adds to that of the contributor's file."""
NOTED_NAME = "noted.parquet"
"""In a delivery's landing: the rows of all tables that only others tell against (``jobs.rows.noted``)."""
PART_ROWS = 2**20
"""Rows of a landed file at most: the files of a large table are worked on side by side."""
MALFORMED, REFUSED = "malformed-", "refused-"
"""How the names of quarantine files begin: lines that are no records, rows that break the contract."""


def landed_name(file: str, part: int = 0) -> str:
    """Name of the file in landing that holds a part of the rows of a contributor's file."""
    return f"{file}.{part:04}{LANDED}"


def landed_of(name: str) -> str:
    """Name of the contributor's file whose rows a file in landing holds."""
    return name[: -len(landed_name(""))]


def malformed_name(file: str) -> str:
    """Name of the file in quarantine that holds the lines of a contributor's file that are no records."""
    return MALFORMED + file + LANDED


def refused_name(file: str) -> str:
    """Name of the file in quarantine that holds the rows of a contributor's file that break the contract."""
    return REFUSED + file + LANDED


def contributed_name(name: str) -> str:
    """Name of the contributor's file whose records a file in quarantine holds."""
    return name.removeprefix(MALFORMED).removeprefix(REFUSED).removesuffix(LANDED)


Wrap = Callable[[bytes], str]
"""What wraps the key of a file, so that the file can carry it."""
Unwrap = Callable[[str], bytes]
"""The other way; it raises ``KeyRefused``."""


def sealed_to(public_key: rsa.RSAPublicKey) -> Wrap:
    """Wraps for who holds the private key."""
    return lambda key: base64.b64encode(public_key.encrypt(key, OAEP)).decode("ascii")


def opened_by(private_key: rsa.RSAPrivateKey) -> Unwrap:
    """Unwraps what was sealed to this key."""

    def unwrap(wrapped: str) -> bytes:
        try:
            return private_key.decrypt(base64.b64decode(wrapped), OAEP)
        except ValueError:
            raise KeyRefused("The file was encrypted to another key.", reason="key_other") from None

    return unwrap


class _Keys(pe.KmsClient):  # type: ignore[misc]
    """What Parquet asks for the keys of a file."""

    def __init__(self, wrap: Wrap | None = None, unwrap: Unwrap | None = None) -> None:
        pe.KmsClient.__init__(self)
        self._wrap, self._unwrap = wrap, unwrap

    def wrap_key(self, key_bytes: bytes, _key_id: str) -> str:
        if self._wrap is None:
            raise KeyRefused("There is no key to write with.", reason="key_missing")
        return self._wrap(key_bytes)

    def unwrap_key(self, wrapped_key: str, _key_id: str) -> bytes:
        if self._unwrap is None:
            raise KeyRefused("There is no key to read with.", reason="key_missing")
        return self._unwrap(wrapped_key)


class EncryptedParquet:
    """One encrypted Parquet file being written. Its name appears when ``close`` has proved that it is encrypted.

    As a context manager: left by an exception, nothing remains. ``group``: least size of a row group, in bytes of
    Arrow's form; ``statistics``: columns whose least and greatest the file may hold, encrypted as all of it.
    """

    def __init__(
        self,
        target: Path,
        schema: pa.Schema,
        wrap: Wrap,
        key_id: str,
        *,
        group: int = ROW_GROUP_BYTES,
        statistics: Sequence[str] = (),
    ) -> None:
        self._group = group
        self._target, self._part = target, target.with_name(f".{target.name}.part")
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        # one row group is written while the next one is read: two in memory at most
        self._behind = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._writing: Future[None] | None = None
        self.rows = 0
        properties = pe.CryptoFactory(lambda _: _Keys(wrap)).file_encryption_properties(
            pe.KmsConnectionConfig(),
            pe.EncryptionConfiguration(
                footer_key=key_id,
                uniform_encryption=True,
                plaintext_footer=False,
                double_wrapping=False,
                internal_key_material=True,
                data_key_length_bits=256,
            ),
        )
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                self._part,
                schema,
                compression="zstd",
                compression_level=1,
                # 16 times the default: a fifth faster
                write_batch_size=16384,
                write_statistics=list(statistics) or False,
                # row numbers never repeat
                use_dictionary=[name for name in schema.names if name != "_row"],
                store_decimal_as_integer=True,
                store_schema=False,
                encryption_properties=properties,
            )
        except OSError as error:
            raise _not_written(target, error) from None

    def write(self, table: pa.Table) -> None:
        """Adds rows; they reach the disk by row groups."""
        if table.num_rows:
            self._waiting.append(table)
            self._waiting_bytes += table.nbytes
            self.rows += table.num_rows
            if self._waiting_bytes >= self._group:
                self._flush()

    def close(self) -> None:
        """Ends the file, checks that it is encrypted, gives it its name. Raises ``StorageError``."""
        try:
            self._flush()
            self._wait()
            self._writer.close()
            with self._part.open("rb") as stream:
                if stream.read(4) != ENCRYPTED:
                    raise StorageError(f"{self._target.name}: came out unencrypted.", reason="not_encrypted")
                os.fsync(stream.fileno())
            os.replace(self._part, self._target)
        except OSError as error:
            raise _not_written(self._target, error) from None
        finally:
            self._behind.shutdown()
            self._part.unlink(missing_ok=True)

    def abort(self) -> None:
        """Leaves nothing behind."""
        self._waiting.clear()
        self._behind.shutdown()
        try:
            self._writer.close()
        except OSError:
            pass
        finally:
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _flush(self) -> None:
        self._wait()
        if self._waiting:
            rows = pa.concat_tables(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            self._writing = self._behind.submit(self._writer.write_table, rows, row_group_size=rows.num_rows)

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            try:
                writing.result()
            except OSError as error:
                raise _not_written(self._target, error) from None


def read_encrypted(path: Path, private_key: rsa.RSAPrivateKey, columns: Sequence[str] | None = None) -> pa.Table:
    """A landed or quarantined file, for who holds the private key; ``columns``: only these are decrypted.

    Raises ``KeyRefused``, ``StorageError``.
    """
    try:
        return open_encrypted(path, opened_by(private_key)).read(columns=columns)
    except OSError as error:
        raise StorageError(f"{path.name}: cannot be read ({error.strerror}).") from None


def open_encrypted(path: Path, unwrap: Unwrap, **more: Any) -> pq.ParquetFile:
    """An encrypted Parquet file. ``more``: as ``pyarrow.parquet.ParquetFile``. Raises ``OSError``, ``KeyRefused``."""
    keys = pe.CryptoFactory(lambda _: _Keys(unwrap=unwrap))
    return pq.ParquetFile(path, decryption_properties=keys.file_decryption_properties(pe.KmsConnectionConfig()), **more)


class Apart(ExitStack):
    """A file for the stewards, sealed to their key, that is there only when something was written."""

    def __init__(self, target: Path, schema: pa.Schema, wrap: Wrap) -> None:
        super().__init__()
        self._target, self._schema, self._to = target, schema, wrap
        self._file: EncryptedParquet | None = None

    @property
    def rows(self) -> int:
        """How many were written."""
        return self._file.rows if self._file else 0

    def write(self, rows: pa.Table) -> None:
        """Adds rows."""
        if rows.num_rows and self._file is None:
            self._file = self.enter_context(EncryptedParquet(self._target, self._schema, self._to, QUARANTINE))
        if self._file is not None:
            self._file.write(rows)


class Landed(ExitStack):
    """The rows of one contributor's file as they are landed: in files of a bounded number of rows, at least one."""

    def __init__(self, folder: Path, file: str, schema: pa.Schema, wrap: Wrap) -> None:
        super().__init__()
        self._folder, self._name, self._schema, self._to = folder, file, schema, wrap
        self._part = 0
        self._file = self._next()

    def write(self, rows: pa.Table) -> None:
        """Adds rows."""
        if self._file.rows and self._file.rows + rows.num_rows > PART_ROWS:
            self.close()
            self._part += 1
            self._file = self._next()
        self._file.write(rows)

    def _next(self) -> EncryptedParquet:
        target = self._folder / landed_name(self._name, self._part)
        return self.enter_context(EncryptedParquet(target, self._schema, self._to, LANDING))


def _not_written(target: Path, error: OSError) -> StorageError:
    return StorageError(f"{target.name}: cannot be written ({error.strerror}).", next_step="Look at the disk's space.")
