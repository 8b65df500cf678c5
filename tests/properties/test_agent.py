"""Whatever a practice exports, the agent ends with a delivery or with an error that says what to do."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.contributors.agent.canonical import key_of
from jobs.contributors.agent.pseudonymise import AgentReport, pseudonymise, raw_columns
from jobs.errors import HubError, UnexpectedState
from schemas.loader import load_source, load_table
from tests.unit.test_agent import DELIVERY, KEY, export

RAW = raw_columns(load_table("ville", "patient"))
ENCOUNTER = load_table("ville", "encounter").names
SOUND = f"1850578006084{key_of('1850578006084'):02d}"
ODD = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "",
            SOUND,
            "1985-05-17",
            "0980-02-03",
            "0000-00-00",
            "9999-99-99",
            "1",
            "m",
            "\x00",
            "\u2028",
            "\x85",
            '"',
            ";",
        ]
    ),
    st.dates().map(str),
    st.integers(0, 5000).map(lambda n: "9" * n),
)
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WHOLE = ";".join(ENCOUNTER) + "\n" + ";".join("x" for _ in ENCOUNTER) + "\n"


def outcome(files: dict[str, bytes]) -> AgentReport | HubError:
    """What the agent makes of an export in which these tables are replaced."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        month = export(home / "inbox", patients=[{"nir": SOUND, "birth_date": "1985-05-17", "sex": "1"}])
        for table, content in files.items():
            (month / f"GP_p1_20240401_{table}.csv").write_bytes(content)
        try:
            report = pseudonymise(DELIVERY, inbox=home / "inbox", outbox=home / "out", key_file=KEY)
        except HubError as error:
            refusal = error
        else:
            assert sum(report.statuses.values()) == sum(f.rows for f in report.files if f.table == "patient")
            return report
        assert not isinstance(refusal, UnexpectedState)
        assert refusal.next_step
        assert not list((home / "out").rglob("*.csv"))
        return refusal


def text_of(names: tuple[str, ...], rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";", lineterminator="\n").writerows([list(names), *rows])
    return text.getvalue().encode("utf-8", "surrogatepass")


@SLOW
@given(st.lists(st.lists(ODD, min_size=len(RAW), max_size=len(RAW)), max_size=5))
def test_any_cells_of_patients(rows: list[list[str]]) -> None:
    outcome({"patient": text_of(RAW, rows)})


@SLOW
@given(st.lists(st.lists(ODD, max_size=9), max_size=5))
def test_any_cells_of_encounters(rows: list[list[str]]) -> None:
    outcome({"encounter": text_of(ENCOUNTER, rows)})


@SLOW
@given(st.sampled_from(load_source("ville").tables), st.binary(max_size=300))
def test_any_bytes(table: str, content: bytes) -> None:
    outcome({table: content})
    outcome({table: WHOLE.encode() + content})


@pytest.mark.parametrize("table", load_source("ville").tables)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xef\xbb\xbf", id="a byte order mark alone"),
        pytest.param(WHOLE.encode("utf-16"), id="UTF-16"),
        pytest.param(b"\x1f\x8b\x08\x00" + bytes(60), id="compressed"),
        pytest.param(b"PK\x03\x04broken", id="a broken zip"),
        pytest.param(bytes(1000), id="NUL bytes"),
        pytest.param(WHOLE.replace("\n", "\r").encode(), id="CR line ends"),
        pytest.param(b"x" * (2**20 + 1), id="one huge line"),
    ],
)
def test_files_that_are_no_table_are_refused(table: str, content: bytes) -> None:
    assert isinstance(outcome({table: content}), HubError)


@pytest.mark.parametrize(
    ("content", "is_taken"),
    [
        pytest.param(WHOLE.splitlines()[0].encode() + b"\n", True, id="header alone"),
        pytest.param(WHOLE.splitlines()[0].encode(), True, id="header alone, without line end"),
        pytest.param(b"\xef\xbb\xbf" + WHOLE.encode(), True, id="byte order mark"),
        pytest.param(WHOLE.replace("\n", "\r\n").encode(), True, id="DOS line ends"),
        pytest.param((WHOLE + 'x;"y"z";x;x;x;x;x\n').encode(), True, id="a quote that is not doubled"),
        pytest.param((WHOLE + "x;y\n;;;;;;;;;;;;\n").encode(), True, id="ragged lines"),
        pytest.param((WHOLE + "é;x;x;x;x;x;x\n").encode("cp1252"), False, id="Windows encoding"),
        pytest.param(WHOLE.replace("encounter_id;", "").encode(), False, id="a column is missing"),
    ],
)
def test_encounters_as_they_come(content: bytes, is_taken: bool) -> None:
    assert isinstance(outcome({"encounter": content}), AgentReport) is is_taken
