"""The page on adding a source is done as it says: its files into a copy of the code, then a delivery up to OMOP."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from catalogue import db
from jobs.settings import CHECKOUT
from tests.integration.conftest import World

PAGE = CHECKOUT / "docs" / "howto" / "source.md"
ROOMS = ("jobs", "dags", "schemas", "catalogue", "expectations", "tests", "docs")
CERTIFICATES = """numero;personne;sexe;annee_naissance;date_deces;cause
c1;PSEUDONYM00000001;1;1941;2024-01-09;I50.9
c2;PSEUDONYM00000002;2;1950;2024-01-20;
c3;PSEUDONYM00000003;2;;2024-01-21;I50.9
"""


def files_of(page: str) -> dict[str, str]:
    """The files that a page shows: path -> text. The first line of a block names its file."""
    blocks = re.findall(r"^```(?:toml|python)\n# (\S+)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return dict(blocks)


def commands_of(page: str) -> list[list[str]]:
    """Arguments of the commands that a page shows last, in order."""
    shown = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[-1]
    return [line.split()[1:] for line in shown.splitlines()]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The code with the new source in it, and nothing else changed."""
    to = tmp_path / "code"
    for room in ROOMS:
        shutil.copytree(CHECKOUT / room, to / room, ignore=shutil.ignore_patterns("__pycache__", "pictures"))
    for file in ("pyproject.toml", "mkdocs.yml", "README.md"):
        shutil.copy(CHECKOUT / file, to)
    for path, text in files_of(PAGE.read_text("utf-8")).items():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        (to / path).write_text(text, "utf-8")
    (to / "jobs" / "sources" / "deces" / "__init__.py").touch()
    return to


def run(copy: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=copy,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(copy), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (arguments, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


def test_the_page_shows_every_file() -> None:
    assert set(files_of(PAGE.read_text("utf-8"))) == {
        "schemas/sources/deces/source.toml",
        "schemas/sources/deces/certificat.toml",
        "expectations/sources/deces/certificat.toml",
        "jobs/sources/deces/filters.toml",
        "jobs/sources/deces/filters.py",
        "jobs/sources/deces/events.py",
    }


def test_the_tests_of_the_contracts_take_the_new_source_in(copy: Path) -> None:
    tests = ("test_contracts.py", "test_sources.py", "test_quality_rules.py")
    said = run(copy, "pytest", "-q", "-p", "no:cacheprovider", "-rA", *(f"tests/unit/{t}" for t in tests))
    assert "test_every_contract_has_a_source_that_keeps_it[deces]" in said
    assert "test_quarantine_first_warns_then_refuses[deces-certificat]" in said
    menu = "from docs.tools import reference, site; reference.write(site.DOCS); print(site.with_menu({}))"
    menu = menu.format("(site.CONFIGURATION).read_text()")
    (copy / "menu.py").write_text(menu, "utf-8")
    assert "- deces: reference/contracts/deces.md" in run(copy, "menu")


def test_a_delivery_of_the_new_source_reaches_omop(copy: Path, small: Callable[..., World]) -> None:
    world = small()
    home = world.settings.root
    folder = home / "outboxes" / "deces" / "2024-01" / "v1"
    folder.mkdir(parents=True)
    (folder / "DECES_202401.csv").write_text(CERTIFICATES, "utf-8")
    environment = {
        "HUB_HOME": str(home),
        "HUB_SPARK_PORT": str(world.settings.spark_port),
        "HUB_CATALOGUE_PORT": str(world.settings.catalogue_port),
    }
    for arguments in commands_of(PAGE.read_text("utf-8")):
        run(copy, "jobs.cli", *arguments, **environment)
    shown = json.loads(run(copy, "jobs.cli", "omop", "show", "1", "--json", **environment))
    (book,) = shown["filtered"]
    assert (book["table"], book["rows"], book["stay"]) == ("deces/certificat", 3, 2)
    assert [(r["filter"], r["rows"]) for r in book["left_out"]] == [("no_year_of_birth", 1)]
    assert shown["losses"] == []
    release = db.current_release(world.hub().engine)
    assert release and release.deliveries == ("deces/2024-01/v1",)
    lake = json.loads(run(copy, "jobs.cli", "lake", "show", "--json", **environment))
    rows = {found["table"]: found["rows"] for found in lake}
    held = ("deces/certificat", "omop/person", "omop/death", "omop/condition_occurrence", "omop/visit_occurrence")
    assert [rows[name] for name in held] == [3, 1, 1, 1, 0]
