"""withdraw: a published delivery's rows leave the lake, one commit a table, proved by reading the commit back."""

from __future__ import annotations

import shutil
from typing import Any

from catalogue import db
from jobs.delivery import DeliveryId, Subject, may_move, never_announced
from jobs.errors import ConfigError, ConflictError
from jobs.hub import Hub, Progress
from jobs.lake import tables as lake
from jobs.lake.commits import RUN, Commit, commit, history, is_same
from jobs.lake.layout import table_path
from jobs.steps.publish import month
from schemas.loader import load_tables

Answer = dict[str, Any]


def plan(hub: Hub, delivery: DeliveryId) -> Answer:
    """What a withdrawal takes away: ``rows`` of the lake, ``published_at``. Raises ``ConfigError`` when the lake holds
    nothing of the delivery and it is not withdrawn already, or when it is on its way."""
    known = db.get_delivery(hub.engine, delivery)
    if known is None:
        raise never_announced(delivery)
    state, instead = known["state"], known["replaced_by"]
    if state != "withdrawn" and not known["in_lake"]:
        raise ConfigError(
            f"The lake holds no rows of {delivery}{f', but those of {instead}' if instead else ''}.",
            next_step=f"withdraw {instead}" if instead else "see `hub delivery list`",
        )
    if not may_move(state, "withdrawn"):
        raise ConfigError(
            f"{delivery} is {state}: it is being taken in again.", next_step="wait for its end, then withdraw it"
        )
    keys = ("id", "source", "period", "state", "published_at")
    return {key: known[key] for key in keys} | {"rows": known["rows_in_lake"]}


def withdraw(hub: Hub, delivery: DeliveryId, reason: str, progress: Progress | None = None) -> Answer:
    """Takes a delivery's rows out of the lake, and what was received of it out of the landing; its books, history and
    quarantine stay. The next build takes its month out of the OMOP tables. Repeating changes nothing, and finishes what
    was interrupted."""
    if not reason.strip():
        raise ConfigError("A withdrawal needs a reason.", next_step="say why in one sentence")
    planned = plan(hub, delivery)
    if planned["state"] != "withdrawn":
        versions = _commit_all(hub, delivery, progress)
        detail = {"versions": versions, "rows": planned["rows"]}
        db.record_event(hub.engine, delivery, "withdrawn", reason=reason.strip(), run=hub.run, detail=detail)
    lake.remove_staged(hub.settings.lake, Subject(delivery))
    shutil.rmtree(delivery.under(hub.settings.landing), ignore_errors=True)
    return planned | {"state": "withdrawn"}


def _commit_all(hub: Hub, delivery: DeliveryId, progress: Progress | None) -> dict[str, int]:
    """Removes the rows of every table of the delivery; versions without them by table. Raises ``ConflictError``, before
    anything is removed, when some are another delivery's meanwhile."""
    places = {
        n: table_path(hub.settings.lake, n) for n in (f"{delivery.source}/{t}" for t in load_tables(delivery.source))
    }
    commits = {name: history(where) for name, where in places.items()}
    mine = {name: [c for c in entries if c[1].get("period") == delivery.period] for name, entries in commits.items()}
    for name, entries in mine.items():
        if entries and entries[0][1]["delivery"] != str(delivery):
            raise ConflictError(f"{name} now holds {entries[0][1]['delivery']}.", next_step="see `hub delivery list`")

    versions = {}
    for name in (n for n in places if commits[n]):
        versions[name] = _commit(hub, delivery, name, mine[name][:1])
        if progress:
            progress(name)
    return versions


def _commit(hub: Hub, delivery: DeliveryId, name: str, last: list[Commit]) -> int:
    """Removes one table's rows of the period; the version without them. ``last``: the last commit of the period."""
    where = table_path(hub.settings.lake, name)
    metadata: dict[str, Any] = {"delivery": str(delivery), "table": name, "step": "withdraw"}
    metadata |= {"period": delivery.period, RUN: hub.run}
    if last and is_same(last[0][1], metadata):
        return last[0][0]
    return commit(
        where, [], None, metadata, replaces=lambda of: of["_period"] == delivery.period, claim=month(delivery)
    )
