"""No row that a source lets in can break a critical rule over OMOP: it is left out, or loses a value, and is counted.

Every table below holds one sound row and, beside it, each kind of bad row that a contract accepts and that a source's
rules tolerate up to some share.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

import pytest

from jobs.quality import counters
from jobs.quality.rules import all_rules
from schemas.loader import source_names
from tests.spark.tables import books, source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PERIOD = "2024-02"
TODAY = date(2024, 4, 1)

BAD = {
    "dcir/ir_ben_r": """
BEN_NIR_PSA | BEN_RNG_GEM | BEN_CDI_NIR | BEN_NAI_ANN | BEN_NAI_MOI | BEN_SEX_COD | BEN_DCD_DTE
------------+-------------+-------------+-------------+-------------+-------------+------------
sound       | 1           | 00          | 1950        | 3           | 2           | 2024-02-10
too old     | 1           | 00          | 1850        | 3           | 2           |
not born    | 1           | 00          | 2099        | 3           | 2           |
no year     | 1           | 00          |             | 3           | 2           |
shifted     | 1           | 00          | 1950        | 99          | 7           |
dead 1998   | 1           | 00          | 1950        | 3           | 2           | 1998-03-15
dead 2099   | 1           | 00          | 1950        | 3           | 2           | 2099-12-31
before birth| 1           | 00          | 2010        | 3           | 2           | 2005-01-01
""",
    "dcir/er_prs_f": """
DCT_ORD_NUM | BEN_NIR_PSA | EXE_SOI_DTD | FLX_DIS_DTD | PRS_NAT_REF | PRS_ACT_QTE | CPL_MAJ_TOP
------------+-------------+-------------+-------------+-------------+-------------+------------
1           | sound       | 2024-02-05  | 2024-02-01  | 1111        | 1           | 0
2           | sound       | 1999-12-31  | 2024-02-01  | 1111        | 1           | 0
3           | sound       | 2024-03-01  | 2024-02-01  | 1111        | 1           | 0
4           | sound       | 9999-12-31  | 2024-02-01  | 1111        | 1           | 0
5           | sound       | 2024-01-05  | 2024-01-01  | 1111        | 1           | 0
6           | too old     | 2024-02-05  | 2024-02-01  | 1111        | 1           | 0
7           | not born    | 2024-02-05  | 2024-02-01  | 1111        | 1           | 0
8           | no year     | 2024-02-05  | 2024-02-01  | 1111        | 1           | 0
9           | stranger    | 2024-02-05  | 2024-02-01  | 1111        | 1           | 0
10          | shifted     | 2024-02-05  | 2024-02-01  | 9           | 1234567     | 0
11          | dead 1998   | 2024-02-05  | 2024-02-01  | 1111        | 1           | 2
12          | dead 2099   | 2024-02-05  | 2024-02-01  | 1111        | -1          | 0
13          | before birth| 2024-02-05  | 2024-02-01  | 1111        | 1           | 0
14          | dead 2099   | 2024-02-06  | 2024-02-01  | 1111        | 1           | 0
""",
    "dcir/ir_pha_r": """
PHA_CIP_C13   | PHA_UNT_NBR_DSES
--------------+-----------------
3400999900010 | 30
huge          | 99999 + 99999
""",
    "pmsi_mco/t_mcoaab": """
ETA_NUM   | RSA_NUM | GRG_GHM | SEJ_NBJ | DGN_PAL | AGE_ANN | AGE_JOU | COD_SEX | SOR_MOD | SOR_ANN | SOR_MOI
----------+---------+---------+---------+---------+---------+---------+---------+---------+---------+--------
010000001 | 1       | 05M092  | 4       | I509    | 73      |         | 2       | 8       | 2024    | 2
010000001 | 2       | 05M092  | 4       | I509    | 999     |         | 2       | 8       | 2024    | 2
010000001 | 3       | 05M092  | 4       | I509    | -3      |         | 2       | 8       | 2024    | 2
010000001 | 4       | 05M092  | 4       | I509    | 50      |         | 9       | 8       | 2024    | 1
010000001 | 5       | 05M092  | 4       | I509    | 50      |         | 2       | 8       | 2024    | 2
010000001 | 6       | 05M092  | 4       | I509    | 50      |         | 2       | 9       | 2024    | 2
010000001 | 7       | 05M092  | 9999    | I509    | 50      |         | 2       | 9       | 2024    | 2
010000001 | 8       | 05M092  | -40     | I509    |         | 999     | 2       | 9       | 2024    | 2
010000001 | 9       | 05M092  | 4       | I509    |         |         | 2       | 8       | 2024    | 2
010000001 | 10      | 05M092  | 4       | I509    | 50      |         | 2       | 8       | 2024    | 2
010000001 | 11      | 05M092  | 4       | I509    | 50      |         | 2       | 8       | 2024    | 2
""",
    "pmsi_mco/t_mcoaac": """
ETA_NUM   | RSA_NUM | NIR_ANO_17 | EXE_SOI_DTD | EXE_SOI_DTF
----------+---------+------------+-------------+------------
010000001 | 1       | in hospital| 2024-02-05  | 2024-02-09
010000001 | 2       | aged       | 2024-02-05  | 2024-02-09
010000001 | 3       | negative   | 2024-02-05  | 2024-02-09
010000001 | 4       | in hospital| 2024-01-05  | 2024-01-09
010000001 | 5       | in hospital| 1999-12-31  | 2024-02-09
010000001 | 6       | backwards  | 2024-02-09  | 2024-02-01
010000001 | 7       | in hospital| 2024-02-05  |
010000001 | 8       | in hospital| 2024-02-05  |
010000001 | 9       | in hospital| 2024-02-05  | 2024-02-09
010000001 | 10      |            | 2024-02-05  | 2024-02-09
010000001 | 11      | in hospital| 2024-02-05  | 2099-12-31
""",
    "pmsi_mco/t_mcoaad": """
ETA_NUM   | RSA_NUM | DGN_ASS_NUM | ASS_DGN
----------+---------+-------------+--------
010000001 | 1       | 1           | E119
010000001 | 5       | 1           | E119
""",
    "pmsi_mco/t_mcoaaa": """
ETA_NUM   | RSA_NUM | ENT_DAT_DEL | CDC_ACT | PHA_ACT | ACV_ACT | NBR_EXE_ACT
----------+---------+-------------+---------+---------+---------+------------
010000001 | 1       | 1           | DEQP003 | 0       | 1       | 1
010000001 | 1       | -1          | DEQP003 | 0       | 1       | 1
010000001 | 1       | 9999        | DEQP003 | 0       | 1       | 99999
010000001 | 5       | 9000        | DEQP003 | 0       | 1       | 0
""",
    "ville/patient": """
practice_id | patient_local_id | patient_pseudonym | identity_status | birth_date | sex | deceased_date | opposition
------------+------------------+-------------------+-----------------+------------+-----+---------------+-----------
A           | 1                | known             | ok              | 1950-03-07 | F   | 2024-02-20    | 0
A           | 2                | medieval          | ok              | 1066-10-14 | F   |               | 0
A           | 3                | of the future     | ok              | 2199-01-01 | F   |               | 0
A           | 4                | no date           | ok              |            | F   |               | 0
A           | 5                | dead early        | ok              | 1950-03-07 | F   | 1949-01-01    | 0
""",
    "ville/encounter": """
practice_id | encounter_id | patient_local_id | date_time           | type
------------+--------------+------------------+---------------------+--------
A           | e1           | 1                | 2024-02-05T23:30:00 | cabinet
A           | e2           | 1                | 2024-01-31T09:00:00 | cabinet
A           | e3           | 1                | 1899-12-30T00:00:00 | cabinet
A           | e4           | 2                | 2024-02-05T09:00:00 | cabinet
A           | e5           | 3                | 2024-02-05T09:00:00 | cabinet
A           | e6           | 4                | 2024-02-05T09:00:00 | cabinet
A           | e7           | 5                | 2024-02-05T09:00:00 | cabinet
A           | e8           | 77               | 2024-02-05T09:00:00 | cabinet
""",
    "ville/problem": """
practice_id | encounter_id | problem_rank | code | code_system
------------+--------------+--------------+------+------------
A           | e1           | 1            | K86  | CISP2
A           | e2           | 1            | K86  | CISP2
A           | e4           | 1            | K86  | CISP2
""",
    "ville/prescription": """
practice_id | encounter_id | line_rank | cip13         | quantity | duration_days | renewals
------------+--------------+-----------+---------------+----------+---------------+---------
A           | e1           | 1         | 3400999900010 | 2        | 8             | 2
A           | e1           | 2         | 3400999900010 | 99999    | 9999          | 99
A           | e1           | 3         | 3400999900010 | -1       | -1            | -1
A           | e3           | 1         | 3400999900010 | 1        | 8             | 0
""",
}
"""By table: what a contract lets in (``DETAILS`` of claims are made below, one for each line)."""

Tables = dict[str, dict[str, "DataFrame"]]


@pytest.fixture(scope="module")
def given(spark: SparkSession) -> Tables:
    """By source, its published tables of one month."""
    from pyspark.sql import functions as F

    from jobs.sources.dcir.filters import KEY

    def keyed(frame: DataFrame) -> DataFrame:
        kinds = dict(frame.dtypes)
        rest = {n: "2024-02-10" if n == "FLX_TRT_DTD" else "1" for n in KEY if n not in ("DCT_ORD_NUM", "FLX_DIS_DTD")}
        return frame.withColumns({name: F.lit(text).cast(kinds[name]) for name, text in rest.items()})

    frames = {name: source(spark, name, text, PERIOD) for name, text in BAD.items()}
    frames["dcir/er_prs_f"] = lines = keyed(frames["dcir/er_prs_f"])
    for table, ranked, columns in (
        ("er_pha_f", "PHA_ORD_NUM", {"PHA_PRS_C13": "huge", "PHA_ACT_QSN": "99999"}),
        ("er_cam_f", "CAM_ORD_NUM", {"CAM_PRS_IDE": "DEQP003", "CAM_ACT_COD": "1", "CAM_TRT_PHA": "0"}),
    ):
        empty = source(spark, f"dcir/{table}", "", PERIOD)
        kinds = dict(empty.dtypes)
        details = lines.select(*KEY, "_period").withColumns(
            {name: F.lit(text).cast(kinds[name]) for name, text in {ranked: "1", **columns}.items()}
        )
        frames[f"dcir/{table}"] = empty.unionByName(details, allowMissingColumns=True)
    return {
        s: {name.split("/")[1]: frame for name, frame in frames.items() if name.startswith(f"{s}/")}
        for s in source_names()
    }


def built(given: Tables, until: date = TODAY) -> dict[str, DataFrame]:
    """The OMOP tables of all sources, by name."""

    from jobs.harmonise import build
    from jobs.harmonise.concepts import to_lookup
    from jobs.harmonise.evidence import only_unattributable, resolve, with_dates
    from jobs.harmonise.omop import Database
    from jobs.harmonise.vocabulary import to_vocabulary
    from jobs.sources.harmonisable import to_harmonisable

    spark = given["dcir"]["er_prs_f"].sparkSession
    sources = [to_harmonisable(name, tables) for name, tables in given.items()]
    stem = reduce(lambda one, other: one.unionByName(other), [s.stem for s in sources]).cache()
    evidence = reduce(lambda one, other: one.unionByName(other), [s.evidence for s in sources])
    evidence = with_dates(evidence, stem).cache()
    frames = to_vocabulary(spark)
    frames |= build.to_database_tables(Database(frames["vocabulary"], tuple(given), until))
    frames |= build.to_person_tables(resolve(evidence, until).cache())
    lookup = to_lookup(frames["source_to_concept_map"], frames["concept"])
    frames |= build.to_event_tables(build.to_events(stem, lookup, only_unattributable(evidence)).cache())
    return {f"omop/{name}": frame.cache() for name, frame in frames.items()}


def broken(tables: dict[str, DataFrame]) -> dict[str, int]:
    """By critical rule over OMOP that some row breaks: how many do."""
    found: dict[str, int] = {}
    for name, frame in tables.items():
        rules = [r for r in all_rules()[name] if r.severity == "critical"]
        flagged = counters.annotate(frame, rules, tables.__getitem__)
        seen = flagged.agg(*counters.counters(rules)).collect()[0].asDict()
        found |= {rule: n for rule, (n, _) in counters.counts(rules, seen, frame).items() if n}
    return found


def test_what_the_sources_tolerate_never_breaks_a_critical_rule_over_omop(given: Tables) -> None:
    tables = built(given)
    assert broken(tables) == {}
    assert {name: tables[f"omop/{name}"].count() for name in ("person", "death", "visit_occurrence")} == {
        "person": 9,  # sound, shifted, three odd deaths; in hospital, backwards; known, dead early
        "death": 4,  # sound; in hospital, backwards; known
        "visit_occurrence": 9,
    }


@pytest.mark.parametrize(
    ("module", "guard", "rules"),
    [
        ("evidence", "possible_death", {"OMOP-DEA-004"}),
        ("evidence", "possible_birth", {"OMOP-PER-004"}),
    ],
)
def test_without_a_bound_one_bad_value_would_block_the_release_of_all_sources(
    given: Tables, monkeypatch: pytest.MonkeyPatch, module: str, guard: str, rules: set[str]
) -> None:
    from pyspark.sql import functions as F

    found: dict[str, Callable[..., object]] = {
        "possible_death": lambda until: F.col("death_date").isNotNull(),
        "possible_birth": lambda year: year.isNotNull(),
    }
    monkeypatch.setattr(importlib.import_module(f"jobs.harmonise.{module}"), guard, found[guard])
    assert rules <= set(broken(built(given)))


def test_the_filters_that_guarantee_a_rule_are_there_and_are_counted(given: Tables) -> None:
    of_all = [book for source, tables in given.items() for book in books(source, tables)]
    left_out = {f"{book['table']}:{name}" for book in of_all for name in book["left_out"]}
    named = {
        token
        for rules in all_rules().values()
        for rule in rules
        for token in rule.meta.get("guaranteed_by", "").split(", ")
        if ":" in token
    }
    assert named
    assert named <= left_out
