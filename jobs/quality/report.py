"""The stewards' report of one quality run: a plain HTML page per language. Counts and words, never a value.

No script and no external asset: it opens from a file, in the catalogue and inside Airflow's frame alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from expectations.kinds import Lang
from jobs.quality.rule import Rule
from jobs.quality.verdict import SEVERITIES, Result, result
from jobs.quality.words import WORDS

Run = Mapping[str, Any]
VERDICTS = ("failed", "errored", "passed")
BAR = 160
"""Width of a bar in pixels."""


@cache
def _environment() -> Environment:
    folder = FileSystemLoader(Path(__file__).parent / "templates")
    return Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def with_words(run: Run, rules: Iterable[Rule]) -> dict[str, Any]:
    """``run`` with each result's words (claim, why, owner, limits) from ``rules`` where it does not carry its own.

    The database keeps the numbers only; a rule that no longer exists is shown by its id.
    """
    known = {rule.id: rule for rule in rules}
    results = []
    for found in run["results"]:
        words = result(known[found["rule"]], "passed").model_dump() if found["rule"] in known else {}
        results.append({**words, **found})
    return {**run, "results": results}


def report(run: Run, lang: Lang) -> str:
    """The page of one quality run in one language.

    ``run``: ``subject``, ``verdict``, ``at`` (datetime or ISO text) and ``results`` (``Result.model_dump()`` each);
    optional ``run`` (Airflow's), ``books`` (per file, as ``records.set_books`` takes them), ``decisions`` (who, at,
    decision, reason), ``links`` ({"fr": address, "en": address} of this page; ``?lang=`` by default), ``run_link`` and
    ``subject_link`` (addresses of the run and of the delivery).
    """
    words = WORDS[lang]
    shown = [_shown(found, lang) for found in run["results"]]
    order = {"errored": 0, "failed": 1, "passed": 2}
    shown.sort(key=lambda r: (order[r["verdict"]], SEVERITIES.index(r["severity"])))
    passed: dict[str, list[dict[str, Any]]] = {}
    for r in shown:
        if r["verdict"] == "passed":
            passed.setdefault(r["table"], []).append(r)
    other: Lang = "en" if lang == "fr" else "fr"
    links = run.get("links") or {"fr": "?lang=fr", "en": "?lang=en"}
    return (
        _environment()
        .get_template("report.html")
        .render(
            lang=lang,
            other=other,
            other_link=links[other],
            words=words,
            subject=run["subject"],
            verdict=run["verdict"],
            at=moment(run.get("at"), lang),
            airflow_run=run.get("run"),
            run_link=run.get("run_link"),
            subject_link=run.get("subject_link"),
            counted=_summary(run["results"]),
            severities=SEVERITIES,
            verdicts=VERDICTS,
            attention=[r for r in shown if r["verdict"] != "passed"],
            passed=passed,
            books=[_book(b, lang) for b in run.get("books") or ()],
            decisions=[{**d, "at": moment(d["at"], lang)} for d in run.get("decisions") or ()],
        )
    )


def _summary(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Rules by severity, then by verdict."""
    return {
        s: {v: sum(r["severity"] == s and r["verdict"] == v for r in results) for v in VERDICTS} for s in SEVERITIES
    }


def _shown(found: Mapping[str, Any], lang: Lang) -> dict[str, Any]:
    """One result in words and formatted numbers."""
    words, violated, of = WORDS[lang], found.get("violated"), found.get("denominator")
    rate = violated / of if violated is not None and of else None
    allowed = float(found.get("max_rate") or 0)
    limit = _limit(allowed, found.get("max_count"), lang)
    errored = found["verdict"] == "errored"
    numbers = words["unknown"] if of is None else f"{number(violated, lang)} {words['of']} {number(of, lang)}"
    todo = words["todo_errored"].format(error=found.get("error") or words["unknown"])
    return {
        "table": found["table"],
        "rule": found["rule"],
        "severity": found["severity"],
        "verdict": found["verdict"],
        "claim": (found.get("claim") or {}).get(lang, found["rule"]),
        "why": (found.get("why") or {}).get(lang, ""),
        "counted": (found.get("counted") or {}).get(lang, ""),
        "columns": ", ".join(found.get("columns") or ()),
        "owner": found.get("owner") or "",
        "numbers": words["not_applicable"] if found.get("not_applicable") else numbers,
        "share": "" if rate is None else percent(rate, lang),
        "limit": limit,
        "todo": todo if errored else words[f"todo_{found['severity']}"],
        "bar": None if rate is None or errored else _bar(rate, allowed, words, lang),
    }


def _limit(rate: float, count: int | None, lang: Lang) -> str:
    words = WORDS[lang]
    if count is None:
        return words["rows_max"].format(rate=percent(rate, lang))
    kind = "rows_max_count" if rate >= 1 else "rows_max_both"
    return words[kind].format(rate=percent(rate, lang), count=number(count, lang))


def _bar(rate: float, allowed: float, words: Mapping[str, str], lang: Lang) -> dict[str, Any]:
    """Geometry of a bar whose full width is the larger of four limits and the share itself."""
    full = min(1.0, max(rate, allowed * 4)) or 1.0
    said = words["bar"].format(violated=percent(rate, lang), limit=percent(allowed, lang))
    width = max(round(BAR * rate / full, 1), 1.0 if rate else 0.0)
    return {"width": BAR, "violated": width, "limit": round(BAR * min(allowed, full) / full, 1), "label": said}


def in_words(found: Result) -> str:
    """A rule that did not hold, in one English line: its claim, the counts, the limit, where it stands."""
    limit = _limit(found.max_rate, found.max_count, "en")
    counts = f"broken by {number(found.violated, 'en')} of {number(found.denominator, 'en')}, allowed {limit}"
    return f"{found.claim['en']}: {counts} ({found.table}, {found.rule})"


def _book(book: Mapping[str, Any], lang: Lang) -> dict[str, Any]:
    reasons = {k: number(v, lang) for k, v in sorted((book.get("rows_quarantined") or {}).items()) if v}
    counts = {k: number(book[k], lang) for k in ("rows_in", "rows_published", "rows_duplicate", "rows_settled")}
    return {"table": book["table"], "file": book["file"], "reasons": reasons, **counts}


def number(value: int | None, lang: Lang) -> str:
    """1234 as ``1 234`` (narrow no-break space) in French, ``1,234`` in English."""
    if value is None:
        return WORDS[lang]["unknown"]
    return f"{value:,}" if lang == "en" else f"{value:,}".replace(",", "\u202f")


def percent(rate: float, lang: Lang) -> str:
    """A share with enough digits to tell it from 0, from 100 and from a small limit."""
    digits = 2 if 0.0005 <= rate <= 0.9995 else 4
    text = f"{rate * 100:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    if rate > 0 and float(text) == 0:
        text = "< 0.0001"
    if rate < 1 and text == "100":
        text = "> 99.9999"
    return f"{text}%" if lang == "en" else f"{text.replace('.', ',')}\u202f%"


def moment(at: datetime | str | None, lang: Lang) -> str:
    """A date and time in UTC as people write it."""
    if not at:
        return ""
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return when.strftime("%d/%m/%Y %H:%M UTC" if lang == "fr" else "%Y-%m-%d %H:%M UTC")


def write(run: Run, folder: Path) -> dict[str, Path]:
    """Writes ``report.fr.html`` and ``report.en.html``, linked to each other; their paths by language."""
    folder.mkdir(parents=True, exist_ok=True)
    linked = {**run, "links": {"fr": "report.fr.html", "en": "report.en.html"}}
    paths = {}
    langs: tuple[Lang, ...] = ("fr", "en")
    for lang in langs:
        paths[lang] = folder / f"report.{lang}.html"
        paths[lang].write_text(report(linked, lang), "utf-8")
    return {str(lang): path for lang, path in paths.items()}
