"""Great Expectations judges counts; whatever is not clearly judged is errored, never passed and never approvable."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

from jobs.errors import QualityErrored, QualityRefused
from jobs.quality import judge as judging
from jobs.quality.judge import judge, judge_all, read
from jobs.quality.rule import Rule
from jobs.quality.verdict import Result, overall, refuse

CANARY = "CANARI-1850578006084"


def rule(identity: str, **more: Any) -> Rule:
    base = {"table": "x/y", "id": identity, "kind": "not_null", "column": "CODE", "severity": "critical"}
    return Rule.model_validate({**base, "why": {"fr": "parce que", "en": "because"}, **more})


def verdicts(rules: list[Rule], counts: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(r.rule, r.verdict, r.error) for r in judge("x/y", rules, counts)]


def test_limits_are_inclusive_and_exact() -> None:
    rules = [
        rule("R-1"),
        rule("R-2"),
        rule("R-3", max_rate=0.29),
        rule("R-4", max_rate=0.29),
        rule("R-5", max_count=5),
        rule("R-6", max_count=5),
        rule("R-7", max_rate=0.5, max_count=5),
        rule("R-8"),
    ]
    counts = {
        "R-1": (0, 9),
        "R-2": (1, 9),
        "R-3": (29, 100),
        "R-4": (30, 100),
        "R-5": (5, 5),
        "R-6": (6, 9999),
        "R-7": (6, 100),
        "R-8": (0, 0),
        "unknown": (1, 1),
    }
    results = judge("x/y", rules, counts)
    failed = {r.rule for r in results if r.verdict == "failed"}
    assert {r.verdict for r in results} == {"passed", "failed"}
    assert failed == {"R-2", "R-4", "R-6", "R-7"}
    assert [r.not_applicable for r in results] == [False] * 7 + [True]
    assert [(r.violated, r.denominator) for r in results] == list(counts.values())[:8]


def test_what_cannot_be_judged_is_errored() -> None:
    rules = [rule(f"R-{n}") for n in range(1, 10)]
    counts = {
        "R-1": (0, 9),
        "R-2": (10, 9),
        "R-3": (-1, 9),
        "R-4": None,
        "R-5": (None, 9),
        "R-6": (0.0, 9),
        "R-7": (False, 9),
        "R-8": (0,),
    }
    assert verdicts(rules, counts) == [
        ("R-1", "passed", None),
        ("R-2", "errored", "ValueError"),
        ("R-3", "errored", "ValueError"),
        *((f"R-{n}", "errored", "CountsMissing") for n in range(4, 10)),
    ]


def test_a_whole_table_without_counts_is_errored() -> None:
    assert verdicts([rule("R-1"), rule("R-2")], {}) == [
        ("R-1", "errored", "CountsMissing"),
        ("R-2", "errored", "CountsMissing"),
    ]


def test_without_the_look_at_raised_exception_an_error_would_be_approvable(monkeypatch: pytest.MonkeyPatch) -> None:
    rules, counts = [rule("R-1", severity="warning")], {"R-1": (10, 9)}
    held = judge("x/y", rules, counts)
    assert overall(held) == "errored"
    monkeypatch.setattr(judging, "raised", lambda one: False)
    assert overall(judge("x/y", rules, counts)) == "warning"  # the guard is what holds


class Given:
    """A result as Great Expectations gives it."""

    def __init__(self, rule: str, success: Any, exception_info: Any = None) -> None:
        self.expectation_config = type("Config", (), {"kwargs": {"rule": rule}})()
        self.success, self.exception_info = success, exception_info


OK: dict[str, tuple[int, int]] = {"R-1": (0, 9), "R-2": (0, 9)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([Given("R-1", True), Given("R-2", True)], ["passed", "passed"]),
        ([Given("R-1", True)], ["errored", "errored"]),
        ([], ["errored", "errored"]),
        ([Given("R-1", True), Given("R-2", True), Given("R-3", True)], ["errored", "errored"]),
        ([Given("R-1", True), Given("R-1", True)], ["errored", "errored"]),
        ([Given("R-1", True, {"raised_exception": True}), Given("R-2", True)], ["errored", "passed"]),
        ([Given("R-1", True, {"m": {"raised_exception": True}}), Given("R-2", None)], ["errored", "failed"]),
        ([Given("R-1", "yes"), Given("R-2", 1)], ["failed", "failed"]),
    ],
)
def test_results_are_read_with_suspicion(given: list[Given], expected: list[str]) -> None:
    assert [r.verdict for r in read([rule("R-1"), rule("R-2")], OK, given)] == expected


def test_a_judge_that_breaks_down_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.quality import gx

    def broken(*_: Any) -> NoReturn:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(gx, "frame", broken)
    results = judge("x/y", [rule("R-1")], {"R-1": (0, 9)})
    assert [(r.verdict, r.error) for r in results] == [("errored", "RuntimeError")]
    assert CANARY not in json.dumps([r.model_dump() for r in results])


@pytest.mark.parametrize("class_name", ["ValueError", "NumberFormatException", CANARY, "Canari"])
def test_of_an_exception_only_a_known_class_is_kept(class_name: str) -> None:
    trace = (
        f"Traceback\n  File x\npyspark.errors.{class_name}: [CAST_INVALID_INPUT] The value '{CANARY}'\nCanariError: x"
    )
    info = {"metric": {"raised_exception": True, "exception_message": CANARY, "exception_traceback": trace}}
    (result,) = read([rule("R-1")], OK, [Given("R-1", False, info)])
    assert result.error == (class_name if class_name in ("ValueError", "NumberFormatException") else "Exception")


def test_results_are_plain_json_with_the_words_of_the_rule() -> None:
    (result,) = judge("x/y", [rule("R-1", meta={"owner": "steward"})], {"R-1": (1, 4)})
    again = json.loads(json.dumps(result.model_dump()))
    assert Result.model_validate(again) == result
    assert again["claim"] == {"fr": "CODE est renseigné", "en": "CODE is present"}
    assert (again["owner"], again["why"]["en"], again["violated"], again["denominator"]) == ("steward", "because", 1, 4)


def of(*found: tuple[str, str]) -> list[Result]:
    """Results by (severity, verdict)."""
    from jobs.quality.verdict import result

    return [
        result(rule(f"R-{n}", severity=s), v, (1, 2))  # type: ignore[arg-type]
        for n, (s, v) in enumerate(found)
    ]


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], "errored"),
        ([("critical", "passed")], "passed"),
        ([("info", "failed"), ("critical", "passed")], "passed"),
        ([("warning", "failed"), ("info", "failed")], "warning"),
        ([("critical", "failed"), ("warning", "failed")], "critical"),
        ([("info", "errored"), ("critical", "failed")], "errored"),
    ],
)
def test_the_worst_decides(results: list[tuple[str, str]], expected: str) -> None:
    found = of(*results)
    assert overall(found) == expected


def test_a_refusal_names_the_rules_that_decided() -> None:
    refuse("s", of(("warning", "failed")), see="see there")
    with pytest.raises(QualityRefused, match=r"^s fails 1 rule: CODE is present: broken by 1 of 2") as refused:
        refuse("s", of(("warning", "failed"), ("critical", "failed")), see="see there")
    assert str(refused.value).endswith("Next: see there; the contributor sends a corrected version")
    with pytest.raises(QualityErrored, match=r"^s: could not judge 1 rule: R-1"):
        refuse("s", of(("critical", "failed"), ("info", "errored")), see="see there")


def test_a_delivery_is_judged_in_one_call_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import jobs.quality.gx  # noqa: F401 - its import is not what is timed

    def refused(*_: Any) -> NoReturn:
        raise AssertionError("the judge asked the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    tables = {
        f"x/t{t}": ([rule(f"T{t}-{n}") for n in range(30)], {f"T{t}-{n}": (0, 9) for n in range(30)}) for t in range(5)
    }
    before = time.process_time()
    results = judge_all(tables)
    spent = time.process_time() - before
    assert {name: overall(r) for name, r in results.items()} == dict.fromkeys(tables, "passed")
    assert spent < 15, f"{spent:.1f} CPU-s for 150 rules"
    print(f"{spent:.2f} CPU-s")  # noqa: T201


def test_data_docs_show_our_sentence(tmp_path: Path) -> None:
    from jobs.quality.docs import data_docs

    index = data_docs({"x/y": ([rule("R-1", max_rate=0.1)], {"R-1": (3, 9)})}, "dcir/2024-03/v1", tmp_path / "docs")
    pages = [p.read_text("utf-8") for p in index.parent.rglob("*.html")]
    assert len(pages) == 3  # the index, the suite, the run
    assert any("CODE is present" in p and "10.00%" in p for p in pages)
