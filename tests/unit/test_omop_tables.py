"""The OMOP tables are found where they are: a contract and a module each, and no list beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.errors import ConfigError
from jobs.harmonise.omop import DATABASE, PERSONS, event_names, made_from, made_tables
from jobs.quality.counters import FLAGGED
from jobs.quality.rules import in_checking_order, load_rules
from jobs.settings import CHECKOUT
from schemas import mappings
from schemas.loader import omop_names
from tests.planted import MODULE

WORDS = {"person", "death", "concept", "vocabulary"}
"""Tables whose names are words of every page: a list of tables names others too."""
MAY_NAME = ("jobs/harmonise/tables/", "jobs/contributors/synthetic/")
"""The tables' own modules; the made-up contributors, whose oracle says what OMOP must hold."""


def test_every_contract_is_made_once() -> None:
    made = {t.name for t in made_tables()}
    assert made | set(mappings.vocabulary_tables()) == set(omop_names())
    assert not made & set(mappings.vocabulary_tables())
    of = [*event_names(), *(t.name for what in (PERSONS, DATABASE) for t in made_from(what))]
    assert sorted(of) == sorted(made), "a table is made from one thing"


def test_no_code_lists_the_tables_beside_their_modules() -> None:
    paths = [p for room in ("jobs", "catalogue", "dags", "schemas") for p in sorted((CHECKOUT / room).rglob("*.py"))]
    named = {
        name: {t for t in set(omop_names()) - WORDS if re.search(rf"""["'./]{t}["' ]""", path.read_text("utf-8"))}
        for path in paths
        if not (name := str(path.relative_to(CHECKOUT))).startswith(MAY_NAME)
    }
    assert not {name: tables for name, tables in named.items() if len(tables) > 1}


def test_a_table_comes_after_those_that_its_rules_look_into() -> None:
    groups = in_checking_order(f"omop/{t}" for t in omop_names())
    assert sorted(name for group in groups for name in group) == sorted(f"omop/{t}" for t in omop_names())
    before: set[str] = set()
    for group in groups:
        for name in group:
            for rule in load_rules(name):
                assert (rule.looks_into is not None) == (rule.kind in FLAGGED - {"in_period"}), rule.id
                assert rule.looks_into in {None, name, *before}, f"{name}: {rule.id}"
        before |= set(group)


def test_a_new_table_is_found(planted_folders: tuple[Path, Path]) -> None:
    assert "tale" in event_names() and "tale" in omop_names()


@pytest.mark.parametrize(
    ("module", "fault"),
    [
        (None, "tale has a contract, but no module"),
        (MODULE.replace("def to_tale", "def to_story"), "tale has a module without function to_tale"),
        (MODULE.replace("MADE_FROM =", "MADE_OF ="), "tale has a module whose MADE_FROM is not"),
        (MODULE.replace('kind="tale"', 'kind="drug"'), "drug is the kind of two tables"),
        (MODULE.replace('domain="Tale"', 'domain="Drug"'), "Drug is the domain of two tables"),
    ],
)
def test_a_table_without_what_it_needs_is_refused(
    planted_folders: tuple[Path, Path],
    module: str | None,
    fault: str,
) -> None:
    path = planted_folders[1] / "tale.py"
    if module is None:
        path.unlink()
    else:
        path.write_text(module, "utf-8")
    with pytest.raises(ConfigError, match=fault):
        made_tables()


def test_a_module_without_contract_is_refused(planted_folders: tuple[Path, Path]) -> None:
    (planted_folders[0] / "tale.toml").unlink()
    with pytest.raises(ConfigError, match="tale has a module in jobs/harmonise/tables, but no contract"):
        made_tables()
