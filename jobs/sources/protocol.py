"""What a source must give, checked against its contract when it is loaded. No Spark is imported before a source is."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from jobs.errors import ConfigError
from schemas.loader import load_source
from schemas.text import Data, Text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

HERE = Path(__file__).resolve().parent
Tables = Mapping[str, "DataFrame"]
MODULES = {"filters": "filters", "events": "events", "persons": "events"}
"""Function of the protocol -> module of the source's folder that holds it."""


class ToTables(Protocol):
    """``filters``: every row of every table of the contract, with ``_left_out`` (``filters.with_filters``)."""

    def __call__(self, tables: Tables, /) -> Tables: ...


class ToRows(Protocol):
    """``events`` (STEM columns) and ``persons`` (EVIDENCE columns) of the rows that stay; both with ``_period``."""

    def __call__(self, tables: Tables, /) -> DataFrame: ...


class Filter(Data):
    """One reason for which rows of a table stay out of OMOP (never out of the lake)."""

    name: str
    leaves_out: str
    """Condition in SQL over the table's columns and those that ``filters`` adds; NULL leaves nothing out."""
    why: Text


@dataclass(frozen=True)
class Source:
    """One source as build takes it: it was held to its contract."""

    name: str
    declared: Mapping[str, tuple[Filter, ...]]
    """Filters of every table of the contract, in the order in which they are asked."""
    filters: ToTables
    events: ToRows
    persons: ToRows


@cache
def load_filters(source: str) -> Mapping[str, tuple[Filter, ...]]:
    """Filters of every table, as ``filters.toml`` declares them; a table without filters has an empty list.

    Raises ``ConfigError`` unless the tables are those of the contract and every filter has its own name and words.
    """
    file = HERE / source / "filters.toml"
    try:
        held = tomllib.loads(file.read_text("utf-8"))
        declared = {table: tuple(Filter.model_validate(f) for f in filters) for table, filters in held.items()}
    except (OSError, TypeError, ValueError) as error:
        raise _refused(source, f"filters.toml {_fault(error)}") from error
    _require_tables(source, "filters.toml", declared)
    for table, filters in declared.items():
        if len({f.name for f in filters}) < len(filters):
            raise _refused(source, f"filters.toml names two filters of {table} alike")
        if silent := [f.name for f in filters if not (f.why.fr.strip() and f.why.en.strip())]:
            raise _refused(source, f"filters.toml does not say why {', '.join(silent)} leaves out rows of {table}")
    return declared


@cache
def load_source_module(source: str) -> Source:
    """The source's functions. Raises ``ConfigError`` naming source, function and contract for one that does not keep
    the protocol, ``KeyError`` for a source that has no contract."""
    load_source(source)
    declared = load_filters(source)
    given = {function: _function(source, function) for function in MODULES}

    def filters(tables: Tables) -> Tables:
        marked = given["filters"](tables)
        _require_tables(source, "filters", marked)
        return {table: marked[table] for table in declared}

    return Source(source, declared, filters, given["events"], given["persons"])


def _function(source: str, function: str) -> Any:
    where = f"jobs.sources.{source}.{MODULES[function]}"
    try:
        module = import_module(where)
    except ModuleNotFoundError as error:
        if not where.startswith(str(error.name)):
            raise
        raise _refused(source, f"{function} is missing: there is no module {where}") from error
    made = getattr(module, function, None)
    if not callable(made):
        raise _refused(source, f"{where} has no function {function}")
    try:
        inspect.signature(made).bind(None)
    except TypeError:
        raise _refused(source, f"{where}.{function} must take one argument, the tables by name") from None
    return made


def _require_tables(source: str, function: str, given: Mapping[str, object]) -> None:
    """Raises unless what a function gives is the contract's tables, all of them and no other."""
    tables = load_source(source).tables
    if missing := [t for t in tables if t not in given]:
        raise _refused(source, f"{function} does not give {', '.join(missing)}")
    if unknown := sorted(t for t in given if t not in tables):
        raise _refused(source, f"{function} gives {', '.join(unknown)}, which the contract does not have")


def _refused(source: str, fault: str) -> ConfigError:
    return ConfigError(
        f"The source {source} does not keep its contract schemas/sources/{source}/source.toml: {fault}.",
        reason="source",
        next_step="see docs/howto/source.md for what a source must give",
    )


def _fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        places = {".".join(str(part) for part in e["loc"]) for e in error.errors()}
        return f"has a filter without a valid {', '.join(sorted(places))}"
    return "is missing" if isinstance(error, OSError) else "is no TOML that declares filters by table"
