"""Where quarantined records stand: from files that only the stewards' key opens, without their values."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from jobs.cli import delivery as cli
from jobs.errors import ConfigError, KeyRefused
from jobs.intake.landing import QUARANTINE, EncryptedParquet, malformed_name, refused_name, sealed_to
from jobs.intake.quarantine import quarantined_records, remove_records
from jobs.intake.readers.csv import MALFORMED
from jobs.keys import read_public_key
from tests.unit.intake_kit import CANARIES, DELIVERY, shared_keys

ROWS = pa.schema([("BEN_NIR_PSA", pa.string()), ("_row", pa.int64()), ("_file", pa.string()), ("_reason", pa.string())])
REFUSED = ROWS.remove(2)


@pytest.fixture
def quarantine(tmp_path: Path) -> Path:
    """As the pull leaves it, and then the stage: it says of one row that the pull refused that it repeats another."""
    key = read_public_key(shared_keys() / "public" / "quarantine.pub.pem")
    folder = DELIVERY.under(tmp_path)
    found = [(CANARIES[0], 7, "A.csv", "orphan"), (CANARIES[0], 9, "A.csv", "duplicate")]
    refused = [(CANARIES[0], 9, "unparsable:EXE_SOI_DTD"), (CANARIES[0], 2, "unparsable:EXE_SOI_DTD")]
    for path, schema, values in (
        (folder / "er_prs_f" / "rows" / "part-0.parquet", ROWS, found),
        (folder / "er_prs_f" / refused_name("A.csv"), REFUSED, refused),
        (folder / "er_pha_f" / malformed_name("ER_PHA_F_202403.csv"), MALFORMED, [(3, "fields", CANARIES[1])]),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        with EncryptedParquet(path, schema, sealed_to(key), QUARANTINE) as out:
            out.write(pa.Table.from_pylist([dict(zip(schema.names, v, strict=True)) for v in values], schema=schema))
    (folder / "refused").mkdir()
    return tmp_path


def test_a_steward_finds_records_and_reasons_and_no_value(quarantine: Path) -> None:
    found = list(quarantined_records(DELIVERY, quarantine, shared_keys() / "steward" / "quarantine.pem"))
    assert [tuple(place.values()) for place in found] == [
        ("er_pha_f", "ER_PHA_F_202403.csv", 3, "malformed: fields"),
        ("er_prs_f", "A.csv", 2, "unparsable:EXE_SOI_DTD"),
        ("er_prs_f", "A.csv", 7, "orphan"),
    ]
    assert not any(canary in json.dumps(found) for canary in CANARIES)


def test_nobody_else_does(quarantine: Path) -> None:
    with pytest.raises(KeyRefused):
        list(quarantined_records(DELIVERY, quarantine, shared_keys() / "hub" / "landing.pem"))


def test_a_table_that_has_none_is_said_and_an_empty_quarantine_is_empty(quarantine: Path) -> None:
    key = shared_keys() / "steward" / "quarantine.pem"
    with pytest.raises(ConfigError, match="ir_ben_r"):
        quarantined_records(DELIVERY, quarantine, key, "ir_ben_r")
    assert list(quarantined_records(DELIVERY, quarantine / "other", key)) == []


def test_a_twin_leaves_no_records_and_what_was_refused_whole_stays(quarantine: Path) -> None:
    remove_records(DELIVERY, quarantine)
    assert [p.name for p in DELIVERY.under(quarantine).iterdir()] == ["refused"]


def test_the_command_says_when_there_are_more(quarantine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_HOME", str(quarantine.parent))
    quarantine.rename(quarantine.parent / "quarantine")
    key = str(shared_keys() / "steward" / "quarantine.pem")
    said = CliRunner().invoke(cli.app, ["quarantined", str(DELIVERY), "--key", key, "--limit", "2", "--json"])
    assert said.exit_code == 0, said.output
    assert len(json.loads(said.stdout.splitlines()[0])) == 2
    assert "more than 2" in said.output
