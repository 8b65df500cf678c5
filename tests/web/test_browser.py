"""The pages as a person sees them: a real Chromium, with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from tests.web import seed
from tests.web.conftest import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATHS = [
    "",
    "?q=code",
    "databases/dcir",
    "databases/omop",
    "databases/omop/person",
    "databases/dcir/er_prs_f",
    "quality",
    "quality/dcir/2024-02/v2",
    "quality/1",
    "releases",
    "releases/2",
    "deliveries",
    "deliveries/dcir/2024-02/v2",
    "about",
]


@pytest.fixture(params=[True, False], ids=["with_javascript", "without_javascript"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh page; at its end the browser must have had nothing to complain about."""
    context = browser.new_context(java_script_enabled=request.param)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.on("requestfailed", lambda r: complaints.append(f"failed: {r.url}"))
    yield page
    assert context.cookies() == []
    context.close()
    assert complaints == []


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_every_kind_of_page_opens(page: Page, full: str, lang: str) -> None:
    for path in PATHS:
        response = page.goto(f"{full}/{lang}/{path}")
        assert response is not None
        assert response.status == 200
        assert page.locator("html").get_attribute("lang") == lang
        assert page.locator("h1").is_visible()
        assert page.title() != "broken"


def test_a_reader_searches_and_reads_a_variable(page: Page, full: str) -> None:
    page.goto(f"{full}/fr/")
    page.get_by_label("Chercher une base").fill("sexe")
    page.get_by_role("button", name="Chercher").click()
    assert "Résultats pour «\u00a0sexe\u00a0»" in page.locator("h2").first.inner_text()
    page.locator("a[href$='omop/person#gender_concept_id']").click()
    row = page.locator("tr#gender_concept_id")
    row.get_by_text("Personnes par code").click()
    assert row.get_by_text("2\u202f540").is_visible()
    assert row.get_by_text("D’autres codes existent").is_visible()


def test_the_other_language_shows_the_same_page(page: Page, full: str) -> None:
    page.goto(f"{full}/fr/deliveries?source=ville&state=waiting")
    page.get_by_role("link", name="English").click()
    assert page.url == f"{full}/en/deliveries?source=ville&state=waiting"
    assert page.locator("h1").inner_text() == "Deliveries"
    assert page.locator("tbody tr").count() == 1


def test_a_script_in_a_name_is_text(page: Page, full: str) -> None:
    page.goto(f"{full}/en/deliveries/dcir/2024-04/v1")
    assert page.get_by_role("rowheader", name=re.compile("<script>")).is_visible()
    assert page.title() != "broken"


def test_the_keyboard_is_enough(page: Page, full: str) -> None:
    page.goto(f"{full}/en/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    box = skip.bounding_box()
    assert box is not None
    assert box["x"] >= 0  # off the page until it has the focus
    page.keyboard.press("Enter")
    assert page.url.endswith("#content")


@pytest.mark.parametrize("path", PATHS)
def test_a_narrow_screen_scrolls_in_one_direction_only(browser: Browser, full: str, path: str) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 700})
    page.goto(f"{full}/fr/{path}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.close()


@pytest.mark.parametrize("path", ["", "databases/omop", "quality/dcir/2024-02/v2", "deliveries", "about"])
def test_text_stands_out_from_its_ground(browser: Browser, full: str, path: str) -> None:
    page = browser.new_page()
    page.goto(f"{full}/en/{path}")
    assert page.evaluate(CONTRAST) == []
    page.close()


@pytest.fixture(scope="module")
def frame(airflow_port: int, stewards: str) -> Iterator[str]:
    """Stands where Airflow would: a page that shows a page of the catalogue in a frame."""
    app = FastAPI()

    @app.get("/")
    def shows(src: str) -> HTMLResponse:
        return HTMLResponse(
            f'<!DOCTYPE html><title>frame</title><link rel=icon href="data:,"><iframe src="{stewards}{src}">'
        )

    with serving(app, airflow_port) as at:
        yield at


def test_airflow_may_frame_the_quality_of_a_run(browser: Browser, frame: str) -> None:
    dag, _, run = seed.RUN.partition("/")
    page = browser.new_page()
    page.goto(f"{frame}/?src=/airflow/quality%3Fdag_id={dag}%26run_id={run.replace('+', '%252B')}%26lang=en")
    inside = page.frame_locator("iframe").locator("h1")
    assert "dcir/2024-02/v2" in inside.inner_text()
    with page.expect_popup() as delivery:
        page.frame_locator("iframe").get_by_role("link", name="See the delivery").click()
    assert "dcir/2024-02/v2" in delivery.value.locator("h1").inner_text()
    page.frame_locator("iframe").get_by_role("link", name="Français").click()
    page.frame_locator("iframe").get_by_text("Contrôle de dcir/2024-02/v2").wait_for()
    page.close()


def test_nobody_else_and_nothing_else_is_framed(browser: Browser, frame: str, airflow_port: int) -> None:
    page = browser.new_page()
    page.goto(f"{frame}/?src=/en/databases/dcir")
    page.frames[1].wait_for_url(BLOCKED)
    page.goto(f"http://localhost:{airflow_port}/?src=/airflow/quality%3Frun_id=ingest/2")  # another origin
    page.frames[1].wait_for_url(BLOCKED)  # the frame of a busy machine is empty for a moment
    page.close()


BLOCKED = "chrome-error://chromewebdata/"
"""What Chromium shows in place of a page that refuses to be framed."""
CONTRAST = """() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const poor = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || e.closest('.skip')) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(e.className + ' ' + e.textContent.trim().slice(0, 30) + ' ' + ratio.toFixed(2));
  }
  return poor;
}"""
