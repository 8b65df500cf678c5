"""Of which rows a rule can be asked, by the columns that must be present: its denominator."""

from __future__ import annotations

from expectations.kinds import FROM_BOOKS
from jobs.quality.rule import Rule

ROWS = "_rows"
FLAGGED = frozenset({"foreign_key", "concept_domain", "in_period", "same_sign"})
"""Kinds that need more than one of the table's own columns."""


def asked(rule: Rule) -> tuple[str, ...]:
    """Columns that must be present for the rule to be asked of a row. Empty: all rows."""
    if rule.kind in ("not_null", "row_count") or rule.of in FROM_BOOKS:
        return ()
    if rule.kind in FLAGGED:
        return (rule.flag,)
    if rule.kind == "not_before":
        return tuple(sorted((*rule.columns, str(rule.other))))
    return rule.columns if rule.kind != "unique" else tuple(sorted(rule.columns))


def denominator(rule: Rule) -> str:
    """Name of the counter of those rows."""
    needed = asked(rule)
    return "d/" + "+".join(needed) if needed else ROWS


def violations(rule: Rule) -> str:
    """Name of the counter of the rows that break the rule."""
    return "v/" + rule.id
