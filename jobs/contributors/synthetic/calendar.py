"""Months as numbers (months since 1970-01) and days as numbers (days since 1970-01-01): cheap to compute with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def month_number(period: str) -> int:
    """``2024-03`` as a number. Raises ``ValueError`` for anything else."""
    return int(np.datetime64(period, "M").astype(np.int64))


def period_of(month: int) -> str:
    """``2024-03`` from its number."""
    return str(np.datetime64(month, "M"))


def first_day(month: int) -> int:
    return int(np.datetime64(month, "M").astype("datetime64[D]").astype(np.int64))


def days_in(month: int) -> int:
    return first_day(month + 1) - first_day(month)


def month_of(day: Ints) -> Ints:
    """Month number of each day number."""
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
