"""The page of a quality run as a file: plain, accessible, whole by itself, in two languages, and only counts in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from catalogue import db
from catalogue.web.checks import write_run
from jobs.quality.rule import Rule
from jobs.quality.verdict import Result, in_words, result
from schemas.text import LANGS, Lang

NAME = "dcir/2024-03/v1"


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
BOOK = {"table": "dcir/er_prs_f", "file": "ER_PRS_F_202403.csv", "rows_in": 1300, "rows_published": 1250}
BOOK |= {"rows_duplicate": 10, "rows_quarantined": {"code:BEN_SEX_COD": 30, "orphan": 10}}


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


def written(folder: Path, results: list[Result], verdict: str, subject: str = NAME) -> dict[Lang, str]:
    """The page of one run, by language."""
    engine = db.open_engine(f"sqlite:///{folder / 'hub.db'}")
    db.migrate(engine)
    if subject == NAME:
        db.announce(engine, NAME, {"files": []}, "sha")
        db.set_books(engine, NAME, [BOOK])
        at = datetime(2024, 4, 3, 9, 0, tzinfo=UTC)
        db.record_decision(engine, NAME, "anne", at, "reject", "<i>no</i>")
    db.announce(engine, NAME, {"files": []}, "sha")
    db.start_build(engine, [NAME])
    db.add_quality_run(engine, subject, [r.model_dump() for r in results], verdict)
    paths = write_run(engine, subject, folder / "new")
    assert paths
    assert write_run(engine, "build/9", folder / "never") is None
    engine.dispose()
    return {lang: path.read_text("utf-8") for lang, path in paths.items()}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[Lang, str]:
    return written(tmp_path_factory.mktemp("report"), RESULTS, "errored")


@pytest.mark.parametrize("lang", LANGS)
def test_the_page_is_self_contained_and_well_formed(pages: dict[Lang, str], lang: Lang) -> None:
    page = Page(pages[lang])
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    names = {name for name, _ in page.attributes}
    assert not {n for n in names if n.startswith("on")} | ({"src", "style"} & names)
    assert not re.search(r"https?://|@import|url\(", pages[lang])
    assert f'<html lang="{lang}">' in pages[lang]


def test_two_files_linked_to_each_other_and_to_nothing_else(pages: dict[Lang, str]) -> None:
    for lang, other in (("fr", "en"), ("en", "fr")):
        links = [value for name, value in Page(pages[lang]).attributes if name == "href"]  # type: ignore[index]
        assert links == [f"report.{other}.html"]


@pytest.mark.parametrize("lang", LANGS)
def test_the_page_is_accessible(pages: dict[Lang, str], lang: Lang) -> None:
    page = Page(pages[lang])
    headings = [int(t[1]) for t in page.tags if re.fullmatch(r"h[1-6]", t)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(headings))
    assert page.tags.count("caption") == page.tags.count("table") > 0
    assert all(value in ("col", "row") for name, value in page.attributes if name == "scope")
    assert page.tags.count("th") == sum(name == "scope" for name, _ in page.attributes)
    assert page.tags.count("svg") == sum(value == "img" for name, value in page.attributes if name == "role") > 0


def test_failed_rules_come_first_worst_first(pages: dict[Lang, str]) -> None:
    order = re.findall(r'<article class="finding (\w+)" id="(R-\d)"', pages["en"])
    assert order == [("errored", "R-4"), ("warning", "R-2"), ("warning", "R-5"), ("info", "R-3")]


def test_the_page_says_what_how_many_why_who_and_what_to_do(pages: dict[Lang, str]) -> None:
    for text in (
        "CODE is present",
        "1,234 of 56,789",
        "(2.17%)",
        "at most 1%",
        "at most 1% and 3 rows",
        "claims steward",
        "Decide in Airflow",
        "Not applicable",
        "Repair the rule or the step (KeyError)",
        "1,300",
        "detail without its parent row",
        "code not in the list <code>BEN_SEX_COD</code>",
    ):
        assert text in pages["en"], text
    for text in (
        "CODE est renseigné",
        "1\u202f234 sur 56\u202f789",
        "(2,17\u202f%)",
        "Décider dans Airflow",
        "3 avril 2024 à 09:00 UTC",
    ):
        assert text in pages["fr"], text


def test_words_are_escaped(pages: dict[Lang, str]) -> None:
    assert "<script>" not in pages["en"]
    assert "&lt;script&gt;" in pages["en"]
    assert "Because &lt;b&gt;" in pages["en"]
    assert "<i>no</i>" not in pages["en"]


@pytest.mark.parametrize("verdict", ["passed", "warning", "critical", "errored"])
def test_every_verdict_has_its_page_without_the_optional_parts(tmp_path: Path, verdict: str) -> None:
    for html in written(tmp_path, [], verdict, "build/1").values():
        assert f'data-verdict="{verdict}"' in html
        Page(html)


def test_a_broken_rule_in_one_line_for_the_question_and_for_errors() -> None:
    assert in_words(RESULTS[4]) == (
        "CODE is present: broken by 4 of 1,000,000, allowed at most 1% and 3 rows (dcir/er_prs_f, R-5)"
    )
    assert in_words(RESULTS[3]) == "CODE is present: could not be judged (dcir/er_pha_f, R-4)"
