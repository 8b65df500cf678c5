"""What each page shows: plain values from the hub database and the contracts, ready for the templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Engine

from catalogue import db
from catalogue.db import Release
from catalogue.web import contracts, control
from catalogue.web.checks import with_counts
from catalogue.web.contracts import Database
from catalogue.web.figures import GRID, Figures, to_grid
from catalogue.web.synthetic import made_up, synthetic_deliveries
from jobs.delivery import month_after
from schemas.loader import Table

Page = dict[str, Any]

VERDICTS = ("errored", "critical", "warning", "passed")
"""Worst first."""


def home(engine: Engine, words: str) -> Page:
    """The list of databases, or what a search found."""
    now = _now(engine)
    answers = contracts.search(words) if words else None
    cards = [_summary(d, now) for d in contracts.databases().values()]
    return {
        "q": words,
        "found": answers,
        "limit": contracts.FOUND,
        "cards": cards,
        "release": now.release,
        "synthetic": made_up(now.release.deliveries if now.release else (), now.synthetic),
    }


def database(engine: Engine, name: str) -> Page | None:
    """One database, or None when there is no such one."""
    about = contracts.databases().get(name)
    if about is None:
        return None
    now = _now(engine)
    mine = [(r, _mine(name, r.deliveries), _mine(name, r.added)) for r in db.list_releases(engine)]
    return {
        **_summary(about, now),
        "release": now.release,
        "tables": [
            {
                "table": table,
                **{m: now.figures.one(f"{name}/{short}", m) for m in ("rows", "persons", "first", "last")},
            }
            for short, table in about.tables.items()
        ],
        "grid": to_grid(now.figures.all(f"{name}/person", "cell", GRID)),
        "releases": [{"release": r, "holds": holds, "added": added} for r, holds, added in mine if holds][:12],
        "sources": [d for d in contracts.databases().values() if d.name != contracts.OMOP]
        if name == contracts.OMOP
        else [],
    }


def table(engine: Engine, name: str, short: str) -> Page | None:
    """One table with its variables, or None."""
    about = contracts.databases().get(name)
    if about is None or short not in about.tables:
        return None
    contract, full = about.tables[short], f"{name}/{short}"
    now = _now(engine)
    figures = now.figures
    months = figures.all(full, "month")
    return {
        "database": about,
        "table": contract,
        **{m: figures.one(full, m) for m in ("rows", "persons", "first", "last")},
        "described": now.described if figures.one(full, "rows") else None,
        "synthetic": _summary(about, now)["synthetic"],
        "months": months[-36:],
        "most": max((int(m["number"] or 0) for m in months), default=0),
        "variables": [_variable(figures, full, c, contract) for c in contract.columns],
    }


def _variable(figures: Figures, full: str, column: Any, contract: Table) -> Page:
    codes = sorted(figures.all(full, "code", column.name), key=lambda f: (-f["number"], f["code"]))
    labels = contracts.concepts() if column.name.endswith("_concept_id") else {}
    return {
        "column": column,
        "key": column.name in contract.key,
        "filled": figures.one(full, "filled", column.name),
        "codes": [{"figure": f, "label": labels.get(f["code"], "")} for f in codes],
        "most": max((f["number"] for f in codes), default=0),
        "distinct": figures.one(full, "distinct", column.name),
        "others": figures.one(full, "others", column.name),
        "refers": _refers(column.fk),
    }


def _refers(fk: str | None) -> str:
    short = (fk or "").split(".")[0]
    about = contracts.databases().get(contracts.OMOP)
    return short if about and short in about.tables else ""


@dataclass(frozen=True)
class Now:
    """What readers see at present, read once for a page."""

    release: Release | None
    described: Release | None
    """The release that the figures belong to: the last one that was described."""
    figures: Figures
    runs: Sequence[Page]
    """The last quality run of every subject, newest first."""
    synthetic: frozenset[str]
    """Deliveries whose rows are made up."""


def _now(engine: Engine) -> Now:
    number = db.described_release(engine)
    return Now(
        release=db.current_release(engine),
        described=db.get_release(engine, number) if number else None,
        figures=Figures(db.list_figures(engine)),
        runs=[with_counts(r) for r in db.list_quality_runs(engine, latest=True)],
        synthetic=synthetic_deliveries(engine),
    )


def _summary(about: Database, now: Now) -> Page:
    """What the list and the head of the page say of a database."""
    held = _mine(about.name, now.release.deliveries) if now.release else []
    months = sorted({d.split("/")[1] for d in held})
    tables = [f"{about.name}/{t}" for t in about.tables]
    persons = [f for t in tables if (f := now.figures.one(t, "persons"))]
    rows = [f for t in tables if (f := now.figures.one(t, "rows"))]
    care = [f["text"] for t in tables for side in ("first", "last") if (f := now.figures.one(t, side)) and f["text"]]
    runs = _runs(about.name, now)
    worst = min(runs, key=lambda r: VERDICTS.index(r["verdict"]), default=None)
    return {
        "database": about,
        "months": months,
        "missing": _missing(months),
        "care": (min(care), max(care)) if care else None,
        "persons": max(persons, key=lambda f: f["number"] or 0) if persons else None,
        # D3: a total is the sum of what is shown
        "rows": {"number": sum(f["number"] or 0 for f in rows), "suppressed": False} if rows else None,
        "described": now.described if persons or rows else None,
        "verdict": worst["verdict"] if worst else None,
        "worst_run": worst,
        "runs": runs[:12],
        "in_release": bool(held),
        "synthetic": made_up(held, now.synthetic),
    }


def _mine(name: str, deliveries: Sequence[str]) -> list[str]:
    return [d for d in deliveries if name == contracts.OMOP or d.split("/")[0] == name]


def _runs(name: str, now: Now) -> list[Page]:
    """The last quality runs of what the current release holds of a database, newest first."""
    if now.release is None:
        return []
    subjects = {now.release.build} if name == contracts.OMOP else set(_mine(name, now.release.deliveries))
    return [r for r in now.runs if r["subject"] in subjects]


def _missing(months: Sequence[str]) -> list[str]:
    """Months between the first and the last that no delivery covers."""
    if not months:
        return []
    at, missing = months[0], []
    while at < months[-1]:
        at = month_after(at)
        if at not in months:
            missing.append(at)
    return missing


def releases(engine: Engine) -> Page:
    releases = db.list_releases(engine)
    held = {d for r in releases for d in r.deliveries}
    synthetic = made_up(held, synthetic_deliveries(engine))
    return {"releases": releases, "current": releases[0].id if releases else None, "synthetic": synthetic}


def release(engine: Engine, number: int) -> Page | None:
    """One release with its tables and deliveries, or None."""
    release = db.get_release(engine, number)
    if release is None:
        return None
    current = db.current_release(engine)
    known = set(contracts.databases())
    tables = [
        {"name": name, "version": version, "linked": _is_known(name, known)} for name, version in release.tables.items()
    ]
    return {
        "release": release,
        "is_current": current is not None and current.id == release.id,
        "tables": tables,
        "check": db.last_quality_run(engine, release.build),
        "synthetic": made_up(release.deliveries, synthetic_deliveries(engine)),
    }


def _is_known(name: str, known: set[str]) -> bool:
    where, _, short = name.partition("/")
    return where in known and short in contracts.databases()[where].tables


def deliveries(engine: Engine, source: str, state: str, *, exact: bool) -> Page:
    """Deliveries with their books, of a source and in a state when asked; sums of those shown, without those whose rows
    were replaced in the lake, or withdrawn. Stewards (``exact``) also see what reversals settled of each."""
    every = db.list_deliveries(engine)
    every = db.with_settled(engine, every) if exact else every
    lake = control.to_lake(every, exact=exact)
    chosen = [
        with_rows(d, lake[d["id"]], exact=exact)
        for d in every
        if source in ("", d["source"]) and state in ("", d["state"])
    ]
    return {
        "any": bool(every),
        "synthetic": made_up([d["id"] for d in every], {d["id"] for d in every if d["synthetic"]}),
        "deliveries": chosen,
        "source": source,
        "state": state,
        "sources": sorted({d["source"] for d in every}),
        "states": [s for s, _ in Counter(d["state"] for d in every).most_common()],
        "total": control.to_total(
            [d for d in chosen if d["books"] and not d["replaced_by"] and d["state"] != "withdrawn"]
        ),
        "lake": control.to_sum(d["lake"] for d in chosen if d["in_lake"]),
    }


def with_rows(delivery: Mapping[str, Any], in_lake: Mapping[str, control.Count], *, exact: bool) -> Page:
    """A delivery with its ``books`` as they are shown, their sums (``rows``) and its rows in the ``lake``."""
    books = control.to_books(delivery["books"], in_lake, exact=exact)
    return {**delivery, "books": books, "rows": control.to_total(books), "lake": control.to_sum(in_lake.values())}


def delivery(engine: Engine, delivery_id: str, *, exact: bool) -> Page | None:
    """One delivery with its books by file, its history and its quality, or None. What a step said of it holds counts,
    and a decision has its steward's name and words: both are left out unless ``exact``."""
    record = db.get_delivery(engine, delivery_id)
    if record is None:
        return None
    (known,) = db.with_due(db.with_settled(engine, [record]) if exact else [record], db.dues())
    same_source = db.list_deliveries(engine, known["source"])
    ids = {d["id"] for d in same_source}
    run = db.last_quality_run(engine, delivery_id)
    events = [_event(e, ids, exact=exact) for e in known["events"]]
    decided = [{"said": None, **d, **({} if exact else control.NOBODY)} for d in known["decisions"]]
    return {
        "synthetic": "all" if known["synthetic"] else None,
        "delivery": with_rows(known, control.to_lake(same_source, exact=exact)[known["id"]], exact=exact),
        "history": sorted([*events, *decided], key=lambda e: e["at"]),
        "last": events[-1] if events else None,
        "run": with_counts(run) if run else None,
        "database": contracts.databases().get(known["source"]),
    }


def to_do(engine: Engine, on: date, address_of: Callable[[str | None], str | None]) -> Page:
    """What waits for somebody on a day; ``address_of`` gives the page of an Airflow run."""
    duties = db.list_duties(engine, on)
    return {
        "refused": duties.refused,
        "waiting": [{**d, "run_link": address_of(d["run"])} for d in duties.waiting],
        "builds": [{**r, "run_link": address_of(r["run"])} for r in duties.builds],
        "late": duties.late,
    }


def _event(event: Mapping[str, Any], ids: Set[str], *, exact: bool) -> Page:
    """A change of state with the delivery that its reason names (``other``), if it names one."""
    # a decision carries who approved; the words of who withdrew it are not for the public
    hidden = event["state"] == "approved" or (event["state"] == "withdrawn" and not exact)
    reason = None if hidden else event["reason"]
    return {
        "at": event["at"],
        "state": event["state"],
        "reason": reason,
        "other": reason if reason in ids else None,
        "said": (event["detail"] or {}).get("said") if exact else None,
        "decision": None,
    }
