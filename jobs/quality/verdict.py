"""Three verdicts per rule, one for the whole, and what a steward may decide. No Spark, no Great Expectations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from jobs.errors import QualityErrored, QualityRefused
from jobs.quality.rule import Rule, Severity
from schemas.text import limit, number

Verdict = Literal["passed", "failed", "errored"]
Overall = Literal["passed", "warning", "critical", "errored"]

SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")


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


def refuse(subject: str, results: Sequence[Result]) -> None:
    """Raises ``QualityErrored`` or ``QualityRefused`` when no steward may let ``subject`` pass; else nothing."""
    found = overall(results)
    if found == "errored":
        raise QualityErrored(
            f"{subject}: {_count(results, 'errored')} of {len(results)} rules could not be judged.",
            next_step=f"read `hub quality report {subject}`, repair, then run the gate again",
        )
    if found == "critical":
        broken = [r.rule for r in results if r.verdict == "failed" and r.severity == "critical"]
        raise QualityRefused(
            f"{subject}: {len(broken)} critical rules failed ({', '.join(broken[:5])}{', …' if broken[5:] else ''}).",
            next_step=f"read `hub quality report {subject}`; the contributor sends a correction",
        )


def _count(results: Iterable[Result], verdict: Verdict) -> int:
    return sum(r.verdict == verdict for r in results)


def in_words(result: Result) -> str:
    """A rule that did not hold, in one English line: its claim, the counts, the limit, where it stands."""
    where = f"({result.table}, {result.rule})"
    if result.violated is None or result.denominator is None:
        return f"{result.claim['en']}: could not be judged {where}"
    counts = f"broken by {number('en', result.violated)} of {number('en', result.denominator)}"
    return f"{result.claim['en']}: {counts}, allowed at most {limit('en', result.max_rate, result.max_count)} {where}"
