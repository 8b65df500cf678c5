"""A source's published slices as ``harmonise`` takes them: the one way from a source to OMOP."""

from __future__ import annotations

from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.settle import settle
from jobs.harmonise.stem import SOURCE
from jobs.sources.filters import only_kept, to_counts
from jobs.sources.protocol import Tables, load_source_module
from schemas.loader import load_tables


class Harmonisable(NamedTuple):
    """STEM rows, EVIDENCE rows (their dates are not filled yet), both with ``_source`` and ``_period``; and what
    settlement and filters left out of every table (``filters.to_counts``)."""

    stem: DataFrame
    evidence: DataFrame
    counts: tuple[DataFrame, ...]


def to_harmonisable(source: str, tables: Tables) -> Harmonisable:
    """Settles the slices, filters them and turns the rows that stay into events and evidence."""
    of_source = load_source_module(source)
    settled = settle(tables, load_tables(source))
    marked = of_source.filters({table: one.stay for table, one in settled.items()})
    clean = {table: only_kept(rows) for table, rows in marked.items()}
    name = F.lit(source).alias(SOURCE)
    counts = tuple(to_counts(f"{source}/{t}", tables[t], rows, settled[t].left_out) for t, rows in marked.items())
    return Harmonisable(of_source.events(clean).select(name, "*"), of_source.persons(clean).select(name, "*"), counts)
