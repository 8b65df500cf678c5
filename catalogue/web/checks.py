"""What the pages of quality runs show: plain values from the hub database, ready for the templates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from catalogue import db
from catalogue.web import control
from catalogue.web.html import to_html
from catalogue.web.left_out import left_out
from catalogue.web.synthetic import made_up, synthetic_deliveries
from jobs.delivery import Subject
from schemas.text import LANGS, Lang

Page = dict[str, Any]

WORST = {"errored": 0, "failed": 1, "passed": 2}
SEVERITIES = ("critical", "warning", "info")
EARLIER = 6
"""So many months before are shown beside a rule that does not hold."""
BAR = 160
"""Width of the bar of a broken rule, in pixels."""


def quality(engine: Engine) -> Page:
    """The last run of every subject, newest first."""
    runs = [with_counts(r) for r in db.list_quality_runs(engine, latest=True)]
    judged = [r["subject"] for r in runs if not r["is_build"]]
    return {"runs": runs, "synthetic": made_up(judged, synthetic_deliveries(engine))}


def find_run(engine: Engine, subject: str) -> Mapping[str, Any] | None:
    """A quality run by its number, or the last one of a delivery or build; None when there is none."""
    number = as_number(subject)
    return db.get_quality_run(engine, number) if number else db.last_quality_run(engine, subject)


def quality_run(engine: Engine, run: Mapping[str, Any], *, exact: bool) -> Page:
    """The page of one quality run: its rules, decisions and, of a delivery, its books."""
    subject = run["subject"]
    others = [with_counts(r) for r in db.list_quality_runs(engine, subject) if r["id"] != run["id"]]
    delivery = db.get_delivery(engine, subject)
    books = shown_books(engine, delivery, exact=exact) if delivery else []
    decisions = run["decisions"] if exact else [{**d, **control.NOBODY} for d in run["decisions"]]
    return {
        "run": {**with_counts(run, exact=exact), "decisions": decisions},
        "synthetic": made_up(_brought_in(engine, subject), synthetic_deliveries(engine)),
        "earlier": earlier_shares(engine, run, exact=exact),
        "severities": SEVERITIES,
        "others": others,
        "waiting": delivery is not None and delivery["state"] == "waiting",
        "books": books,
        "total": control.to_total(books),
        "left_out": left_out(engine, subject, exact=exact),
        "run_link": None,
    }


def _brought_in(engine: Engine, subject: str) -> list[str]:
    """The delivery itself; of a build, those that its release holds, or, before there is one, that it brings in."""
    build = Subject.parse(subject).build
    if build is None:
        return [subject]
    released = [r for r in db.list_releases(engine) if r.build == subject]
    return list(released[0].deliveries) if released else db.build_deliveries(engine, build)


def shown_books(engine: Engine, delivery: Mapping[str, Any], *, exact: bool) -> list[Page]:
    """The books of a delivery by file, with disclosure control unless ``exact``."""
    source = db.list_deliveries(engine, delivery["source"])
    in_lake = control.to_lake(source, exact=exact)[delivery["id"]]
    return control.to_books(delivery["books"], in_lake, exact=exact)


def with_counts(run: Mapping[str, Any], *, exact: bool = False) -> Page:
    """A quality run with shares and sums: ``failing`` holds what needs a look, worst first; ``by_table`` all rules;
    ``summary`` the rules by severity and verdict. The counts of rows pass disclosure control unless ``exact``."""
    results = [with_bar(control.with_share(r, exact=exact)) for r in run["results"]]
    worst = sorted(results, key=lambda r: (WORST[r["verdict"]], SEVERITIES.index(r["severity"]), r["rule"]))
    tables: dict[str, list[Page]] = {}
    for r in sorted(results, key=lambda r: (r["table"], r["rule"])):
        tables.setdefault(r["table"], []).append(r)
    return {
        **run,
        "failing": [r for r in worst if r["verdict"] != "passed"],
        "by_table": tables,
        "summary": {
            s: {v: sum(r["severity"] == s and r["verdict"] == v for r in results) for v in WORST} for s in SEVERITIES
        },
        "is_build": Subject.parse(run["subject"]).build is not None,
    }


def earlier_shares(engine: Engine, run: Mapping[str, Any], *, exact: bool) -> dict[str, list[Page]]:
    """What the rules that do not hold said of the source's last months before this one (of the last builds before this
    one), oldest first: by rule ``of`` (a month or a build), ``verdict``, ``share`` and ``hidden``."""
    failing = [r["rule"] for r in run["results"] if r["verdict"] != "passed"]
    subjects = _before(engine, Subject.parse(run["subject"]))
    results = db.results_of(engine, subjects.values(), failing)
    shares: dict[str, list[Page]] = {}
    for of, subject in subjects.items():
        for result in results.get(subject, []):
            shown = control.with_share(result, exact=exact)
            shares.setdefault(result["rule"], []).append(
                {"of": of, "subject": subject, **{k: shown[k] for k in ("verdict", "share", "hidden")}}
            )
    return shares


def _before(engine: Engine, subject: Subject) -> dict[str, str]:
    """The newest version of each of the last months before a delivery's, or the last builds before a build: what it is
    of (a month, a number) -> its name."""
    if subject.delivery:
        source, period = subject.delivery.slice
        known = [d for d in db.list_deliveries(engine, source) if d["period"] < period]
        return dict(list({d["period"]: d["id"] for d in known}.items())[-EARLIER:])
    last = subject.build or 0
    return {str(n): f"build/{n}" for n in range(max(1, last - EARLIER), last)}


def with_bar(result: Mapping[str, Any]) -> Page:
    """A rule's result with the ``bar`` that draws its share, when it is broken."""
    drawn = result["share"] is not None and result["verdict"] == "failed"
    return {**result, "bar": _bar(result["share"], result["max_rate"]) if drawn else None}


def _bar(share: float, allowed: float) -> dict[str, float]:
    """Geometry of a bar whose full width is the larger of four limits and the share itself."""
    full = min(1.0, max(share, allowed * 4)) or 1.0
    width = max(round(BAR * share / full, 1), 1.0 if share else 0.0)
    return {"width": BAR, "violated": width, "limit": round(BAR * min(allowed, full) / full, 1)}


def as_number(text: str) -> int | None:
    """A number that a database can hold, or None."""
    return int(text) if text.isdecimal() and len(text) < 16 else None


def write_run(engine: Engine, subject: str, folder: Path) -> dict[Lang, Path] | None:
    """Writes the page of the last quality run of a subject as ``report.fr.html`` and ``report.en.html``, with exact
    counts, each a whole page by itself; their paths by language, or None when the subject was never judged."""
    run = db.last_quality_run(engine, subject)
    if run is None:
        return None
    values = {**quality_run(engine, run, exact=True), "others": []}
    names = {lang: f"report.{lang}.html" for lang in LANGS}
    folder.mkdir(parents=True, exist_ok=True)
    for lang, name in names.items():
        (folder / name).write_text(to_html("quality_run.html", lang, values, names, place="file", exact=True), "utf-8")
    return {lang: folder / name for lang, name in names.items()}
