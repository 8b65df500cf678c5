"""The stewards' report: plain, accessible, self-contained, in two languages, and nothing in it but counts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from expectations.kinds import Lang
from jobs.quality.report import number, percent, report, with_words, write
from jobs.quality.rule import Rule
from jobs.quality.verdict import result
from jobs.quality.words import WORDS


def rule(identity: str, **more: Any) -> Rule:
    base = {"table": "dcir/er_prs_f", "id": identity, "kind": "not_null", "column": "CODE", "severity": "critical"}
    words = {"why": {"fr": "Parce que <b>", "en": "Because <b>"}, "meta": {"owner": "claims steward"}}
    return Rule.model_validate({**base, **words, **more})


RULES = [
    rule("R-1"),
    rule("R-2", severity="warning", max_rate=0.01),
    rule("R-3", kind="regex", regex="<script>alert(1)</script>", severity="info"),
    rule("R-4", table="dcir/er_pha_f"),
    rule("R-5", severity="warning", max_rate=0.01, max_count=3),
    rule("R-6"),
]
RESULTS = [
    result(RULES[0], "passed", (0, 1_234_567)),
    result(RULES[1], "failed", (1234, 56_789)),
    result(RULES[2], "failed", (1, 2)),
    result(RULES[3], "errored", error="KeyError"),
    result(RULES[4], "failed", (4, 1_000_000)),
    result(RULES[5], "passed", (0, 0)),
]
BOOK = {"table": "dcir/er_prs_f", "file": "ER_PRS_F_202403.csv", "rows_in": 1300, "rows_published": 1200}
BOOK |= {"rows_duplicate": 10, "rows_settled": 50, "rows_quarantined": {"bad_date": 30, "orphan": 10}}
RUN: dict[str, Any] = {
    "subject": "dcir/2024-03/v1",
    "at": datetime(2024, 4, 2, 8, 30, tzinfo=UTC),
    "verdict": "errored",
    "run": "scheduled__2024-04-02",
    "results": [r.model_dump() for r in RESULTS],
    "books": [BOOK],
    "decisions": [{"who": "anne", "at": "2024-04-03T09:00:00+00:00", "decision": "reject", "reason": "<i>no</i>"}],
}
LANGS: tuple[Lang, ...] = ("fr", "en")


class Page(HTMLParser):
    """Tags in order, text, and what the page would load or run."""

    VOID = frozenset({"meta", "link", "br", "img", "rect", "line"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("lang", LANGS)
def test_the_page_is_self_contained_and_well_formed(lang: Lang) -> None:
    html = report(RUN, lang)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    names = {name for name, _ in page.attributes}
    assert not {n for n in names if n.startswith("on")} | ({"src", "style"} & names)
    assert not re.search(r"https?://|@import|url\(", html)
    assert f'<html lang="{lang}">' in html


@pytest.mark.parametrize("lang", LANGS)
def test_the_page_is_accessible(lang: Lang) -> None:
    page = Page(report(RUN, lang))
    headings = [int(t[1]) for t in page.tags if re.fullmatch(r"h[1-6]", t)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(headings))
    assert page.tags.count("caption") == page.tags.count("table") > 0
    assert all(value in ("col", "row") for name, value in page.attributes if name == "scope")
    assert page.tags.count("th") == sum(name == "scope" for name, _ in page.attributes)
    assert page.tags.count("svg") == sum(name == "aria-label" for name, _ in page.attributes) > 0


@pytest.mark.parametrize("lang", LANGS)
def test_colours_have_enough_contrast(lang: Lang) -> None:
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6});", report(RUN, lang)))

    def light(code: str) -> float:
        digits = code[1:] if len(code) == 7 else "".join(c * 2 for c in code[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    for ground in ("paper", "ground"):
        for ink in ("ink", "soft", "good", "warn", "bad", "odd", "note"):
            high, low = light(colours[ground]), light(colours[ink])
            assert (high + 0.05) / (low + 0.05) >= 4.5, f"{ink} on {ground}"


def test_failed_rules_come_first_worst_first() -> None:
    found = re.findall(r'<article class="(\w+)" id="(R-\d)"', report(RUN, "en"))
    assert found == [("errored", "R-4"), ("warning", "R-2"), ("warning", "R-5"), ("info", "R-3")]


def test_the_page_says_what_how_many_why_who_and_what_to_do() -> None:
    en, fr = report(RUN, "en"), report(RUN, "fr")
    for text in ("CODE is present", "1,234 of 56,789", "(2.17%)", "at most 1%", "claims steward", "Decide in Airflow"):
        assert text in en
    for text in (
        "CODE est renseigné",
        "1\u202f234 sur 56\u202f789",
        "(2,17\u202f%)",
        "Décider dans Airflow",
        "02/04/2024 08:30",
    ):
        assert text in fr
    assert "at most 1% and 3 rows" in en
    assert "not applicable (no row)" in en
    assert "Repair the rule or the step (KeyError)" in en
    assert "1,300" in en
    assert "bad_date</code> 30" in en


def test_words_are_escaped() -> None:
    html = report(RUN, "en")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "Because &lt;b&gt;" in html
    assert "&lt;i&gt;no&lt;/i&gt;" in html


def test_both_languages_have_the_same_words() -> None:
    assert set(WORDS["fr"]) == set(WORDS["en"])
    for key in WORDS["fr"]:
        assert sorted(re.findall(r"{\w+}", WORDS["fr"][key])) == sorted(re.findall(r"{\w+}", WORDS["en"][key]))


@pytest.mark.parametrize("verdict", ["passed", "warning", "critical", "errored"])
@pytest.mark.parametrize("lang", LANGS)
def test_every_verdict_has_its_page_without_the_optional_parts(verdict: str, lang: Lang) -> None:
    html = report({"subject": "build/3", "at": None, "verdict": verdict, "results": []}, lang)
    assert f'data-verdict="{verdict}"' in html
    Page(html)


def test_numbers_of_the_database_get_their_words_from_the_rules() -> None:
    keys = ("table", "rule", "severity", "verdict", "violated", "denominator", "not_applicable")
    bare = {**RUN, "results": [{k: r.model_dump()[k] for k in keys} for r in RESULTS]}
    complete = with_words(bare, RULES[:-1])
    html = report(complete, "en")
    assert "CODE is present" in html
    assert 'scope="row"><code>R-6</code>' in html  # a rule that is gone is shown by its id
    assert report(with_words(RUN, []), "en") == report(RUN, "en")


def test_two_files_linked_to_each_other(tmp_path: Path) -> None:
    paths = write(RUN, tmp_path / "new")
    assert set(paths) == {"fr", "en"}
    assert 'href="report.en.html"' in paths["fr"].read_text("utf-8")
    assert 'href="report.fr.html"' in paths["en"].read_text("utf-8")


@pytest.mark.parametrize(
    ("rate", "fr", "en"),
    [
        (0.0, "0 %", "0%"),
        (1.0, "100 %", "100%"),
        (0.5, "50 %", "50%"),
        (0.00001, "0,001 %", "0.001%"),
        (1e-9, "< 0,0001 %", "< 0.0001%"),
        (0.99999, "99,999 %", "99.999%"),
        (1 - 1e-12, "> 99,9999 %", "> 99.9999%"),
    ],
)
def test_shares_never_round_to_nothing_or_all(rate: float, fr: str, en: str) -> None:
    assert percent(rate, "en") == en
    assert percent(rate, "fr").replace("\u202f", " ") == fr


def test_numbers() -> None:
    assert (number(1234, "en"), number(1234, "fr"), number(None, "en")) == ("1,234", "1\u202f234", "unknown")
