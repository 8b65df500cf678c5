"""A source's published slices as ``harmonise`` takes them: the one way from a source to OMOP."""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.settle import Acts, settle, to_all_acts
from jobs.harmonise.stem import SOURCE
from jobs.sources.filters import only_kept, to_outcomes
from jobs.sources.protocol import Tables, load_source_module
from schemas.loader import load_tables


class Harmonisable(NamedTuple):
    """STEM rows, EVIDENCE rows (their dates are not filled yet), both with ``_source`` and ``_period``; and what
    settlement and filters made of every row of every table (``filters.to_outcomes``)."""

    stem: DataFrame
    evidence: DataFrame
    outcomes: DataFrame


def to_harmonisable(source: str, tables: Tables, acts: Acts | None = None) -> Harmonisable:
    """Settles the slices, filters them and turns the rows that stay into events and evidence. ``acts``: of these slices
    (``settle.to_all_acts``), where they were written before; those without a row may be missing."""
    of_source, contracts = load_source_module(source), load_tables(source)
    settled = settle(tables, contracts, to_all_acts(tables, contracts) if acts is None else acts)
    marked = of_source.filters({table: one.stay for table, one in settled.items()})
    clean = {table: only_kept(rows) for table, rows in marked.items()}
    name = F.lit(source).alias(SOURCE)
    outcomes = [to_outcomes(f"{source}/{t}", rows, settled[t].left_out) for t, rows in marked.items()]
    return Harmonisable(
        of_source.events(clean).select(name, "*"),
        of_source.persons(clean).select(name, "*"),
        reduce(DataFrame.unionByName, outcomes),
    )
