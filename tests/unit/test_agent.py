"""The source agent: pseudonyms out, NIRs never, and only with the contributor's own key."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.cli.agent import app
from jobs.contributors.agent.canonical import key_of
from jobs.contributors.agent.pseudonymise import AgentReport, pseudonymise, raw_columns
from jobs.contributors.agent.stage1 import stage1
from jobs.delivery import DeliveryId
from jobs.errors import ConfigError, ContractRefused, Incomplete, KeyRefused, StorageError
from jobs.intake.arrivals import complete_deliveries
from jobs.keys import check_value, read_key
from schemas.loader import load_source, load_table
from tests.unit.intake_kit import fingerprint, receive, shared_keys

DELIVERY = DeliveryId("ville", "2024-03", 1)
KEY = shared_keys() / "contributors" / "p1.key"
PARENT = "1850578006084"


def nir(nir13: str) -> str:
    return f"{nir13}{key_of(nir13):02d}"


PATIENTS = [
    {"nir": nir(PARENT), "birth_date": "1985-05-17", "sex": "M"},
    {"nir": nir("299012A004001"), "birth_date": "1999-01-02", "sex": "2"},
    {"nir": nir(PARENT)[:2] + " " + nir(PARENT)[2:], "birth_date": "2015-09-01", "sex": "F"},
    {"nir": "", "birth_date": "1970-01-01", "sex": "1"},
    {"nir": f"{PARENT}{key_of(PARENT) % 97 + 1:02d}", "birth_date": "1985-05-17", "sex": "1"},
    {"nir": nir("7850578006084"), "birth_date": "1985-05-17", "sex": "1"},
    {"nir": "12345", "birth_date": "1985-05-17", "sex": "1"},
    {"nir": nir("2600999123456"), "birth_date": "1900-01-01", "sex": "2"},
    {"nir": nir("2600999123456"), "birth_date": "1960-13-01", "sex": "2"},
]
STATUSES = ["ok", "ok", "ok", "nir_missing", "nir_key_invalid", "nir_provisional", "nir_form"]
STATUSES += ["birth_date_missing", "birth_date_invalid"]


def export(inbox: Path, practice: str = "p1", patients: list[dict[str, str]] | None = None, **texts: Any) -> Path:
    """A practice's raw export; ``texts`` replaces a whole table."""
    folder = inbox / "2024-03" / "v1"
    folder.mkdir(parents=True, exist_ok=True)
    for table in load_source("ville").tables:
        contract = load_table("ville", table)
        names = raw_columns(contract) if table == "patient" else contract.names
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=";", lineterminator="\n")
        writer.writerow(names)
        rows: list[dict[str, str]] = [{}, {}]
        if table == "patient":
            rows = [{"patient_local_id": f"{practice}-{i}"} | p for i, p in enumerate(patients or PATIENTS)]
        for row in rows:
            writer.writerow([row.get(n, "0" if n == "opposition" else "x; y") for n in names])
        text = texts.get(table, out.getvalue())
        (folder / f"GP_{practice}_20240401_{table}.csv").write_text(text, "utf-8")
    return folder


def run(home: Path, **options: Any) -> AgentReport:
    return pseudonymise(DELIVERY, **({"inbox": home / "inbox", "outbox": home / "outboxes", "key_file": KEY} | options))


def sent(home: Path, name: str) -> list[dict[str, str]]:
    with (DELIVERY.under(home / "outboxes") / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter=";"))


def everything_but_inbox(home: Path) -> bytes:
    return b"".join(p.read_bytes() for p in home.rglob("*") if p.is_file() and (home / "inbox") not in p.parents)


def test_nirs_become_pseudonyms(tmp_path: Path) -> None:
    folder = export(tmp_path / "inbox")
    export(tmp_path / "inbox", "p2", PATIENTS[:1])
    was = fingerprint(tmp_path / "inbox")
    report = run(tmp_path)
    assert fingerprint(tmp_path / "inbox") == was
    rows = sent(tmp_path, "GP_p1_20240401_patient.csv")
    assert tuple(rows[0]) == load_table("ville", "patient").names
    assert [r["identity_status"] for r in rows] == STATUSES
    key = read_key(KEY)
    assert [r["patient_pseudonym"] for r in rows[:3]] == [
        stage1(key, PARENT, date(1985, 5, 17), "1"),
        stage1(key, "299012A004001", date(1999, 1, 2), "2"),
        stage1(key, PARENT, date(2015, 9, 1), "2"),
    ]
    assert {r["patient_pseudonym"] for r in rows[3:]} == {""}
    assert [r["birth_date"] for r in rows] == [p["birth_date"] for p in PATIENTS]
    # the same person in another practice
    assert sent(tmp_path, "GP_p2_20240401_patient.csv")[0]["patient_pseudonym"] == rows[0]["patient_pseudonym"]
    for table in ("encounter", "problem", "prescription"):
        name = f"GP_p1_20240401_{table}.csv"
        assert (DELIVERY.under(tmp_path / "outboxes") / name).read_bytes() == (folder / name).read_bytes()
    assert report.statuses == {"ok": 4} | dict.fromkeys(STATUSES[3:], 1)
    assert report.senders == {"p1": {"ok": 3} | dict.fromkeys(STATUSES[3:], 1), "p2": {"ok": 1}}


def test_no_nir_leaves_the_inbox(tmp_path: Path) -> None:
    export(tmp_path / "inbox")
    run(tmp_path)
    seen = everything_but_inbox(tmp_path)
    assert seen
    for patient in PATIENTS:
        if len(patient["nir"]) > 5:
            assert patient["nir"].replace(" ", "")[:13].encode() not in seen.replace(b" ", b"")


def test_the_manifest_says_what_was_written_and_the_hub_can_pull_it(tmp_path: Path) -> None:
    export(tmp_path / "inbox")
    report = run(tmp_path)
    folder = DELIVERY.under(tmp_path / "outboxes")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["stage1_key"] == check_value(read_key(KEY)) == report.stage1_key
    assert [f["table"] for f in manifest["files"]] == ["patient", "encounter", "problem", "prescription"]
    for entry in manifest["files"]:
        data = (folder / entry["name"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert [f["rows"] for f in manifest["files"]] == [9, 2, 2, 2]
    assert complete_deliveries(tmp_path / "outboxes") == [DELIVERY]
    assert receive(tmp_path, DELIVERY, stage1_key=report.stage1_key).rows == 15


def test_the_same_export_again_is_the_same_delivery(tmp_path: Path) -> None:
    export(tmp_path / "inbox")
    run(tmp_path)
    was = fingerprint(tmp_path / "outboxes")
    manifest = DELIVERY.under(tmp_path / "outboxes") / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"created_at": "2', '"created_at": "1'))
    run(tmp_path)
    assert '"created_at": "1' in manifest.read_text()
    export(tmp_path / "inbox", patients=PATIENTS[:1])
    run(tmp_path)
    assert fingerprint(tmp_path / "outboxes") != was
    assert [p.name for p in DELIVERY.under(tmp_path / "outboxes").parent.iterdir()] == ["v1"]


def test_blank_lines_and_a_missing_last_line_end_are_counted_as_the_hub_counts_them(tmp_path: Path) -> None:
    names = ";".join(load_table("ville", "problem").names)
    row = ";".join("x" * 8)
    export(tmp_path / "inbox", problem=f"{names}\n\n{row}\r\n\r\n{row}\n\n{row}")
    report = run(tmp_path)
    assert [f.rows for f in report.files if f.table == "problem"] == [3]
    assert receive(tmp_path, DELIVERY).rows == 9 + 2 + 3 + 2


@pytest.mark.parametrize("where", ["patient", "encounter", "prescription"])
@pytest.mark.parametrize("form", ["{}", "vu avec {} hier", "1 85 05 78 006 084 91"])
def test_a_nir_in_another_column_stops_the_agent(tmp_path: Path, where: str, form: str) -> None:
    contract = load_table("ville", where)
    names = raw_columns(contract) if where == "patient" else contract.names
    cells = ["x"] * len(names)
    cells[1] = form.format(nir(PARENT))
    texts: dict[str, Any] = {
        where: ";".join(names) + "\n" + ";".join(["x"] * len(names)) + "\n" + ";".join(cells) + "\n"
    }
    export(tmp_path / "inbox", **texts)
    with pytest.raises(ContractRefused) as caught:
        run(tmp_path)
    assert caught.value.reason == "nir_elsewhere"
    assert "line 3" in str(caught.value)
    assert PARENT not in str(caught.value)
    assert everything_but_inbox(tmp_path) == b""


RAW = ";".join(raw_columns(load_table("ville", "patient")))


@pytest.mark.parametrize(
    ("patient", "reason", "said"),
    [
        pytest.param(f"{RAW}\n{nir(PARENT)};1\n", "malformed", "line 2", id="a field is missing"),
        pytest.param(f'{RAW}\np;l;"{nir(PARENT)};1985-05-17;1;;;0\n', "malformed", "line 2", id="unclosed quote"),
        pytest.param(
            ";".join(load_table("ville", "patient").names) + "\n", "missing_column", "nir", id="no NIR column"
        ),
        pytest.param(RAW.replace(";", ",") + "\n", "wrong_separator", "comma", id="wrong separator"),
        pytest.param("", "empty_file", "is empty", id="empty"),
    ],
)
def test_an_export_that_is_not_as_agreed(tmp_path: Path, patient: str, reason: str, said: str) -> None:
    export(tmp_path / "inbox", patient=patient)
    with pytest.raises(ContractRefused) as caught:
        run(tmp_path)
    assert caught.value.reason == reason
    assert said in str(caught.value)
    assert PARENT not in str(caught.value)
    assert everything_but_inbox(tmp_path) == b""


def test_a_failed_run_leaves_the_last_delivery(tmp_path: Path) -> None:
    export(tmp_path / "inbox")
    run(tmp_path)
    was = fingerprint(tmp_path / "outboxes")
    export(tmp_path / "inbox", patient=f"{RAW}\nshort\n")
    with pytest.raises(ContractRefused):
        run(tmp_path)
    assert fingerprint(tmp_path / "outboxes") == was


def test_tables_that_are_missing_or_unknown(tmp_path: Path) -> None:
    with pytest.raises(Incomplete):
        run(tmp_path)
    folder = export(tmp_path / "inbox")
    (folder / "GP_p1_20240401_problem.csv").unlink()
    with pytest.raises(ContractRefused, match="problem"):
        run(tmp_path)
    (folder / "GP_p1_20240401_other.csv").write_text("")
    with pytest.raises(ContractRefused) as caught:
        run(tmp_path)
    assert caught.value.reason == "unknown_table"


def written(table: str, *rows: dict[str, str]) -> str:
    """The text of a table: every cell that a row does not name is "x"."""
    contract = load_table("ville", table)
    names = raw_columns(contract) if table == "patient" else contract.names
    lines = [";".join(row.get(n, "0" if n == "opposition" else "x") for n in names) for row in rows]
    return "\n".join([";".join(names), *lines]) + "\n"


@pytest.mark.parametrize(
    ("birth_date", "status"),
    [
        ("0980-02-03", "birth_date_invalid"),
        ("1849-12-31", "birth_date_invalid"),
        ("9999-12-31", "birth_date_invalid"),
        ("2024-02-30", "birth_date_invalid"),
        ("03/02/1980", "birth_date_invalid"),
        ("1980-02-03T00:00:00", "birth_date_invalid"),
        ("x" * 5000, "birth_date_invalid"),
        ("\u00a0", "birth_date_missing"),
        ("1900-01-01", "birth_date_missing"),
        ("\u00a01980-02-03\u200b", "ok"),
    ],
)
def test_an_odd_birth_date_costs_the_row_its_status_and_never_the_month(
    tmp_path: Path, birth_date: str, status: str
) -> None:
    export(tmp_path / "inbox", patients=[{"nir": nir(PARENT), "birth_date": birth_date, "sex": "1"}, *PATIENTS[:1]])
    run(tmp_path)
    assert [r["identity_status"] for r in sent(tmp_path, "GP_p1_20240401_patient.csv")] == [status, "ok"]


@pytest.mark.parametrize(
    ("sex", "code", "status"),
    [
        ("m", "M", "ok"),
        ("f\u00a0", "F", "ok"),
        (" 1", "1", "ok"),
        ("\uff12", "2", "ok"),
        ("H", "1", "ok"),
        ("Homme", "1", "ok"),
        ("FÉMININ", "2", "ok"),
        ("", "", "sex_missing"),
        ("\u200b", "", "sex_missing"),
        ("3", "3", "sex_invalid"),
        ("autre", "autre", "sex_invalid"),
    ],
)
def test_sex_is_written_as_the_contract_has_it_or_the_status_says_so(
    tmp_path: Path, sex: str, code: str, status: str
) -> None:
    export(tmp_path / "inbox", patients=[{"nir": nir(PARENT), "birth_date": "1985-05-17", "sex": sex}])
    report = run(tmp_path)
    row = sent(tmp_path, "GP_p1_20240401_patient.csv")[0]
    assert (row["sex"], row["identity_status"]) == (code, status)
    assert report.rewritten.get("patient.sex", 0) == (sex != code)
    assert report.unknown_codes.get("patient.sex", 0) == (status == "sex_invalid")


def test_codes_of_other_tables_are_brought_to_the_contract_and_nothing_else_is_altered(tmp_path: Path) -> None:
    encounters = written(
        "encounter",
        {"type": " Cabinet\u00a0", "reason_text": '"toux ; fièvre"'},
        {"type": "cabinet", "reason_text": "  as it came "},
        {"type": "Téléconsultation"},
        {"type": "ailleurs"},
    )
    folder = export(tmp_path / "inbox", encounter=encounters, problem=written("problem", {"code_system": "CIM-10"}))
    report = run(tmp_path)
    name = "GP_p1_20240401_encounter.csv"
    expected = encounters.replace(" Cabinet\u00a0", "cabinet").replace("Téléconsultation", "teleconsultation")
    assert (folder / name).read_text("utf-8") == encounters
    assert (DELIVERY.under(tmp_path / "outboxes") / name).read_text("utf-8") == expected
    assert report.rewritten == {"encounter.type": 2, "problem.code_system": 1}
    assert report.unknown_codes["encounter.type"] == 1


def test_identifiers_that_look_like_nirs_do_not_refuse_the_month(tmp_path: Path) -> None:
    counter = [{"encounter_id": str(185057800600000 + n)} for n in range(300)]
    assert sum(int(c["encounter_id"][-2:]) == key_of(c["encounter_id"][:13]) for c in counter) == 3
    export(tmp_path / "inbox", encounter=written("encounter", {"encounter_id": "202401020800241"}, *counter))
    assert run(tmp_path).statuses["ok"] == 3
    export(tmp_path / "inbox", encounter=written("encounter", {"encounter_id": nir(PARENT)}, *counter))
    with pytest.raises(ContractRefused, match="encounter_id: line 2"):
        run(tmp_path)


def test_all_places_of_nirs_are_said_at_once(tmp_path: Path) -> None:
    spelled = f"n°{nir(PARENT)[:1]}.85 05-78\u00a0006/084 91ssuré"
    export(
        tmp_path / "inbox",
        encounter=written("encounter", {}, *[{"reason_text": spelled}] * 7),
        problem=written("problem", {"label": "NIR 1850578006084"}),
        prescription=written("prescription", {"renewals": '"1 85 05 78'}, {"practice_id": '006 084 91"'}),
    )
    with pytest.raises(ContractRefused) as caught:
        run(tmp_path)
    said = str(caught.value)
    assert caught.value.reason == "nir_elsewhere"
    assert "encounter.csv, column reason_text: lines 3, 4, 5, 6, 7 and more, 7 in all" in said
    assert "problem.csv, column label: line 2" in said
    assert "prescription.csv, on malformed lines: line 3" in said
    assert everything_but_inbox(tmp_path) == b""


def test_every_entry_of_the_inbox_is_taken_or_named(tmp_path: Path) -> None:
    folder = export(tmp_path / "inbox")
    (folder / "GP_p1_20240401_problem.csv").rename(folder / "GP_p1_20240401_problem.CSV")
    for table in load_source("ville").tables:
        (folder / f"GP_p1_20240331_{table}.csv").write_text("an earlier extraction")
    for name in ("~$lettre.docx", "GP_p2_20240401_patient.csv.part", "notes.txt", "export.zip", "x.csv.tmp"):
        (folder / name).write_text("x")
    (folder / "old").mkdir()
    (tmp_path / "inbox" / "GP_p3_20240401_patient.csv").write_text("x")
    report = run(tmp_path)
    assert [f.name for f in report.files if f.table == "problem"] == ["GP_p1_20240401_problem.csv"]
    assert {entry.name: entry.why for entry in report.left} == {
        "~$lettre.docx": "a temporary or hidden file",
        "GP_p2_20240401_patient.csv.part": "a temporary or hidden file",
        "x.csv.tmp": "a temporary or hidden file",
        "notes.txt": "not a .csv file",
        "export.zip": "not a .csv file",
        "old": "a folder",
        "GP_p3_20240401_patient.csv": "lies outside 2024-03/v1",
        **{f"GP_p1_20240331_{t}.csv": "replaced by the extraction of 20240401" for t in load_source("ville").tables},
    }


@pytest.mark.parametrize(
    ("name", "reason", "said"),
    [
        ("GP_p2_20240401_patient.csv", "missing_table", "of p2 lacks the tables encounter, problem, prescription"),
        ("GP_p1_20240201_patient.csv", "other_month", "GP_p1_20240201_patient.csv"),
        ("GP_p1_20240230_patient.csv", "other_month", "GP_p1_20240230_patient.csv"),
        ("GP_p1_20240401_PATIENT.csv", "duplicated_file", "of p1 holds twice: patient"),
        ("GP_p1_20240401_other.csv", "unknown_table", "GP_p1_20240401_other.csv"),
        ("patient.csv", "unknown_table", "patient.csv"),
        ("GP p1.csv", "bad_name", "GP p1.csv"),
        ("\x1b[31m.csv", "bad_name", "\\x1b"),
        (f"{nir(PARENT)}.csv", "unknown_table", "whose name holds a NIR"),
    ],
)
def test_a_file_that_cannot_be_taken_is_named(tmp_path: Path, name: str, reason: str, said: str) -> None:
    folder = export(tmp_path / "inbox")
    (folder / name).write_text("x")
    with pytest.raises(ContractRefused) as caught:
        run(tmp_path)
    assert caught.value.reason == reason
    assert said in str(caught.value)
    assert PARENT not in str(caught.value)


def test_a_practice_without_one_of_its_tables_is_refused_by_name(tmp_path: Path) -> None:
    export(tmp_path / "inbox")
    folder = export(tmp_path / "inbox", "p2")
    (folder / "GP_p2_20240401_problem.csv").unlink()
    with pytest.raises(ContractRefused, match=r"export of p2 lacks the tables problem") as caught:
        run(tmp_path)
    assert caught.value.reason == "missing_table"
    assert everything_but_inbox(tmp_path) == b""


def test_a_rehearsal_puts_nothing_out(tmp_path: Path) -> None:
    export(tmp_path / "inbox")
    report = run(tmp_path, dry_run=True)
    assert report.statuses["ok"] == 3
    assert everything_but_inbox(tmp_path) == b""


def test_a_file_in_place_of_the_outbox_is_said(tmp_path: Path) -> None:
    export(tmp_path / "inbox")
    (tmp_path / "outboxes").write_text("")
    with pytest.raises(StorageError, match="outboxes"):
        run(tmp_path)


def test_a_source_that_needs_no_agent(tmp_path: Path) -> None:
    for delivery, reason in (("dcir/2024-03/v1", "no_agent_needed"), ("nobody/2024-03/v1", "unknown_source")):
        with pytest.raises(ConfigError) as caught:
            pseudonymise(DeliveryId.parse(delivery), inbox=tmp_path, outbox=tmp_path, key_file=KEY)
        assert caught.value.reason == reason


@pytest.mark.parametrize("name", ["hub", "hub/p2.key", "hub/p1.key", "public/landing.pub.pem", "steward"])
def test_the_hubs_keys_cannot_stand_in(tmp_path: Path, name: str) -> None:
    export(tmp_path / "inbox")
    with pytest.raises(KeyRefused, match="No data was read"):
        run(tmp_path, key_file=shared_keys() / name)
    assert everything_but_inbox(tmp_path) == b""


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_HOME", str(tmp_path / "hub"))
    export(tmp_path / "hub" / "agents" / "ville" / "inbox")
    options = ["pseudonymise", "--source", "ville", "--period", "2024-03", "--version", "1"]
    refused = CliRunner().invoke(app, options)
    assert isinstance(refused.exception, KeyRefused)
    (tmp_path / "hub" / "keys" / "contributors").mkdir(parents=True)
    os.link(KEY, tmp_path / "hub" / "keys" / "contributors" / "p1.key")
    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["delivery"], said["statuses"]["ok"]) == ("ville/2024-03/v1", 3)
    assert PARENT not in done.output
