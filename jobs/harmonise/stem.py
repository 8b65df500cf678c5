"""The two shapes that every source turns its rows into: stem events, and what it knows of persons."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    DateType,
    DoubleType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

STEM = StructType(
    [
        StructField("person_key", BinaryType(), nullable=False),
        # visit | condition | drug | procedure: the table that the source means
        StructField("kind", StringType(), nullable=False),
        # unique inside source and kind, made by ids.natural_key: holds no pseudonym and no facility in clear
        StructField("natural_key", StringType(), nullable=False),
        # natural_key of the visit (same source, same period) during which the event happened
        StructField("visit_key", StringType()),
        StructField("start_date", DateType(), nullable=False),
        StructField("end_date", DateType()),
        StructField("source_code", StringType()),
        StructField("source_vocabulary", StringType(), nullable=False),
        StructField("type_concept_id", IntegerType(), nullable=False),
        StructField("status_concept_id", IntegerType()),
        # what the source says beside the code: role of a diagnosis (DP, DR, DAS), activity/phase of an act
        StructField("qualifier", StringType()),
        # units of a drug (tablets, doses), times that an act was performed
        StructField("quantity", DoubleType()),
        StructField("days_supply", IntegerType()),
        StructField("refills", IntegerType()),
    ]
)
"""One row is one event of one person, as a source means it, before any concept is looked up."""

EVIDENCE = StructType(
    [
        StructField("person_key", BinaryType(), nullable=False),
        StructField("gender", StringType(), nullable=False),
        StructField("year_of_birth", IntegerType(), nullable=False),
        StructField("month_of_birth", IntegerType()),
        # the person's own identity when the source knows one: two of them under one person_key are two people
        StructField("identity", BinaryType()),
        # true when the delivery alone shows that several people share the person_key
        StructField("shared", BooleanType(), nullable=False),
        StructField("death_date", DateType()),
        StructField("death_type_concept_id", IntegerType()),
        # type of the observation period that the source's events make: 32881 claims, 32882 health records
        StructField("period_type_concept_id", IntegerType(), nullable=False),
        # 1 is the best source for birth and gender
        StructField("rank", IntegerType(), nullable=False),
        # of the delivery's events; NULL until evidence.with_dates has filled them
        StructField("first_date", DateType()),
        StructField("last_date", DateType()),
    ]
)
"""One row is what one delivery says of one person. ``gender``: 1 male, 2 female, 0 unknown."""

SOURCE, PERIOD = "_source", "_period"
"""Lineage of every stem event and every evidence row: the delivery's source and its month (YYYY-MM)."""
LEFT_OUT = "_left_out"
"""Why a published row becomes no event: its act is settled, or a filter leaves it out; NULL if it does."""

ENROLMENT, DISCHARGE, RECORD = 32813, 32812, 32817
"""Death known from the beneficiary register, from the mode of discharge, from a health record."""
FROM_CLAIMS, FROM_RECORDS, FROM_BOTH = 32881, 32882, 32880
"""Observation period inferred from claims, from health records, from both."""


def to_stem(rows: DataFrame, **columns: Column) -> DataFrame:
    """One stem event per row: STEM's columns in order, NULL where none is given, and the row's ``_period``."""
    return _shaped(rows, STEM, columns)


def to_evidence(rows: DataFrame, **columns: Column) -> DataFrame:
    """One evidence row per row: EVIDENCE's columns in order, NULL where none is given, and the row's ``_period``."""
    return _shaped(rows, EVIDENCE, columns)


def _shaped(rows: DataFrame, shape: StructType, columns: dict[str, Column]) -> DataFrame:
    if unknown := columns.keys() - set(shape.names):
        raise TypeError(f"not columns of the shape: {sorted(unknown)}")
    chosen = [columns.get(f.name, F.lit(None)).cast(f.dataType).alias(f.name) for f in shape.fields]
    return rows.select(*chosen, F.col(PERIOD))
