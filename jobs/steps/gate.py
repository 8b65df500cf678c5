"""gate and decide: Great Expectations judges the counts; a steward may approve warnings, nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from catalogue.db import records
from jobs.errors import ConfigError, QualityErrored, QualityRefused, UnexpectedState
from jobs.intake.delivery import DeliveryId
from jobs.lake import tables as lake
from jobs.steps.hub import Hub
from jobs.steps.stage import staging
from schemas.loader import load_source

Answer = dict[str, Any]


def judge_subject(hub: Hub, subject: str, names: list[str]) -> Answer:
    """Judges the counts of these tables in one process, stores every result, writes the stewards' report."""
    from jobs.quality.judge import judge_all
    from jobs.quality.report import in_words
    from jobs.quality.rules import load_rules
    from jobs.quality.verdict import overall

    counts = records.get_counts(hub.engine, subject)
    judged = judge_all({name: (load_rules(name), counts.get(name, {})) for name in names})
    results = [r for name in names for r in judged[name]]
    verdict = str(overall(results))
    run = records.add_quality_run(
        hub.engine, subject, [r.model_dump() for r in results], verdict, f"quality/{subject}", run=hub.run
    )
    failed = [r for r in results if r.verdict != "passed"]
    return {
        "verdict": verdict,
        "quality_run": run,
        "rules": len(results),
        "failed": {s: sum(1 for r in failed if r.severity == s) for s in ("critical", "warning", "info")},
        "failed_rules": [in_words(r) for r in failed][:20],
        "report": f"{hub.settings.catalogue_address}/en/quality/{subject}",
    }


def gate(hub: Hub, delivery: DeliveryId) -> Answer:
    """Judges a staged delivery. Critical: rejected, the lake unchanged. Warning: it waits for a steward.

    Raises ``QualityRefused`` or ``QualityErrored`` after the results were stored.
    """
    state = records.delivery_state(hub.engine, delivery)
    if state not in ("staged", "waiting", "approved", "published"):
        raise UnexpectedState(f"{delivery} is {state}, not staged.", next_step="run `hub delivery stage` first")
    names = [f"{delivery.source}/{t}" for t in load_source(delivery.source).tables]
    answer = judge_subject(hub, str(delivery), names)
    if answer["verdict"] == "errored":
        raise QualityErrored(
            f"{delivery}: the gate could not judge {len(answer['failed_rules'])} rules.",
            next_step=f"see {answer['report']}, mend the rule or the table, then run the gate again",
        )
    if answer["verdict"] == "critical":
        refuse(hub, delivery, "quality")
        raise QualityRefused(
            f"{delivery}: {answer['failed']['critical']} critical rules failed. The lake is unchanged.",
            next_step=f"see {answer['report']}; the contributor sends a corrected version",
        )
    if answer["verdict"] == "warning" and state == "staged":
        records.record_event(hub.engine, delivery, "waiting", reason="quality", run=hub.run)
    books = f"{hub.settings.catalogue_address}/en/deliveries/{delivery}"
    return {"id": str(delivery), "period": delivery.period, "books": books} | answer


def decide(hub: Hub, delivery: DeliveryId, decision: str, who: str, reason: str, at: datetime | None = None) -> Answer:
    """Records what a steward decided on a delivery that waits: only warnings can be approved, only with a reason."""
    require_decidable(hub, str(delivery), reason)
    state = records.delivery_state(hub.engine, delivery)
    if state not in ("waiting", "approved", "rejected"):
        raise UnexpectedState(f"{delivery} is {state}: nobody was asked.", next_step="run the gate first")
    records.record_decision(hub.engine, str(delivery), who, at or datetime.now(UTC), decision, reason)
    if decision == "approve":
        records.record_event(hub.engine, delivery, "approved", reason=f"steward {who}", run=hub.run)
    else:
        refuse(hub, delivery, "steward")
    return {"id": str(delivery), "decision": decision}


def require_decidable(hub: Hub, subject: str, reason: str) -> None:
    """Refuses a decision without a reason, or on a verdict that is not a warning."""
    if not reason.strip():
        raise ConfigError("A decision needs a reason.", next_step="say why in one sentence")
    judged = records.last_quality_run(hub.engine, subject)
    verdict = judged["verdict"] if judged else "missing"
    if verdict != "warning":
        raise QualityRefused(f"The verdict on {subject} is {verdict}: there is nothing to approve.")


def require_passed(hub: Hub, subject: str) -> None:
    """Raises unless the last verdict is passed, or a warning that a steward approved after it was given."""
    judged = records.last_quality_run(hub.engine, subject)
    if judged and judged["verdict"] == "passed":
        return
    if judged and judged["verdict"] == "warning":
        since = [d for d in judged["decisions"] if d["at"] >= judged["at"]]
        if since and since[-1]["decision"] == "approve":
            return
    verdict = judged["verdict"] if judged else "missing"
    raise QualityRefused(f"{subject} did not pass its gate ({verdict}).", next_step="run the gate, or ask a steward")


def refuse(hub: Hub, delivery: DeliveryId, reason: str) -> None:
    """Rejects a staged delivery whole: its rows stay sealed in landing, what was staged is removed."""
    records.refuse_books(hub.engine, delivery, reason)
    records.record_event(hub.engine, delivery, "rejected", reason=reason, run=hub.run)
    lake.remove(staging(hub, delivery))
