"""Filters of city medicine, one name each."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.harmonise.stem import PERIOD
from jobs.sources.codes import bare
from jobs.sources.sieve import only_kept, with_rules

PATIENT = ("practice_id", "patient_local_id")
ENCOUNTER = ("practice_id", "encounter_id")


def sanitise(tables: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
    """The rows that stay. Encounters carry their person; problems and prescriptions carry person and day."""
    return {table: only_kept(rows) for table, rows in marked(tables).items()}


def marked(tables: Mapping[str, DataFrame]) -> dict[str, DataFrame]:
    """Every row of every table, with the rule that leaves it out (``sieve``).

    ``other_month``: practices export more than the month; an encounter belongs to the delivery of its own month, and
    one that was forgotten comes as a correction of that month. So an encounter has one place, whatever is sent again.
    """
    person = Window.partitionBy(PERIOD, "patient_pseudonym")
    objects = F.max(F.when(F.col("opposition") == "1", F.lit(True)).otherwise(F.lit(False))).over(person)
    patients = with_rules(
        tables["patient"].withColumn("_objects", objects),
        {
            "unknown_person": F.col("patient_pseudonym").isNull() | (F.col("identity_status") != "ok"),
            # said in one practice, it holds for the person's records in all of them
            "objection": F.col("_objects"),
            "no_year_of_birth": F.col("birth_date").isNull(),
        },
    ).drop("_objects")
    people = only_kept(patients).select(PERIOD, *PATIENT, "patient_pseudonym", F.lit(True).alias("_known"))
    met = tables["encounter"].join(people, [PERIOD, *PATIENT], "left").withColumn("day", F.to_date("date_time"))
    encounters = with_rules(
        met,
        {
            "patient_left_out": F.col("_known").isNull(),
            "other_month": F.date_format("day", "yyyy-MM") != F.col(PERIOD),
        },
    )
    parents = only_kept(encounters).select(PERIOD, *ENCOUNTER, "patient_pseudonym", "day", F.lit(True).alias("_parent"))
    orphan = F.col("_parent").isNull()
    problems = tables["problem"].join(parents, [PERIOD, *ENCOUNTER], "left")
    drugs = tables["prescription"].join(parents, [PERIOD, *ENCOUNTER], "left")
    no_drug = bare(F.col("cip13")).isNull() & bare(F.col("atc")).isNull()
    no_problem = bare(F.col("code")).isNull() | F.col("code_system").isNull()
    return {
        "patient": patients,
        "encounter": encounters,
        "problem": with_rules(problems, {"encounter_left_out": orphan, "no_code": no_problem}),
        "prescription": with_rules(drugs, {"encounter_left_out": orphan, "no_code": no_drug}),
    }
