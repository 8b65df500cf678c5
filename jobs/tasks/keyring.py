"""The hub's keys inside a task, from the folders that the server's environment names: as ``hub.Keys`` does in Java."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jobs.errors import KeyRefused
from jobs.intake.landing import Unwrap, Wrap, opened_by, sealed_to
from jobs.keys import check_value, public_check_value, read_key, read_private_key, read_public_key

LAKE = "lake"
"""Id of the lake's master key, as the Java key client knows it."""
_NONCE = 12
FOLDERS = ("HUB_KEYS", "HUB_PUBLIC_KEYS")


@dataclass(frozen=True)
class Keyring:
    """The keys that were asked for, each proved to be the registered one."""

    stage2: bytes
    lake: bytes
    landing: rsa.RSAPrivateKey
    quarantine: rsa.RSAPublicKey

    @property
    def open_landed(self) -> Unwrap:
        """Opens what workers landed."""
        return opened_by(self.landing)

    @property
    def seal_to_stewards(self) -> Wrap:
        """Seals what this server cannot read again."""
        return sealed_to(self.quarantine)

    def wrap_for_lake(self, key: bytes) -> str:
        """Wraps the key of a file as ``KeyToolkit.encryptKeyLocally`` of parquet-java does: AES-GCM, its nonce first,
        the id of the master key as associated data."""
        nonce = os.urandom(_NONCE)
        return base64.b64encode(nonce + AESGCM(self.lake).encrypt(nonce, key, LAKE.encode())).decode("ascii")


def open_keyring(checks: Mapping[str, str]) -> Keyring:
    """Reads the server's keys. ``checks``: the registered check value of ``p2``, ``lake`` and ``landing``. Raises
    ``KeyRefused``, before any data is read, with a message that names a key and shows neither content nor path."""
    secret, public = (Path(os.environ.get(name, "")) for name in FOLDERS)
    try:
        ring = Keyring(
            stage2=read_key(secret / "p2.key"),
            lake=read_key(secret / "lake.key"),
            landing=read_private_key(secret / "landing.pem", primes=False),
            quarantine=read_public_key(public / "quarantine.pub.pem"),
        )
    except KeyRefused as refused:
        raise KeyRefused(f"HUB_KEY_REFUSED: {refused.reason} on the Spark server") from None
    found = {
        "p2": check_value(ring.stage2),
        "lake": check_value(ring.lake),
        "landing": public_check_value(ring.landing.public_key()),
    }
    if other := [name for name, value in found.items() if checks.get(name) != value]:
        raise KeyRefused(f"HUB_KEY_OTHER: {', '.join(other)} of the Spark server is not the registered one")
    return ring
