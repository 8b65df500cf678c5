"""Codes as the mappings hold them: verbatim but for writing habits."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def bare(code: Column) -> Column:
    """Upper case, no blanks, no dot (I21.9 and ``i219 `` are I219); NULL when nothing is left."""
    return F.nullif(F.upper(F.regexp_replace(code, r"[\s.]", "")), F.lit(""))


def ccam(code: Column) -> Column:
    """The seven characters of a CCAM code, without PMSI extension and activity."""
    return F.nullif(F.substring(F.upper(F.trim(code)), 1, 7), F.lit(""))
