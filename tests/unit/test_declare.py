"""A contributor's own manifest: the hub takes in what it declares, and what the hub would refuse is not declared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.contributors.agent.declare import declare
from jobs.delivery import DeliveryId
from jobs.errors import ConfigError, ContractRefused, Incomplete, StorageError
from jobs.intake.arrivals import complete_deliveries
from schemas.loader import load_source
from tests.unit.intake_kit import DELIVERY, good, receive

CHECK = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a month, in the outbox, with names that tell nothing of their tables."""
    folder = DELIVERY.under(tmp_path / "outboxes")
    folder.mkdir(parents=True)
    for number, table in enumerate(load_source("dcir").tables):
        (folder / f"export-{number}.csv").write_bytes(good(table, rows=number + 1))
    return folder


def test_the_hub_takes_in_what_was_declared(tmp_path: Path, folder: Path) -> None:
    files = declare(DELIVERY, outbox=tmp_path / "outboxes", key_check=CHECK)
    assert [(f.table, f.rows) for f in files] == [(t, n + 1) for n, t in enumerate(load_source("dcir").tables)]
    assert complete_deliveries(tmp_path / "outboxes") == [DELIVERY]
    assert receive(tmp_path).rows == sum(f.rows for f in files)


def test_declaring_again_is_the_same_delivery_and_a_change_is_another(tmp_path: Path, folder: Path) -> None:
    declare(DELIVERY, outbox=tmp_path / "outboxes", key_check=CHECK)
    manifest = folder / "manifest.json"
    old = json.loads(manifest.read_text()) | {"created_at": "2024-04-02T08:00:00+00:00"}
    manifest.write_text(json.dumps(old))
    declare(DELIVERY, outbox=tmp_path / "outboxes", key_check=CHECK)
    assert json.loads(manifest.read_text()) == old
    (folder / "export-0.csv").write_bytes(good(load_source("dcir").tables[0], rows=9))
    declare(DELIVERY, outbox=tmp_path / "outboxes", key_check=CHECK)
    assert json.loads(manifest.read_text())["files"][0]["rows"] == 9


def test_what_the_hub_would_refuse_is_not_declared(tmp_path: Path, folder: Path) -> None:
    outbox = tmp_path / "outboxes"
    whole = (folder / "export-4.csv").read_bytes()
    (folder / "export-4.csv").write_bytes(whole.replace(b"CAM_PRS_IDE", b"CAM_PRS_IDF"))
    with pytest.raises(ContractRefused, match="CAM_PRS_IDE"):
        declare(DELIVERY, outbox=outbox, key_check=CHECK)
    (folder / "export-4.csv").unlink()
    with pytest.raises(ContractRefused, match="missing"):
        declare(DELIVERY, outbox=outbox, key_check=CHECK)
    assert not (folder / "manifest.json").exists()


def test_nirs_are_never_declared_and_an_empty_outbox_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="NIR"):
        declare(DeliveryId("ville", "2024-03", 1), outbox=tmp_path, key_check=CHECK)
    with pytest.raises(ConfigError, match="deces"):
        declare(DeliveryId("deces", "2024-03", 1), outbox=tmp_path, key_check=CHECK)
    with pytest.raises(Incomplete):
        declare(DELIVERY, outbox=tmp_path, key_check=CHECK)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("EXTRA.CSV", "unlisted_file"),
        ("notes.txt", "unlisted_file"),
        ("two words.csv", "bad_name"),
        ("\x1b[31m.csv", "bad_name"),
    ],
)
def test_what_the_hub_would_find_unlisted_is_named_and_nothing_declared(
    tmp_path: Path, folder: Path, name: str, reason: str
) -> None:
    (folder / name).write_text("x")
    (folder / ".export.part").write_text("hidden files are the contributor's own")
    with pytest.raises(ContractRefused) as caught:
        declare(DELIVERY, outbox=tmp_path / "outboxes", key_check=CHECK)
    assert caught.value.reason == reason
    assert name.replace("\x1b", "\\x1b") in str(caught.value)
    assert not (folder / "manifest.json").exists()


@pytest.mark.parametrize(
    "old", [b"", b"\xef\xbb\xbf{}", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"files": "\\ud800"}']
)
def test_an_odd_manifest_in_its_place_is_replaced(tmp_path: Path, folder: Path, old: bytes) -> None:
    (folder / "manifest.json").write_bytes(old)
    files = declare(DELIVERY, outbox=tmp_path / "outboxes", key_check=CHECK)
    raw = (folder / "manifest.json").read_bytes()
    assert raw.startswith(b"{") and json.loads(raw)["files"] == [f.model_dump() for f in files]
    assert all(f.sha256 == f.sha256.lower() for f in files)
    assert receive(tmp_path).rows == sum(f.rows for f in files)


def test_a_rehearsal_declares_nothing(tmp_path: Path, folder: Path) -> None:
    assert declare(DELIVERY, outbox=tmp_path / "outboxes", key_check=CHECK, dry_run=True)
    assert not (folder / "manifest.json").exists()


def test_a_link_that_leads_to_itself_is_said(tmp_path: Path) -> None:
    DELIVERY.under(tmp_path).parent.mkdir(parents=True)
    DELIVERY.under(tmp_path).symlink_to(DELIVERY.under(tmp_path))
    with pytest.raises(StorageError, match="symbolic links"):
        declare(DELIVERY, outbox=tmp_path, key_check=CHECK)
