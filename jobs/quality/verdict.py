"""Three verdicts per rule, one for the whole, and what a steward may decide. No Spark, no Great Expectations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from jobs.errors import QualityErrored, QualityRefused
from jobs.quality.rule import Rule, Severity

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


def approvable(results: Sequence[Result]) -> bool:
    """True when a steward may decide to publish: warnings only, never errors nor critical failures."""
    return overall(results) == "warning"


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


def summary(results: Sequence[Result]) -> dict[str, object]:
    """Counts for a log line or an XCom: verdict, rules, passed, errored and failed by severity. No value, no text."""
    failed = {s: sum(r.severity == s for r in results if r.verdict == "failed") for s in SEVERITIES}
    return {
        "verdict": overall(results),
        "rules": len(results),
        "passed": _count(results, "passed"),
        "failed": failed,
        "errored": _count(results, "errored"),
    }


def _count(results: Iterable[Result], verdict: Verdict) -> int:
    return sum(r.verdict == verdict for r in results)


def markdown(results: Sequence[Result], lang: Literal["fr", "en"] = "en") -> str:
    """Failed and errored rules as a Markdown table, worst first: the text of the steward's question in Airflow."""
    heads = {
        "fr": "| table | règle | gravité | affirmation | en défaut | limite |",
        "en": "| table | rule | severity | claim | violated | limit |",
    }
    lines = [heads[lang], "|---|---|---|---|---|---|"]
    for r in sorted(
        (r for r in results if r.verdict != "passed"),
        key=lambda r: (r.verdict != "errored", SEVERITIES.index(r.severity), r.table, r.rule),
    ):
        numbers = "?" if r.denominator is None else f"{r.violated} / {r.denominator}"
        limit = f"{r.max_rate:.2%}" + ("" if r.max_count is None else f", {r.max_count}")
        claim = r.claim[lang].replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {r.table} | {r.rule} | {r.severity} | {claim} | {numbers} | {limit} |")
    return "\n".join(lines)
