"""Who wrote files into the lake: the names of attempts, as steps record them."""

from __future__ import annotations

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from catalogue.db.engine import reading
from catalogue.db.models import Build, Event, ReleaseRow
from jobs.delivery import STATES, Subject

WAITS = frozenset(name for name, state in STATES.items() if state.is_open and "publish" in state.moves)
"""States of a delivery whose rows wait."""


def list_writers(engine: Engine) -> dict[str, bool]:
    """Writer to whether what it wrote may still be committed: of every stage that ended, and of released builds and the
    newest one. What any other wrote was never finished, or belongs to a build that a newer one replaced."""
    with reading(engine) as session:
        return _of_builds(session) | _of_deliveries(session)


def _of_builds(session: Session) -> dict[str, bool]:
    released = set(session.scalars(select(ReleaseRow.build)))
    builds = session.scalars(select(Build).order_by(Build.id)).all()
    is_open = {b.id: str(Subject(build=b.id)) not in released for b in builds}
    known = [b for b in builds if not is_open[b.id] or b is builds[-1]]
    return {b.detail["writer"]: is_open[b.id] for b in known if b.detail and "writer" in b.detail}


def _of_deliveries(session: Session) -> dict[str, bool]:
    columns = select(Event.delivery_id, Event.state, Event.detail).order_by(Event.id)
    state: dict[str, str] = {}
    writers: dict[str, list[str]] = {}
    for delivery, became, detail in session.execute(columns):
        state[delivery] = became
        if became == "staged" and detail and "writer" in detail:
            writers.setdefault(delivery, []).append(detail["writer"])
    return {w: state[d] in WAITS and w == of[-1] for d, of in writers.items() for w in of}
