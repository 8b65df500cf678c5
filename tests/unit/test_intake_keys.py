"""Key files: made once, for their owner only, refused when anything about them is wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner

from catalogue import db
from jobs import keys
from jobs.cli.key import app
from jobs.errors import KeyRefused
from jobs.hub import Hub
from jobs.serve.custody import initialise
from jobs.settings import Settings
from tests.unit.intake_kit import fingerprint, shared_keys

ALL = {
    "hub/p2.key",
    "hub/lake.key",
    "workers/spark.token",
    "hub/landing.pem",
    "public/landing.pub.pem",
    "public/quarantine.pub.pem",
    "steward/quarantine.pem",
    "contributors/p1.key",
}


def test_every_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as two:
        made = [name for names in two.map(keys.generate, [tmp_path, tmp_path]) for name in names]
    assert sorted(made) == sorted(ALL)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} == ALL
    assert {p.stat().st_mode & 0o777 for p in tmp_path.rglob("*") if p.is_file()} == {0o400}
    assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {
        "hub": 0o700,
        "workers": 0o700,
        "steward": 0o700,
        "contributors": 0o700,
        "public": 0o755,
    }
    was = fingerprint(tmp_path)
    assert keys.generate(tmp_path) == ()
    assert fingerprint(tmp_path) == was
    for private, public in keys.PAIRS:
        pair = keys.read_private_key(tmp_path / private)
        assert pair.key_size == 3072
        assert pair.public_key() == keys.read_public_key(tmp_path / public)


def test_a_pair_whose_private_part_is_in_custody_stays(tmp_path: Path) -> None:
    shutil.copytree(shared_keys(), tmp_path / "keys")
    (tmp_path / "keys" / "steward" / "quarantine.pem").unlink()
    assert keys.generate(tmp_path / "keys") == ()


@pytest.mark.parametrize(
    ("keepers", "made"),
    [
        (("hub",), {n for n in ALL if n.startswith(("hub/", "workers/")) or n == "public/landing.pub.pem"}),
        (("hub", "steward"), ALL - {"contributors/p1.key"}),
        (("contributors",), {"contributors/p1.key"}),
    ],
)
def test_each_keeper_makes_its_own_keys(tmp_path: Path, keepers: tuple[str, ...], made: set[str]) -> None:
    assert set(keys.generate(tmp_path, keepers)) == made
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()} == made
    assert {p.name for p in tmp_path.iterdir()} - {"workers", "public"} == set(keepers)


def test_only_the_keys_that_are_there_are_registered(home: Settings) -> None:
    hub = Hub(home)
    assert initialise(hub, ("hub",))["registered"] == ["lake", "landing", "stage2"]
    assert {str(k["purpose"]) for k in db.list_keys(hub.engine)} == {"lake", "landing", "stage2"}
    assert initialise(hub)["registered"] == ["lake", "landing", "quarantine", "stage1", "stage2"]


def test_the_command_makes_the_keys_of_the_keepers_it_is_given(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_HOME", str(home.root))
    done = CliRunner().invoke(app, ["init", "--keeper", "hub", "--keeper", "contributors"], catch_exceptions=False)
    assert {name for name in json.loads(done.stdout)["made"] if not name.startswith(("hub/", "workers/"))} == {
        "contributors/p1.key",
        "public/landing.pub.pem",
    }
    assert CliRunner().invoke(app, ["init", "--keeper", "nobody"]).exit_code == 2


def test_check_values() -> None:
    key = keys.read_key(shared_keys() / "hub" / "p2.key")
    assert keys.check_value(key) == hmac.new(key, b"hub/kcv/v1", hashlib.sha256).hexdigest()[:16]
    public = keys.read_public_key(shared_keys() / "public" / "landing.pub.pem")
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert keys.public_check_value(public) == hashlib.sha256(der).hexdigest()[:16]
    assert len(keys.read_token(shared_keys() / "workers" / "spark.token")) >= 43


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (None, 0o400, "key_missing"),
        (b"k" * 31, 0o400, "key_length"),
        (b"k" * 33, 0o400, "key_length"),
        (b"", 0o400, "key_length"),
        (b"k" * 32, 0o440, "key_mode"),
        (b"k" * 32, 0o600, "key_mode"),
        (b"k" * 32, 0o404, "key_mode"),
    ],
)
def test_a_wrong_key_file_is_refused(tmp_path: Path, content: bytes | None, mode: int, reason: str) -> None:
    path = tmp_path / "p2.key"
    if content is not None:
        path.write_bytes(content)
        os.chmod(path, mode)
    with pytest.raises(KeyRefused) as caught:
        keys.read_key(path)
    assert caught.value.reason == reason
    assert str(path) in str(caught.value)
    assert "kkk" not in str(caught.value)


def test_swapped_key_files_are_refused() -> None:
    root = shared_keys()
    for read, name in [
        (keys.read_private_key, "public/landing.pub.pem"),
        (keys.read_private_key, "hub/p2.key"),
        (keys.read_public_key, "hub/landing.pem"),
        (keys.read_public_key, "hub/lake.key"),
        (keys.read_key, "hub/landing.pem"),
        (keys.read_key, "workers/spark.token"),
        (keys.read_key, "hub"),
    ]:
        with pytest.raises(KeyRefused):
            read(root / name)
