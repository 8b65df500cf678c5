"""No identifier leaves the lake: planted ones are looked for in everything that a whole run of the hub left behind."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest

from catalogue import db
from tests.privacy import scan
from tests.privacy.conftest import CUSTODY, DELIVERIES, MONTH, PLANTED, READS, Left

PLACES = {
    "logs of servers, commands and tasks": ("logs",),
    "Spark event log": ("logs/spark-events",),
    "Airflow's database and files": ("airflow",),
    "hub database": ("hub.db",),
    "quality reports": ("reports",),
    "landing": ("landing",),
    "quarantine": ("quarantine",),
    "source tables": ("lake/source",),
    "OMOP tables": ("lake/omop",),
    "what a build keeps": ("lake/build",),
    "servers' working files": ("run",),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_identifier_is_found_in(left: Left, place: str) -> None:
    assert left.leaks(*PLACES[place]) == []


def test_nor_anywhere_else_in_the_home(left: Left) -> None:
    assert scan.leaks(left.settings.root, left.needles, without=CUSTODY) == []


def test_the_canaries_are_where_contributors_keep_them(left: Left) -> None:
    """Otherwise nothing was looked for: every planted one is in an outbox, and identifiers of the population too."""
    kinds = {leak.what for leak in scan.leaks(left.settings.outboxes, left.needles)}
    assert kinds == {"identifier", *(f"planted {kind}" for kind in PLANTED)}
    assert "identifier" in {leak.what for leak in scan.leaks(left.settings.root / "agents", left.needles)}


def test_the_run_met_the_canaries(left: Left) -> None:
    """The planted rows were read and refused, and the deliveries ended as they should."""
    engine = db.open_engine(left.settings.database)
    claims = db.list_deliveries(engine, "dcir", MONTH)[0]
    refused = claims["rows_quarantined"]
    assert {"unparsable:EXE_SOI_DTD", "unparsable:PRS_ACT_QTE", "unparsable:BEN_SEX_COD", "malformed"} <= set(refused)
    assert {d["id"]: d["state"] for d in db.list_deliveries(engine)} == DELIVERIES
    assert [d["who"] for d in db.list_decisions(engine, f"dcir/{MONTH}/v1")] in (["steward"], [])
    engine.dispose()


def test_the_log_of_every_table_is_clean(left: Left) -> None:
    logs = list((left.settings.root / "lake").rglob("_delta_log"))
    assert len(logs) > 20
    assert [leak for folder in logs for leak in scan.leaks(folder, left.needles)] == []


def test_every_data_file_is_encrypted(left: Left) -> None:
    data = [
        p
        for place in ("lake", "landing", "quarantine")
        for p in scan.files(left.settings.root / place)
        if p.suffix == ".parquet"
    ]
    assert len(data) > 40
    assert {p.read_bytes()[:4] for p in data} == {scan.ENCRYPTED}


def test_tasks_and_their_answers_are_clean(left: Left) -> None:
    """What tasks returned, as Airflow shows it to whoever may look at a run."""
    assert len(left.answers) > 15
    assert any(b"rows_quarantined" in told for told in left.answers.values())
    assert [leak for name, told in left.answers.items() for leak in scan.in_bytes(told, left.needles, name)] == []


def test_airflows_tables_are_clean(left: Left) -> None:
    """Cell by cell: a text that SQLite keeps in pieces escapes a search of the file's bytes."""
    found, rows = [], 0
    with closing(sqlite3.connect(f"file:{left.settings.airflow / 'airflow.db'}?mode=ro", uri=True)) as database:
        for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
            for row in database.execute(f'select * from "{table}"'):
                rows += 1
                found += scan.in_bytes(repr(row).encode(), left.needles, table)
    assert rows > 150
    assert found == []


def test_pages_are_clean(left: Left) -> None:
    assert len(left.pages) > 60
    assert any(re.search(r"/quality/[0-9]+$", address) for address in left.pages)
    assert [leak for name, page in left.pages.items() for leak in scan.in_bytes(page, left.needles, name)] == []


def test_commands_print_no_identifier(left: Left) -> None:
    assert len(left.said) == len(READS) + 2
    assert all(left.said.values())
    assert b"CAST_INVALID_INPUT" in next(said for command, said in left.said.items() if "CAST" in command)
    assert [leak for name, said in left.said.items() for leak in scan.in_bytes(said, left.needles, name)] == []
