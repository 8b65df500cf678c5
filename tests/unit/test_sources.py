"""Sources keep the protocol: every contract has its module, a module that does not fit its contract is refused."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import sources
from jobs.errors import ConfigError, UnexpectedState
from jobs.sources import protocol
from jobs.sources.filters import to_books
from schemas import loader, names

FILTERS = """
second = []

[[first]]
name = "no_code"
leaves_out = "code IS NULL"
why.fr = "Sans code."
why.en = "Without a code."
"""
MODULES = {
    "filters.py": "def filters(tables):\n    return tables\n",
    "events.py": "def events(tables):\n    return None\n\n\ndef persons(tables):\n    return None\n",
}


@pytest.mark.parametrize("name", loader.source_names())
def test_every_contract_has_a_source_that_keeps_it(name: str) -> None:
    source = protocol.load_source_module(name)
    assert set(source.declared) == set(loader.load_source(name).tables)
    assert all(f.why.fr.endswith(".") and f.why.en.endswith(".") for fs in source.declared.values() for f in fs)


def test_every_folder_of_sources_has_a_contract() -> None:
    folders = {p.parent.name for p in protocol.HERE.glob("*/*.py")}
    assert folders == set(loader.source_names())


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A made-up source of two tables that keeps the protocol; each test spoils it in one way."""
    contracts, folder = tmp_path / "schemas", tmp_path / "sources" / "planted"
    shutil.copytree(loader.HERE / "sources" / "ville", contracts / "sources" / "planted")
    contract = contracts / "sources" / "planted" / "source.toml"
    lines = [
        'tables = ["first", "second"]' if line.startswith("tables") else line
        for line in contract.read_text("utf-8").splitlines()
    ]
    contract.write_text("\n".join(lines), "utf-8")
    folder.mkdir(parents=True)
    for name, text in {**MODULES, "filters.toml": FILTERS, "__init__.py": ""}.items():
        (folder / name).write_text(text, "utf-8")
    for module in (loader, names):
        monkeypatch.setattr(module, "HERE", contracts)
    monkeypatch.setattr(protocol, "HERE", folder.parent)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(folder.parent)])
    forget(monkeypatch)
    yield folder
    monkeypatch.undo()
    forget(monkeypatch)


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that was loaded before is remembered."""
    for loaded in (loader.source_names, loader.load_source, protocol.load_filters, protocol.load_source_module):
        loaded.cache_clear()
    for name in [n for n in sys.modules if n.startswith("jobs.sources.planted")]:
        del sys.modules[name]


def refusal() -> str:
    with pytest.raises(ConfigError) as refused:
        protocol.load_source_module("planted")
    assert "The source planted does not keep its contract schemas/sources/planted/source.toml" in str(refused.value)
    return str(refused.value)


def test_a_source_that_keeps_the_protocol_is_loaded(planted: Path) -> None:
    source = protocol.load_source_module("planted")
    assert [f.name for f in source.declared["first"]] == ["no_code"]
    assert source.declared["second"] == ()


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("filters.py", None, "filters is missing: there is no module jobs.sources.planted.filters"),
        ("filters.py", "def sieve(tables):\n    return tables\n", "planted.filters has no function filters"),
        ("filters.py", "def filters():\n    return {}\n", "planted.filters.filters must take one argument"),
        ("events.py", "def events(tables):\n    return None\n", "planted.events has no function persons"),
        ("filters.toml", None, "filters.toml is missing"),
        ("filters.toml", "first = []", "filters.toml does not give second"),
        (
            "filters.toml",
            "first = []\nsecond = []\nthird = []",
            "filters.toml gives third, which the contract",
        ),
        ("filters.toml", "first = 1\nsecond = []", "filters.toml is no TOML that declares filters by table"),
        ("filters.toml", FILTERS.replace("why.fr", "why.de"), "filters.toml has a filter without a valid why"),
        ("filters.toml", FILTERS.replace("Sans code.", " "), "does not say why no_code leaves out rows of first"),
        ("filters.toml", FILTERS + FILTERS.partition("[]")[2], "names two filters of first alike"),
    ],
)
def test_a_source_that_does_not_fit_its_contract_is_refused(
    planted: Path, file: str, text: str | None, fault: str
) -> None:
    if text is None:
        (planted / file).unlink()
    else:
        (planted / file).write_text(text, "utf-8")
    assert fault in refusal()


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        ('{"first": 1}', "filters does not give second"),
        ('{"first": 1, "second": 2, "third": 3}', "filters gives third, which the contract does not have"),
    ],
)
def test_filters_that_forget_a_table_or_invent_one_are_refused(planted: Path, result: str, fault: str) -> None:
    (planted / "filters.py").write_text(f"def filters(tables):\n    return {result}\n", "utf-8")
    source = protocol.load_source_module("planted")
    with pytest.raises(ConfigError, match=fault):
        source.filters({})


def test_a_source_without_a_contract_is_unknown() -> None:
    with pytest.raises(KeyError):
        protocol.load_source_module("nowhere")


PROBLEMS = ("ville/problem", "2024-01")


def test_the_books_of_the_filters_balance() -> None:
    assert to_books({PROBLEMS: 10}, [(*PROBLEMS, None, 7), (*PROBLEMS, "no_code", 3)]) == [
        {"table": "ville/problem", "period": "2024-01", "rows": 10, "stay": 7, "left_out": {"no_code": 3}}
    ]


@pytest.mark.parametrize("seen", [6, 8])
def test_a_join_that_loses_rows_or_doubles_them_stops_the_build(seen: int) -> None:
    with pytest.raises(UnexpectedState, match=r"ville/problem, 2024-01: 10 rows are published, but .* saw"):
        to_books({PROBLEMS: 10}, [(*PROBLEMS, None, seen), (*PROBLEMS, "no_code", 3)])


def test_rows_that_are_not_published_stop_the_build() -> None:
    with pytest.raises(UnexpectedState, match="0 rows are published"):
        to_books({}, [(*PROBLEMS, None, 1)])
