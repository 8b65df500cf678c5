"""The site of docs/ as a reader opens it: every page is there, complete, and asks nothing of any other host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from docs.tools import site
from tests.conftest import free_port
from tests.web.conftest import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGES = sorted(str(p.relative_to(site.DOCS).with_suffix(".html")) for p in site.DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    app = FastAPI()
    app.mount("/", StaticFiles(directory=site.build().parent))
    with serving(app, free_port()) as at:
        yield at


def test_every_page_is_complete_and_needs_no_other_host(browser: Browser, address: str) -> None:
    page = browser.new_page()
    asked: list[str] = []
    missing: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.on("response", lambda r: missing.append(r.url) if r.status >= 400 else None)
    for path in PAGES:
        page.goto(f"{address}/{path}")
        assert page.locator("h1").first.is_visible(), path
        broken = page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
        assert broken == [], path
    page.close()
    assert missing == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def test_a_reader_finds_a_word(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/index.html")
    page.keyboard.press("/")
    page.locator("input:visible").first.fill("quarantined")
    page.get_by_text("Find what was quarantined").first.wait_for(timeout=15_000)
    page.close()
