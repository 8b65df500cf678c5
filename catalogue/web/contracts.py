"""What the contracts say of databases, tables, variables and codes. Reads ``schemas/`` only."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from catalogue.web.words import texts
from schemas import loader, mappings
from schemas.loader import Column, Table
from schemas.text import LANGS, Text

OMOP = "omop"
FOUND = 40
"""So many tables or variables are listed as answers of a search."""


@dataclass(frozen=True)
class Database:
    """One database of the catalogue: a source, or the harmonised one."""

    name: str
    title: Text
    description: Text
    holder: Text
    cadence: Text
    tables: dict[str, Table]
    """By short name, in the contract's order."""


@dataclass(frozen=True)
class Matches:
    """Answers to a search."""

    databases: list[Database]
    tables: list[tuple[Database, Table]]
    variables: list[tuple[Database, Table, Column]]

    def __bool__(self) -> bool:
        return bool(self.databases or self.tables or self.variables)


@cache
def databases() -> dict[str, Database]:
    """All databases by name: the harmonised one first, then the sources."""
    databases = {}
    if loader.omop_names():
        words = {key: Text(**texts()[f"omop.{key}"]) for key in ("title", "description", "holder", "cadence")}
        databases[OMOP] = Database(OMOP, **words, tables={t: loader.load_omop(t) for t in loader.omop_names()})
    for name in loader.source_names():
        source = loader.load_source(name)
        databases[name] = Database(
            name, source.title, source.description, source.holder, source.cadence, loader.load_tables(name)
        )
    return databases


@cache
def concepts() -> dict[str, str]:
    """Our labels of OMOP concepts, by id as text."""
    return {str(number): concept.label for number, concept in mappings.concepts().items()}


def search(words: str) -> Matches:
    """Databases, tables and variables that have every word in their names or texts, in either language; accents and
    case do not matter."""
    wanted = _plain(words).split()

    def fits(*parts: str) -> bool:
        text = _plain(" ".join(parts))
        return all(w in text for w in wanted)

    matches = Matches([], [], [])
    for database in databases().values():
        if fits(database.name, *_both(database.title), *_both(database.description), *_both(database.holder)):
            matches.databases.append(database)
        for table in database.tables.values():
            if fits(table.table, *_both(table.title), *_both(table.row)):
                matches.tables.append((database, table))
            for column in table.columns:
                if fits(column.name, *_both(column.meaning)):
                    matches.variables.append((database, table, column))
    return matches


def _both(text: Text) -> Iterator[str]:
    return (getattr(text, lang) for lang in LANGS)


def _plain(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))
