"""Key files: made once, readable by their owner only (0400), told apart by a check value, never by a fallback.

Custody is by folder, so that each party can be given its own and nothing else:

    hub/           p2.key lake.key landing.pem          the Spark server alone
    workers/       spark.token                          the Spark server and who may command it
    public/        landing.pub.pem quarantine.pub.pem   every worker
    steward/       quarantine.pem                       the data stewards
    contributors/  p1.key                               the contributors, never the hub

Messages name the file and what is wrong with it, never what it holds.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Collection
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from jobs.errors import KeyRefused

KEY_BYTES = 32
RSA_BITS = 3072
SECRET_KEYS = ("hub/p2.key", "hub/lake.key", "contributors/p1.key")
PAIRS = (("hub/landing.pem", "public/landing.pub.pem"), ("steward/quarantine.pem", "public/quarantine.pub.pem"))
TOKEN = "workers/spark.token"  # noqa: S105 a file name
KEEPERS = ("hub", "steward", "contributors")
_KCV = b"hub/kcv/v1"


def generate(keys: Path, keepers: Collection[str] = KEEPERS) -> tuple[str, ...]:
    """Makes every key of these keepers that is not there yet below ``keys`` and returns the names of those it made.

    Never overwrites, also when two processes run at once. A pair whose public part exists stays as it is: its
    private part may have gone into its keeper's custody.
    """
    made = []
    for folder in ("", "public", *(["workers"] if "hub" in keepers else []), *keepers):
        _make_folder(keys / folder, 0o755 if folder in ("", "public") else 0o700)
    for name in SECRET_KEYS:
        if _keeper(name) in keepers and _create(keys / name, secrets.token_bytes(KEY_BYTES)):
            made.append(name)
    if "hub" in keepers and _create(keys / TOKEN, secrets.token_urlsafe(KEY_BYTES).encode("ascii")):
        made.append(TOKEN)
    for private, public in PAIRS:
        if _keeper(private) not in keepers or (keys / public).exists():
            continue
        if not (keys / private).exists():
            pair = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
            pem = pair.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            if _create(keys / private, pem):
                made.append(private)
        # from the file, not from memory: another process may have been first
        if _create(keys / public, _public_pem(read_private_key(keys / private).public_key())):
            made.append(public)
    return tuple(made)


def read_key(path: Path) -> bytes:
    """A secret key of 32 bytes. Raises ``KeyRefused``: key_missing, key_mode, key_length."""
    key = _read(path)
    if len(key) != KEY_BYTES:
        raise _refuse(path, "key_length", f"does not hold a key of {KEY_BYTES} bytes.")
    return key


def read_token(path: Path) -> str:
    """The Spark server's token. Raises ``KeyRefused``: key_missing, key_mode, key_length."""
    token = _read(path).decode("ascii", errors="replace").strip()
    if len(token) < KEY_BYTES:
        raise _refuse(path, "key_length", "does not hold a token.")
    return token


def read_private_key(path: Path, *, primes: bool = True) -> rsa.RSAPrivateKey:
    """An RSA private key (PKCS8 PEM). ``primes``: whether its numbers are tested, which takes a tenth of a second; who
    compares its check value need not. Raises ``KeyRefused``: key_missing, key_mode, key_form, key_length."""
    try:
        key = serialization.load_pem_private_key(_read(path), password=None, unsafe_skip_rsa_key_validation=not primes)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _refuse(path, "key_form", "is not an RSA private key in PEM form.") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _refuse(path, "key_form", "is not an RSA private key.")
    if key.key_size < RSA_BITS:
        raise _refuse(path, "key_length", f"has fewer than {RSA_BITS} bits.")
    return key


def read_public_key(path: Path) -> rsa.RSAPublicKey:
    """An RSA public key (SPKI PEM). Raises ``KeyRefused``: key_missing, key_mode, key_form, key_length."""
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _refuse(path, "key_form", "is not an RSA public key in PEM form.") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise _refuse(path, "key_form", "is not an RSA public key.")
    if key.key_size < RSA_BITS:
        raise _refuse(path, "key_length", f"has fewer than {RSA_BITS} bits.")
    return key


def check_value(key: bytes) -> str:
    """Tells one secret key from another without showing either: 16 hexadecimal characters."""
    return hmac.new(key, _KCV, hashlib.sha256).hexdigest()[:16]


def public_check_value(key: rsa.RSAPublicKey) -> str:
    """Check value of an RSA pair, from its public part: 16 hexadecimal characters of sha256(SPKI DER)."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:16]


def _keeper(name: str) -> str:
    return name.split("/")[0]


def _make_folder(folder: Path, mode: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if stat.S_IMODE(folder.stat().st_mode) != mode:  # a folder on a read-only system cannot be told what it is already
        folder.chmod(mode)


def _public_pem(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _create(path: Path, content: bytes) -> bool:
    """Writes a key file whole and 0400 from its first moment; False when one is there already."""
    if path.exists():
        return False
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        part.unlink()
    return True


def _read(path: Path) -> bytes:
    try:
        state = path.stat()
        if stat.S_ISDIR(state.st_mode):
            raise _refuse(path, "key_missing", "is a folder, a key file was asked for.")
        if stat.S_IMODE(state.st_mode) != 0o400:
            raise _refuse(path, "key_mode", "can be read or written by more than its owner.", f"Run: chmod 0400 {path}")
        return path.read_bytes()
    except FileNotFoundError:
        raise _refuse(path, "key_missing", "is not there.", "Put the key back from its keeper's copy.") from None
    except OSError as error:
        raise _refuse(path, "key_missing", f"cannot be read ({error.strerror}).") from None


def _refuse(path: Path, reason: str, message: str, next_step: str | None = None) -> KeyRefused:
    return KeyRefused(f"Key file {path} {message} No data was read.", reason=reason, next_step=next_step)
