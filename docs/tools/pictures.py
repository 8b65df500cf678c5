"""Takes the pictures of docs/ again from a running demo, in a real Chromium.

One entry of ``SHOTS`` is one picture: whose eyes, which page, what must be seen on it. A page that does not show it
raises, so that no picture of an error or of an empty page gets in.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from catalogue import db
from jobs.errors import ConfigError, UnexpectedState
from jobs.serve import airflow
from jobs.serve.rest import AirflowClient
from jobs.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = "pictures"
WIDTH, HEIGHT = 1280, 800
LARGEST = 150_000
"""Bytes: a picture is read over slow lines too."""
PATIENCE = 30_000
"""Milliseconds until a page shows what it should; Airflow's pages load in pieces on a busy machine."""

Facts = dict[str, str]
Act = Callable[["Page"], None]


@dataclass(frozen=True)
class Shot:
    """One picture. ``path`` is filled in from the facts of the demo; ``shows`` is a text that must be visible."""

    name: str
    where: str
    path: str
    shows: str
    user: str = "admin"
    act: Act | None = None
    """What the person does on the page before the picture."""
    height: int = HEIGHT
    """Pixels: where what matters stands lower."""


def _open_trigger(page: Page) -> None:
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_label("Month").or_(page.locator("input[name*=month]")).first.fill("2024-01", timeout=PATIENCE)


def _fold_traceback(page: Page) -> None:
    """Airflow's own frames say nothing to an operator."""
    page.get_by_text("ContractRefused:").first.click(timeout=PATIENCE)
    page.evaluate("document.querySelectorAll('*').forEach(e => { e.scrollLeft = 0 })")


def _add_connection(page: Page) -> None:
    page.get_by_role("button", name="Add Connection").click(timeout=PATIENCE)
    page.locator("input[name=connection_id]").fill("outbox_ville", timeout=PATIENCE)
    page.get_by_role("combobox").last.click()
    page.keyboard.type("File")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Extra Fields", exact=True).click(timeout=PATIENCE)
    page.locator("input[name*=path]").first.fill("/srv/ville/out", timeout=PATIENCE)


SHOTS = (
    Shot("dags", "airflow", "/dags", "ingest_ville", height=960),
    Shot("run", "airflow", "/dags/{waiting_dag}/runs/{waiting_run}", "ask_steward"),
    Shot("trigger", "airflow", "/dags/ingest_dcir", "Take the month in again", act=_open_trigger),
    Shot("refused-log", "airflow", "/dags/{rejected_dag}/runs/{rejected_run}/tasks/{rejected_task}", "Next:",
         act=_fold_traceback),
    Shot("refused-in-airflow", "airflow", "/dags/{rejected_dag}/runs/{rejected_run}/plugin/quality-report",
         "the header lacks"),
    Shot("connection", "airflow", "/connections", "File (path)", act=_add_connection),
    Shot("pools", "airflow", "/pools", "writer_ville", height=960),
    Shot("required-actions", "airflow", "/required_actions", "Publish", user="steward"),
    Shot("question", "airflow", "/dags/{waiting_dag}/runs/{waiting_run}/tasks/ask_steward/required_actions", "Reason",
         user="steward"),
    Shot("report-in-airflow", "airflow", "/dags/{waiting_dag}/runs/{waiting_run}/plugin/quality-report", "Quality",
         user="steward"),
    Shot("report", "stewards", "/en/quality/{waiting_quality}", "What to do", height=880),
    Shot("quality", "stewards", "/en/quality", "Verdict", height=680),
    Shot("deliveries", "stewards", "/en/deliveries", "Quarantined", height=960),
    Shot("to-do", "stewards", "/en/to-do", "To decide", height=760),
    Shot("waiting", "stewards", "/en/deliveries/{waiting}", "Quarantined"),
    Shot("refused", "stewards", "/en/deliveries/{rejected}", "the header lacks"),
    Shot("catalogue", "catalogue", "/en/", "OMOP"),
    Shot("release", "catalogue", "/en/releases", "Release 1"),
)  # fmt: skip


def facts(settings: Settings) -> Facts:
    """Ids that the pages of this demo have: a delivery that waits, one that was refused, their runs and tasks.

    Raises ``ConfigError`` when the hub database knows no such delivery: it is not a demo, or it is not finished.
    """

    engine = db.open_engine(settings.database)
    known: Facts = {}
    for state in ("waiting", "rejected"):
        ids = [str(d["id"]) for d in db.list_deliveries(engine) if d["state"] == state]
        if not ids:
            raise ConfigError(f"No delivery is {state} here.", next_step="take the pictures of a running `hub demo`")
        delivery = db.get_delivery(engine, ids[0]) or {}
        dag, _, run = str(delivery["events"][-1]["run"]).partition("/")
        known |= {state: ids[0], f"{state}_dag": dag, f"{state}_run": quote(run, safe="")}
        quality = db.last_quality_run(engine, ids[0])
        known[f"{state}_quality"] = str(quality["id"]) if quality else ""
    engine.dispose()
    with AirflowClient(airflow.address(settings), "admin", airflow.passwords(settings)["admin"]) as client:
        run = known["rejected_run"].replace("%3A", ":").replace("%2B", "+")
        tasks = client.tasks(known["rejected_dag"], run, states=("failed",))
        if not tasks:
            raise ConfigError("The run of the refused delivery was cleared.", next_step="take them of a fresh demo")
        known["rejected_task"] = str(tasks[0]["task_id"])
    return known


def take(settings: Settings, folder: Path, tell: Callable[[str], None], only: tuple[str, ...] = ()) -> list[Path]:
    """Writes ``<folder>/<name>.png`` for every shot (``only``: these) and returns the paths.

    Raises ``ConfigError`` without Chromium, ``UnexpectedState`` when a page does not show what it should or its
    picture is too large.
    """
    program = next((p for p in map(shutil.which, ("chromium", "chromium-browser")) if p), None)
    if program is None:
        raise ConfigError("Chromium is not installed.", next_step="apt-get install chromium")
    from playwright.sync_api import sync_playwright

    known, paths = facts(settings), []
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for shot in SHOTS:
            if not only or shot.name in only:
                paths.append(_take(browser, settings, shot, known, folder))
                tell(f"{paths[-1].name}: {paths[-1].stat().st_size:,} bytes")
        browser.close()
    return paths


def _take(browser: Browser, settings: Settings, shot: Shot, known: Facts, folder: Path) -> Path:
    base = {
        "airflow": airflow.address(settings),
        "catalogue": settings.catalogue_address,
        "stewards": settings.steward_address,
    }[shot.where]
    context = browser.new_context(viewport={"width": WIDTH, "height": shot.height}, locale="en-GB", timezone_id="UTC")
    context.add_init_script("localStorage.setItem('chakra-ui-color-mode', 'light')")
    if shot.where == "airflow":
        with AirflowClient(base, shot.user, airflow.passwords(settings)[shot.user]) as client:
            context.add_cookies([{"name": "_token", "value": client.token, "url": base}])
    page = context.new_page()
    path = folder / f"{shot.name}.png"
    try:
        page.goto(base + shot.path.format(**known), wait_until="networkidle", timeout=PATIENCE)
        if shot.act:
            shot.act(page)
        _wait_for(page, shot.shows)
        page.wait_for_timeout(1500)  # what moves comes to rest
        page.screenshot(path=path, animations="disabled", caret="hide")
    except Exception as error:
        page.screenshot(path=path.with_suffix(".failed.png"))
        raise UnexpectedState(
            f"The page of {shot.name} does not show '{shot.shows}' ({type(error).__name__})."
        ) from None
    finally:
        context.close()
    if path.stat().st_size > LARGEST:
        raise UnexpectedState(f"{path.name} is larger than {LARGEST:,} bytes.", next_step="show less on it")
    return path


def _wait_for(page: Page, text: str) -> None:
    """Returns when the text is seen, on the page or in a frame of it. Raises ``TimeoutError``."""
    until = time.monotonic() + PATIENCE / 1000
    while not any(frame.get_by_text(text).first.is_visible() for frame in page.frames):
        if time.monotonic() > until:
            raise TimeoutError
        page.wait_for_timeout(250)
