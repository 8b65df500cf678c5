"""Health insurance: filters, visits, drugs, acts, persons; by slices or all at once."""

# ruff: noqa: E501 - tables are as wide as they need to be

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.harmonise.stem import EVIDENCE, STEM
from jobs.sources.dcir.filters import KEY
from jobs.sources.harmonisable import to_harmonisable
from tests.spark.tables import books, check, check_books, shown, source

PERSONS = """
BEN_NIR_PSA | BEN_RNG_GEM | BEN_IDT_ANO | BEN_CDI_NIR | BEN_NAI_ANN | BEN_NAI_MOI | BEN_SEX_COD | BEN_DCD_DTE | BEN_DCD_AME | BEN_DTE_MAJ | _period
------------+-------------+-------------+-------------+-------------+-------------+-------------+-------------+-------------+-------------+--------
ann         | 1           | i-ann       | 00          | 1950        | 3           | 2           |             |             | 2020-01-01  | 2024-01
ann         | 2           | i-ann       | 00          | 1951        | 4           | 2           |             |             | 2023-01-01  | 2024-01
ann         | 1           | i-ann       | 00          | 1950        | 3           | 2           |             |             | 2020-01-01  | 2024-02
bob         | 1           |             | 00          | 1960        | 13          | 9           |             | 2024-01-01  |             | 2024-01
twins       | 1           | i-one       | 00          | 2015        | 5           | 1           |             |             |             | 2024-01
twins       | 2           | i-two       | 00          | 2015        | 5           | 1           |             |             |             | 2024-01
unknown     | 1           |             | 00          | 2016        | 5           | 1           |             |             |             | 2024-01
unknown     | 2           |             | 00          | 2016        | 5           | 1           |             |             |             | 2024-01
fictive     | 1           | i-f         | 03          | 1955        | 1           | 1           |             |             |             | 2024-01
no nature   | 1           | i-n         |             | 1955        | 1           | 1           |             |             |             | 2024-01
unborn      | 1           | i-u         | 00          |             |             | 1           |             |             |             | 2024-01
cam         | 0           | i-cam       | 00          | 1999        | 1           | 1           | 2024-01-30  | 2024-01-01  |             | 2024-01
"""

SERVICES = """
DCT_ORD_NUM | BEN_NIR_PSA | EXE_SOI_DTD | PFS_EXE_NUM | PRS_NAT_REF | PRS_ACT_QTE | CPL_MAJ_TOP | CPL_AFF_COD | DPN_QLF | PRS_DPN_QLP | RGM_COD | RGM_GRG_COD | BEN_CDI_NIR | _period
------------+-------------+-------------+-------------+-------------+-------------+-------------+-------------+---------+-------------+---------+-------------+-------------+--------
1           | ann         | 2024-01-05  | gp          | 1111        | 1           | 0           |             |         |             |         |             |             | 2024-01
2           | ann         | 2024-01-05  | gp          | 1352        | 1           |             |             | 0       | 0           |         |             | 00          | 2024-01
3           | ann         | 2024-01-05  | gp          | 1903        | 1           | 2           | 22          | 0       | 0           |         |             | 00          | 2024-01
4           | ann         | 2024-01-05  | gp          | 1111        | 1           | 0           | 16          | 0       | 0           |         |             | 00          | 2024-01
5           | ann         | 2024-01-05  |             | 3313        | 2           | 0           |             | 0       | 0           |         |             | 00          | 2024-01
6           | ann         | 2024-01-06  |             | 3313        | 2           | 2           |             | 0       | 0           |         |             | 00          | 2024-01
7           | ann         | 2024-01-06  |             | 6111        | 3           | 0           |             | 0       | 0           |         |             | 00          | 2024-01
8           | ann         | 2024-01-05  | gp          | 1211        | 1           | 0           |             | 0       | 0           |         |             | 00          | 2024-01
9           | ann         | 2024-01-05  | gp          | 1352        | 1           | 0           |             | 0       | 0           |         |             | 00          | 2024-02
10          | bob         | 2024-01-07  | lab         | 3211        | 4           | 1           |             |         | 72          | 888     | 2           |             | 2024-01
11          | ann         | 2024-01-07  | h           | 1112        | 1           | 0           |             | 71      | 0           |         |             |             | 2024-01
12          | ann         | 2024-01-07  | h           | 1112        | 1           | 0           |             |         | 71          |         |             |             | 2024-01
13          | ann         | 2024-01-07  | h           | 1112        | 1           | 0           |             |         |             | 888     | 1           |             | 2024-01
14          | ann         | 2024-01-07  | h           | 1112        | 1           | 0           |             |         |             |         |             | 03          | 2024-01
15          | twins       | 2024-01-07  | gp          | 1111        | 1           | 0           |             |         |             |         |             |             | 2024-01
16          | unknown     | 2024-01-07  | gp          | 1111        | 1           | 0           |             |         |             |         |             |             | 2024-01
17          | fictive     | 2024-01-07  | gp          | 1111        | 1           | 0           |             |         |             |         |             |             | 2024-01
18          | stranger    | 2024-01-07  | gp          | 1111        | 1           | 0           |             |         |             |         |             |             | 2024-01
20          | bob         | 1999-12-31  | gp          | 1111        | 1           | 0           |             |         |             |         |             |             | 2024-01
21          | bob         | 2024-02-01  | gp          | 1111        | 1           | 0           |             |         |             |         |             |             | 2024-01
19          | bob         | 2024-02-07  | gp          | 1111        | 1           | 0           |             |         |             |         |             |             | 2024-02
"""

DRUGS = """
DCT_ORD_NUM | PHA_ORD_NUM | PHA_PRS_C13 | PHA_ACT_QSN | PHA_DEC_QSU | _period
------------+-------------+-------------+-------------+-------------+--------
5           | 1           | tablets     | 2           |             | 2024-01
5           | 2           | spray       | 1           | 0           | 2024-01
5           | 3           | vials       | 1           |             | 2024-01
5           | 4           | two sorts   | 1           |             | 2024-01
5           | 5           | tablets     | 1           | 7           | 2024-01
5           | 6           | odd         | 1           |             | 2024-01
5           | 7           | not listed  | 1           |             | 2024-01
5           | 8           | tablets     | -1          |             | 2024-01
6           | 1           | sachets     | 1           |             | 2024-01
11          | 1           | tablets     | 1           |             | 2024-01
99          | 1           | tablets     | 1           |             | 2024-01
9           | 1           | tablets     | 1           |             | 2024-02
"""
REFERENCE = """
PHA_CIP_C13 | PHA_UNT_NBR_DSES | _period
------------+------------------+--------
tablets     | 30               | 2024-01
spray       | 200 DOSES        | 2024-01
vials       | 3 / 2ML          | 2024-01
two sorts   | 10 + 11          | 2024-01
sachets     | 12 SACHETS       | 2024-01
odd         | un flacon        | 2024-01
tablets     | 90               | 2024-02
"""
ACTS = """
DCT_ORD_NUM | CAM_ORD_NUM | CAM_PRS_IDE   | CAM_ACT_COD | CAM_TRT_PHA | _period
------------+-------------+---------------+-------------+-------------+--------
2           | 1           | deqp003       | 1           | 0           | 2024-01
2           | 2           | NFKA007 01    | 4           | 1           | 2024-01
2           | 3           | NFKA007       | 1           |             | 2024-01
2           | 4           | NFKA007       | 1           | 2           | 2024-01
3           | 1           | NFKA007       | 1           | 0           | 2024-01
12          | 1           | NFKA007       | 1           | 0           | 2024-01
"""
REST_OF_KEY = [name for name in KEY if name != "DCT_ORD_NUM"]


@pytest.fixture(scope="module")
def tables(spark: SparkSession) -> dict[str, DataFrame]:
    given = {"ir_ben_r": PERSONS, "ir_pha_r": REFERENCE, "er_prs_f": SERVICES, "er_pha_f": DRUGS, "er_cam_f": ACTS}
    frames = {name: source(spark, f"dcir/{name}", text) for name, text in given.items()}
    for name in ("er_prs_f", "er_pha_f", "er_cam_f"):
        for column in REST_OF_KEY:
            value = F.to_date(F.concat("_period", F.lit("-01"))) if column == "FLX_DIS_DTD" else F.lit("1")
            kind = dict(frames[name].dtypes)[column]
            value = F.lit("2024-01-15") if column == "FLX_TRT_DTD" else value
            frames[name] = frames[name].withColumn(column, value.cast(kind))
    return frames


@pytest.fixture(scope="module")
def stem(tables: dict[str, DataFrame]) -> DataFrame:
    return named(to_harmonisable("dcir", tables).stem).cache()


def named(frame: DataFrame) -> DataFrame:
    return frame.withColumn("who", F.col("person_key").cast("string"))


def test_rows_that_stay_and_rows_left_out_by_reason_are_all_rows(tables: dict[str, DataFrame]) -> None:
    check_books(
        books("dcir", tables),
        """
        table         | period  | rows | stay | left out
        --------------+---------+------+------+---------
        dcir/ir_ben_r | 2024-01 | 11   | 8    | 2 fictitious_nir, 1 no_year_of_birth
        dcir/ir_ben_r | 2024-02 | 1    | 1    |
        dcir/ir_pha_r | 2024-01 | 6    | 6    |
        dcir/ir_pha_r | 2024-02 | 1    | 1    |
        dcir/er_prs_f | 2024-01 | 19   | 9    | 1 excluded_scheme, 1 fictitious_nir, 2 hospital_information, 2 implausible_date, 2 shared_pseudonym, 2 unknown_person
        dcir/er_prs_f | 2024-02 | 2    | 1    | 1 unknown_person
        dcir/er_pha_f | 2024-01 | 11   | 8    | 1 reversal, 2 service_left_out
        dcir/er_pha_f | 2024-02 | 1    | 1    |
        dcir/er_cam_f | 2024-01 | 6    | 4    | 1 partial_phase, 1 service_left_out
        """,
    )


def test_visits_drugs_and_acts(stem: DataFrame) -> None:
    assert stem.columns == ["_source", *STEM.names, "_period", "who"]
    check(
        stem.where("kind = 'visit'"),
        """
        who | start_date | end_date   | source_code | source_vocabulary | type_concept_id | _source | _period
        ----+------------+------------+-------------+-------------------+-----------------+---------+--------
        ann | 2024-01-05 | 2024-01-05 | 1111        | PRS_NAT_REF       | 32810           | dcir    | 2024-01
        ann | 2024-01-05 | 2024-01-05 | 1211        | PRS_NAT_REF       | 32810           | dcir    | 2024-01
        ann | 2024-01-05 | 2024-01-05 | 3313        | PRS_NAT_REF       | 32810           | dcir    | 2024-01
        ann | 2024-01-05 | 2024-01-05 | 1352        | PRS_NAT_REF       | 32810           | dcir    | 2024-02
        bob | 2024-01-07 | 2024-01-07 | 3211        | PRS_NAT_REF       | 32810           | dcir    | 2024-01
        """,
    )
    check(
        stem.where("kind = 'drug'").withColumn("visit", F.col("visit_key").isNotNull()),
        """
        source_code | source_vocabulary | start_date | quantity | days_supply | visit | type_concept_id | _period
        ------------+-------------------+------------+----------+-------------+-------+-----------------+--------
        tablets     | CIP13             | 2024-01-05 | 60.0     | 60          | true  | 32869           | 2024-01
        spray       | CIP13             | 2024-01-05 | 200.0    |             | true  | 32869           | 2024-01
        vials       | CIP13             | 2024-01-05 | 3.0      |             | true  | 32869           | 2024-01
        two sorts   | CIP13             | 2024-01-05 | 21.0     | 21          | true  | 32869           | 2024-01
        tablets     | CIP13             | 2024-01-05 | 7.0      | 7           | true  | 32869           | 2024-01
        odd         | CIP13             | 2024-01-05 |          |             | true  | 32869           | 2024-01
        not listed  | CIP13             | 2024-01-05 |          |             | true  | 32869           | 2024-01
        sachets     | CIP13             | 2024-01-06 | 12.0     |             | false | 32869           | 2024-01
        tablets     | CIP13             | 2024-01-05 | 90.0     | 90          | true  | 32869           | 2024-02
        """,
    )
    check(
        stem.where("kind = 'procedure'").withColumn("visit", F.col("visit_key").isNotNull()),
        """
        source_code | source_vocabulary | start_date | quantity | qualifier | visit | type_concept_id
        ------------+-------------------+------------+----------+-----------+-------+----------------
        DEQP003     | CCAM              | 2024-01-05 | 1.0      | 1/0       | true  | 32810
        NFKA007     | CCAM              | 2024-01-05 | 1.0      | 4/1       | true  | 32810
        NFKA007     | CCAM              | 2024-01-05 | 1.0      | 1         | true  | 32810
        NFKA007     | CCAM              | 2024-01-05 | 1.0      | 1/0       | false | 32810
        """,
    )


def test_keys_are_unique_and_visits_exist(stem: DataFrame) -> None:
    keys = [tuple(r) for r in stem.select("kind", "natural_key", "visit_key").collect()]
    assert len({k[:2] for k in keys}) == len(keys)
    visits = {key for kind, key, _ in keys if kind == "visit"}
    assert {visit for _, _, visit in keys if visit} <= visits
    assert all(len(key) == 64 for _, key, _ in keys)


def test_persons(tables: dict[str, DataFrame]) -> None:
    evidence = named(to_harmonisable("dcir", tables).evidence)
    assert evidence.columns == ["_source", *EVIDENCE.names, "_period", "who"]
    check(
        evidence,
        """
        who     | _period | gender | year_of_birth | month_of_birth | shared | death_date | death_type_concept_id | rank | first_date
        --------+---------+--------+---------------+----------------+--------+------------+-----------------------+------+-----------
        ann     | 2024-01 | 2      | 1951          | 4              | false  |            |                       | 1    |
        ann     | 2024-02 | 2      | 1950          | 3              | false  |            |                       | 1    |
        bob     | 2024-01 | 0      | 1960          |                | false  | 2024-01-31 | 32813                 | 1    |
        twins   | 2024-01 | 1      | 2015          | 5              | true   |            |                       | 1    |
        unknown | 2024-01 | 1      | 2016          | 5              | true   |            |                       | 1    |
        cam     | 2024-01 | 1      | 1999          | 1              | false  | 2024-01-30 | 32813                 | 1    |
        """,
    )


def test_slice_by_slice_or_all_at_once_is_the_same(tables: dict[str, DataFrame], stem: DataFrame) -> None:
    """Also: a correction of February cannot touch January."""
    whole = to_harmonisable("dcir", tables)
    slices = [
        to_harmonisable("dcir", {n: t.where(F.col("_period") == p) for n, t in tables.items()})
        for p in ("2024-02", "2024-01")
    ]
    for all_at_once, shape, second, first in zip(
        (stem, whole.evidence), (STEM, EVIDENCE), *[each[:2] for each in slices], strict=True
    ):
        columns = ["_period", *[f.name for f in shape.fields if f.dataType.typeName() != "binary"]]
        assert shown(second.unionByName(first), columns) == shown(all_at_once, columns)
