"""What the tests of the hub database share: made-up records, and an empty database on SQLite for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from catalogue import db
from jobs.delivery import FIRST, STATES


def manifest(*sha256s: str) -> dict[str, Any]:
    """A manifest of as many files of 100 rows as there are hashes."""
    return {
        "contract_version": 1,
        "stage1_key": "0123456789abcdef",
        "files": [
            {"table": "er_prs_f", "name": f"ER_PRS_F_{i}.csv", "rows": 100, "bytes": 2000, "sha256": sha * 8}
            for i, sha in enumerate(sha256s)
        ],
    }


def book(rows_in: int = 100, published: int = 92, **quarantined: int) -> dict[str, Any]:
    return {
        "table": "er_prs_f",
        "file": "ER_PRS_F_0.csv",
        "rows_in": rows_in,
        "rows_published": published,
        "rows_duplicate": 3,
        "rows_quarantined": quarantined,
    }


def publish(engine: Engine, delivery: str, *sha256s: str, rows: int = 100, **more: Any) -> None:
    db.announce(engine, delivery, manifest(*(sha256s or ("abcdabcd",))), f"of {delivery}")
    for state in ("pulled", "staged"):
        db.record_event(engine, delivery, state)
    db.record_event(engine, delivery, "published", detail={"rows": {"er_prs_f": rows}, **more})


def result(rule: str = "DCIR-PRS-001", verdict: str = "passed", **more: Any) -> dict[str, Any]:
    made = {"table": "dcir/er_prs_f", "rule": rule, "severity": "critical", "violated": 0, "denominator": 100}
    return {**made, "verdict": verdict, "not_applicable": False, **more}


def figure(number: float | None, measure: str = "persons", **more: Any) -> dict[str, Any]:
    return {
        "table": "omop/person",
        "variable": "",
        "measure": measure,
        "code": "",
        "number": number,
        "rule": "1",
        **more,
    }


def shortest_ways() -> dict[str, tuple[str, ...]]:
    """State -> the moves that lead to it from the first one."""
    ways: dict[str, tuple[str, ...]] = {FIRST: ()}
    while new := {to: (*way, to) for state, way in ways.items() for to in STATES[state].targets if to not in ways}:
        ways |= new
    return ways


class OnSqlite:
    """Gives the fixture ``engine``: a copy of an empty, migrated hub database."""

    @pytest.fixture(scope="class")
    @classmethod
    def migrated(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("hub") / "deeper" / "hub.db"
        engine = db.open_engine(f"sqlite:///{path}")
        db.migrate(engine)
        engine.dispose()
        return path

    @pytest.fixture
    def engine(self, migrated: Path, tmp_path: Path) -> Iterator[Engine]:
        shutil.copy(migrated, tmp_path / "hub.db")
        engine = db.open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
        yield engine
        engine.dispose()
