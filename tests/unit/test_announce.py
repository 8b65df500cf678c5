"""Announcing: what is in the outboxes is taken or told, and no delivery stands in the way of another."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catalogue import db
from jobs.delivery import DeliveryId
from jobs.errors import ContractRefused, Incomplete, StorageError
from jobs.hub import Hub
from jobs.intake.arrivals import arrivals
from jobs.settings import Settings
from jobs.steps.receive import announce, announce_in_run, choose, outbox_of, receive
from tests.unit.intake_kit import file_name, good, send, shared_keys

OTHER = DeliveryId("dcir", "2024-05", 1)
ODD = DeliveryId("dcir", "2024-01", 1)
FILE = {"table": "er_prs_f", "name": "A.csv", "rows": 1, "bytes": 1, "sha256": "a" * 64}
LAST = {"source": "dcir", "period": "2024-05", "version": 1}


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    (tmp_path / "keys").symlink_to(shared_keys())
    hub = Hub(Settings(home=tmp_path))
    db.register_key(hub.engine, "p1", "stage1", "0123456789abcdef")
    return hub


def said_by(hub: Hub) -> tuple[list[dict[str, Any]], list[str]]:
    lines: list[str] = []
    return announce(hub, tell=lines.append), lines


def put(hub: Hub, raw: bytes, delivery: DeliveryId = ODD) -> None:
    folder = delivery.under(hub.settings.outboxes)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(raw)


def whole(**changes: Any) -> bytes:
    manifest = {
        "contract": "dcir",
        "contract_version": 1,
        "source": "dcir",
        "period": "2024-01",
        "version": 1,
        "created_at": "2024-02-02T08:00:00+00:00",
        "stage1_key": "0123456789abcdef",
        "files": [FILE],
    }
    return json.dumps(manifest | changes).encode()


def one_file(**changes: Any) -> bytes:
    return whole(files=[FILE | changes])


@pytest.mark.parametrize(
    ("raw", "reason", "said"),
    [
        pytest.param(b"[" * 200_000, "manifest_unreadable", "nested too deep", id="deep"),
        pytest.param(b'{"a":' * 50_000, "manifest_unreadable", "nested too deep", id="deep objects"),
        pytest.param(b"", "manifest_unreadable", "is empty", id="empty"),
        pytest.param(b'{"source": "dcir"', "manifest_unreadable", "not JSON, from line 1", id="cut"),
        pytest.param(b"\xe9", "manifest_unreadable", "not text in UTF-8", id="latin-1"),
        pytest.param(one_file(name="\ud800.csv"), "manifest_unreadable", "half a character", id="surrogate"),
        pytest.param(b'{"\\udfff": 1}', "manifest_unreadable", "half a character", id="surrogate in a field's name"),
        pytest.param(b'{"a": 1, "a": 1}', "manifest_unreadable", "stands twice", id="a field twice"),
        pytest.param(b'{"version": NaN}', "manifest_unreadable", "not numbers of JSON", id="NaN"),
        pytest.param(b'{"version": ' + b"9" * 5000 + b"}", "manifest_unreadable", "cannot be read", id="long number"),
        pytest.param(whole(version=2**70), "wrong_place", "another version", id="huge version"),
        pytest.param(whole(contract_version=2**40), "unknown_contract", "version 1", id="huge contract version"),
        pytest.param(one_file(rows=2**62), "manifest_unreadable", "files.0.rows", id="huge rows"),
        pytest.param(one_file(rows=1.5), "manifest_unreadable", "files.0.rows", id="half a row"),
        pytest.param(one_file(bytes=-1), "manifest_unreadable", "files.0.bytes", id="negative bytes"),
        pytest.param(whole(stage1_key="\x00" * 16), "manifest_unreadable", "stage1_key", id="zero bytes"),
        pytest.param(one_file(name="A\x00.csv"), "bad_name", "1 file name", id="zero byte in a name"),
        pytest.param(one_file(name="C:\\x.csv"), "bad_name", "1 file name", id="drive letter"),
        pytest.param(one_file(name="A.CSV.txt"), "bad_name", "ending in .csv", id="other extension"),
        pytest.param(whole(files=[]), "manifest_unreadable", "files", id="no files"),
        pytest.param(whole(period="2024-02"), "wrong_place", "another period than", id="period of another folder"),
        pytest.param(
            whole(files=[FILE | {"rows": 2**47}] * 9),
            "duplicated_name",
            "8 file(s) twice",
            id="one file nine times",
        ),
        pytest.param(
            whole(files=[FILE | {"name": name} for name in ("A.csv", "a.csv")]),
            "duplicated_name",
            "differ in case only",
            id="names that differ in case",
        ),
    ],
)  # fmt: skip
def test_an_odd_manifest_is_refused_alone(hub: Hub, raw: bytes, reason: str, said: str) -> None:
    put(hub, raw)
    send(hub.settings.outboxes, OTHER)
    announced, _ = said_by(hub)
    assert announced == [{"source": "dcir", "period": "2024-01", "version": 1}, LAST]
    with pytest.raises(ContractRefused) as caught:
        receive(hub, ODD)
    assert (caught.value.reason, said in str(caught.value)) == (reason, True), str(caught.value)
    known = db.get_delivery(hub.engine, ODD)
    assert known and (known["state"], known["reason"]) == ("rejected", reason)
    assert receive(hub, OTHER)["state"] == "pulled"
    assert said_by(hub)[0] == []


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda raw: b"\xef\xbb\xbf" + raw, id="byte order mark"),
        pytest.param(lambda raw: raw.decode().encode("utf-16"), id="UTF-16 of PowerShell"),
        pytest.param(
            lambda raw: json.dumps(_upper(json.loads(raw)), indent=2).replace("\n", "\r\n").encode(),
            id="upper-case sums",
        ),
    ],
)
def test_a_manifest_as_windows_writes_it_is_taken(hub: Hub, written: Callable[[bytes], bytes]) -> None:
    path = send(hub.settings.outboxes, OTHER) / "manifest.json"
    path.write_bytes(written(path.read_bytes()))
    assert said_by(hub) == ([LAST], [])
    assert receive(hub, OTHER)["state"] == "pulled"
    known = db.get_delivery(hub.engine, OTHER)
    assert known and all(f["sha256"] == f["sha256"].lower() for f in known["files"])


def _upper(manifest: dict[str, Any]) -> dict[str, Any]:
    for file in manifest["files"]:
        file["sha256"] = file["sha256"].upper()
    return manifest


def test_an_incomplete_delivery_says_what_it_waits_for(hub: Hub) -> None:
    folder = send(hub.settings.outboxes, OTHER)
    prs, pha, cam = (folder / file_name(t) for t in ("er_prs_f", "er_pha_f", "er_cam_f"))
    size = prs.stat().st_size
    prs.write_bytes(prs.read_bytes()[:-1])
    pha.unlink()
    cam.rename(folder / cam.name.lower())
    announced, lines = said_by(hub)
    said = (
        f"3 of 5 files missing or too short: {prs.name} (shorter than the {size:,} bytes declared), "
        f"{pha.name} (not there), {cam.name} (not there: the name of {cam.name.lower()} differs in case)"
    )
    assert (announced, lines) == ([], [f"{OTHER}: {said}"])
    said_by(hub)
    known = db.get_delivery(hub.engine, OTHER)
    assert known and [(e["state"], e["detail"]) for e in known["events"]] == [
        ("announced", None),
        ("incomplete", {"said": said}),
    ]
    with pytest.raises(Incomplete):
        receive(hub, OTHER)
    known = db.get_delivery(hub.engine, OTHER)
    assert known and said in known["events"][-1]["detail"]["said"]


def test_what_is_no_delivery_is_told_with_why(hub: Hub) -> None:
    root = hub.settings.outboxes
    send(root, DeliveryId("dcir", "2024-05", 4))
    for folder in ("dcir/2024-5/v1", "dcir/2024-05/V2", "DCIR", "nobody/2024-01/v1", "dcir/2024-06/a b"):
        (root / folder).mkdir(parents=True)
    (root / "readme.txt").write_text("")
    (root / "dcir" / "2024-07").symlink_to(root / "dcir" / "2024-05")
    (root / ".tmp").mkdir()
    announced, lines = said_by(hub)
    assert announced == [{"source": "dcir", "period": "2024-05", "version": 4}]
    assert sorted(lines) == [
        "DCIR: not the name of a source, as in dcir",
        "dcir/2024-05/V2: not the name of a version, as in v1",
        "dcir/2024-05/v4: v1 to v3 was never seen",
        "dcir/2024-06/(a name that is not accepted): not the name of a version, as in v1",
        "dcir/2024-07: a link where a month is expected",
        "dcir/2024-5: not the name of a month, as in 2024-03",
        "nobody/2024-01/v1: the hub has no contract for a source nobody",
        "readme.txt: a file where the folder of a source is expected",
    ]


def test_a_later_version_waits_for_the_one_on_its_way(hub: Hub) -> None:
    for version in (1, 2):
        send(hub.settings.outboxes, DeliveryId("dcir", "2024-05", version))
    assert said_by(hub) == ([LAST], ["dcir/2024-05/v2: dcir/2024-05/v1 is on its way and ends first"])


def test_a_run_says_again_what_it_announced_until_it_is_taken_in(hub: Hub) -> None:
    first = Hub(hub.settings.model_copy(update={"airflow_run": "arrivals/1"}))
    second = Hub(hub.settings.model_copy(update={"airflow_run": "arrivals/2"}))
    folder = send(hub.settings.outboxes, ODD)
    send(hub.settings.outboxes, OTHER)
    (folder / "manifest.json").rename(folder / "later")
    told = announce_in_run(first, "arrivals/1")
    assert [{k: d[k] for k in LAST} for d in told] == [LAST]
    # its first try ended before Airflow had its answer
    assert announce_in_run(first, "arrivals/1") == told
    assert announce_in_run(second, "arrivals/2") == []
    (folder / "later").rename(folder / "manifest.json")
    assert [d["period"] for d in announce_in_run(second, "arrivals/2")] == ["2024-01"]
    assert receive(hub, OTHER)["state"] == "pulled"
    assert announce_in_run(first, "arrivals/1") == []
    # announced by hand: no run of Airflow answers for it
    send(hub.settings.outboxes, DeliveryId("dcir", "2024-06", 1))
    assert len(announce(hub)) == 1
    assert [d["period"] for d in announce_in_run(second, "arrivals/2")] == ["2024-01"]


def test_a_delivery_that_is_announced_anew_is_another_announcement(hub: Hub) -> None:
    run = Hub(hub.settings.model_copy(update={"airflow_run": "arrivals/1"}))
    folder = send(hub.settings.outboxes, OTHER)
    first = announce_in_run(run, "arrivals/1")
    file = folder / file_name("er_prs_f")
    file.rename(folder / "later")
    with pytest.raises(Incomplete):
        receive(hub, OTHER)
    assert announce_in_run(run, "arrivals/1") == []
    (folder / "later").rename(file)
    again = announce_in_run(run, "arrivals/1")
    assert [{**d, "at": ""} for d in again] == [{**d, "at": ""} for d in first]
    assert again[0]["at"] > first[0]["at"]


@pytest.fixture
def as_nobody(hub: Hub) -> Iterator[Callable[[], None]]:
    """Lets the process become one that file permissions bind; back to who it was at the end."""
    was = os.geteuid()

    def become() -> None:
        if was == 0:
            os.seteuid(65534)

    yield become
    os.seteuid(was)


def test_what_may_not_be_read_is_told_or_refused(hub: Hub, as_nobody: Callable[[], None]) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        root = Path(name)
        root.chmod(0o755)
        send(root, OTHER)
        (send(root, ODD) / "manifest.json").chmod(0)
        send(root, DeliveryId("ville", "2024-01", 1)).parent.parent.chmod(0)
        closed = Hub(hub.settings.model_copy(update={"outbox": {"dcir": root, "ville": root}}))
        as_nobody()
        outbox = outbox_of(closed)
        lines = outbox.strays()
        seen = arrivals(outbox)
        os.seteuid(os.getuid())
        assert "ville: cannot be read (Permission denied)" in lines
        assert seen.complete == [ODD, OTHER]  # the pull refuses the first one
        (root / "ville").chmod(0o755)


def test_outboxes_that_do_not_answer_are_a_storage_fault(hub: Hub) -> None:
    hub.settings.outboxes.write_text("not a folder")
    with pytest.raises(StorageError):
        announce(hub)


def test_a_manifest_that_is_a_folder_is_refused_alone(hub: Hub) -> None:
    (ODD.under(hub.settings.outboxes) / "manifest.json").mkdir(parents=True)
    send(hub.settings.outboxes, OTHER)
    assert len(said_by(hub)[0]) == 2
    with pytest.raises(ContractRefused) as caught:
        receive(hub, ODD)
    assert caught.value.reason == "bad_name"


def test_the_file_of_another_month_is_recognised(hub: Hub) -> None:
    first = DeliveryId("dcir", "2024-04", 1)
    files = {"er_prs_f": good("er_prs_f", 4)}
    send(hub.settings.outboxes, first, files=files, rows={"er_prs_f": 4})
    said_by(hub)
    assert receive(hub, first)["state"] == "pulled"
    changed = {t: good(t, 2) for t in ("er_pha_f", "er_cam_f")}
    send(hub.settings.outboxes, OTHER, files=files | changed, rows={"er_prs_f": 4, "er_pha_f": 2, "er_cam_f": 2})
    said_by(hub)
    with pytest.raises(ContractRefused) as caught:
        receive(hub, OTHER)
    assert caught.value.reason == "same_as_other_period"
    name = file_name("er_prs_f")
    assert f"{OTHER}: {name} is the file of er_prs_f that {first} brought (same sha256)" in str(caught.value)
    # registers and nomenclatures may be the same from month to month
    second = DeliveryId("dcir", "2024-06", 1)
    fresh = {"er_prs_f": good("er_prs_f", 5), **{t: good(t, 1) for t in ("er_pha_f", "er_cam_f")}}
    send(hub.settings.outboxes, second, files=fresh, rows={"er_prs_f": 5, "er_pha_f": 1, "er_cam_f": 1})
    said_by(hub)
    assert receive(hub, second)["state"] == "pulled"
    # what was refused there may be sent where it belongs
    db.record_event(hub.engine, first, "rejected", reason="steward")
    assert receive(hub, OTHER, again=True)["state"] == "pulled"


def test_a_manifest_that_was_replaced_after_it_was_announced(hub: Hub) -> None:
    folder = send(hub.settings.outboxes, OTHER)
    said_by(hub)
    path = folder / file_name("er_prs_f")
    path.unlink()
    (folder / "manifest.json").unlink()
    folder.rename(folder.with_name(".old"))
    send(hub.settings.outboxes, OTHER, files={"er_prs_f": good("er_prs_f", 4)}, rows={"er_prs_f": 4})
    assert receive(hub, choose(hub, "dcir", "2024-05"))["rows_in"] == 16
    known = db.get_delivery(hub.engine, OTHER)
    assert known and [f["rows"] for f in known["files"] if f["table"] == "er_prs_f"] == [4]
