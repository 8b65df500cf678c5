"""Pull, with the bad inputs of a delivery: each is refused with a reason, leaves landing as it was, keeps the bytes."""

from __future__ import annotations

import fcntl
import os
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobs.delivery import DeliveryId
from jobs.errors import ConflictError, ContractRefused, Incomplete, KeyRefused, UnexpectedState
from jobs.intake.landing import landed_name, malformed_name, read_encrypted, refused_name
from jobs.intake.seal import unseal
from schemas.loader import load_table
from tests.unit.intake_kit import (
    CANARIES,
    DELIVERY,
    canaries_in,
    file_name,
    fingerprint,
    good,
    private_key,
    receive,
    send,
    sound,
    written_by_the_hub,
)

BEFORE = DeliveryId("dcir", "2024-03", 1)
PHA = good("er_pha_f")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A hub that has landed version 1; version 2 is on its way."""
    send(tmp_path / "outboxes", BEFORE)
    receive(tmp_path, BEFORE)
    return tmp_path


def landed(home: Path, table: str, delivery: DeliveryId = DELIVERY) -> Any:
    key = private_key("hub/landing")
    return read_encrypted(delivery.under(home / "landing") / table / landed_name(file_name(table)), key)


def unsealed(path: Path) -> bytes:
    with path.open("rb") as stream:
        return b"".join(unseal(stream, private_key("steward/quarantine")))


def refused(home: Path, **options: Any) -> ContractRefused:
    """Pulls; checks all that holds for every refusal."""
    sent, was = fingerprint(home / "outboxes"), fingerprint(home / "landing")
    with pytest.raises(ContractRefused) as caught:
        receive(home, **options)
    assert fingerprint(home / "outboxes") == sent
    assert fingerprint(home / "landing") == was
    folder = DELIVERY.under(home / "outboxes")
    kept = DELIVERY.under(home / "quarantine") / "refused"
    received = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and not p.is_symlink()}
    assert {p.name.removesuffix(".sealed"): unsealed(p) for p in kept.iterdir()} == received
    assert [p for p in DELIVERY.under(home / "quarantine").rglob("*") if p.suffix == ".parquet"] == []
    assert canaries_in(written_by_the_hub(home)) == []
    chain: list[BaseException | None] = [caught.value]
    while chain[-1] is not None:
        assert not any(c in str(chain[-1]) for c in CANARIES)
        chain.append(chain[-1].__cause__)
    assert caught.value.next_step
    return caught.value


def test_a_good_delivery_lands_whole_in_the_lakes_types(home: Path) -> None:
    data = sound("er_pha_f")
    turned = b"\n".join(b";".join(reversed(line.split(b";"))) for line in data.splitlines()) + b"\n"
    send(home / "outboxes", files={"er_pha_f": turned})
    seen: list[tuple[str, int, int]] = []
    report = receive(home, progress=lambda *step: seen.append(step), stage1_key="0123456789abcdef")
    assert [(f.table, f.rows, f.malformed, f.refused) for f in report.files] == [
        (t, 3, 0, 0 if t == "er_pha_f" else 3) for t in ("ir_pha_r", "ir_ben_r", "er_prs_f", "er_pha_f", "er_cam_f")
    ]
    rows = landed(home, "er_pha_f")
    contract = load_table("dcir", "er_pha_f")
    assert rows.column_names == [*contract.names, "_row", "_reason", "_key", "_parent", "_content"]
    row = {"date": date(2024, 3, 1), "string": None, "integer": 2, "decimal": Decimal("2.5")}
    said = {c.name: ("x" if c.required and c.type == "string" else row[c.type]) for c in contract.columns}
    assert rows.select([*contract.names, "_row", "_reason"]).to_pylist()[1] == {**said, "_row": 2, "_reason": None}
    assert rows["_row"].to_pylist() == [1, 2, 3]
    assert seen[-1] == (file_name("er_cam_f"), report.files[-1].bytes, report.files[-1].bytes)
    assert canaries_in(written_by_the_hub(home)) == []
    assert not (DELIVERY.under(home / "quarantine") / "er_pha_f").exists()


def test_rows_that_break_the_contract_land_with_their_reason_and_are_sealed_as_they_came(home: Path) -> None:
    lines = sound("er_pha_f").splitlines()
    names = lines[0].decode().split(";")
    fields = lines[2].decode().split(";")
    fields[names.index("PHA_ACT_QSN")] = " 1e3"
    lines[2] = ";".join(fields).encode()
    send(home / "outboxes", files={"er_pha_f": b"\n".join(lines) + b"\n"})
    report = receive(home)
    assert [f.refused for f in report.files if f.table == "er_pha_f"] == [1]
    rows = landed(home, "er_pha_f")
    assert rows["_reason"].to_pylist() == [None, "unparsable:PHA_ACT_QSN", None]
    assert rows["PHA_ACT_QSN"].to_pylist() == [1, None, 3]
    path = DELIVERY.under(home / "quarantine") / "er_pha_f" / refused_name("ER_PHA_F_202403.csv")
    kept = read_encrypted(path, private_key("steward/quarantine"))
    assert kept.to_pylist() == [
        {**{n: f or None for n, f in zip(names, fields, strict=True)}, "_row": 2, "_reason": "unparsable:PHA_ACT_QSN"}
    ]
    with pytest.raises(KeyRefused):
        read_encrypted(path, private_key("hub/landing"))


def test_malformed_lines_are_sealed_apart_and_counted(home: Path) -> None:
    lines = PHA.splitlines(keepends=True)
    data = b"".join([lines[0], lines[1], b"CANARYP1ABCDEFGH2;too short\n", *lines[2:]])
    send(home / "outboxes", files={"er_pha_f": data}, rows={"er_pha_f": 4})
    report = receive(home)
    assert [(f.rows, f.malformed, f.reasons) for f in report.files if f.table == "er_pha_f"] == [(3, 1, {"fields": 1})]
    assert report.rows == 16
    assert landed(home, "er_pha_f")["_row"].to_pylist() == [1, 3, 4]
    path = DELIVERY.under(home / "quarantine") / "er_pha_f" / malformed_name("ER_PHA_F_202403.csv")
    kept = read_encrypted(path, private_key("steward/quarantine"))
    assert kept.to_pylist() == [{"_row": 2, "reason": "fields", "line": "CANARYP1ABCDEFGH2;too short"}]
    assert canaries_in(written_by_the_hub(home)) == []
    with pytest.raises(KeyRefused):
        read_encrypted(path, private_key("hub/landing"))


def test_no_fault_of_ours_tells_a_value(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> Any:
        def typed(rows: Any) -> Any:
            raise ValueError(f"{rows.to_pylist()}")

        return typed

    send(home / "outboxes")
    monkeypatch.setattr("jobs.intake.pull.typing_of", failing)
    with pytest.raises(UnexpectedState, match="dcir/ir_pha_r") as caught:
        receive(home)
    assert caught.value.__context__ is None and not any(c in str(caught.value) for c in CANARIES)


def test_a_second_pull_changes_nothing_and_clears_what_is_stale(home: Path) -> None:
    send(home / "outboxes")
    first = receive(home)
    rows = landed(home, "er_prs_f")
    stale = DELIVERY.under(home / "quarantine") / "er_prs_f" / "malformed-old.parquet"
    stale.write_bytes(b"")
    found = stale.with_name("rows") / "part-0.parquet"
    found.parent.mkdir()
    found.write_bytes(b"")
    (DELIVERY.under(home / "landing").with_name(".v2.partial") / "er_prs_f").mkdir(parents=True)
    assert receive(home) == first
    assert landed(home, "er_prs_f").equals(rows)
    assert not stale.exists() and not found.parent.exists()
    assert sorted(p.name for p in DELIVERY.under(home / "landing").parent.iterdir()) == [
        ".v1.lock",
        ".v2.lock",
        "v1",
        "v2",
    ]


def test_a_pull_that_died_between_two_renames_is_mended(home: Path) -> None:
    was = fingerprint(BEFORE.under(home / "landing"))
    os.rename(BEFORE.under(home / "landing"), BEFORE.under(home / "landing").with_name(".v1.old"))
    (BEFORE.under(home / "outboxes") / file_name("er_prs_f")).write_bytes(b"\n" * len(good("er_prs_f")))
    with pytest.raises(ContractRefused):
        receive(home, BEFORE)
    assert fingerprint(BEFORE.under(home / "landing")) == was


HEADER, FIRST = PHA.splitlines()[:2]
LAST = len(PHA.splitlines()[-1]) + 1


@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        pytest.param(b"", "empty_file", "is empty", id="empty file"),
        pytest.param(HEADER + b"\n", "header_only", "no row", id="header only"),
        pytest.param(PHA.replace(b";", b","), "wrong_separator", "comma", id="wrong separator"),
        pytest.param(PHA.replace(b"PHA_PRS_C13", b"PHA_CIP"), "missing_column", "PHA_PRS_C13", id="renamed column"),
        pytest.param(
            b"\n".join(line.rpartition(b";")[0] for line in PHA.splitlines()), "missing_column", "lacks", id="missing"
        ),
        pytest.param(
            b"\n".join(line + b";NEW" for line in PHA.splitlines()), "extra_column", "at position 20", id="extra column"
        ),
        pytest.param(
            b"\n".join([HEADER.replace(b"PHA_PRS_IDE", b"PHA_PRS_C13"), FIRST]),
            "duplicated_column",
            "PHA_PRS_C13",
            id="duplicated column",
        ),
        pytest.param(b"\n".join([FIRST] * 4), "missing_column", "is the header there?", id="no header"),
        pytest.param(PHA.replace(b"v2-5", b"\xe9t\xe9"), "wrong_encoding", "line 3", id="latin-1 in a UTF-8 contract"),
        pytest.param(PHA[: -LAST // 2], "truncated", "middle of a line", id="truncated last line"),
        pytest.param(PHA.replace(b"v1-5", b'"v1-5'), "unclosed_quote", "over a line end", id="unclosed quote"),
        pytest.param(PHA + b"too;short\n" * 4, "too_many_malformed", "4 of 7 lines", id="most lines are malformed"),
        pytest.param(PHA + FIRST + b"\n", "row_count_mismatch", "holds 4 rows, 3 were declared", id="rows"),
    ],
)
def test_a_bad_file_refuses_the_whole_delivery(home: Path, data: bytes, reason: str, said: str) -> None:
    # the contributor's own fault: sizes and checksums in the manifest are those of the bad file
    rows = {"er_pha_f": 7} if reason == "too_many_malformed" else None
    send(home / "outboxes", files={"er_pha_f": data}, rows=rows)
    error = refused(home)
    assert (error.reason, error.exit_code) == (reason, 11)
    assert said in str(error)
    assert "dcir/2024-03/v2 ER_PHA_F_202403.csv (dcir/er_pha_f)" in str(error)


@pytest.mark.parametrize("damage", [b"v1-9", b'"1-9', b"\xe91-9"], ids=["value", "quote", "encoding"])
def test_bytes_damaged_on_the_way_are_a_checksum_mismatch(home: Path, damage: bytes) -> None:
    folder = send(home / "outboxes")
    (folder / file_name("er_pha_f")).write_bytes(PHA.replace(b"v1-5", damage))
    error = refused(home)
    assert error.reason == "checksum_mismatch"
    assert "ER_PHA_F_202403.csv" in str(error)


def _drop(table: str) -> Any:
    return lambda m: m.update(files=[f for f in m["files"] if f["table"] != table])


@pytest.mark.parametrize(
    ("edit", "reason", "said"),
    [
        pytest.param(_drop("er_pha_f"), "missing_table", "er_pha_f", id="file missing from the manifest"),
        pytest.param(lambda m: m["files"][0].update(table="er_xxx"), "unknown_table", "1 table", id="unknown table"),
        pytest.param(lambda m: m["files"][0].update(name="../../x.csv"), "bad_name", "1 file", id="path traversal"),
        pytest.param(lambda m: m["files"][0].update(name="/etc/passwd"), "bad_name", "1 file", id="absolute path"),
        pytest.param(lambda m: m["files"][0].update(name="a\\x.csv"), "bad_name", "1 file", id="backslash"),
        pytest.param(lambda m: m["files"][0].update(name=".x.csv"), "bad_name", "1 file", id="hidden"),
        pytest.param(lambda m: m["files"][0].update(name="x.csv\n"), "bad_name", "1 file", id="line end in a name"),
        pytest.param(
            lambda m: m["files"][0].update(name=m["files"][1]["name"]), "duplicated_name", "twice", id="listed twice"
        ),
        pytest.param(lambda m: m.update(contract_version=9), "unknown_contract", "version 1", id="contract version"),
        pytest.param(lambda m: m.update(contract="ville"), "unknown_contract", "version 1", id="other contract"),
        pytest.param(lambda m: m.update(period="2024-04"), "wrong_place", "than the folder", id="other period"),
        pytest.param(lambda m: m.update(version=1), "wrong_place", "than the folder", id="other version"),
        pytest.param(lambda m: m.update(created_at="2099-01-01T00:00:00+00:00"), "future_manifest", "", id="future"),
        pytest.param(lambda m: m.update(created_at=CANARIES[0]), "manifest_unreadable", "created_at", id="no time"),
        pytest.param(lambda m: m.update(DUPONTCANARI=1), "manifest_unreadable", "does not have", id="unknown field"),
        pytest.param(
            lambda m: m["files"][1].update(rows="3"), "manifest_unreadable", "files.1.rows", id="rows as text"
        ),
        pytest.param(lambda m: m["files"][1].update(rows=-1), "manifest_unreadable", "files.1.rows", id="rows < 0"),
        pytest.param(lambda m: m["files"][1].pop("sha256"), "manifest_unreadable", "files.1.sha256", id="no sha256"),
        pytest.param(lambda m: m.update(files=[]), "manifest_unreadable", "files", id="no files"),
        pytest.param(lambda m: m.update(stage1_key="zz"), "manifest_unreadable", "stage1_key", id="no check value"),
        pytest.param(lambda m: m["files"][3].update(bytes=10), "size_mismatch", "ER_PHA_F", id="longer than declared"),
    ],
)
def test_a_bad_manifest_is_refused_with_its_reason(home: Path, edit: Any, reason: str, said: str) -> None:
    send(home / "outboxes", edit=edit)
    error = refused(home)
    assert error.reason == reason
    assert said in str(error)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"\xff", b"[" * 50_000, b'{"a": "' + b"x" * 5_000_000 + b'"}'], ids=range(6)
)
def test_a_manifest_that_is_none(home: Path, raw: bytes) -> None:
    folder = send(home / "outboxes")
    (folder / "manifest.json").write_bytes(raw)
    assert refused(home).reason == "manifest_unreadable"


def test_a_source_without_contract(tmp_path: Path) -> None:
    other = DeliveryId("nobody", "2024-03", 1)
    folder = send(tmp_path / "outboxes", edit=lambda m: m.update(source="nobody"))
    folder.parent.parent.rename(tmp_path / "outboxes" / "nobody")
    (tmp_path / "outboxes/nobody/2024-03/v2").rename(tmp_path / "outboxes/nobody/2024-03/v1")
    text = (other.under(tmp_path / "outboxes") / "manifest.json").read_text()
    (other.under(tmp_path / "outboxes") / "manifest.json").write_text(text.replace('"version": 2', '"version": 1'))
    with pytest.raises(ContractRefused) as caught:
        receive(tmp_path, other)
    assert caught.value.reason == "unknown_source"


def test_a_file_beside_the_manifest_is_refused(home: Path) -> None:
    folder = send(home / "outboxes")
    (folder / "EXTRA_202403.csv").write_bytes(PHA)
    error = refused(home)
    assert error.reason == "unlisted_file"
    assert "EXTRA_202403.csv" in str(error)


def test_a_link_is_never_opened(home: Path) -> None:
    folder = send(home / "outboxes")
    (home / "secret").write_bytes(PHA)
    (folder / file_name("er_pha_f")).unlink()
    (folder / file_name("er_pha_f")).symlink_to(home / "secret")
    assert refused(home).reason == "bad_name"


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_only_regular_files_are_opened(home: Path, kind: str) -> None:
    path = send(home / "outboxes") / file_name("er_pha_f")
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert refused(home).reason == "bad_name"


def test_a_linked_delivery_folder_is_refused(home: Path) -> None:
    folder = send(home / "outboxes")
    folder.rename(home / "elsewhere")
    folder.symlink_to(home / "elsewhere")
    with pytest.raises(ContractRefused) as caught:
        receive(home)
    assert caught.value.reason == "bad_name"


@pytest.mark.parametrize("what", ["manifest.json", file_name("er_pha_f")])
def test_an_incomplete_delivery_waits(home: Path, what: str) -> None:
    folder = send(home / "outboxes")
    (folder / what).unlink()
    was = fingerprint(home)
    with pytest.raises(Incomplete) as caught:
        receive(home)
    assert what in str(caught.value)
    assert fingerprint(home) == was


def test_a_file_that_is_still_growing_waits(home: Path) -> None:
    folder = send(home / "outboxes")
    (folder / file_name("er_pha_f")).write_bytes(PHA[:-5])
    with pytest.raises(Incomplete, match="too short: ER_PHA_F_202403"):
        receive(home)


def test_another_stage1_key_refuses_before_data_is_read(home: Path) -> None:
    send(home / "outboxes")
    was = fingerprint(home)
    with pytest.raises(KeyRefused) as caught:
        receive(home, stage1_key="f" * 16)
    assert caught.value.reason == "stage1_key_other"
    assert fingerprint(home) == was


def test_missing_public_key_refuses_before_data_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send(home / "outboxes")
    monkeypatch.setattr("tests.unit.intake_kit.shared_keys", lambda: home / "nowhere")
    with pytest.raises(KeyRefused, match=r"landing\.pub\.pem is not there"):
        receive(home)


def test_two_pulls_of_one_delivery(home: Path) -> None:
    send(home / "outboxes")
    with DELIVERY.under(home / "landing").with_name(".v2.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConflictError):
            receive(home)
    assert receive(home).rows == 15
