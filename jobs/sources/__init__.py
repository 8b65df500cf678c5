"""What is particular to each contributor. One folder per source: ``sanitise.py``, ``events.py``, ``README.md``.

Input is always one or more whole monthly slices of a source's published tables: the contract's columns and the
partition column ``_period``. Rows of different slices never meet, so that building slice by slice equals building
everything at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Harmonisable(NamedTuple):
    """A source's slices as ``harmonise`` takes them: STEM and EVIDENCE columns, ``_source``, ``_period``."""

    stem: DataFrame
    evidence: DataFrame


def to_harmonisable(source: str, tables: Mapping[str, DataFrame]) -> Harmonisable:
    """Sanitises the slices and turns them into stem events and evidence (its dates are not filled yet)."""
    from pyspark.sql import functions as F

    of_source = import_module(f"jobs.sources.{source}.events")
    kept = import_module(f"jobs.sources.{source}.sanitise").sanitise(tables)
    name = F.lit(source).alias("_source")
    return Harmonisable(of_source.events(kept).select(name, "*"), of_source.persons(kept).select(name, "*"))


def to_left_out(source: str, tables: Mapping[str, DataFrame]) -> DataFrame:
    """One row per table, slice and rule: ``rows`` that the analysts' filters leave out of OMOP (never of the lake)."""
    from jobs.sources import sieve

    return sieve.to_counts(import_module(f"jobs.sources.{source}.sanitise").marked(tables))
