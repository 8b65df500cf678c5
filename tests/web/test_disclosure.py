"""No public page shows a count below 11, nor anything that depends on one; the stewards' pages show them all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import Engine

from catalogue import db
from catalogue.web.app import create_app
from tests.conftest import free_port
from tests.web import seed
from tests.web.conftest import serving

Count = Callable[[], int]
SMALL = re.compile(r"(?<![\d.,/-])(?:[1-9]|10)(?![\d.,/-]?\d|[.,]\d)")
TIME = re.compile(r"\d\d:\d\d")
MONTHS = ("2024-01", "2024-02")


class Text(HTMLParser):
    """What a page says: its text and what its attributes tell a reader; the addresses that it leads to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.said += [value or "" for name, value in attrs if name in ("title", "aria-label", "width", "x1", "content")]
        self.links += [value or "" for name, value in attrs if name == "href"]


def counts(*numbers: int) -> Count:
    """These numbers, one after the other, without end."""
    endless = cycle(numbers)
    return lambda: next(endless)


@contextmanager
def hub(folder: Path, count: Count, *, exact: bool = False) -> Iterator[httpx.Client]:
    """The pages of a hub where every count of rows is one of ``count``."""
    engine = db.open_engine(f"sqlite:///{folder / 'hub.db'}")
    db.migrate(engine)
    fill(engine, count)
    app = create_app(engine, exact=exact)
    with serving(app, free_port()) as at, httpx.Client(base_url=at, trust_env=False, timeout=20) as client:
        yield client
    engine.dispose()


def fill(engine: Engine, count: Count) -> None:
    """Deliveries published, waiting, refused and announced, a replaced month, two releases with figures, rules that
    hold, warn and are not judged."""
    for number, month in enumerate(MONTHS, 1):
        names = [f"{source}/{month}/v1" for source in seed.SOURCES]
        for name in names:
            arrive(engine, name, count)
            judge(engine, name, "passed", count)
            publish(engine, name, count)
        build = db.start_build(engine, names, run=f"build/{number}")
        judge(engine, f"build/{build}", "warning", count)
        db.set_build_detail(engine, build, built(count))
        release = db.add_release(engine, {"omop/person": number}, names, build)
        hidden = [f for f in seed.figures() if f["text"] is None and f["measure"] != "code"]
        db.set_figures(engine, release, [{**f, "number": None, "suppressed": True} for f in hidden])
    arrive(engine, "dcir/2024-02/v2", count)
    judge(engine, "dcir/2024-02/v2", "passed", count)
    publish(engine, "dcir/2024-02/v2", count)
    arrive(engine, "ville/2024-03/v1", count)
    judge(engine, "ville/2024-03/v1", "warning", count)
    db.record_event(engine, "ville/2024-03/v1", "waiting")
    arrive(engine, "pmsi_mco/2024-03/v1", count)
    judge(engine, "pmsi_mco/2024-03/v1", "critical", count)
    db.refuse_books(engine, "pmsi_mco/2024-03/v1", "quality")
    said = {"said": f"{count()} rows of the file do not fit."}
    db.record_event(engine, "pmsi_mco/2024-03/v1", "rejected", reason="quality", detail=said)
    files = [{"name": "PATIENT.csv", "table": "patient", "rows": count(), "bytes": count(), "sha256": "a"}]
    db.announce(engine, "ville/2024-04/v1", {"files": files}, "announced only")


def built(count: Count) -> dict[str, Any]:
    """What a build records of what it left out of one month: few rows of each table and reason, few events."""
    filtered = []
    for book in seed.BUILT["filtered"]:
        if book["period"] == MONTHS[0]:
            lost = {reason: count() for reason in book["left_out"]}
            stay = count()
            filtered.append({**book, "left_out": lost, "stay": stay, "rows": stay + sum(lost.values())})
    return {**seed.BUILT, "filtered": filtered, "losses": {min(seed.BUILT["losses"]): count()}}


def arrive(engine: Engine, name: str, count: Count) -> None:
    source = name.split("/")[0]
    db.announce(engine, name, {"files": []}, name)
    db.record_event(engine, name, "pulled")
    books = []
    for table in seed.SOURCES[source]:
        quarantined = {"orphan": count(), "code:BEN_SEX_COD": count()}
        parts = {"rows_published": count(), "rows_duplicate": count()}
        rows_in = sum(parts.values()) + sum(quarantined.values())
        file = {"table": table, "file": f"{table.upper()}.csv"}
        books.append({**file, "rows_in": rows_in, "rows_quarantined": quarantined, **parts})
    db.set_books(engine, name, books)
    db.record_event(engine, name, "staged")


def publish(engine: Engine, name: str, count: Count) -> None:
    rows = {table: count() for table in seed.SOURCES[name.split("/")[0]]}
    db.record_event(engine, name, "published", detail={"rows": rows})


def judge(engine: Engine, subject: str, verdict: str, count: Count) -> None:
    """Rules that few rows break: of few, of some and of many."""
    failed = "passed" if verdict == "passed" else "failed"
    made = []
    for rule, (found, severity, times) in {
        "RULE-A": ("passed", 0, 1),
        "RULE-B": (failed, 0 if verdict == "critical" else 1, 1),
        "RULE-C": (failed, 2, 100),
        "RULE-D": ("errored", 2, 1),
        "RULE-E": ("passed", 2, 2000),
    }.items():
        result = seed.result("omop/person", rule, found, severity, count())
        made.append({**result, "denominator": count() * times})
    db.add_quality_run(engine, subject, made, verdict)


def crawl(client: httpx.Client) -> dict[str, str]:
    """What every page says, by path, times left out: every page that links lead to from the front pages."""
    found: dict[str, str] = {}
    waiting = ["/fr/", "/en/", "/fr/?q=sexe", "/healthz", "/robots.txt"]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        answer = client.get(path)
        assert answer.status_code == 200, path
        page = Text(answer.text)
        found[path] = TIME.sub("", " ".join(page.said))
        waiting += [p for link in page.links if (p := urldefrag(urljoin(path, link)).url).startswith(("/fr", "/en"))]
    return found


def small(pages: dict[str, str]) -> dict[str, Counter[str]]:
    return {path: Counter(SMALL.findall(said)) for path, said in pages.items()}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counter[str]]:
    """Numbers below 11 on the pages of the same hub when every count is large: versions, dates, numbers of rules."""
    with hub(tmp_path_factory.mktemp("large"), counts(12345, 23456, 34567)) as client:
        return small(crawl(client))


def leaks(pages: dict[str, str], large: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """Numbers below 11 that stand on a page only because a count is small, by page."""
    assert set(pages) == set(large)
    return {path: more for path, numbers in small(pages).items() if (more := numbers - large[path])}


def test_no_public_page_shows_a_number_below_11(tmp_path: Path, large: dict[str, Counter[str]]) -> None:
    with hub(tmp_path, counts(*range(1, 11))) as client:
        pages = crawl(client)
    assert leaks(pages, large) == {}


def test_the_walk_comes_to_every_kind_of_page(large: dict[str, Counter[str]]) -> None:
    app = create_app(db.open_engine("sqlite://"))
    shown = {route.path for route in app.routes if isinstance(route, APIRoute)}
    reached = {re.sub(r"^/(fr|en)\b", "/{lang}", path.partition("?")[0]) for path in large}
    for route in shown - {"/", "/{lang}", "/favicon.ico"}:  # these three lead elsewhere
        pattern = re.sub(r"{\w+:path}", ".+", re.sub(r"{(?!lang)\w+}", "[^/]+", route)).replace("{lang}", r"\{lang\}")
        assert any(re.fullmatch(pattern, path) for path in reached), route


def test_without_control_the_same_pages_show_them(tmp_path: Path, large: dict[str, Counter[str]]) -> None:
    with hub(tmp_path, counts(*range(1, 11)), exact=True) as client:
        pages = {path: text for path, text in crawl(client).items() if path in large}  # stewards have some of their own
        found = leaks(pages, large)
    for page in ("deliveries", "deliveries/ville/2024-04/v1", "deliveries/dcir/2024-01/v1", "quality/1"):
        for lang in ("fr", "en"):
            assert found[f"/{lang}/{page}"], page
    assert "10" in found["/en/deliveries/pmsi_mco/2024-03/v1"] | found["/en/quality/8"]


def test_the_public_pages_do_not_depend_on_small_numbers(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    with hub(folders[0], counts(3, 1, 4, 1, 5, 9, 2, 6)) as one, hub(folders[1], counts(10, 7)) as other:
        pages, others = crawl(one), crawl(other)
    assert {path for path in pages if pages[path] != others[path]} == set()


def test_the_public_has_no_page_for_airflow(tmp_path: Path) -> None:
    with hub(tmp_path, counts(5)) as client:
        assert client.get("/airflow/quality", params={"dag_id": "ingest_dcir", "run_id": "run-1"}).status_code == 404
