"""Sealing refused files, and encrypted Parquet: what the key's holder gets back, and what nobody else does."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from jobs.errors import KeyRefused, StorageError
from jobs.intake import landing, seal
from jobs.intake.landing import EncryptedParquet, read_encrypted, sealed_to
from jobs.keys import read_public_key
from tests.unit.intake_kit import CANARIES, canaries_in, private_key, shared_keys

ROWS = pa.table({"nir": [CANARIES[2]] * 5, "nom": [CANARIES[1]] * 5, "_row": [1, 2, 3, 4, 5]})


def public(name: str = "quarantine") -> rsa.RSAPublicKey:
    return read_public_key(shared_keys() / "public" / f"{name}.pub.pem")


@pytest.mark.parametrize("size", [0, 1, seal.CHUNK - 1, seal.CHUNK, seal.CHUNK + 1, 3 * seal.CHUNK])
def test_seals_and_unseals(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    target = tmp_path / "deep" / "x.sealed"
    done = seal.seal(io.BytesIO(data), target, public(), "dcir/2024-03/v1/x.csv")
    assert done == (size, hashlib.sha256(data).hexdigest())
    with target.open("rb") as stream:
        assert b"".join(seal.unseal(stream, private_key("steward/quarantine"))) == data
    assert [p.name for p in target.parent.iterdir()] == ["x.sealed"]


def test_only_the_right_key_unseals(tmp_path: Path) -> None:
    seal.seal(io.BytesIO(CANARIES[0].encode()), tmp_path / "x", public(), "x")
    assert canaries_in([tmp_path / "x"]) == []
    with (tmp_path / "x").open("rb") as stream, pytest.raises(KeyRefused, match="another key"):
        list(seal.unseal(stream, private_key("hub/landing")))


@pytest.mark.parametrize("damage", ["cut last chunk", "cut in a chunk", "flip a bit", "change the label", "not sealed"])
def test_damage_is_seen(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x"
    seal.seal(io.BytesIO(os.urandom(2 * seal.CHUNK + 5)), path, public(), "label")
    data = bytearray(path.read_bytes())
    if damage == "cut last chunk":
        del data[-(5 + seal.TAG) :]
    elif damage == "cut in a chunk":
        del data[-3:]
    elif damage == "flip a bit":
        data[-100] ^= 1
    elif damage == "change the label":
        data[data.index(b"label")] ^= 1
    else:
        data[0] ^= 1
    with pytest.raises(StorageError) as caught:
        list(seal.unseal(io.BytesIO(data), private_key("steward/quarantine")))
    assert caught.value.reason == "seal_damaged"


def test_a_parquet_file_is_for_the_private_key_only(tmp_path: Path) -> None:
    target = tmp_path / "t" / "x.parquet"
    with EncryptedParquet(target, ROWS.schema, sealed_to(public("landing")), landing.LANDING) as file:
        file.write(ROWS)
        assert not target.exists()
    assert target.read_bytes()[:4] == b"PARE"
    assert canaries_in([target]) == []
    assert read_encrypted(target, private_key("hub/landing")).equals(ROWS)
    with pytest.raises(KeyRefused):
        read_encrypted(target, private_key("steward/quarantine"))
    with pytest.raises(OSError, match="encrypted"):
        pq.read_table(target)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with EncryptedParquet(tmp_path / "x.parquet", ROWS.schema, sealed_to(public()), "landing") as file:
            file.write(ROWS)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_without_encryption_nothing_is_written_and_the_canary_test_would_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control switched off: the writer proves what it wrote, and the canary search reads clear Parquet."""
    real = pq.ParquetWriter
    monkeypatch.setattr(
        "pyarrow.parquet.ParquetWriter", lambda *a, **k: real(*a, **{**k, "encryption_properties": None})
    )
    target, wrap = tmp_path / "x.parquet", sealed_to(public())
    with pytest.raises(StorageError, match="unencrypted"), EncryptedParquet(target, ROWS.schema, wrap, "q") as file:
        file.write(ROWS)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(landing, "ENCRYPTED", b"PAR1")
    with EncryptedParquet(target, ROWS.schema, wrap, "q") as file:
        file.write(ROWS)
    assert canaries_in([target]) == [str(target)]
