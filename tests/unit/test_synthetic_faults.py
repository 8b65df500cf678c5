"""Planted faults: each shows in the files exactly as it is told, and nowhere else."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import pytest

from jobs import keys
from jobs.contributors.synthetic import faults
from jobs.contributors.synthetic.deliveries import Delivery, write
from jobs.contributors.synthetic.file_faults import FAULTS, damage
from jobs.contributors.synthetic.generate import Parameters, population_of, sound_deliveries
from jobs.delivery import DeliveryId
from jobs.errors import ContractRefused, Incomplete
from jobs.intake.arrivals import incomplete_deliveries
from jobs.intake.pull import pull

KEY = bytes(range(32))
PARAMETERS = Parameters(persons=600, months=1, seed=11)


@cache
def sound(source: str) -> Delivery:
    deliveries = sound_deliveries(PARAMETERS, population_of(PARAMETERS, KEY))
    return next(d for d in deliveries if d.source == source)


@pytest.fixture(scope="module")
def custody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, made once; the contributors' one is known."""
    made = tmp_path_factory.mktemp("custody")
    keys.generate(made)
    path = made / "contributors" / "p1.key"
    path.unlink()
    path.write_bytes(KEY)
    path.chmod(0o400)
    return made


@pytest.fixture
def home(tmp_path: Path, custody: Path) -> Path:
    shutil.copytree(custody, tmp_path / "keys")
    return tmp_path


def received(home: Path, delivery: Delivery) -> dict[str, tuple[int, int]]:
    """What the hub's own pull finds: rows and malformed lines by table."""
    report = pull(
        DeliveryId.parse(delivery.id),
        outbox=home / "outboxes",
        landing=home / "landing",
        quarantine=home / "quarantine",
        keys_public=home / "keys" / "public",
    )
    found: dict[str, tuple[int, int]] = {}
    for file in report.files:
        rows, malformed = found.get(file.table, (0, 0))
        found[file.table] = (rows + file.rows, malformed + file.malformed)
    return found


@pytest.mark.parametrize("source", ["dcir", "pmsi_mco", "ville"])
def test_sound_and_bad_rows_are_received_as_told(home: Path, source: str) -> None:
    for delivery in (sound(source), faults.bad_rows(sound(source), 1)):
        write(delivery, home, KEY)
        told = {
            name: (int((t["_tag"] != "malformed").sum()), int((t["_tag"] == "malformed").sum()))
            for name, t in delivery.tables.items()
        }
        assert received(home, delivery) == told


@pytest.mark.parametrize("source", ["dcir", "pmsi_mco", "ville"])
def test_each_bad_row_has_its_reason(source: str) -> None:
    before, after = sound(source), faults.bad_rows(sound(source), 1)
    planted = faults.BAD_ROWS[source]
    for reason in {f.reason for f in planted}:
        counts = [int(sum((t["_tag"] == reason).sum() for t in d.tables.values())) for d in (before, after)]
        expected = sum(2 if f.kind == "conflict" else 1 for f in planted if f.reason == reason)
        if reason == "orphan":
            # what hangs on a bad row is an orphan too
            assert counts[1] - counts[0] >= expected
        else:
            assert counts[1] - counts[0] == expected


def test_faults_leave_the_original_alone() -> None:
    tags = {n: t["_tag"].tolist() for n, t in sound("dcir").tables.items()}
    faults.bad_rows(sound("dcir"), 1)
    assert {n: t["_tag"].tolist() for n, t in sound("dcir").tables.items()} == tags


def test_spoilt_keys_need_a_steward() -> None:
    from jobs.contributors.synthetic.expected import expected_of

    entry = expected_of(faults.steward(sound("ville"), 1), 0)
    assert entry["state"] == "waiting"
    assert entry["after"] == {"approve": "published", "reject": "rejected"}


def test_twice_writes_the_same_bytes(home: Path) -> None:
    first = sound("dcir")
    again = faults.twice(first)
    one, two = write(first, home, KEY), write(again, home, KEY)
    names = sorted(p.name for p in one.glob("*.csv"))
    assert again.id == "dcir/2024-01/v2"
    assert [(one / n).read_bytes() for n in names] == [(two / n).read_bytes() for n in names]


def test_a_correction_changes_removes_and_adds() -> None:
    first, second = faults.correction(sound("pmsi_mco"), 1)
    keys_of = ["ETA_NUM", "RSA_NUM"]
    stays = [
        {tuple(k): d for *k, d in t.tables["t_mcoaab"][[*keys_of, "DGN_PAL"]].to_numpy().tolist()}
        for t in (first, second)
    ]
    assert len(stays[0].keys() - stays[1].keys()) == second.detail["removed"] > 0
    assert len(stays[1].keys() - stays[0].keys()) == second.detail["added"] > 0
    changed = [k for k in stays[0].keys() & stays[1].keys() if stays[0][k] != stays[1][k]]
    assert 0 < len(changed) <= second.detail["changed"]
    for version in (first, second):
        named = set(map(tuple, version.tables["t_mcoaab"][keys_of].to_numpy().tolist()))
        for table in ("t_mcoaac", "t_mcoaad", "t_mcoaaa"):
            assert set(map(tuple, version.tables[table][keys_of].to_numpy().tolist())) <= named


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("source", ["dcir", "ville"])
def test_file_faults_are_refused_with_their_reason(home: Path, source: str, fault: str) -> None:
    """The hub's own pull says of each damaged delivery what the fault says that it should."""
    delivery = sound(source)
    folder = write(delivery, home, KEY)
    expected = damage(folder, fault)
    if expected.state == "incomplete":
        assert DeliveryId.parse(delivery.id) in incomplete_deliveries(home / "outboxes")
        with pytest.raises(Incomplete):
            received(home, delivery)
    elif expected.state == "rejected":
        with pytest.raises(ContractRefused) as refusal:
            received(home, delivery)
        assert refusal.value.reason == expected.reason
        assert not (home / "landing" / delivery.id).exists()
    else:
        assert sum(rows for rows, _ in received(home, delivery).values()) == sum(
            len(t) for t in delivery.tables.values()
        )


@pytest.mark.parametrize("fault", ["missing_column", "latin1", "checksum", "empty_file"])
def test_a_delivery_can_be_written_damaged(home: Path, fault: str) -> None:
    delivery = faults.refused(sound("pmsi_mco"), fault)
    folder = write(delivery, home, KEY)
    assert json.loads((folder / "manifest.json").read_text("utf-8"))["version"] == 1
    with pytest.raises(ContractRefused) as refusal:
        received(home, delivery)
    assert refusal.value.reason == delivery.refused
