"""Odd values of every type: each is kept exactly as it was sent, or costs its row with a reason. Nothing is guessed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.rows.typed import typed
from schemas.loader import Csv, Table
from schemas.values import BLANKS, EARLIEST
from tests.spark.test_stage import FRENCH, TEXT, column

MONTH, CSV = "2024-02", Csv(date_format="dd/MM/yyyy")
MONTH_END = date(2024, 2, 29)
ODD = (
    "", "0", "-0", "00", "007", "+1", "-1", "--1", "1-", "1 000", "1\xa0000", "1,000", "1_000", "1'000", "1e3",
    "1E-3", "0x1F", "1.", ".5", "-.5", "-", ".", "1.0", "1.00", "1.000", "1.005", "0.333", "26.505", "26.50",
    "26.500", "1.5E-3", "\u0661\u0662", "\uff11\uff12", "\xb2", "NaN", "nan", "Infinity", "-Infinity", "inf",
    "null", "NULL", "true", "True", "yes", "t", "1L", "1d", "1f", "999999999", "9999999999", "2147483647",
    "2147483648", "-2147483648", "999999999999999999", "9999999999999999999", "9" * 40, "9" * 400, "0" * 30 + "7",
    "9999999.99", "99999999.99", "0.004", "31/01/2024", "1/1/2024", "31/02/2024", "29/02/2024", "29/02/2023",
    "30/02/2024", "01/03/2024", "00/01/2024", "01/13/2024", "2024-01-31", "2024-1-5", "01/01/0001", "01/01/0000",
    "03/02/0980", "31/12/1849", "01/01/1850", "01/01/9999", "01/01/12024", "01/01/24", "31/01/2024 10:00",
    "31/01/2024T", "31/01/20242", "+1/01/2024", "2024-02-29T23:59:59", "2024-03-01T00:00:00", "2024-02-29T24:00:00",
    "2024-02-29T10:00", "2024-02-29 10:00:00", "2024-02-29T10:00:00Z", "2024-02-29T10:00:00.5",
    "1849-12-31T23:59:59", "epoch", "today", "now", "a\nb", "\u0627", "\U0001f600", "e\u0301", "'; --", "\\", "%s",
    "\x1f",
)  # fmt: skip


SCHEMA = "V string, _file string, _row long"
"""A landed table of one column; a field without text is NULL there."""


def exact_date(text: str) -> date:
    day, month, year = text.split("/")
    made = date(int(year), int(month), int(day))
    if f"{made.day:02}/{made.month:02}/{made.year:04}" != text:
        raise ValueError
    return made


def exact_time(text: str) -> datetime:
    made = datetime.fromisoformat(text)
    if made.isoformat() != text:
        raise ValueError
    return made


KINDS: dict[str, tuple[dict[str, Any], Callable[[str], Any]]] = {
    "integer": ({"type": "integer"}, int),
    "bigint": ({"type": "bigint"}, int),
    "decimal": ({"type": "decimal", "precision": 9, "scale": 2}, Decimal),
    "whole": ({"type": "decimal", "precision": 9, "scale": 0}, Decimal),
    "double": ({"type": "double"}, float),
    "boolean": ({"type": "boolean"}, lambda t: {"true": True, "1": True, "false": False, "0": False}[t]),
    "date": ({"type": "date", "not_after": "period"}, exact_date),
    "datetime": ({"type": "datetime", "not_after": "period"}, exact_time),
    "string": ({"type": "string"}, str),
}


def values() -> list[str]:
    """The odd ones, the same between blanks, and texts that chance made of what numbers and dates are written with."""
    chance = random.Random(10)
    padded = [chance.choice(BLANKS[1:]) + v + chance.choice(BLANKS[1:]) for v in ODD]
    made = ["".join(chance.choices("0123456789.,-+/eT: \u00a0", k=chance.randint(1, 12))) for _ in range(1500)]
    days = [EARLIEST + timedelta(days=chance.randint(-500, 64000)) for _ in range(300)]
    money = [f"{chance.uniform(-2e7, 2e7):.{chance.randint(0, 4)}f}" for _ in range(300)]
    return [*ODD, *padded, *made, *(f"{d:%d/%m/}{d.year:04}" for d in days), *money]


@pytest.fixture(scope="module")
def outcomes(spark: SparkSession) -> dict[str, list[tuple[str, Any, str | None]]]:
    """By type: text as sent, value that the lake would hold, reason. One table a type: a row has one reason."""
    sent = values()
    found = {}
    for name, (more, _) in KINDS.items():
        contract = Table.model_validate({"table": "t", "title": TEXT, "row": TEXT, "column": [column("V", **more)]})
        raw = spark.createDataFrame([(v or None, "a.csv", n) for n, v in enumerate(sent)], SCHEMA)
        # of a refused row no value counts, and some are days that Python does not have
        kept = F.when(F.col("_reason").isNull(), F.col("V")).alias("V")
        rows = typed(raw, contract, CSV, MONTH).orderBy("_row").select(kept, "_reason").collect()
        found[name] = [(v, row["V"], row["_reason"]) for v, row in zip(sent, rows, strict=True)]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_that_is_kept_is_the_one_that_was_sent(kind: str, outcomes: dict[str, Any]) -> None:
    """And a value of another kind is never kept: what Python reads otherwise, or not at all, has a reason."""
    read = KINDS[kind][1]
    kept = [(text.strip(BLANKS), value) for text, value, reason in outcomes[kind] if reason is None]
    assert kept, "nothing was kept"
    for text, value in kept:
        if text == "":
            assert value is None
            continue
        assert value is not None, text
        assert value == read(text), text
        assert kind == "string" or text.isascii(), text
        assert kind != "double" or math.isfinite(value), text


@pytest.mark.parametrize("kind", KINDS)
def test_what_breaks_the_contract_says_how(kind: str, outcomes: dict[str, Any]) -> None:
    reasons = {reason.partition(":")[0] for _, _, reason in outcomes[kind] if reason}
    dated = {"too_early", "too_late"} if kind.startswith("date") else set()
    assert reasons == (set() if kind == "string" else {"unparsable"} | dated)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("string", "boolean")])
def test_sound_values_are_not_refused(kind: str, outcomes: dict[str, Any]) -> None:
    sound = {
        "integer": {"0", "-1", "007", "2147483647"},
        "bigint": {"9" * 18},
        "decimal": {"1.", "1.0", "26.50", "26.500", ".5", "-.5", "9999999.99", "0" * 30 + "7"},
        "whole": {"1.0", "1.000", "9" * 9},
        "double": {"0.333", "26.505"},
        "date": {"31/01/2024", "29/02/2024", "01/01/1850"},
        "datetime": {"2024-02-29T23:59:59"},
    }[kind]
    assert sound <= {text for text, _, reason in outcomes[kind] if reason is None}


def test_dates_have_bounds(outcomes: dict[str, Any]) -> None:
    said = {text: reason for text, _, reason in outcomes["date"]} | {
        t: r for t, _, r in outcomes["datetime"] if "T" in t
    }
    assert {said[t] for t in ("31/12/1849", "03/02/0980", "1849-12-31T23:59:59")} == {"too_early:V"}
    assert {said[t] for t in ("01/03/2024", "01/01/9999", "2024-03-01T00:00:00")} == {"too_late:V"}


def test_a_comma_is_a_decimal_point_where_the_contract_says_so(spark: SparkSession) -> None:
    contract = Table.model_validate(
        {"table": "t", "title": TEXT, "row": TEXT, "column": [column("V", type="decimal", precision=9, scale=2)]}
    )
    sent = {"12,50": None, "12.50": "unparsable:V", "1.250,00": "unparsable:V", "1,255": "unparsable:V"}
    raw = spark.createDataFrame([(v, "a.csv", n) for n, v in enumerate(sent)], "V string, _file string, _row long")
    rows = typed(raw, contract, FRENCH, MONTH).orderBy("_row").collect()
    assert [row["_reason"] for row in rows] == list(sent.values())


IDENTITY = Table.model_validate(
    {
        "table": "t",
        "title": TEXT,
        "row": TEXT,
        "column": [column("WHO", pseudonym="person", form="[!-~]{17}", length=17), column("CODE", values=["R74"])],
    }
)
SOUND = "JX4V2Q7M3KD9TB6WZ"


def test_blanks_of_every_kind_are_no_part_of_a_value(spark: SparkSession) -> None:
    bare = [(SOUND, "R74"), (None, None)]
    padded = [pair for b in BLANKS[1:] for pair in ((f"{b}{SOUND}{b} ", f" {b}R74{b}"), (b, b * 3))]
    raw = spark.createDataFrame(
        [(*pair, "a.csv", n) for n, pair in enumerate([*bare, *padded])],
        "WHO string, CODE string, _file string, _row long",
    )
    rows = typed(raw, IDENTITY, CSV, MONTH).orderBy("_row").drop("_row").collect()
    assert rows[0]["WHO"] is not None and rows[0]["CODE"] == "R74" and rows[1]["WHO"] is None
    assert rows == rows[:2] * (len(BLANKS))


def test_placeholders_are_no_identifiers_and_other_forms_are_refused(spark: SparkSession) -> None:
    nobody = [
        "NULL", "null", ".", "0", " ", "-", "?", "N/A", "n.a.", "NaN", "none", "INCONNU", "0" * 17, "x" * 17, "X" * 17,
        "x" * 16 + "D", "X" * 16 + "d", "XXXXD", "9" * 17, "A" * 17, "*" * 17, "\u00a0NULL\u200b",
    ]  # fmt: skip
    misshapen = ["ABC", SOUND + "A", SOUND[:16], SOUND[:8] + " " + SOUND[9:], SOUND[:16] + "\u00c9", "1850578006084"]
    raw = spark.createDataFrame(
        [(v, "R74", "a.csv", n) for n, v in enumerate([*nobody, *misshapen, SOUND, "x" * 8 + SOUND[:9]])],
        "WHO string, CODE string, _file string, _row long",
    )
    rows = typed(raw, IDENTITY, CSV, MONTH).orderBy("_row").collect()
    empty, wrong, sound = rows[: len(nobody)], rows[len(nobody) : -2], rows[-2:]
    assert all(row["WHO"] is None and row["_reason"] is None for row in empty)
    assert [row["_reason"] for row in wrong] == ["form:WHO", "too_long:WHO", *["form:WHO"] * 4]
    assert all(row["WHO"] is not None and row["_reason"] is None for row in sound)
