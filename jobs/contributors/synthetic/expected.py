"""What should become of each delivery: state, reason and books, from the tags of its rows."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import expectations
from jobs.contributors.synthetic.deliveries import DUPLICATE, KEPT, SETTLED, Delivery
from jobs.contributors.synthetic.file_faults import FAULTS

RULES = Path(expectations.__file__).resolve().parent / "sources"


@cache
def quarantine_limits(source: str, table: str) -> dict[str, float]:
    """Highest accepted share of quarantined rows by severity, as the stewards' rules say it."""
    path = RULES / source / f"{table}.toml"
    rules = tomllib.loads(path.read_text("utf-8")).get("rule", []) if path.exists() else []
    return {r["severity"]: r.get("max_rate", 0.0) for r in rules if r["kind"] == "rate" and r["of"] == "quarantined"}


def expected_of(delivery: Delivery, order: int) -> dict[str, Any]:
    """One entry of ``expected.json``. ``order``: deliveries of one source and month are taken in this order.

    state: the last one without anybody's intervention; ``waiting`` has ``after`` (approve, reject). Books: rows_in,
    rows_published, rows_quarantined by reason, rows_duplicate, also by table; rows_settled, of those published, as a
    build finds them.
    """
    tables = {
        name: _books({str(tag): int(n) for tag, n in t["_tag"].value_counts().items()})
        for name, t in delivery.tables.items()
    }
    if delivery.refused:
        state = FAULTS[delivery.faults[-1]].state
        for book in tables.values():
            book |= _books({delivery.refused: book["rows_in"]})
    elif delivery.same_as:
        state = "duplicate"
        for book in tables.values():
            book |= _books({DUPLICATE: book["rows_in"]})
    else:
        state = _state(delivery.source, tables)
    entry: dict[str, Any] = {
        "id": delivery.id,
        "source": delivery.source,
        "period": delivery.period,
        "version": delivery.version,
        "order": order,
        "faults": delivery.faults,
        "state": state,
        "reason": delivery.refused or delivery.same_as,
        **_sum(tables),
        "tables": tables,
    }
    if state == "waiting":
        entry["after"] = {"approve": "published", "reject": "rejected"}
    if delivery.detail:
        entry["correction"] = delivery.detail
    return entry


def _books(tags: dict[str, int]) -> dict[str, Any]:
    plain = (KEPT, DUPLICATE, SETTLED)
    return {
        "rows_in": sum(tags.values()),
        "rows_published": tags.get(KEPT, 0) + tags.get(SETTLED, 0),
        "rows_quarantined": {k: v for k, v in sorted(tags.items()) if k not in plain},
        "rows_duplicate": tags.get(DUPLICATE, 0),
        "rows_settled": tags.get(SETTLED, 0),
    }


def _sum(tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    reasons: dict[str, int] = {}
    for book in tables.values():
        for reason, n in book["rows_quarantined"].items():
            reasons[reason] = reasons.get(reason, 0) + n
    counts = ("rows_in", "rows_published", "rows_duplicate", "rows_settled")
    total = {k: sum(b[k] for b in tables.values()) for k in counts}
    return {**total, "rows_quarantined": dict(sorted(reasons.items()))}


def _state(source: str, tables: dict[str, dict[str, Any]]) -> str:
    """By the share of quarantined rows alone: other rules are kept by construction."""
    worst = "published"
    for name, book in tables.items():
        share = sum(book["rows_quarantined"].values()) / max(book["rows_in"], 1)
        limits = quarantine_limits(source, name)
        if share > limits.get("critical", 1.0):
            return "rejected"
        if share > limits.get("warning", 1.0):
            worst = "waiting"
    return worst
