"""The OMOP tables that the hub makes: for every contract in ``schemas/omop`` a module in ``harmonise/tables``, or a
file of ``schemas/mappings`` that holds the whole table. Nothing else names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Literal

from pyspark.sql import DataFrame

from jobs.errors import ConfigError
from jobs.harmonise import tables
from schemas.loader import omop_names
from schemas.mappings import vocabulary_tables


@dataclass(frozen=True)
class Events:
    """Made from stem events with concepts (``concepts.with_concepts``): those whose standard concept is of ``domain``,
    and those of ``kind`` whose code has no concept.

    ``alone``: events of the kind stay here whatever their code's other targets, and no other event comes in. A visit
    stays one visit.
    """

    kind: str
    domain: str
    alone: bool = False
    quantity: tuple[int, int] | None = None
    """Least and greatest quantity that can be; an event with another one loses it."""


@dataclass(frozen=True)
class Database:
    """What is known of the database as a whole."""

    vocabulary: DataFrame
    """OMOP table VOCABULARY."""
    sources: tuple[str, ...]
    """Titles of the sources that take part."""
    released: date
    """Day of the latest delivery that takes part: the same for every build of the same deliveries."""


PERSONS: Literal["persons"] = "persons"
"""Made from persons (``evidence.resolve``)."""
DATABASE: Literal["database"] = "database"
"""Made from what is known of the database (``Database``)."""


@dataclass(frozen=True)
class OmopTable:
    """One table and how it is made."""

    name: str
    made_from: Events | Literal["persons", "database"]
    make: Callable[[Any], DataFrame]


@cache
def made_tables() -> tuple[OmopTable, ...]:
    """Every table that a module makes, sorted by name. Raises ``ConfigError`` naming the table and what is wrong."""
    modules = {m.name for m in iter_modules(tables.__path__)}
    wanted = set(omop_names()) - set(vocabulary_tables())
    if missing := wanted - modules:
        raise _refused(min(missing), "has a contract, but no module in jobs/harmonise/tables and no file of mappings")
    if unknown := modules - wanted:
        raise _refused(min(unknown), "has a module in jobs/harmonise/tables, but no contract in schemas/omop")
    made = tuple(_table(name) for name in sorted(wanted))
    for of in ("kind", "domain"):
        names = [getattr(t.made_from, of) for t in made if isinstance(t.made_from, Events)]
        if twice := next((n for n in names if names.count(n) > 1), None):
            raise _refused(twice, f"is the {of} of two tables")
    return made


def made_from(what: str) -> tuple[OmopTable, ...]:
    """The tables made from ``PERSONS``, or from ``DATABASE``."""
    return tuple(t for t in made_tables() if t.made_from == what)


def event_tables() -> Mapping[OmopTable, Events]:
    """The tables made from events; they are built and released by (source, period)."""
    return {t: t.made_from for t in made_tables() if isinstance(t.made_from, Events)}


def event_names() -> frozenset[str]:
    """Names of the tables made from events."""
    return frozenset(t.name for t in event_tables())


def _table(name: str) -> OmopTable:
    module = import_module(f"{tables.__name__}.{name}")
    make, what = getattr(module, f"to_{name}", None), getattr(module, "MADE_FROM", None)
    if not callable(make):
        raise _refused(name, f"has a module without function to_{name}")
    if not isinstance(what, Events) and what not in (PERSONS, DATABASE):
        raise _refused(name, "has a module whose MADE_FROM is not Events(...), PERSONS or DATABASE")
    return OmopTable(name, what, make)


def _refused(name: str, fault: str) -> ConfigError:
    return ConfigError(
        f"OMOP: {name} {fault}.",
        reason="omop_table",
        next_step="see docs/architecture.md, What grows without an edit elsewhere",
    )
