"""Rows at rest: Parquet (zstd), encrypted to a public key, so that a worker can write what it cannot read.

Uniform encryption, single wrapping: one fresh 256-bit key per file, wrapped by RSA-OAEP (SHA-256, MGF1 SHA-256) and
stored in base64 in the file's own key metadata under the master key id ``landing`` or ``quarantine``. The Spark
server holds landing's private key, the stewards hold quarantine's.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

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
MALFORMED, REFUSED = "malformed-", "refused-"
"""How the names of quarantine files begin: lines that are no records, rows that break the contract."""


def landed_name(file: str) -> str:
    """Name of the file in landing or quarantine that holds the rows of a contributor's file."""
    return file + LANDED


def malformed_name(file: str) -> str:
    """Name of the file in quarantine that holds the lines of a contributor's file that are no records."""
    return MALFORMED + file + LANDED


def refused_name(file: str) -> str:
    """Name of the file in quarantine that holds the rows of a contributor's file that break the contract."""
    return REFUSED + file + LANDED


def contributed_name(name: str) -> str:
    """Name of the contributor's file whose rows a file in landing or quarantine holds."""
    return name.removeprefix(MALFORMED).removeprefix(REFUSED).removesuffix(LANDED)


class _Wrapping(pe.KmsClient):  # type: ignore[misc]
    """Wraps by the public key; unwraps only where a private key was given."""

    def __init__(self, public: rsa.RSAPublicKey | None, private: rsa.RSAPrivateKey | None) -> None:
        pe.KmsClient.__init__(self)
        self._public, self._private = public, private

    def wrap_key(self, key_bytes: bytes, _key_id: str) -> str:
        if self._public is None:
            raise KeyRefused("There is no public key to write with.", reason="key_missing")
        return base64.b64encode(self._public.encrypt(key_bytes, OAEP)).decode("ascii")

    def unwrap_key(self, wrapped_key: str, _key_id: str) -> bytes:
        if self._private is None:
            raise KeyRefused("There is no private key to read with.", reason="key_missing")
        try:
            return self._private.decrypt(base64.b64decode(wrapped_key), OAEP)
        except ValueError:
            raise KeyRefused("The file was encrypted to another key.", reason="key_other") from None


class EncryptedParquet:
    """One encrypted Parquet file being written. Its name appears when ``close`` has proved that it is encrypted.

    As a context manager: left by an exception, nothing remains.
    """

    def __init__(self, target: Path, schema: pa.Schema, public_key: rsa.RSAPublicKey, key_id: str) -> None:
        self._target, self._part = target, target.with_name(f".{target.name}.part")
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = 0
        # one row group is written while the next one is read: two in memory at most
        self._behind = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._writing: Future[None] | None = None
        self.rows = 0
        properties = _factory(public_key, None).file_encryption_properties(
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
                # statistics would be encrypted too; row numbers never repeat
                write_statistics=False,
                use_dictionary=[name for name in schema.names if name != "_row"],
                store_decimal_as_integer=True,
                store_schema=False,
                encryption_properties=properties,
            )
        except OSError as error:
            raise _not_written(target, error) from None

    def write(self, table: pa.Table) -> None:
        """Adds rows; they reach the disk by row groups of about 32 MiB in Arrow's form."""
        if table.num_rows:
            self._waiting.append(table)
            self._waiting_bytes += table.nbytes
            self.rows += table.num_rows
            if self._waiting_bytes >= ROW_GROUP_BYTES:
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
    properties = _factory(None, private_key).file_decryption_properties(pe.KmsConnectionConfig())
    try:
        return pq.ParquetFile(path, decryption_properties=properties).read(columns=columns)
    except OSError as error:
        raise StorageError(f"{path.name}: cannot be read ({error.strerror}).") from None


def _factory(public: rsa.RSAPublicKey | None, private: rsa.RSAPrivateKey | None) -> pe.CryptoFactory:
    return pe.CryptoFactory(lambda _config: _Wrapping(public, private))


def _not_written(target: Path, error: OSError) -> StorageError:
    return StorageError(f"{target.name}: cannot be written ({error.strerror}).", next_step="Look at the disk's space.")
