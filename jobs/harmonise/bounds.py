"""What can be true of a row: bounds that hold whatever a contributor's rules tolerated.

A source's warning lets single bad values through, and a steward may approve many. What lies outside these bounds is
left out of OMOP, row by row or value by value, and counted; the rules over OMOP ask for nothing more. No bound is the
day of the build: the same deliveries give the same tables again.
"""

from __future__ import annotations

from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.harmonise.omop import event_tables
from jobs.harmonise.stem import PERIOD

FIRST_DAY = date(2000, 1, 1)
"""No source holds care, and none of the people who receive it died, before this day."""
FIRST_YEAR_OF_BIRTH = 1890
DAYS_SUPPLY = (1, 366)


def month() -> Column:
    """First day of the row's delivery month."""
    return F.try_to_date(F.col(PERIOD), "yyyy-MM")


def possible_day(day: Column) -> Column:
    """A day of care: not before ``FIRST_DAY``, not after the month of the delivery; NULL for no day."""
    return day.between(F.lit(FIRST_DAY), F.last_day(month()))


def possible_birth(year: Column) -> Column:
    """A year of birth: not before ``FIRST_YEAR_OF_BIRTH``, not after the year of the delivery; NULL for no year."""
    return year.between(F.lit(FIRST_YEAR_OF_BIRTH), F.year(month()))


def possible_death(until: date) -> Column:
    """Of an evidence row: a day of death that can be; NULL for none.

    Not before ``FIRST_DAY`` nor the row's year of birth, not after ``until``, the day of the newest delivery: a
    register that comes with an old month knows later deaths.
    """
    day = F.col("death_date")
    return day.between(F.lit(FIRST_DAY), F.lit(until)) & (F.year(day) >= F.col("year_of_birth"))


def value_faults() -> dict[str, Column]:
    """By reason: whether a stem event reaches its table without the value of that name."""
    quantity = F.col("quantity")
    ends = {events.kind: events.quantity for events in event_tables().values() if events.quantity}
    wrong = [(F.col("kind") == kind) & ~quantity.between(*both) for kind, both in ends.items()]
    return {
        "implausible_quantity": reduce(Column.__or__, wrong),
        "implausible_days_supply": ~F.col("days_supply").between(*DAYS_SUPPLY),
    }


def with_possible_values(stem: DataFrame) -> DataFrame:
    """Every event, NULL in the place of a value that cannot be."""
    for reason, fault in value_faults().items():
        name = reason.removeprefix("implausible_")
        stem = stem.withColumn(name, F.when(~F.coalesce(fault, F.lit(False)), F.col(name)))
    return stem
