"""Code universe and mini vocabulary as data: reads ``schemas/mappings/*.csv`` into plain, typed rows. No Spark.

What each file holds and where its facts come from is written in ``schemas/mappings/README.md``. Every reader is
cached, returns a tuple in file order and raises ``ValueError`` when a cell is not of its type.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import NamedTuple

from schemas.loader import Column, load_omop, omop_names

HERE = Path(__file__).resolve().parent / "mappings"

Value = str | int | date | None


class Mapping(NamedTuple):
    """One concept that a source code points to; ``target_concept_id`` 0: the code is known and has no concept."""

    vocabulary: str
    code: str
    label: str
    target_concept_id: int
    target_vocabulary: str


class Concept(NamedTuple):
    """One concept of the mini vocabulary, with our own label."""

    concept_id: int
    label: str
    domain: str
    vocabulary: str
    standard: bool


class Condition(NamedTuple):
    """One CIM-10 or CISP-2 code. ``sex``: 1, 2 or None for both; ages in years, both ends included."""

    vocabulary: str
    code: str
    label_fr: str
    label_en: str
    sex: int | None
    age_min: int
    age_max: int
    chronic: bool
    setting: str
    """hospital, city or both."""
    topic: str
    weight: int


class Act(NamedTuple):
    """One CCAM act. ``price`` in cents."""

    code: str
    label_fr: str
    label_en: str
    sex: int | None
    age_min: int
    age_max: int
    setting: str
    prs_nat_ref: int
    price: int
    topics: tuple[str, ...]
    weight: int


class Drug(NamedTuple):
    """One drug package. ``price`` in cents per box; ``units_per_box`` is the free text that IR_PHA_R sends."""

    cip13: str
    cip7: str
    atc: str
    label: str
    substance: str
    form: str
    strength: str
    units_per_box: str
    prs_nat_ref: int
    price: int
    chronic: bool
    sex: int | None
    age_min: int
    age_max: int
    topics: tuple[str, ...]
    weight: int


class Service(NamedTuple):
    """One PRS_NAT_REF. ``price`` in cents, None where the details carry it; ``rate`` in per cent."""

    code: int
    label_fr: str
    label_en: str
    kind: str
    """visit, act, nursing, physiotherapy, laboratory, pharmacy or allowance."""
    specialty: int
    activity: int
    price: int | None
    rate: int
    weight: int


def vocabulary_tables() -> tuple[str, ...]:
    """OMOP tables that these files fill whole, sorted: those with a file of their name."""
    return tuple(table for table in omop_names() if (HERE / f"{table}.csv").exists())


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (HERE / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, strict=True)


def _sex(text: str) -> int | None:
    return int(text) if text else None


def _cents(text: str) -> int:
    euros, _, cents = text.partition(".")
    return int(euros) * 100 + int(cents.ljust(2, "0")[:2] or 0)


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split(";")) if text else ()


@cache
def mappings() -> tuple[Mapping, ...]:
    """Every (source code, concept) pair."""
    return tuple(
        Mapping(
            r["source_vocabulary_id"],
            r["source_code"],
            r["source_code_description"],
            int(r["target_concept_id"]),
            r["target_vocabulary_id"],
        )
        for r in _rows("source_to_concept_map")
    )


@cache
def targets() -> dict[tuple[str, str], tuple[int, ...]]:
    """Concept ids by (source vocabulary, code); ``(0,)`` for a code that is known to have no concept."""
    concepts: dict[tuple[str, str], tuple[int, ...]] = {}
    for m in mappings():
        concepts[m.vocabulary, m.code] = (*concepts.get((m.vocabulary, m.code), ()), m.target_concept_id)
    return concepts


@cache
def concepts() -> dict[int, Concept]:
    """The mini vocabulary by concept id."""
    return {
        int(r["concept_id"]): Concept(
            int(r["concept_id"]),
            r["concept_name"],
            r["domain_id"],
            r["vocabulary_id"],
            r["standard_concept"] == "S",
        )
        for r in _rows("concept")
    }


@cache
def vocabulary_version() -> str:
    """Version of the mini vocabulary, as CDM_SOURCE names it."""
    return next(r["vocabulary_version"] for r in _rows("vocabulary") if r["vocabulary_id"] == "None")


@cache
def conditions(vocabulary: str | None = None) -> tuple[Condition, ...]:
    """Diagnosis codes, of one vocabulary (``CIM10``, ``CISP2``) or of both."""
    return tuple(
        Condition(
            r["vocabulary"],
            r["code"],
            r["label_fr"],
            r["label_en"],
            _sex(r["sex"]),
            int(r["age_min"]),
            int(r["age_max"]),
            r["chronic"] == "1",
            r["setting"],
            r["topic"],
            int(r["weight"]),
        )
        for r in _rows("conditions")
        if vocabulary in (None, r["vocabulary"])
    )


@cache
def acts() -> tuple[Act, ...]:
    """CCAM acts."""
    return tuple(
        Act(
            r["code"],
            r["label_fr"],
            r["label_en"],
            _sex(r["sex"]),
            int(r["age_min"]),
            int(r["age_max"]),
            r["setting"],
            int(r["prs_nat_ref"]),
            _cents(r["price"]),
            _list(r["topics"]),
            int(r["weight"]),
        )
        for r in _rows("acts")
    )


@cache
def drugs() -> tuple[Drug, ...]:
    """Drug packages."""
    return tuple(
        Drug(
            r["cip13"],
            r["cip7"],
            r["atc"],
            r["label"],
            r["substance"],
            r["form"],
            r["strength"],
            r["units_per_box"],
            int(r["prs_nat_ref"]),
            _cents(r["price"]),
            r["chronic"] == "1",
            _sex(r["sex"]),
            int(r["age_min"]),
            int(r["age_max"]),
            _list(r["topics"]),
            int(r["weight"]),
        )
        for r in _rows("drugs")
    )


@cache
def services() -> tuple[Service, ...]:
    """Kinds of reimbursed service."""
    return tuple(
        Service(
            int(r["code"]),
            r["label_fr"],
            r["label_en"],
            r["kind"],
            int(r["specialty"]),
            int(r["activity"]),
            _cents(r["price"]) if r["price"] else None,
            int(r["rate"]),
            int(r["weight"]),
        )
        for r in _rows("services")
    )


def _value(text: str, column: Column) -> Value:
    if text == "":
        return None
    if column.type in ("integer", "bigint"):
        return int(text)
    return date.fromisoformat(text) if column.type == "date" else text


@cache
def omop_rows(table: str) -> tuple[tuple[Value, ...], ...]:
    """Rows of one of ``vocabulary_tables``, columns in the contract's order and types, empty cells as None.

    Raises ``KeyError`` for another table.
    """
    if table not in vocabulary_tables():
        raise KeyError(table)
    columns = load_omop(table).columns
    return tuple(tuple(_value(r[c.name], c) for c in columns) for r in _rows(table))
