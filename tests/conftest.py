"""Fixtures that every lane shares: a hub home with fresh keys, one Spark server for the whole run, Chromium."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.settings import Settings
from tests.planted import planted_folders

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from pyspark.sql import SparkSession

__all__ = ["planted_folders"]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def spark_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A hub with keys and a running Spark server, its event log on: the Spark tests and the canaries look into it."""
    from jobs import keys
    from jobs.spark import server

    settings = Settings(
        home=tmp_path_factory.mktemp("hub"),
        spark_port=free_port(),
        spark_event_log=True,
        catalogue_port=free_port(),
        steward_port=free_port(),
    )
    keys.generate(settings.keys)
    settings.logs.mkdir(parents=True, exist_ok=True)
    server.start(settings)
    try:
        server.wait(settings)
        yield settings
    finally:
        server.stop(settings)


@pytest.fixture(scope="session")
def spark(request: pytest.FixtureRequest) -> Iterator[SparkSession]:
    """One Spark Connect session. ``HUB_TEST_SPARK_REMOTE`` names a server that is warm already."""
    from jobs.spark import session

    remote = os.environ.get("HUB_TEST_SPARK_REMOTE") or session.address(request.getfixturevalue("spark_hub"))
    spark = session.open_session(remote)
    yield spark
    spark.stop()


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Settings of an empty hub in a temporary directory."""
    return Settings(home=tmp_path / "hub", spark_port=free_port(), catalogue_port=free_port(), steward_port=free_port())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as Debian packages it, closed with the module: while it is open, Playwright's event loop runs in this
    thread, and neither a second one nor ``asyncio.run`` can."""
    program = next((p for p in map(shutil.which, ("chromium", "chromium-browser")) if p), None)
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(Path(program)), args=ARGUMENTS)
        yield browser
        browser.close()
