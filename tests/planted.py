"""A made-up OMOP table, put where the tables are: a contract and a module."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import loader, names

CONTRACT = """
table = "tale"
title = { fr = "Conte", en = "Tale" }
row = { fr = "un conte", en = "one tale" }
key = ["tale_id"]

[[column]]
name = "tale_id"
type = "bigint"
required = true
meaning = { fr = "Identifiant du conte", en = "Identifier of the tale" }

[[column]]
name = "tale_date"
type = "date"
meaning = { fr = "Date du conte", en = "Date of the tale" }

[[column]]
name = "tale_source_value"
meaning = { fr = "Code du conte", en = "Code of the tale" }
"""
MODULE = """
from pyspark.sql import functions as F

from jobs.harmonise.columns import LINEAGE, to_table
from jobs.harmonise.ids import event_id
from jobs.harmonise.omop import Events

MADE_FROM = Events(kind="tale", domain="Tale")


def to_tale(mapped):
    return to_table(
        mapped,
        "tale",
        LINEAGE,
        tale_id=event_id(F.col("kind"), F.col("_source"), F.col("natural_key"), F.col("target_rank")),
        tale_date=F.col("start_date"),
        tale_source_value=F.col("source_code"),
    )
"""


def forget() -> None:
    """Nothing that was loaded before is remembered."""
    from jobs.harmonise import omop

    for loaded in (loader.omop_names, loader.load_omop, omop.made_tables):
        loaded.cache_clear()
    sys.modules.pop("jobs.harmonise.tables.tale", None)


@pytest.fixture
def planted_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """A folder of contracts, which holds those of the hub and ``tale.toml``; a folder of modules, with ``tale.py``."""
    from jobs.harmonise import tables

    contracts, modules = tmp_path / "schemas", tmp_path / "tables"
    shutil.copytree(loader.HERE / "omop", contracts / "omop")
    modules.mkdir()
    (contracts / "omop" / "tale.toml").write_text(CONTRACT, "utf-8")
    (modules / "tale.py").write_text(MODULE, "utf-8")
    for module in (loader, names):
        monkeypatch.setattr(module, "HERE", contracts)
    monkeypatch.setattr(tables, "__path__", [*tables.__path__, str(modules)])
    forget()
    yield contracts / "omop", modules
    monkeypatch.undo()
    forget()
