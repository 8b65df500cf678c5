"""Delivery names, and which deliveries can be pulled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.delivery import DeliveryId
from jobs.errors import ConfigError
from jobs.intake.arrivals import complete_deliveries, incomplete_deliveries
from jobs.intake.connectors import Connector, FolderOutbox, is_safe_name
from tests.unit.intake_kit import file_name, send


def test_a_delivery_is_named_by_its_folder() -> None:
    delivery = DeliveryId.parse("dcir/2024-03/v12")
    assert delivery == DeliveryId("dcir", "2024-03", 12)
    assert str(delivery) == "dcir/2024-03/v12"
    assert delivery.under(Path("/x")) == Path("/x/dcir/2024-03/v12")
    assert DeliveryId("dcir", "2024-03", 2) < DeliveryId("dcir", "2024-03", 10)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dcir",
        "dcir/2024-03",
        "dcir/2024-3/v1",
        "dcir/2024-13/v1",
        "DCIR/2024-03/v1",
        "dcir/2024-03/v0",
        "dcir/2024-03/v01",
        "dcir/2024-03/1",
        "../2024-03/v1",
        "dcir/2024-03/v1/x",
        "dcir/2024-03/v1\n",
        "a/../b/v1",
        "dcir/2024-03/v\u0663",
    ],
)
def test_anything_else_is_no_delivery(text: str) -> None:
    with pytest.raises(ConfigError, match="dcir/2024-03/v1"):
        DeliveryId.parse(text)


@pytest.mark.parametrize("name", ["ER_PRS_F_202403.csv", "T_MCO24_03B.csv", "GP_p-1_20240401_patient.csv", "a"])
def test_plain_names_are_safe(name: str) -> None:
    assert is_safe_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "a..b", "a/b", "a\\b", "a b", "a\n", "é", "-x", "a" * 121, "a\x00"]
)
def test_other_names_are_not(name: str) -> None:
    assert not is_safe_name(name)


def test_complete_and_incomplete(tmp_path: Path) -> None:
    ready, short, late, broken = (DeliveryId("dcir", "2024-03", n) for n in (1, 2, 3, 10))
    for delivery in (broken, late, short, ready):
        send(tmp_path, delivery)
    path = short.under(tmp_path) / file_name("er_pha_f")
    path.write_bytes(path.read_bytes()[:-1])
    (short.under(tmp_path) / file_name("er_cam_f")).unlink()
    (late.under(tmp_path) / "manifest.json").rename(late.under(tmp_path) / ".manifest.json.part")
    (broken.under(tmp_path) / "manifest.json").write_text("{")
    (tmp_path / "dcir" / "2024-03" / "vX").mkdir()
    (tmp_path / "dcir" / "2024-03" / "v7").symlink_to(ready.under(tmp_path))
    (tmp_path / "readme.txt").write_text("")
    # a broken manifest waits for nothing: pull refuses it
    assert complete_deliveries(tmp_path) == [ready, broken]
    assert incomplete_deliveries(tmp_path) == {
        short: (file_name("er_pha_f"), file_name("er_cam_f")),
        late: ("manifest.json",),
    }


def test_an_outbox_that_is_not_there_is_empty(tmp_path: Path) -> None:
    outbox = FolderOutbox(tmp_path / "nowhere")
    assert isinstance(outbox, Connector)
    assert outbox.deliveries() == []
    assert outbox.files(DeliveryId("dcir", "2024-03", 1)) == {}


def test_looking_for_arrivals_imports_nothing_heavy() -> None:
    code = (
        "import sys, jobs.intake.arrivals; print([m for m in ('pyarrow','numpy','cryptography') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
