"""Contracts as data: reads ``schemas/**.toml`` into frozen, validated objects. No Spark, no I/O beyond the TOML files.

``schemas/sources/<source>/source.toml``  what a contributor sends and how (dialect, cadence, holder)
``schemas/sources/<source>/<table>.toml`` one table of it: columns, key, parent, settlement of reversals
``schemas/omop/<table>.toml``             one OMOP CDM 5.4 table
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from schemas.names import HERE as HERE
from schemas.names import InvalidContract as InvalidContract
from schemas.names import omop_names as omop_names
from schemas.names import source_names as source_names
from schemas.text import Data, Text
from schemas.values import EARLIEST, NO_IDENTIFIER

Type = Literal["string", "integer", "bigint", "decimal", "double", "date", "datetime", "boolean"]
SPARK_TYPES: dict[Type, str] = {
    "string": "string",
    "integer": "int",
    "bigint": "bigint",
    "double": "double",
    "date": "date",
    "datetime": "timestamp",
    "boolean": "boolean",
}


class Column(Data):
    """One variable. ``type`` is what the value becomes in the lake; files carry text."""

    name: str
    type: Type = "string"
    length: int | None = None
    """Longest text that is accepted (characters)."""
    precision: int = 18
    scale: int = 2
    """Of ``decimal`` only."""
    required: bool = False
    """A row without this value is quarantined."""
    identifying: bool = False
    """Identifies a person, a professional or a place of care, directly or with little effort."""
    pseudonym: str | None = None
    """Domain of the stage-2 pseudonym (person, practitioner, ...) that replaces the value in the lake (BINARY)."""
    keep: bool = True
    """False: received and sealed, never in the lake (names, free text)."""
    values: tuple[str, ...] = ()
    """Closed list of accepted codes; empty: open."""
    null_values: tuple[str, ...] = ()
    """Sentinels that mean 'no value', as sent (a date of 01/01/1600)."""
    null_pattern: str | None = None
    """Pattern of the sentinels that no list holds; pseudonymised columns have ``NO_IDENTIFIER`` unless told."""
    format: str | None = None
    """Of dates that are not written as the source's others (``yyyyMM``, a month: its first day)."""
    form: str | None = None
    """Pattern that a text must match as a whole (``schemas.forms``); other types have theirs."""
    min: int | date | None = None
    """Least value of a number; earliest day of a date, ``EARLIEST`` unless told."""
    max: int | None = None
    """Greatest value of a number."""
    not_after: Literal["period", "next_month"] | None = None
    """Latest day of a date: the last of the delivery's month or of the next, ``LATEST`` unless told. Not for what a
    register says of persons: one that is read later knows later days."""
    unit: str | None = None
    role: Literal["birth_date", "sex", "local_id"] | None = None
    """What the source agent takes it for: with the NIR, birth date and sex make the pseudonym; a local_id is a number
    of the contributor's own software, which may look like a NIR by chance."""
    exported_as: str | None = None
    """Of the person's pseudonym, where the agent makes it: the column of the raw export that holds the NIR."""
    meaning: Text
    # OMOP tables only
    fk: str | None = None
    """``table.column`` that the value refers to."""
    domain: str | None = None
    """Domain that the concept must belong to."""

    @model_validator(mode="after")
    def _bounds_fit_the_type(self) -> Column:
        is_date, is_number = self.type in ("date", "datetime"), self.type in ("integer", "bigint", "decimal", "double")
        wrong = {
            "format": self.format is not None and self.type != "date",
            "form": self.form is not None and self.type != "string",
            "null_pattern": self.null_pattern is not None and self.type != "string",
            "min": self.min is not None and not (is_date if isinstance(self.min, date) else is_number),
            "max": self.max is not None and not is_number,
            "not_after": self.not_after is not None and not is_date,
        }
        if any(wrong.values()):
            raise ValueError(f"{self.name}: not for {self.type}: {', '.join(n for n, bad in wrong.items() if bad)}")
        for pattern in filter(None, (self.form, self.null_pattern)):
            re.compile(pattern)
        return self

    @property
    def no_value(self) -> str | None:
        """Pattern of the placeholders that mean 'no value'; None when only ``null_values`` do."""
        return self.null_pattern or (NO_IDENTIFIER if self.pseudonym else None)

    @property
    def earliest(self) -> date:
        """First day that a date may have."""
        return self.min if isinstance(self.min, date) else EARLIEST


def spark_type(column: Column) -> str:
    """The type of a column in the lake, as Spark SQL writes it."""
    if column.pseudonym:
        return "binary"
    if column.type == "decimal":
        return f"decimal({column.precision},{column.scale})"
    return SPARK_TYPES[column.type]


class Settle(Data):
    """How a build settles reversals: lines equal in ``group`` are one act; its ``quantity`` is summed, must stay > 0.
    A table that settles has a key, and its details name it by that key."""

    group: tuple[str, ...]
    quantity: str
    sums: tuple[str, ...] = ()
    """Amounts that are summed with the quantity."""


class Parent(Data):
    """The table whose row this row details: a row without it is an orphan."""

    table: str
    columns: tuple[str, ...]


class Table(Data):
    """One table of a source, or of OMOP."""

    table: str
    title: Text
    row: Text
    """What one row is."""
    key: tuple[str, ...] = ()
    """Natural key: identical copies are dropped, conflicting copies quarantined."""
    parent: Parent | None = None
    settle: Settle | None = None
    date: str | None = None
    """The column that dates a row (profiles, temporal coverage)."""
    person: str | None = None
    """The column that holds the person."""
    identity: str | None = None
    """The column that says how sure the person is; a row whose value is not ``ok`` is quarantined."""
    stats: tuple[str, ...] = ()
    """Columns that Delta may keep minimum and maximum of: dates and technical columns only."""
    may_be_empty: bool = False
    source_document: str = ""
    columns: tuple[Column, ...] = Field(alias="column")

    @model_validator(mode="after")
    def _names_exist(self) -> Table:
        names = {c.name for c in self.columns}
        if len(names) != len(self.columns):
            raise ValueError(f"{self.table}: a column is declared twice")
        used = {*self.key, *self.stats, *(x for x in (self.date, self.person, self.identity) if x)}
        if self.parent:
            used |= set(self.parent.columns)
        if self.settle:
            used |= {*self.settle.group, self.settle.quantity, *self.settle.sums}
        if unknown := used - names:
            raise ValueError(f"{self.table}: not among its columns: {sorted(unknown)}")
        if any(c.exported_as for c in self.columns):
            roles = {c.role for c in self.columns}
            person = self.person and self.column(self.person).exported_as
            if not (person and self.identity and {"birth_date", "sex"} <= roles):
                raise ValueError(f"{self.table}: a NIR needs person, identity, and the roles birth_date and sex")
        if leaks := {c.name for c in self.columns if c.identifying} & set(self.stats):
            raise ValueError(f"{self.table}: statistics of identifying columns: {sorted(leaks)}")
        return self

    def column(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)

    def names_of(self, role: str) -> tuple[str, ...]:
        """Columns that have a role."""
        return tuple(c.name for c in self.columns if c.role == role)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    @property
    def lake_columns(self) -> tuple[Column, ...]:
        """Columns that reach the lake."""
        return tuple(c for c in self.columns if c.keep)


class Csv(Data):
    """Physical form of a text file with a header line."""

    extension: str = ".csv"
    """How the names of such files end."""
    delimiter: str = ";"
    quote: str = '"'
    encoding: str = "utf-8"
    date_format: str = "yyyy-MM-dd"
    """As Spark writes it."""
    datetime_format: str = "yyyy-MM-dd'T'HH:mm:ss"
    decimal: str = "."


class Due(Data):
    """When the deliveries of a source are due."""

    after_days: int = Field(ge=0, le=730)
    """Days after the last day of its month on which a delivery is due at the latest."""
    first: str | None = Field(default=None, pattern=r"^(19|20)\d\d-(0[1-9]|1[0-2])$")
    """First month that is expected; without it the first one that the source ever announced."""

    def day(self, period: str) -> date:
        """The last day on which the delivery of a month (``YYYY-MM``) is in time."""
        year, month = int(period[:4]), int(period[5:])
        return date(year + month // 12, month % 12 + 1, 1) + timedelta(days=self.after_days - 1)


class Source(Data):
    """A contributor's contract: ``period`` is a month, ``YYYY-MM``."""

    source: str
    contract: int
    """Version of the contract; a delivery names the one it keeps."""
    title: Text
    description: Text
    holder: Text
    cadence: Text
    due: Due | None = None
    """None: nothing is ever late."""
    person_key: Literal["stage1", "nir"]
    """How persons arrive: always by a stage-1 pseudonym; ``nir`` means that the source agent makes it."""
    file_name: str
    """Pattern of the contributor's file names, for people."""
    csv: Csv = Csv()
    tables: tuple[str, ...]
    """Load order: parents before details."""


Declared = TypeVar("Declared", bound=Data)


def _read(kind: type[Declared], path: Path) -> Declared:
    """What a file declares. Raises ``InvalidContract`` with every mistake in it."""
    where = path.relative_to(HERE.parent)
    try:
        return kind.model_validate(tomllib.loads(path.read_text("utf-8")))
    except ValidationError as error:
        faults = "; ".join(f"{_place(e['loc'])}: {e['msg']}" for e in error.errors())
        raise InvalidContract(f"{where} is no contract: {faults}.") from None
    except (OSError, ValueError) as error:
        why = "it is missing" if isinstance(error, OSError) else f"it is no TOML ({error})"
        raise InvalidContract(f"{where} is no contract: {why}.") from None


def _place(steps: tuple[int | str, ...]) -> str:
    return ".".join(map(str, steps)) or "the whole"


@cache
def load_source(source: str) -> Source:
    """The contract of one source. Raises ``KeyError`` for an unknown one."""
    if source not in source_names():
        raise KeyError(source)
    return _read(Source, HERE / "sources" / source / "source.toml")


@cache
def load_table(source: str, table: str) -> Table:
    """One table of a source (``load_table("dcir", "er_prs_f")``)."""
    return _read(Table, HERE / "sources" / source / f"{table}.toml")


def load_tables(source: str) -> dict[str, Table]:
    """All tables of a source in load order."""
    return {t: load_table(source, t) for t in load_source(source).tables}


def in_levels(tables: Mapping[str, Table]) -> list[list[Table]]:
    """Tables of a source in groups, parents before their details: those of one group say nothing of each other."""
    level: dict[str, int] = {}
    for name, table in tables.items():
        level[name] = level[table.parent.table] + 1 if table.parent else 0
    return [[tables[t] for t, at in level.items() if at == n] for n in sorted(set(level.values()))]


@cache
def load_omop(table: str) -> Table:
    """One OMOP CDM 5.4 table."""
    return _read(Table, HERE / "omop" / f"{table}.toml")


def load(name: str) -> Table:
    """A table by its one name everywhere: ``dcir/er_prs_f`` or ``omop/person``."""
    where, _, table = name.partition("/")
    return load_omop(table) if where == "omop" else load_table(where, table)
