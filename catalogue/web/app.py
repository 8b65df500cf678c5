"""The catalogue's pages: server-rendered, in French and English, without script or cookie.

Reads the hub database and the contracts, never the lake and never Spark.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy import Engine
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from catalogue import db
from catalogue.web import checks, pages, words
from catalogue.web.html import HERE, to_html
from schemas.text import LANGS, Lang

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
LOG = logging.getLogger("hub.catalogue")

Known = TypeVar("Known")


class Site:
    """Renders pages with what all of them need."""

    def __init__(self, engine: Engine, airflow_origins: Iterable[str], *, exact: bool) -> None:
        self.engine = engine
        self.exact = exact
        origins = tuple(airflow_origins)
        self.airflow = origins[0] if origins else ""
        self.framers = " ".join(origins) or "'none'"

    def page(
        self, request: Request, lang: Lang, template: str, values: Mapping[str, Any], status: int = 200
    ) -> Response:
        """One page of the site in one language."""
        path, query = request.url.path, request.url.query
        here = path if path.split("/")[1] in LANGS else f"/{lang}/"
        other = {at: "/".join(["", at, *here.split("/")[2:]]) + (f"?{query}" if query else "") for at in LANGS}
        return HTMLResponse(to_html(template, lang, {"here": here, **values}, other, exact=self.exact), status)

    def framed(self, request: Request, lang: Lang, template: str, values: Mapping[str, Any]) -> Response:
        """One page in one language as Airflow may show it in a frame."""
        asked = {k: v for k, v in request.query_params.items() if k != "lang"}
        in_languages = {at: f"{request.url.path}?{urlencode({**asked, 'lang': at})}" for at in LANGS}
        html = to_html(template, lang, values, in_languages, place="frame", exact=self.exact)
        return HTMLResponse(html, headers=self.policy(**{"frame-ancestors": self.framers}))

    def quality_run(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """What the page of a quality run shows."""
        values = checks.quality_run(self.engine, run, exact=self.exact)
        return {**values, "section": "quality", "run_link": self.address_of(run["run"])}

    def address_of(self, run: str | None) -> str | None:
        """Where Airflow shows a run (``<dag>/<run>``); None when there is no Airflow, or no run."""
        dag, _, name = (run or "").partition("/")
        return f"{self.airflow}/dags/{quote(dag)}/runs/{quote(name, safe='')}" if self.airflow and name else None

    def policy(self, **changes: str) -> dict[str, str]:
        """The page's content security policy as a header."""
        return {"Content-Security-Policy": "; ".join(f"{k} {v}" for k, v in {**POLICY, **changes}.items())}


def create_app(
    engine: Engine, *, exact: bool = False, airflow_origins: Iterable[str] = (), hosts: Iterable[str] = ("*",)
) -> FastAPI:
    """The catalogue over a migrated hub database: the public's, or with ``exact`` the stewards'.

    The stewards' shows exact counts of rows, what the steps said, who decided and why; ``airflow_origins`` may show a
    run's quality there in a frame. ``hosts``: the names that a browser may call it by.
    """
    app = FastAPI(title="Catalogue", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    site = Site(engine, airflow_origins, exact=exact)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.middleware("http")(partial(_secure, site))
    _add_errors(app, site)
    _add_machine_routes(app, site)
    if exact:
        _add_airflow_route(app, site)  # before those that begin with any language
        _add_to_do_route(app, site)
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
            response = site.page(request, _language(request), "failed.html", {}, 503)
    for name, value in {**HEADERS, **site.policy()}.items():
        response.headers.setdefault(name, value)
    if "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]:
        response.headers["X-Frame-Options"] = "DENY"
    static = request.url.path.startswith("/static/")
    kept = "max-age=3600" if static else "no-store" if site.exact else "no-cache"
    response.headers.setdefault("Cache-Control", kept)
    return response


def _known(lang: str) -> Lang | None:
    return next((known for known in LANGS if known == lang), None)


def _language(request: Request) -> Lang:
    first = request.url.path.split("/")[1]
    return _known(first) or words.best_language(request.headers.get("accept-language", ""))


def _checked(lang: str) -> Lang:
    if known := _known(lang):
        return known
    raise HTTPException(404)


def _or_404(page: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if page is None:
        raise HTTPException(404)
    return page


def _add_errors(app: FastAPI, site: Site) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return site.page(request, _language(request), "not_found.html", {}, status)

    app.exception_handler(HTTPException)(refused)


def _add_machine_routes(app: FastAPI, site: Site) -> None:
    @app.api_route("/healthz", methods=METHODS)
    def healthz() -> Response:
        try:
            release = db.current_release(site.engine)
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
        return Response(f"User-agent: *\nDisallow: {'/' if site.exact else ''}\n", media_type="text/plain")


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


def _add_airflow_route(app: FastAPI, site: Site) -> None:
    @app.api_route("/airflow/quality", methods=METHODS)
    def airflow_quality(request: Request, dag_id: str = "", run_id: str = "", lang: str = "") -> Response:
        chosen = _known(lang) or _language(request)
        run = _of_airflow_run(partial(db.quality_run_of, site.engine), dag_id, run_id)
        if run:
            return site.framed(request, chosen, "quality_run.html", site.quality_run(run))
        name = _of_airflow_run(partial(db.delivery_of_run, site.engine), dag_id, run_id)
        about = pages.delivery(site.engine, name, exact=site.exact) if name else None
        return site.framed(request, chosen, "no_run.html", {"about": about})


def _add_to_do_route(app: FastAPI, site: Site) -> None:
    @app.api_route("/{lang}/to-do", methods=METHODS)
    def to_do(request: Request, lang: str) -> Response:
        values = pages.to_do(site.engine, datetime.now(UTC).date(), site.address_of)
        questions = f"{site.airflow}/required_actions" if site.airflow else None
        return site.page(request, _checked(lang), "to_do.html", {**values, "questions": questions, "section": "to-do"})


def _add_quality_routes(app: FastAPI, site: Site) -> None:
    @app.api_route("/{lang}/quality", methods=METHODS)
    def quality(request: Request, lang: str) -> Response:
        values = {**checks.quality(site.engine), "section": "quality"}
        return site.page(request, _checked(lang), "quality.html", values)

    @app.api_route("/{lang}/quality/{subject:path}", methods=METHODS)
    def quality_run(request: Request, lang: str, subject: str) -> Response:
        run = _or_404(checks.find_run(site.engine, subject))
        return site.page(request, _checked(lang), "quality_run.html", site.quality_run(run))


def _of_airflow_run(of_run: Callable[[str], Known | None], dag_id: str, run_id: str) -> Known | None:
    """What is known of an Airflow run. Its id may arrive with its plus sign as a space, or encoded twice."""
    names = [run_id, run_id.replace(" ", "+"), unquote(run_id)]
    for name in dict.fromkeys([*(f"{dag_id}/{n}" for n in names), *names]):
        if run_id and (run := of_run(name)):
            return run
    return None


def _add_record_routes(app: FastAPI, site: Site) -> None:
    @app.api_route("/{lang}/releases", methods=METHODS)
    def releases(request: Request, lang: str) -> Response:
        return site.page(
            request, _checked(lang), "releases.html", {**pages.releases(site.engine), "section": "releases"}
        )

    @app.api_route("/{lang}/releases/{number}", methods=METHODS)
    def release(request: Request, lang: str, number: str) -> Response:
        values = _or_404(pages.release(site.engine, checks.as_number(number) or 0))
        return site.page(request, _checked(lang), "release.html", {**values, "section": "releases"})

    @app.api_route("/{lang}/deliveries", methods=METHODS)
    def deliveries(request: Request, lang: str, source: str = "", state: str = "") -> Response:
        values = pages.deliveries(site.engine, source, state, exact=site.exact)
        return site.page(request, _checked(lang), "deliveries.html", {**values, "section": "deliveries"})

    @app.api_route("/{lang}/deliveries/{delivery_id:path}", methods=METHODS)
    def delivery(request: Request, lang: str, delivery_id: str) -> Response:
        values = _or_404(pages.delivery(site.engine, delivery_id, exact=site.exact))
        return site.page(request, _checked(lang), "delivery.html", {**values, "section": "deliveries"})
