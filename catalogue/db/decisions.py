"""What stewards decided on a delivery or a build."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from catalogue.db.engine import reading, writing
from catalogue.db.models import Decision
from jobs.errors import UnexpectedState

Record = dict[str, Any]


def record_decision(engine: Engine, subject: object, who: str, at: datetime, decision: str, reason: str | None) -> None:
    """Record what a steward decided (``approve`` or ``reject``); the same decision again adds nothing."""
    if decision not in ("approve", "reject"):
        raise UnexpectedState("A decision is approve or reject.", reason="decision")
    with writing(engine) as session:
        known = select(Decision).where(Decision.subject == str(subject), Decision.who == who, Decision.at == at)
        if not session.scalar(known):
            session.add(Decision(subject=str(subject), who=who, at=at, decision=decision, reason=reason))


def list_decisions(engine: Engine, subject: object) -> list[Record]:
    """``who, at, decision, reason`` of the decisions on a subject, oldest first."""
    with reading(engine) as session:
        return decisions(session, str(subject))


def decisions(session: Session, subject: str) -> list[Record]:
    """The same, inside a transaction."""
    rows = session.scalars(select(Decision).where(Decision.subject == subject).order_by(Decision.id))
    return [as_dict(r, "who", "at", "decision", "reason") for r in rows]


def as_dict(row: object, *names: str) -> Record:
    """Some columns of a row; ``table_name`` is called ``table``."""
    return {name.removesuffix("_name"): getattr(row, name) for name in names}
