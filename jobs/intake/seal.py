"""Seals bytes to a public key, so that a worker can keep what it refuses and only the key's holder can read it.

Form: ``HUBSEAL1``, then the length (2 bytes) and bytes of a fresh AES-256 key wrapped by RSA-OAEP (SHA-256), then the
length and bytes of a label (delivery and file name, in clear), then chunks of 1 MiB, each AES-256-GCM with its tag.
The nonce is the chunk's number and a mark on the last one, the header is authenticated with every chunk: a chunk
cannot be changed, moved, dropped or cut off unseen.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jobs.errors import KeyRefused, StorageError

MAGIC = b"HUBSEAL1"
CHUNK = 2**20
TAG = 16
OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


class Sealed(NamedTuple):
    """Size and sha256 of the bytes that were sealed (not of the sealed file)."""

    bytes: int
    sha256: str


def seal(stream: BinaryIO, target: Path, public_key: rsa.RSAPublicKey, label: str) -> Sealed:
    """Seals a stream into ``target``, which appears whole or not at all. Raises ``StorageError``."""
    part = target.with_name(f".{target.name}.part")
    digest, size = hashlib.sha256(), 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            key = AESGCM.generate_key(256)
            header = MAGIC + _sized(public_key.encrypt(key, OAEP)) + _sized(label.encode("utf-8"))
            out.write(header)
            cipher, bound = AESGCM(key), hashlib.sha256(header).digest()
            for number, data, is_last in _chunks(stream, CHUNK):
                digest.update(data)
                size += len(data)
                out.write(cipher.encrypt(_nonce(number, is_last), data, bound))
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"{label}: cannot be sealed ({error.strerror}).") from None
    return Sealed(size, digest.hexdigest())


def unseal(sealed: BinaryIO, private_key: rsa.RSAPrivateKey) -> Iterator[bytes]:
    """The bytes that were sealed, chunk by chunk.

    Raises ``KeyRefused`` (key_other) for another key than the one sealed to, ``StorageError`` (seal_damaged) when the
    file was changed or cut. Bytes are right as they come; that none is missing is known at the end only.
    """
    if sealed.read(len(MAGIC)) != MAGIC:
        raise StorageError("This is not a sealed file.", reason="seal_damaged")
    wrapped = _take(sealed)
    label = _take(sealed)
    try:
        key = private_key.decrypt(wrapped, OAEP)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise KeyRefused("The file was sealed to another key.", reason="key_other", next_step="Use its keeper's key.")
    cipher, bound = AESGCM(key), hashlib.sha256(MAGIC + _sized(wrapped) + _sized(label)).digest()
    for number, data, is_last in _chunks(sealed, CHUNK + TAG):
        try:
            yield cipher.decrypt(_nonce(number, is_last), data, bound)
        except InvalidTag:
            raise StorageError("The sealed file was changed or cut.", reason="seal_damaged") from None


def _sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _take(stream: BinaryIO) -> bytes:
    size = stream.read(2)
    data = stream.read(struct.unpack(">H", size)[0]) if len(size) == 2 else b""
    if len(size) != 2 or len(data) != struct.unpack(">H", size)[0]:
        raise StorageError("The sealed file was cut.", reason="seal_damaged")
    return data


def _nonce(number: int, is_last: bool) -> bytes:
    return struct.pack(">xxxQB", number, is_last)


def _chunks(stream: BinaryIO, size: int) -> Iterator[tuple[int, bytes, bool]]:
    """Chunks of exactly ``size`` bytes, the last one shorter or empty: number, bytes, whether it is the last."""
    number, rest = 0, b""
    while part := stream.read(size):
        rest += part
        while len(rest) > size:
            yield number, rest[:size], False
            number, rest = number + 1, rest[size:]
    yield number, rest, True
