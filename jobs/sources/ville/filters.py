"""What the filters of city medicine look at: ``filters.toml`` states them."""

from __future__ import annotations

from pyspark.sql import Window
from pyspark.sql import functions as F

from jobs.harmonise.stem import PERIOD
from jobs.sources.codes import bare
from jobs.sources.filters import only_kept, with_filters
from jobs.sources.protocol import Tables, load_filters

PATIENT = ("practice_id", "patient_local_id")
ENCOUNTER = ("practice_id", "encounter_id")


def filters(tables: Tables) -> Tables:
    """Every row, with the filter that leaves it out. Encounters carry their person; problems and prescriptions carry
    person and day.

    ``other_month``: practices export more than the month; an encounter belongs to the delivery of its own month, and
    one that was forgotten comes as a correction of that month. So an encounter has one place, whatever is sent again.
    """
    declared = load_filters("ville")
    person = Window.partitionBy(PERIOD, "patient_pseudonym")
    objects = F.max(F.when(F.col("opposition") == "1", F.lit(True)).otherwise(F.lit(False))).over(person)
    patients = with_filters(tables["patient"].withColumn("_objects", objects), declared["patient"]).drop("_objects")
    people = only_kept(patients).select(PERIOD, *PATIENT, "patient_pseudonym", F.lit(True).alias("_known"))
    met = tables["encounter"].join(people, [PERIOD, *PATIENT], "left").withColumn("day", F.to_date("date_time"))
    encounters = with_filters(met, declared["encounter"])
    parents = only_kept(encounters).select(PERIOD, *ENCOUNTER, "patient_pseudonym", "day", F.lit(True).alias("_parent"))
    problems = tables["problem"].join(parents, [PERIOD, *ENCOUNTER], "left").withColumn("_code", bare(F.col("code")))
    drugs = (
        tables["prescription"]
        .join(parents, [PERIOD, *ENCOUNTER], "left")
        .withColumns({"_package": bare(F.col("cip13")), "_class": bare(F.col("atc"))})
    )
    return {
        "patient": patients,
        "encounter": encounters,
        "problem": with_filters(problems, declared["problem"]),
        "prescription": with_filters(drugs, declared["prescription"]),
    }
