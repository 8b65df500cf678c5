"""Three verdicts per rule, one for the whole, and what a steward may decide. No Spark, no Great Expectations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from jobs.errors import QualityErrored, QualityRefused
from jobs.quality.rule import Rule, Severity
from schemas.text import limit, number

Verdict = Literal["passed", "failed", "errored"]
Overall = Literal["passed", "warning", "critical", "errored"]

SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
SAID = 5
"""So many rules are named in an error; the others are in the report."""


class Result(BaseModel):
    """One rule judged on one table: numbers and words of the rule, never a value of the data.

    ``model_dump()`` is plain JSON; the words are those of the rule at the time of the run.
    """

    model_config = ConfigDict(frozen=True)

    table: str
    rule: str
    kind: str
    columns: tuple[str, ...]
    severity: Severity
    verdict: Verdict
    violated: int | None
    """Rows that break the rule; None when they could not be counted."""
    denominator: int | None
    """Rows that the rule could be asked about."""
    not_applicable: bool = False
    """Passed because there was no row to ask about."""
    error: str | None = None
    """Class of what went wrong, never its message: messages quote data."""
    max_rate: float
    max_count: int | None
    claim: dict[str, str]
    counted: dict[str, str]
    why: dict[str, str]
    owner: str


def result(
    rule: Rule, verdict: Verdict, numbers: tuple[int | None, int | None] = (None, None), *, error: str | None = None
) -> Result:
    """The result of ``rule`` with its words."""
    violated, denominator = numbers
    return Result(
        table=rule.table,
        rule=rule.id,
        kind=rule.kind,
        columns=(*rule.columns, *((rule.other,) if rule.other else ())),
        severity=rule.severity,
        verdict=verdict,
        violated=violated,
        denominator=denominator,
        not_applicable=verdict == "passed" and denominator == 0,
        error=error,
        max_rate=rule.allowed_rate,
        max_count=rule.max_count,
        claim=rule.claims,
        counted={"fr": rule.counted["fr"], "en": rule.counted["en"]},
        why={"fr": rule.why.fr, "en": rule.why.en},
        owner=rule.owner,
    )


def overall(results: Sequence[Result]) -> Overall:
    """The verdict of a run: errored before critical before warning; no result at all is errored."""
    if not results or any(r.verdict == "errored" for r in results):
        return "errored"
    failed = {r.severity for r in results if r.verdict == "failed"}
    return "critical" if "critical" in failed else "warning" if "warning" in failed else "passed"


def refuse(subject: str, results: Sequence[Result], *, see: str, so: str = "") -> None:
    """Raises ``QualityErrored`` or ``QualityRefused``, with the rules in words, when no steward may let ``subject``
    pass; else nothing. ``see``: where all rules are; ``so``: what a refusal means, before the word *fails*."""
    verdict = overall(results)
    if verdict == "errored":
        unjudged = [r for r in results if r.verdict == "errored"]
        raise QualityErrored(
            _named(unjudged, f"{subject}: could not judge {{rules}}"),
            next_step=f"{see}, repair the rule or the table, then try again",
        )
    if verdict == "critical":
        critical = [r for r in results if r.verdict == "failed" and r.severity == "critical"]
        raise QualityRefused(
            _named(critical, f"{subject} {so}fails {{rules}}"),
            next_step=f"{see}; the contributor sends a corrected version",
        )


def _named(results: Sequence[Result], what: str) -> str:
    """How many rules these are and, of the first ones, which, on which table and how often they were broken: ``what``
    with ``{rules}`` in it, a colon, then one rule after the other."""
    rules = "rule" if len(results) == 1 else "rules"
    said = [in_words(r) if r.verdict == "failed" else f"{r.rule} ({r.table}, {r.error})" for r in results[:SAID]]
    more = [f"and {len(results) - SAID} more"] if len(results) > SAID else []
    return f"{what.format(rules=f'{len(results)} {rules}')}: {'; '.join(said + more)}."


def in_words(result: Result) -> str:
    """A rule that did not hold, in one English line: its claim, the counts, the limit, where it stands."""
    where = f"({result.table}, {result.rule})"
    if result.violated is None or result.denominator is None:
        return f"{result.claim['en']}: could not be judged {where}"
    counts = f"broken by {number('en', result.violated)} of {number('en', result.denominator)}"
    return f"{result.claim['en']}: {counts}, allowed at most {limit('en', result.max_rate, result.max_count)} {where}"
