"""gate and decide: Great Expectations judges the counts; a steward may approve warnings, nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from catalogue import db
from jobs.delivery import STATES, Subject, may_move, never_announced, not_ready, require_act
from jobs.errors import ConfigError, NotReady, QualityRefused
from jobs.hub import Hub
from jobs.quality.judge import judge_all
from jobs.quality.rules import load_rules
from jobs.quality.verdict import Result, in_words, overall, refuse
from jobs.steps.stage import remove_staged
from schemas.loader import load_source, omop_names

Answer = dict[str, Any]
DECISIONS = {"approve": "approved", "reject": "rejected"}


def gate(hub: Hub, subject: Subject) -> Answer:
    """Judges what was counted of a delivery or a build. Critical: it is refused, and readers see what they saw before.
    Warning: it waits for a steward.

    Raises ``QualityRefused`` or ``QualityErrored`` after the results were stored.
    """
    state = _state(hub, subject)
    if subject.delivery:
        require_act("gate", subject.delivery, state)
    answer, results = _judge(hub, subject)
    if answer["verdict"] == "critical":
        _refuse(hub, subject, "quality")
    refuse(
        str(subject),
        results,
        so="is refused and readers see what they saw before; it ",
        see=f"see {answer['report']}",
    )
    if answer["verdict"] == "warning" and state and "waiting" in STATES[state].targets:
        _record(hub, subject, "waiting", "quality")
    return answer


def decide(hub: Hub, subject: Subject, decision: str, who: str, reason: str, at: datetime | None = None) -> Answer:
    """Records what a steward decided: only warnings can be approved or rejected, only with a reason."""
    if decision not in DECISIONS:
        raise ConfigError("A decision is approve or reject.", next_step="say one of them")
    state = _state(hub, subject)
    _require_decidable(hub, subject, reason)
    if subject.delivery and not may_move(state, DECISIONS[decision], by="decide"):
        raise not_ready(subject, state, "asks for no decision")
    db.record_decision(hub.engine, subject, who, at or datetime.now(UTC), decision, reason)
    if decision == "approve":
        _record(hub, subject, DECISIONS[decision], f"steward {who}")
    else:
        _refuse(hub, subject, "steward")
    return {**_identity(subject), "decision": decision}


def require_passed(hub: Hub, subject: Subject) -> None:
    """Raises unless the last verdict is passed, or a warning that a steward approved after it was given."""
    judged = db.last_quality_run(hub.engine, subject)
    if judged and judged["verdict"] == "passed":
        return
    if judged and judged["verdict"] == "warning":
        since = [d for d in judged["decisions"] if d["at"] >= judged["at"]]
        if since and since[-1]["decision"] == "approve":
            return
    if judged is None:
        raise _not_judged(subject)
    raise QualityRefused(
        f"{subject} did not pass its gate ({judged['verdict']}).", next_step="run the gate, or ask a steward"
    )


def _require_decidable(hub: Hub, subject: Subject, reason: str) -> None:
    if not reason.strip():
        raise ConfigError("A decision needs a reason.", next_step="say why in one sentence")
    judged = db.last_quality_run(hub.engine, subject)
    if judged is None:
        raise _not_judged(subject)
    if judged["verdict"] == "passed":
        following = f"hub delivery publish {subject}" if subject.delivery else f"hub omop release {subject.build}"
        raise NotReady(
            f"{subject} passed its gate: it asks for no decision.", reason="not_ready", next_step=f"run `{following}`"
        )
    if judged["verdict"] != "warning":
        raise QualityRefused(
            f"The verdict on {subject} is {judged['verdict']}: only warnings can be approved or rejected.",
            next_step=f"`hub quality list --subject {subject}` says why",
        )


def _not_judged(subject: Subject) -> NotReady:
    noun, name = ("delivery", subject.delivery) if subject.delivery else ("omop", subject.build)
    return NotReady(
        f"{subject} was not judged yet.", reason="not_ready", next_step=f"run `hub {noun} gate {name}` first"
    )


def _judge(hub: Hub, subject: Subject) -> tuple[Answer, list[Result]]:
    """Judges every table of a subject in one process and stores each result: the answer, and the results."""
    counts = db.get_counts(hub.engine, subject)
    names = _tables(subject)
    judged = judge_all({name: (load_rules(name), counts.get(name, {})) for name in names})
    results = [r for name in names for r in judged[name]]
    verdict = str(overall(results))
    run = db.add_quality_run(hub.engine, subject, [r.model_dump() for r in results], verdict, run=hub.run)
    failed = [r for r in results if r.verdict != "passed"]
    answer = {
        "verdict": verdict,
        "quality_run": run,
        "rules": len(results),
        "failed": {s: sum(1 for r in failed if r.severity == s) for s in ("critical", "warning", "info")},
        "failed_rules": [in_words(r) for r in failed][:20],
        "report": f"{hub.settings.steward_address}/en/quality/{subject}",
    }
    if subject.delivery:
        answer["books"] = f"{hub.settings.steward_address}/en/deliveries/{subject}"
    return _identity(subject) | answer, results


def _tables(subject: Subject) -> list[str]:
    if subject.delivery:
        source = subject.delivery.source
        return [f"{source}/{t}" for t in load_source(source).tables]
    return [f"omop/{t}" for t in omop_names()]


def _identity(subject: Subject) -> Answer:
    """How an answer names its subject: a task reads it from there."""
    if subject.delivery:
        return {"id": str(subject), "period": subject.delivery.period}
    return {"build": subject.build}


def _state(hub: Hub, subject: Subject) -> str | None:
    """The state of a delivery. A build has none: it is there, or this raises ``ConfigError``."""
    if subject.delivery:
        state = db.delivery_state(hub.engine, subject.delivery)
        if state is None:
            raise never_announced(subject.delivery)
        return state
    db.build_deliveries(hub.engine, subject.build or 0)
    return None


def _record(hub: Hub, subject: Subject, state: str, reason: str) -> None:
    if subject.delivery:
        db.record_event(hub.engine, subject.delivery, state, reason=reason, run=hub.run)


def _refuse(hub: Hub, subject: Subject, reason: str) -> None:
    """Rejects a staged delivery whole: its rows stay sealed in landing, what was staged is removed. A build that is not
    released is not seen by anybody: nothing of it changes."""
    if subject.delivery:
        db.refuse_books(hub.engine, subject.delivery, reason)
        _record(hub, subject, "rejected", reason)
        remove_staged(hub, subject.delivery)
