"""One lookup of concepts: one target, several, none, targets that have no table here."""

from __future__ import annotations

from pyspark.sql import SparkSession

from jobs.harmonise.concepts import to_lookup, with_concepts
from jobs.harmonise.stem import STEM
from tests.spark.tables import check, shaped, table

MAP_TYPES = {
    "source_code": "string", "source_vocabulary_id": "string", "target_concept_id": "int", "source_concept_id": "int",
    "invalid_reason": "string",
}  # fmt: skip
CONCEPT_TYPES = {
    "concept_id": "int", "domain_id": "string", "standard_concept": "string", "invalid_reason": "string",
}  # fmt: skip

MAP = """
source_code | source_vocabulary_id | target_concept_id | source_concept_id | invalid_reason
------------+----------------------+-------------------+-------------------+---------------
I10         | CIM10                | 320128            | 0                 |
E1128       | CIM10                | 201826            | 0                 |
E1128       | CIM10                | 192279            | 0                 |
Z511        | CIM10                | 4273629           | 0                 |
Z380        | CIM10                | 0                 | 0                 |
Z720        | CIM10                | 903654            | 0                 |
X999        | CIM10                | 320128            | 0                 | D
X998        | CIM10                | 111               | 0                 |
M000        | CIM10                | 903654            | 0                 |
M000        | CIM10                | 320128            | 2000000001        |
M000        | CIM10                | 9201              | 0                 |
stay        | MCO_STAY             | 9201              | 0                 |
stay        | MCO_STAY             | 9203              | 0                 |
"""
CONCEPTS = """
concept_id | domain_id   | standard_concept | invalid_reason
-----------+-------------+------------------+---------------
320128     | Condition   | S                |
201826     | Condition   | S                |
192279     | Condition   | S                |
4273629    | Procedure   | S                |
903654     | Observation | S                |
111        | Condition   |                  |
9201       | Visit       | S                |
9203       | Visit       | S                |
"""


def test_codes_find_their_concepts_and_tables(spark: SparkSession) -> None:
    stem = shaped(
        spark,
        STEM,
        """
        natural_key     | kind      | source_vocabulary | source_code
        ----------------+-----------+-------------------+------------
        one target      | condition | CIM10             | I10
        two targets     | condition | CIM10             | E1128
        another domain  | condition | CIM10             | Z511
        mapped to 0     | condition | CIM10             | Z380
        no table yet    | condition | CIM10             | Z720
        invalid map     | condition | CIM10             | X999
        not standard    | condition | CIM10             | X998
        one of three    | condition | CIM10             | M000
        unknown code    | drug      | CIP13             | 1
        no code         | drug      | CIP13             |
        unknown list    | procedure | NGAP              | I10
        visit           | visit     | MCO_STAY          | stay
        unknown visit   | visit     | PRS_NAT_REF       | 9999
        """,
        _source="s",
    )
    lookup = to_lookup(table(spark, MAP, MAP_TYPES), table(spark, CONCEPTS, CONCEPT_TYPES))
    check(
        with_concepts(stem, lookup),
        """
        natural_key     | source_code | concept_id | source_concept_id | target_rank | table
        ----------------+-------------+------------+-------------------+-------------+---------------------
        one target      | I10         | 320128     | 0                 | 0           | condition_occurrence
        two targets     | E1128       | 192279     | 0                 | 0           | condition_occurrence
        two targets     | E1128       | 201826     | 0                 | 1           | condition_occurrence
        another domain  | Z511        | 4273629    | 0                 | 0           | procedure_occurrence
        mapped to 0     | Z380        | 0          | 0                 | 0           | condition_occurrence
        no table yet    | Z720        | 0          | 0                 | 0           | condition_occurrence
        invalid map     | X999        | 0          | 0                 | 0           | condition_occurrence
        not standard    | X998        | 0          | 0                 | 0           | condition_occurrence
        one of three    | M000        | 320128     | 2000000001        | 0           | condition_occurrence
        unknown code    | 1           | 0          | 0                 | 0           | drug_exposure
        no code         |             | 0          | 0                 | 0           | drug_exposure
        unknown list    | I10         | 0          | 0                 | 0           | procedure_occurrence
        visit           | stay        | 9201       | 0                 | 0           | visit_occurrence
        unknown visit   | 9999        | 0          | 0                 | 0           | visit_occurrence
        """,
    )
