"""Odd values of every type: each is kept exactly as it was sent, or costs its row with a reason. Nothing is guessed.

``values_as_read.json`` holds what Spark's casts and expressions made of some thousand texts, type by type, when they
read deliveries: what was kept, as what value, and what was refused, with which reason. The hub is as strict today.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobs.rows.typed import reader_of, refused_schema, typed_schema
from schemas.values import BLANKS, EARLIEST
from tests.unit.typing_kit import CSV, FRENCH, Outcome, column, contract, outcomes, typed

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
AS_READ = json.loads((Path(__file__).parent / "values_as_read.json").read_text("utf-8"))


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
def said() -> dict[str, list[tuple[str, Any, str | None]]]:
    """By type: text as sent, value that the lake would hold, reason. One table a type: a row has one reason."""
    sent = values()
    return {
        name: [(text, *end) for text, end in zip(sent, outcomes(contract(column("V", **more)), sent), strict=True)]
        for name, (more, _) in KINDS.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_that_is_kept_is_the_one_that_was_sent(kind: str, said: dict[str, Any]) -> None:
    """And a value of another kind is never kept: what Python reads otherwise, or not at all, has a reason."""
    read = KINDS[kind][1]
    kept = [(text.strip(BLANKS), value) for text, value, reason in said[kind] if reason is None]
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
def test_what_breaks_the_contract_says_how(kind: str, said: dict[str, Any]) -> None:
    reasons = {reason.partition(":")[0] for _, _, reason in said[kind] if reason}
    dated = {"too_early", "too_late"} if kind.startswith("date") else set()
    assert reasons == (set() if kind == "string" else {"unparsable"} | dated)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("string", "boolean")])
def test_sound_values_are_not_refused(kind: str, said: dict[str, Any]) -> None:
    sound = {
        "integer": {"0", "-1", "007", "2147483647"},
        "bigint": {"9" * 18},
        "decimal": {"1.", "1.0", "26.50", "26.500", ".5", "-.5", "9999999.99", "0" * 30 + "7"},
        "whole": {"1.0", "1.000", "9" * 9},
        "double": {"0.333", "26.505"},
        "date": {"31/01/2024", "29/02/2024", "01/01/1850"},
        "datetime": {"2024-02-29T23:59:59"},
    }[kind]
    assert sound <= {text for text, _, reason in said[kind] if reason is None}


def test_dates_have_bounds(said: dict[str, Any]) -> None:
    reasons = {text: reason for text, _, reason in said["date"]} | {t: r for t, _, r in said["datetime"] if "T" in t}
    assert {reasons[t] for t in ("31/12/1849", "03/02/0980", "1849-12-31T23:59:59")} == {"too_early:V"}
    assert {reasons[t] for t in ("01/03/2024", "01/01/9999", "2024-03-01T00:00:00")} == {"too_late:V"}


def as_read(kind: str) -> list[Outcome]:
    """What Spark made of each text, values as text."""
    of = AS_READ["kinds"][kind]
    refused = {text: f"{code}:V" for code, texts in of["refused"].items() for text in texts}

    def outcome(text: str) -> Outcome:
        if text in of["kept"]:
            return of["kept"][text], None
        if of["otherwise"] == "as sent" and text not in refused:
            return text.strip(BLANKS), None
        return None, refused.get(text, f"{of['otherwise']}:V")

    return [outcome(text) for text in AS_READ["sent"]]


def shown(end: Outcome) -> Outcome:
    value, reason = end
    if isinstance(value, date):
        return value.isoformat(), reason
    return (None if value is None else str(value)), reason


@pytest.mark.parametrize("kind", AS_READ["kinds"])
def test_every_text_is_read_as_spark_read_it(kind: str) -> None:
    of, sent = AS_READ["kinds"][kind], AS_READ["sent"]
    table, csv = contract(column("V", **of["column"])), CSV.model_copy(update=of["csv"])
    before = as_read(kind)
    # two months of this kind brought Spark's whole query down; now they cost their own row
    before = [(None, "unparsable:V") if reason == "RAISES:V" else (value, reason) for value, reason in before]
    together = [shown(end) for end in outcomes(table, sent, csv)]
    differ = [(t, now, then) for t, now, then in zip(sent, together, before, strict=True) if now != then]
    assert not differ, differ[:10]
    sound = [text for text, (_, reason) in zip(sent, before, strict=True) if reason is None]
    plain = [shown(end) for end in outcomes(table, sound, csv)]
    assert plain == [end for end in before if end[1] is None], "without odd neighbours"
    for at in random.Random(3).sample(range(len(sent)), 60):
        assert [shown(end) for end in outcomes(table, [sent[at]], csv)] == [before[at]], "alone"


def test_a_comma_is_a_decimal_point_where_the_contract_says_so() -> None:
    sent = {"12,50": None, "12.50": "unparsable:V", "1.250,00": "unparsable:V", "1,255": "unparsable:V"}
    table = contract(column("V", type="decimal", precision=9, scale=2))
    assert [reason for _, reason in outcomes(table, list(sent), FRENCH)] == list(sent.values())
    assert outcomes(table, ["12,50", "-1,5"], FRENCH) == [(Decimal("12.50"), None), (Decimal("-1.50"), None)]


IDENTITY = contract(column("WHO", pseudonym="person", form="[!-~]{17}", length=17), column("CODE", values=["R74"]))
SOUND = "JX4V2Q7M3KD9TB6WZ"


def test_blanks_of_every_kind_are_no_part_of_a_value() -> None:
    bare = [(SOUND, "R74"), (None, None)]
    padded = [pair for b in BLANKS[1:] for pair in ((f"{b}{SOUND}{b} ", f" {b}R74{b}"), (b, b * 3))]
    rows = typed(IDENTITY, [*bare, *padded]).rows.drop_columns("_row").to_pylist()
    assert [row["WHO"] for row in rows[:2]] == [SOUND, None]
    assert rows == rows[:2] * len(BLANKS)


def test_placeholders_are_no_identifiers_and_other_forms_are_refused() -> None:
    nobody = [
        "NULL", "null", ".", "0", " ", "-", "?", "N/A", "n.a.", "NaN", "none", "INCONNU", "0" * 17, "x" * 17, "X" * 17,
        "x" * 16 + "D", "X" * 16 + "d", "XXXXD", "9" * 17, "A" * 17, "*" * 17, "\u00a0NULL\u200b",
    ]  # fmt: skip
    misshapen = ["ABC", SOUND + "A", SOUND[:16], SOUND[:8] + " " + SOUND[9:], SOUND[:16] + "\u00c9", "1850578006084"]
    rows = typed(IDENTITY, [(v, "R74") for v in [*nobody, *misshapen, SOUND, "x" * 8 + SOUND[:9]]]).rows.to_pylist()
    empty, wrong, sound = rows[: len(nobody)], rows[len(nobody) : -2], rows[-2:]
    assert all(row["WHO"] is None and row["_reason"] is None for row in empty)
    assert [row["_reason"] for row in wrong] == ["form:WHO", "too_long:WHO", *["form:WHO"] * 4]
    assert all(row["WHO"] is not None and row["_reason"] is None for row in sound)


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_blocks_may_hold_nothing(rows: int) -> None:
    """No row, or rows of empty fields: their columns have the types of the others."""
    columns = [
        column(f"C{n}", **(of["column"] | {"required": False})) for n, of in enumerate(AS_READ["kinds"].values())
    ]
    table = contract(*columns)
    made = typed(table, [("",) * len(columns)] * rows)
    assert made.rows.schema == typed_schema(table) and made.refused.schema == refused_schema(table)
    assert made.refused.num_rows == 0
    empty = dict.fromkeys([*table.names, "_reason"])
    assert made.rows.select(list(empty)).to_pylist() == [empty] * rows
    assert len(set(made.rows["_content"].to_pylist())) == min(rows, 1)


def test_the_first_broken_rule_of_a_row_is_its_reason() -> None:
    """Who the person is comes first, then the columns in the contract's order, then the rules of one."""
    table = contract(
        column("A", type="integer", length=2, values=["1", "2"]),
        column("B", required=True),
        column("STATUS", values=["ok", "unsure", "unknown"]),
        identity="STATUS",
    )
    rows = {
        ("x", "", "unsure"): "identity:unsure",
        ("x", "", "ok"): "unparsable:A",
        ("123", "", "ok"): "too_long:A",
        ("3", "", "other"): "code:A",
        ("1", " \u00a0", "other"): "missing:B",
        ("1", "b", "other"): "code:STATUS",
        (" 1", "b", "ok "): None,
    }
    made = typed(table, list(rows))
    assert made.rows["_reason"].to_pylist() == list(rows.values())
    assert made.refused["_reason"].to_pylist() == [reason for reason in rows.values() if reason]
    assert made.refused.to_pylist()[4] == {
        "A": "1",
        "B": " \u00a0",
        "STATUS": "other",
        "_row": 5,
        "_reason": "missing:B",
    }


def test_what_reads_texts_is_told_apart_and_words_do_not_count() -> None:
    table = contract(column("A", values=["1"]))
    reader = reader_of(CSV, [table])
    assert reader == reader_of(CSV, [contract(column("A", values=["1"]) | {"meaning": {"fr": "y", "en": "y"}})])
    assert reader != reader_of(CSV, [contract(column("A", values=["1", "2"]))])
    assert reader != reader_of(FRENCH, [table])
