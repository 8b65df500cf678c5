"""The catalogue's pages: server-rendered, in French and English, without script or cookie.

Reads the hub database and the contracts, never the lake and never Spark.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Engine
from starlette.exceptions import HTTPException

from catalogue.db import records
from catalogue.web import pages, words
from catalogue.web.words import LANGS
from jobs.delivery import Subject

HERE = Path(__file__).resolve().parent
METHODS = ["GET", "HEAD"]
POLICY = {
    "default-src": "'none'",
    "style-src": "'self'",
    "img-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
LOG = logging.getLogger("hub.catalogue")

Found = TypeVar("Found")
Report = Callable[[Mapping[str, Any], Any], str]
"""``jobs.quality.report.report``: a stewards' report as a whole HTML page of one language."""


class Site:
    """Renders pages with what all of them need."""

    def __init__(self, engine: Engine, airflow_origins: Iterable[str], report: Report | None) -> None:
        self.engine = engine
        self.report = report
        origins = tuple(airflow_origins)
        self.airflow = origins[0] if origins else ""
        self.framers = " ".join(origins) or "'none'"
        self.templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.filters["subject"] = Subject.parse
        self.templates.filters["path"] = partial(quote, safe="/")

    def page(
        self, request: Request, lang: str, template: str, values: Mapping[str, Any], status: int = 200
    ) -> Response:
        """One page in one language."""
        path, query = request.url.path, request.url.query
        here = path if path.split("/")[1] in LANGS else f"/{lang}/"
        other = {at: "/".join(["", at, *here.split("/")[2:]]) + (f"?{query}" if query else "") for at in LANGS}
        return HTMLResponse(
            self.templates.get_template(template).render(
                values,
                lang=lang,
                other="en" if lang == "fr" else "fr",
                here=here,
                in_languages=other,
                t=partial(words.say, lang),
                num=partial(words.number, lang),
                reason=partial(words.reason, lang),
                percent=partial(words.percent, lang),
                allowed=partial(words.limit, lang),
                month=partial(words.month, lang),
                day=partial(words.day, lang),
                instant=partial(words.instant, lang),
            ),
            status_code=status,
        )

    def whole_report(self, run: Mapping[str, Any], lang: str, links: Mapping[str, str]) -> Response:
        """The stewards' own report, which Airflow may show in a frame."""
        if self.report is None:
            raise HTTPException(404)
        around = {"links": links, "run_link": self.address_of(run["run"]), "subject_link": None}
        if Subject.parse(run["subject"]).delivery:
            around["subject_link"] = f"/{lang}/deliveries/{quote(run['subject'])}"
        html = self.report({**pages.for_report(self.engine, run), **around}, lang)
        hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in STYLE.findall(html))
        style = " ".join(["'self'", *(f"'sha256-{h}'" for h in hashes)])
        return HTMLResponse(html, headers=self.policy(**{"style-src": style, "frame-ancestors": self.framers}))

    def address_of(self, run: str | None) -> str | None:
        """Where Airflow shows a run (``<dag>/<run>``); None when there is no Airflow, or no run."""
        dag, _, name = (run or "").partition("/")
        return f"{self.airflow}/dags/{quote(dag)}/runs/{quote(name, safe='')}" if self.airflow and name else None

    def policy(self, **changes: str) -> dict[str, str]:
        """The page's content security policy as a header."""
        return {"Content-Security-Policy": "; ".join(f"{k} {v}" for k, v in {**POLICY, **changes}.items())}

    def framed(self, response: Response) -> Response:
        """Let Airflow show the page in a frame."""
        response.headers.update(self.policy(**{"frame-ancestors": self.framers}))
        return response


def create_app(engine: Engine, *, airflow_origins: Iterable[str] = (), report: Report | None = None) -> FastAPI:
    """The catalogue over a migrated hub database. ``airflow_origins`` may show the quality pages in a frame."""
    app = FastAPI(title="Catalogue", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    site = Site(engine, airflow_origins, report)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.middleware("http")(partial(_secure, site))
    _add_errors(app, site)
    _add_machine_routes(app, site)
    _add_database_routes(app, site)
    _add_quality_routes(app, site)
    _add_record_routes(app, site)
    return app


async def _secure(site: Site, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    if "\x00" in request.url.path or "%00" in request.url.query:
        response: Response = PlainTextResponse("400", 400)  # no name holds such a character, and databases refuse it
    else:
        try:
            response = await call_next(request)
        except Exception as error:  # whatever it was, its text may quote what nobody should read
            LOG.error("%s could not be shown: %s", request.url.path, type(error).__name__)
            response = site.page(request, _language(request), "failed.html", {"section": ""}, 503)
    for name, value in {**HEADERS, **site.policy()}.items():
        response.headers.setdefault(name, value)
    if "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]:
        response.headers["X-Frame-Options"] = "DENY"
    static = request.url.path.startswith("/static/")
    response.headers.setdefault("Cache-Control", "max-age=3600" if static else "no-cache")
    return response


def _language(request: Request) -> str:
    first = request.url.path.split("/")[1]
    return first if first in LANGS else words.best_language(request.headers.get("accept-language", ""))


def _checked(lang: str) -> str:
    if lang not in LANGS:
        raise HTTPException(404)
    return lang


def _or_404(page: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if page is None:
        raise HTTPException(404)
    return page


def _add_errors(app: FastAPI, site: Site) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return site.page(request, _language(request), "not_found.html", {"section": ""}, status)

    app.exception_handler(HTTPException)(refused)


def _add_machine_routes(app: FastAPI, site: Site) -> None:
    @app.api_route("/healthz", methods=METHODS)
    def healthz() -> Response:
        try:
            release = records.current_release(site.engine)
        except Exception as error:
            return JSONResponse({"status": "failed", "why": type(error).__name__}, 503)
        return JSONResponse({"status": "ok", "release": release.id if release else None})

    @app.api_route("/", methods=METHODS)
    def root(request: Request) -> Response:
        return RedirectResponse(f"/{_language(request)}/", 302, {"Vary": "Accept-Language"})

    @app.api_route("/favicon.ico", methods=METHODS)
    def icon() -> Response:
        return RedirectResponse("/static/icon.svg", 301)

    @app.api_route("/robots.txt", methods=METHODS)
    def robots() -> Response:
        return Response("User-agent: *\nDisallow: /airflow/\n", media_type="text/plain")


def _add_database_routes(app: FastAPI, site: Site) -> None:
    @app.api_route("/{lang}", methods=METHODS)
    def without_slash(lang: str) -> Response:
        return RedirectResponse(f"/{_checked(lang)}/", 308)

    @app.api_route("/{lang}/", methods=METHODS)
    def home(request: Request, lang: str, q: str = "") -> Response:
        values = pages.home(site.engine, q.strip()[:200])
        return site.page(request, _checked(lang), "home.html", {**values, "section": "databases"})

    @app.api_route("/{lang}/databases/{name}", methods=METHODS)
    def database(request: Request, lang: str, name: str) -> Response:
        values = _or_404(pages.database(site.engine, name))
        return site.page(request, _checked(lang), "database.html", {**values, "section": "databases"})

    @app.api_route("/{lang}/databases/{name}/{table}", methods=METHODS)
    def table(request: Request, lang: str, name: str, table: str) -> Response:
        values = _or_404(pages.table(site.engine, name, table))
        return site.page(request, _checked(lang), "table.html", {**values, "section": "databases"})

    @app.api_route("/{lang}/about", methods=METHODS)
    def about(request: Request, lang: str) -> Response:
        return site.page(request, _checked(lang), "about.html", {"section": "about"})


def _add_quality_routes(app: FastAPI, site: Site) -> None:
    @app.api_route("/airflow/quality", methods=METHODS)
    def airflow_quality(request: Request, dag_id: str = "", run_id: str = "", lang: str = "") -> Response:
        chosen = lang if lang in LANGS else _language(request)
        run = _found(partial(records.quality_run_of, site.engine), dag_id, run_id)
        if run is None:
            name = _found(partial(records.delivery_of_run, site.engine), dag_id, run_id)
            values = {"section": "quality", "about": pages.delivery(site.engine, name) if name else None}
            return site.framed(site.page(request, chosen, "no_run.html", values))
        if site.report is None:
            return RedirectResponse(
                f"/{chosen}/quality/{run['id']}", 302, site.policy(**{"frame-ancestors": site.framers})
            )
        asked = {"dag_id": dag_id, "run_id": run_id}
        links = {at: "/airflow/quality?" + urlencode({**asked, "lang": at}) for at in LANGS}
        return site.whole_report(run, chosen, links)

    @app.api_route("/{lang}/quality", methods=METHODS)
    def quality(request: Request, lang: str) -> Response:
        return site.page(request, _checked(lang), "quality.html", {**pages.quality(site.engine), "section": "quality"})

    @app.api_route("/{lang}/quality/{number}/report", methods=METHODS)
    def report(lang: str, number: str) -> Response:
        run = _or_404(records.get_quality_run(site.engine, pages.as_number(number) or 0))
        links = {at: f"/{at}/quality/{number}/report" for at in LANGS}
        return site.whole_report(run, _checked(lang), links)

    @app.api_route("/{lang}/quality/{subject:path}", methods=METHODS)
    def quality_run(request: Request, lang: str, subject: str) -> Response:
        values = {**_or_404(pages.quality_run(site.engine, subject)), "section": "quality"}
        values["has_report"] = site.report is not None
        return site.framed(site.page(request, _checked(lang), "quality_run.html", values))


def _found(of_run: Callable[[str], Found | None], dag_id: str, run_id: str) -> Found | None:
    """What is known of an Airflow run. Its id may arrive with its plus sign as a space, or encoded twice."""
    names = [run_id, run_id.replace(" ", "+"), unquote(run_id)]
    for name in dict.fromkeys([*(f"{dag_id}/{n}" for n in names), *names]):
        if run_id and (found := of_run(name)):
            return found
    return None


def _add_record_routes(app: FastAPI, site: Site) -> None:
    @app.api_route("/{lang}/releases", methods=METHODS)
    def releases(request: Request, lang: str) -> Response:
        return site.page(
            request, _checked(lang), "releases.html", {**pages.releases(site.engine), "section": "releases"}
        )

    @app.api_route("/{lang}/releases/{number}", methods=METHODS)
    def release(request: Request, lang: str, number: str) -> Response:
        values = _or_404(pages.release(site.engine, pages.as_number(number) or 0))
        return site.page(request, _checked(lang), "release.html", {**values, "section": "releases"})

    @app.api_route("/{lang}/deliveries", methods=METHODS)
    def deliveries(request: Request, lang: str, source: str = "", state: str = "") -> Response:
        values = pages.deliveries(site.engine, source, state)
        return site.page(request, _checked(lang), "deliveries.html", {**values, "section": "deliveries"})

    @app.api_route("/{lang}/deliveries/{delivery_id:path}", methods=METHODS)
    def delivery(request: Request, lang: str, delivery_id: str) -> Response:
        values = _or_404(pages.delivery(site.engine, delivery_id))
        return site.page(request, _checked(lang), "delivery.html", {**values, "section": "deliveries"})
