"""One rule, one definition: both ways of checking a rule give the same numbers on literal tables."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobs.errors import QualityErrored
from jobs.quality import counters, suite
from jobs.quality.counting import counting_of, of_rows
from jobs.quality.denominators import FLAGGED
from jobs.quality.judge import judge
from jobs.quality.rule import Rule
from jobs.quality.verdict import overall
from tests.spark import tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

WHY = {"fr": "parce que", "en": "because"}
CANARY = "CANARI-1850578006084"

# k: key, code, year, begins and ends, person and concept; the last two rows do not go on
SCHEMA = (
    "k bigint, code string, year int, begins date, ends date, person_id bigint, concept_id int, amount decimal(10,2),"
    " secret binary, _status string, _period string"
)
D, N = date, Decimal
ROWS: list[tuple[Any, ...]] = [
    (1, "A", 1950, D(2024, 3, 1), D(2024, 3, 2), 10, 5, N(10), b"x", "kept"),
    (1, "A", 2150, D(2024, 3, 2), D(2024, 3, 1), 11, 0, N(-1), b"x", "kept"),
    (2, "B\n", 1950, D(2024, 3, 2), D(2024, 3, 2), 12, 6, None, b"y", "kept"),
    (2, None, None, None, D(2024, 3, 1), 99, 7, N(3), None, "kept"),
    (3, "a", 1800, D(2024, 3, 3), None, None, None, N(4), b"z", "kept"),
    (None, "C", 1890, D(1999, 1, 1), D(1999, 1, 1), 10, 99, N(0), None, "kept"),
    (None, "AA", 2100, None, None, 10, 5, N(5), b"x", "kept"),
    (1, CANARY, 9999, D(2024, 3, 9), D(2024, 3, 1), 98, 98, N(-9), b"x", "quarantined"),
    (1, "A", 1950, D(2024, 3, 1), D(2024, 3, 2), 10, 5, N(10), b"x", "duplicate"),
]

# every kind: arguments, then (violated, denominator) as a person counts them
CASES: list[tuple[dict[str, Any], tuple[int, int]]] = [
    ({"kind": "not_null", "column": "code"}, (1, 7)),
    ({"kind": "not_null", "column": "secret"}, (2, 7)),
    ({"kind": "in_set", "column": "code", "values": ["A", "C"]}, (3, 6)),
    ({"kind": "in_set", "column": "year", "values": [1950, 1890]}, (3, 6)),
    ({"kind": "between", "column": "year", "min": 1890, "max": 2100}, (2, 6)),
    ({"kind": "between", "column": "amount", "min": 0}, (1, 6)),
    ({"kind": "between", "column": "begins", "max": D(2024, 3, 2)}, (1, 5)),
    ({"kind": "regex", "column": "code", "regex": "A|B|C"}, (3, 6)),
    ({"kind": "not_before", "column": "ends", "other": "begins"}, (1, 4)),
    ({"kind": "same_sign", "columns": ["amount", "year"]}, (1, 5)),
    ({"kind": "in_period", "column": "begins"}, (1, 5)),
    ({"kind": "in_period", "columns": ["year", "concept_id"]}, (5, 5)),
    ({"kind": "unique", "columns": ["k"]}, (4, 5)),
    ({"kind": "unique", "columns": ["k", "code"]}, (2, 4)),
    ({"kind": "unique", "columns": ["secret"]}, (3, 5)),
    ({"kind": "foreign_key", "columns": ["person_id"], "references": "omop/person.person_id"}, (1, 6)),
    ({"kind": "foreign_key", "columns": ["k", "code"], "references": "x/parent"}, (1, 4)),
    ({"kind": "concept_domain", "column": "concept_id", "domain": "Condition"}, (3, 5)),
    ({"kind": "concept_domain", "column": "concept_id", "domain": ["Condition", "Drug"]}, (2, 5)),
    ({"kind": "rate", "of": "unmapped", "column": "concept_id"}, (1, 6)),
    ({"kind": "rate", "of": "quarantined"}, (1, 9)),
    ({"kind": "rate", "of": "duplicate"}, (1, 9)),
    ({"kind": "row_count", "min": 10}, (3, 10)),
    ({"kind": "row_count", "min": 1, "max": 5}, (2, 7)),
]
EXTRA = {"quarantined": (1, 9), "duplicate": (1, 9)}


def rule(identity: str, **arguments: Any) -> Rule:
    return Rule.model_validate({"table": "x/y", "id": identity, "severity": "critical", "why": WHY, **arguments})


RULES = [rule(f"T-{n:03}", **arguments) for n, (arguments, _) in enumerate(CASES)]
EXPECTED = {r.id: numbers for r, (_, numbers) in zip(RULES, CASES, strict=True)}


@pytest.fixture(scope="module")
def read(spark: SparkSession) -> Callable[[str], DataFrame]:
    referred = {
        # 10 twice: a referred table with copies must not multiply rows
        "omop/person": spark.createDataFrame([(10,), (10,), (11,), (12,), (None,)], "person_id bigint"),
        "x/parent": spark.createDataFrame([(1, "A"), (2, "B\n"), (1, None), (2, "A")], "k bigint, code string"),
        "omop/concept": spark.createDataFrame(
            [(0, "Metadata"), (5, "Condition"), (6, "Drug"), (7, "Visit")], "concept_id int, domain_id string"
        ),
    }
    return referred.__getitem__


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([(*row, "2024-03") for row in ROWS], SCHEMA)


def observed(df: DataFrame, rules: list[Rule], where: Any, out: Path) -> dict[str, Any]:
    """The counts of one writing pass."""
    from pyspark.sql import Observation

    seen = Observation("rules")
    df.observe(seen, *counters.counters(rules, where)).drop(*[r.flag for r in rules]).write.parquet(str(out))
    return dict(seen.get)


@pytest.fixture(scope="module")
def staged(table: DataFrame, read: Callable[[str], DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(observed, the staged table as written)."""
    from pyspark.sql import functions as F

    out = tmp_path_factory.mktemp("staged") / "table"
    seen = observed(counters.annotate(table, RULES, read), RULES, F.col("_status") == "kept", out)
    return seen, table.sparkSession.read.parquet(str(out))


def test_the_writing_pass_counts_every_kind_as_a_person_does(staged: Any) -> None:
    seen, written = staged
    assert counters.counts(RULES, seen, written, EXTRA, rows=7) == EXPECTED


def counted_in_blocks(table: DataFrame) -> dict[str, Any]:
    """What the rules that a row answers alone count over the kept rows as Arrow, in blocks, texts coded and not."""
    rows = table.where("_status = 'kept'").toArrow()
    coded = rows.set_column(1, "code", rows["code"].dictionary_encode())
    count = counting_of(of_rows(RULES), "2024-03")
    whole, parts = count(rows), Counter[str]()
    for block in (coded[:3], coded[3:4], coded[4:4], coded[4:]):
        parts.update(count(block))
    assert parts == whole
    return dict(whole)


def test_blocks_of_rows_give_the_same_numbers_as_the_writing_pass(table: DataFrame, staged: Any) -> None:
    seen, found = staged[0], counted_in_blocks(table)
    assert found == {name: n for name, n in seen.items() if name in found}
    alone = {r.id for r in of_rows(RULES)} & {name.removeprefix("v/") for name in seen}
    assert {name.removeprefix("v/") for name in found if name.startswith("v/")} == alone
    assert len(alone) == 13


def test_standard_expectations_give_the_same_numbers_and_verdicts(
    staged: Any, read: Callable[[str], DataFrame]
) -> None:
    seen, written = staged
    by_standards = suite.check_table(written, RULES, read)
    assert {r.rule: (r.violated, r.denominator) for r in by_standards} == EXPECTED
    assert by_standards == judge("x/y", RULES, counters.counts(RULES, seen, written, EXTRA))
    assert [r.error for r in by_standards] == [None] * len(RULES)


def test_rows_are_neither_multiplied_nor_lost_by_the_joins(table: DataFrame, read: Callable[[str], DataFrame]) -> None:
    flagged = counters.annotate(table, RULES, read)
    assert flagged.count() == len(ROWS)
    assert flagged.columns[: len(table.columns)] == table.columns
    assert set(flagged.columns[len(table.columns) :]) == {r.flag for r in RULES if r.kind in FLAGGED}


@pytest.mark.parametrize("seed", [1, 2])
def test_both_ways_agree_on_random_tables(
    spark: SparkSession, read: Callable[[str], DataFrame], tmp_path: Path, seed: int
) -> None:
    pick = random.Random(seed)
    choices = [[row[i] for row in ROWS] for i in range(9)]
    rows = [
        (*(pick.choice(c) for c in choices), pick.choice(["kept", "kept", "quarantined", "duplicate"]), "2024-03")
        for _ in range(60)
    ]
    from pyspark.sql import functions as F

    df = spark.createDataFrame(rows, SCHEMA)
    seen = observed(counters.annotate(df, RULES, read), RULES, F.col("_status") == "kept", tmp_path / "t")
    share = {of: (sum(r[-2] == of for r in rows), len(rows)) for of in ("quarantined", "duplicate")}
    written = spark.read.parquet(str(tmp_path / "t"))
    blocks = counted_in_blocks(df)
    assert blocks == {name: n for name, n in seen.items() if name in blocks}
    counted = counters.counts(RULES, seen, written, share)
    by_standards = suite.check_table(written, RULES, read)
    assert {r.rule: (r.violated, r.denominator) for r in by_standards} == counted
    assert len(counted) == len(RULES)


def test_an_empty_table_is_not_applicable_and_fails_on_its_row_count(
    spark: SparkSession, read: Callable[[str], DataFrame], tmp_path: Path
) -> None:
    df = spark.createDataFrame([], SCHEMA)
    rules = [r for r in RULES if r.of in (None, "unmapped")]
    seen = observed(counters.annotate(df, rules, read), rules, None, tmp_path / "t")
    written = spark.read.parquet(str(tmp_path / "t"))
    results = judge("x/y", rules, counters.counts(rules, seen, written))
    assert {r.verdict for r in results if r.kind != "row_count"} == {"passed"}
    assert all(r.not_applicable for r in results if r.kind != "row_count")
    assert [(r.verdict, r.violated, r.denominator) for r in results if r.kind == "row_count"] == [
        ("failed", 10, 10),
        ("failed", 1, 1),
    ]
    assert suite.check_table(written, rules, read) == results


MONTHS = """
delivered | day        | at                  | year | month | day is | at is | year and month are
----------+------------+---------------------+------+-------+--------+-------+-------------------
2024-02   | 2024-02-01 | 2024-02-01 00:00:00 | 2024 | 2     | true   | true  | true
2024-02   | 2024-02-29 | 2024-02-29 23:59:59 | 2024 | 2     | true   | true  | true
2024-02   | 2024-03-01 | 2024-03-01 00:00:00 | 2024 | 3     | false  | false | false
2024-02   | 2024-01-31 | 2024-01-31 23:59:59 | 2024 | 1     | false  | false | false
2024-02   | 2023-02-10 | 2023-02-10 10:00:00 | 2023 | 2     | false  | false | false
2024-12   | 2024-12-31 | 2024-12-31 12:00:00 | 2024 | 12    | true   | true  | true
2024-12   | 2025-01-01 | 2025-01-01 00:00:00 | 2025 | 1     | false  | false | false
2024-02   |            |                     | 2024 |       |        |       |
2024-02   |            |                     |      | 2     |        |       |
2024-02   | 0001-02-01 | 9999-12-31 00:00:00 | 2147483647 | 99 | false | false | false
soon      | 2024-02-01 | 2024-02-01 00:00:00 | 2024 | 2     | false  | false | false
"""


def test_a_row_belongs_to_the_month_of_its_delivery(spark: SparkSession) -> None:
    from pyspark.sql import functions as F

    types = {"delivered": "string", "day": "date", "at": "timestamp", "year": "int", "month": "int"}
    told = ("day is", "at is", "year and month are")
    rows = tables.table(spark, MONTHS, types | dict.fromkeys(told, "boolean"))
    rules = [
        rule(f"T-{n}", kind="in_period", columns=names) for n, names in enumerate((["day"], ["at"], ["year", "month"]))
    ]
    flagged = counters.annotate(rows.withColumnRenamed("delivered", "_period"), rules, lambda name: rows)
    found = flagged.select(*[r.flag for r in rules], *told).collect()
    assert [tuple(r)[:3] for r in found] == [tuple(r)[3:] for r in found]
    for month in ("2024-02", "2024-12", "soon"):
        block = rows.where(F.col("delivered") == month).toArrow()
        counted = counting_of(rules, month)(block)
        for one, name in zip(rules, told, strict=True):
            answers = block[name].to_pylist()
            assert (counted["v/" + one.id], counted["d/" + one.flag]) == (
                answers.count(False),
                len(answers) - answers.count(None),
            )


def test_a_key_is_looked_for_in_the_rows_that_stay(spark: SparkSession, table: DataFrame) -> None:
    """Written are (1, A), (1, A), (2, B), (3, a); what stays beside them holds (3, a), and (2, C) twice."""
    from pyspark.sql import functions as F

    written = counters.only_kept(table)
    stay = spark.createDataFrame([(3, "a"), (2, "C"), (2, "C"), (9, "Z"), (3, None)], "k bigint, code string")
    unique = [rule("T-1", kind="unique", columns=["k", "code"]), rule("T-2", kind="unique", columns=["k"])]
    seen = {"_rows": 7, "d/code+k": 4, "d/k": 5}
    assert counters.counts(unique, seen, written) == {"T-1": (2, 4), "T-2": (4, 5)}
    assert counters.counts(unique, seen, written, beside=stay) == {"T-1": (3, 4), "T-2": (5, 5)}
    others = [rule("T-3", kind="unique", columns=["code"]), rule("T-4", kind="not_null", column="k")]
    repeated = counters.all_duplicates([(unique, written, stay), (others, stay, None)])
    assert repeated == {"T-1": 3, "T-2": 5, "T-3": 2}
    assert counters.counts(unique, seen, written, repeated=repeated) == {"T-1": (3, 4), "T-2": (5, 5)}
    alone = written.dropna(subset=["k", "code"]).dropDuplicates(["k", "code"])
    for beside, met in ((None, 0), (stay, 1), (stay.where(F.lit(False)), 0)):
        found = counters.counts(unique[:1], seen, alone, beside=beside, key=("code", "k"))
        assert found == {"T-1": (met, 4)}
        assert counters.counts(unique[:1], seen, alone, beside=beside) == found


def test_hashes_that_collide_are_rechecked_exactly(table: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.sql import functions as F

    monkeypatch.setattr(F, "xxhash64", lambda *names: F.lit(1))
    asked = [rule("T-1", kind="unique", columns=["k"]), rule("T-2", kind="unique", columns=["k", "ends"])]
    assert counters.all_duplicates([(asked, counters.only_kept(table), None)]) == {"T-1": 4, "T-2": 0}
    assert counters.duplicates(counters.only_kept(table), ["k"]) == 4
    assert counters.duplicates(counters.only_kept(table), ["k", "ends"]) == 0
    assert counters.duplicates(counters.only_kept(table), ["k", "ends"], table.where("ends = '2024-03-09'")) == 0


def test_a_shorter_action_that_overwrote_the_counts_is_found_out(spark: SparkSession, tmp_path: Path) -> None:
    from pyspark.sql import Observation

    seen, rules = Observation("rules"), [rule("T-1", kind="not_null", column="id")]
    watched = spark.range(0, 400_000, 1, 8).observe(seen, *counters.counters(rules))
    watched.write.parquet(str(tmp_path / "t"))
    watched.limit(2).collect()
    written = spark.read.parquet(str(tmp_path / "t"))
    assert written.count() == 400_000
    assert counters.counts(rules, seen.get, written)["T-1"][1] < 400_000  # the trap is there ...
    with pytest.raises(QualityErrored, match="where the books have 400000"):  # ... and is seen
        counters.counts(rules, seen.get, written, rows=400_000)


def test_a_pass_that_reports_nothing_is_refused(table: DataFrame) -> None:
    with pytest.raises(QualityErrored, match="no counts"):
        counters.counts(RULES, {}, table)


@pytest.fixture
def unsafe(spark: SparkSession) -> tuple[DataFrame, list[Rule]]:
    """A table whose text cannot be compared with a number: Spark's error quotes the text."""
    df = spark.createDataFrame([(CANARY, 1), ("1", 2)], "code string, n int")
    return df, [
        rule("T-1", kind="in_set", column="code", values=[1, 2]),
        rule("T-2", kind="not_before", column="code", other="n"),
        rule("T-3", kind="not_null", column="nowhere"),
        rule("T-4", kind="in_set", column="n", values=[1], max_rate=0.5),
    ]


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What pyspark's and Great Expectations' loggers say during a test."""
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(self.format(record))

    ear, names = Ear(), (*suite.QUOTING, *suite.LOUD)
    for name in names:
        logging.getLogger(name).addHandler(ear)
    yield said
    for name in names:
        logging.getLogger(name).removeHandler(ear)


def test_no_cell_value_leaves_through_an_error(
    unsafe: tuple[DataFrame, list[Rule]], heard: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    results = suite.check_table(*unsafe)
    said = capfd.readouterr()
    assert [(r.rule, r.verdict) for r in results] == [
        ("T-1", "errored"),
        ("T-2", "errored"),
        ("T-3", "errored"),
        ("T-4", "passed"),
    ]
    assert overall(results) == "errored"
    assert all(r.error for r in results[:3])
    assert CANARY not in json.dumps([r.model_dump() for r in results])
    assert CANARY not in said.out + said.err + "".join(heard)


def test_the_canary_would_be_seen_without_the_guards(
    unsafe: tuple[DataFrame, list[Rule]], heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "error_class", lambda info: json.dumps(info, default=str))
    monkeypatch.setattr(suite, "muted", nullcontext)
    before = {name: logging.getLogger(name).level for name in suite.QUOTING}
    for name in suite.QUOTING:
        logging.getLogger(name).setLevel(logging.NOTSET)
    results = suite.check_table(*unsafe)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
    assert CANARY in json.dumps([r.model_dump() for r in results])
    assert CANARY in "".join(heard)
