"""announce and pull: from a contributor's outbox into the sealed landing, or refused whole."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from catalogue import db
from jobs.delivery import FIRST, OPEN, UNANNOUNCED, DeliveryId, may_act
from jobs.errors import ContractRefused, HubError, Incomplete, KeyRefused, StorageError
from jobs.hub import Hub
from jobs.intake.arrivals import arrivals
from jobs.intake.connectors import FolderOutbox
from jobs.intake.manifest import declared, read_content
from jobs.intake.pull import Progress, PullReport, pull
from jobs.intake.quarantine import remove_records
from jobs.rows.books import DUPLICATE, Book, whole_book
from schemas.loader import source_names

Answer = dict[str, Any]


def announce(
    hub: Hub, only: tuple[str, str] | None = None, tell: Callable[[str], None] = lambda _: None
) -> list[Answer]:
    """Records what is in the outboxes (``only``: of one source and period) and returns what was announced now:
    ``source, period, version``. ``tell`` is called with a line for each thing that was seen and not announced, and why.

    Of several versions of one source and period at most one is open at a time: the lowest. A delivery whose files are
    not all there is recorded as incomplete and looked at again next time. No delivery stands in the way of another: one
    that does not answer is told, and raises ``StorageError`` only when nothing was announced.
    """
    outbox = outbox_of(hub)
    states = {d["id"]: d["state"] for d in db.list_deliveries(hub.engine)}
    there = [d for d in outbox.deliveries() if only is None or d.slice == only]
    for line in [*(outbox.strays() if only is None else ()), *_gaps(there, states)]:
        tell(line)
    seen = arrivals(outbox, _to_look_at(there, states, tell))
    failed: dict[DeliveryId, HubError] = dict(seen.unread)
    announced = []
    busy = {DeliveryId.parse(d).slice: d for d, state in states.items() if state in OPEN}
    for delivery in sorted([*seen.waiting, *seen.complete]):
        month = delivery.slice
        try:
            if waiting := seen.waiting.get(delivery):
                tell(f"{delivery}: {waiting.said}")
                _record(hub, delivery, "incomplete", reason="files_missing", detail={"said": waiting.said})
            elif month in busy:
                tell(f"{delivery}: {busy[month]} is on its way and ends first")
            else:
                _record(hub, delivery, FIRST)
                busy[month] = str(delivery)
                announced.append({"source": delivery.source, "period": delivery.period, "version": delivery.version})
        except HubError as error:
            failed[delivery] = error
    for delivery, fault in failed.items():
        tell(f"{delivery}: {fault}")
    storage = [fault for fault in failed.values() if isinstance(fault, StorageError)]
    if storage and not announced:
        raise storage[0]
    return announced


def announce_in_run(hub: Hub, run: str, tell: Callable[[str], None] = lambda _: None) -> list[Answer]:
    """Announces, in an Airflow run, and returns what this run announced and nobody has taken in yet: ``source, period,
    version, at``. So a second try, after one that ended before it could answer, says again what is to be started."""
    announce(hub, tell=tell)
    return [known | {"at": known["at"].isoformat()} for known in db.announced_in(hub.engine, run)]


def _to_look_at(
    there: Iterable[DeliveryId], states: Mapping[str, str], tell: Callable[[str], None]
) -> Iterator[DeliveryId]:
    """Those that are not known, or were incomplete; what is known is not opened again."""
    for delivery in there:
        if delivery.source not in source_names():
            tell(f"{delivery}: the hub has no contract for a source {delivery.source}")
        elif states.get(str(delivery)) in UNANNOUNCED:
            yield delivery


def _gaps(there: Iterable[DeliveryId], states: Mapping[str, str]) -> Iterator[str]:
    """In words: versions that lie below a new one and were never seen."""
    versions: dict[str, set[int]] = {}
    for name in {*states, *map(str, there)}:
        month, _, number = name.rpartition("/v")
        versions.setdefault(month, set()).add(int(number))
    for delivery in there:
        before = {v for v in versions[str(delivery).rpartition("/v")[0]] if v < delivery.version}
        first = max(before, default=0) + 1
        if str(delivery) not in states and first < delivery.version:
            last = delivery.version - 1
            yield f"{delivery}: v{first}{f' to v{last}' if last > first else ''} was never seen"


def outbox_of(hub: Hub) -> FolderOutbox:
    """Where deliveries come from, as the settings say it."""
    return FolderOutbox(hub.settings.outboxes, hub.settings.outbox)


def _record(hub: Hub, delivery: DeliveryId, state: str, **event: Any) -> None:
    """Records the manifest as it is now, and the state of its delivery."""
    is_new = _record_manifest(hub, delivery)
    if state != FIRST or not is_new:
        db.record_event(hub.engine, delivery, state, run=hub.run, **event)


def _record_manifest(hub: Hub, delivery: DeliveryId) -> bool:
    """True when it is new or was replaced. One that breaks its contract is recorded as far as it goes: the pull refuses
    it."""
    try:
        content = read_content(outbox_of(hub), delivery)
    except (ContractRefused, Incomplete):
        content = b""
    sha256 = hashlib.sha256(content).hexdigest()
    return db.announce(hub.engine, delivery, declared(content), sha256, run=hub.run)


def choose(hub: Hub, source: str, period: str) -> DeliveryId:
    """The delivery of a month that is to be taken in: the lowest open version, else the highest that is known.

    Raises ``Incomplete`` when nothing of that month was announced or is in the outbox.
    """
    known = db.list_deliveries(hub.engine, source=source, period=period)
    if not known:  # asked for by hand before the bell rang
        announce(hub, only=(source, period))
        known = db.list_deliveries(hub.engine, source=source, period=period)
    if not known:
        raise Incomplete(
            f"No complete delivery of {source} for {period} is in the outbox.",
            next_step=f"look into {outbox_of(hub).where(DeliveryId(source, period, 1)).removesuffix('/v1')}; "
            "a delivery is complete when its manifest.json and all files named in it are there",
        )
    open_ones = [d for d in known if d["state"] in OPEN]
    chosen = min(open_ones, key=lambda d: d["version"]) if open_ones else max(known, key=lambda d: d["version"])
    return DeliveryId.parse(chosen["id"])


def receive(hub: Hub, delivery: DeliveryId, *, again: bool = False, progress: Progress | None = None) -> Answer:
    """Pulls one delivery. The answer says what is ``next``: ``stage``, or ``stop`` when there is nothing to do.

    A delivery with the same files as the published one is a duplicate; one older than the published one is superseded.
    """
    state = db.delivery_state(hub.engine, delivery)
    if not (again or may_act("pull", state)):
        return _answer(delivery, state or "unknown", "stop")
    published = db.latest_published(hub.engine, delivery.source, delivery.period)
    if published and DeliveryId.parse(published).version > delivery.version:
        db.record_event(hub.engine, delivery, "superseded", reason=published, run=hub.run)
        return _answer(delivery, "superseded", "stop")
    if state in UNANNOUNCED and not again:
        _announce_complete(hub, delivery)
    elif state == FIRST:
        _record_manifest(hub, delivery)  # it may have been replaced since
    report = _pull(hub, delivery, progress)
    if not again and (same := db.same_content(
        hub.engine, delivery.source, delivery.period, [f.sha256 for f in report.files]
    )):  # fmt: skip
        db.set_books(hub.engine, delivery, _all_rows(hub, delivery, DUPLICATE))
        db.record_event(hub.engine, delivery, "duplicate", reason=same, run=hub.run)
        shutil.rmtree(delivery.under(hub.settings.landing), ignore_errors=True)
        remove_records(delivery, hub.settings.quarantine)
        return _answer(delivery, "duplicate", "stop")
    files = [
        {
            "table": f.table,
            "file": f.file,
            "rows": f.rows,
            "malformed": f.malformed,
            "reasons": f.reasons,
            "refused": f.refused,
        }
        for f in report.files
    ]
    detail = {"files": files, "reader": report.reader, "unknown": report.unknown, "ended": report.ended}
    db.record_event(hub.engine, delivery, "pulled", run=hub.run, detail=detail)
    return _answer(delivery, "pulled", "stage") | {"rows_in": report.rows}


def _announce_complete(hub: Hub, delivery: DeliveryId) -> None:
    """Announces what was incomplete when it was last looked at. Raises ``Incomplete`` with what it still waits for."""
    seen = arrivals(outbox_of(hub), [delivery])
    if waiting := seen.waiting.get(delivery):
        raise Incomplete(
            f"{delivery}: {waiting.said}.",
            reason="missing_file",
            next_step="wait for the contributor; nothing was loaded",
        )
    _record(hub, delivery, FIRST)


def _pull(hub: Hub, delivery: DeliveryId, progress: Progress | None) -> PullReport:
    settings = hub.settings
    registered = db.key_check(hub.engine, "stage1")
    if registered is None:
        raise KeyRefused("No stage-1 key is registered.", next_step="run `hub key init` or `hub key register`")
    try:
        return pull(
            delivery,
            outbox=outbox_of(hub),
            landing=settings.landing,
            quarantine=settings.quarantine,
            keys_public=settings.keys / "public",
            stage1_key=registered,
            known=db.files_of_other_periods(hub.engine, delivery),
            progress=progress,
        )
    except Incomplete as error:
        said = {"said": str(error)}
        db.record_event(hub.engine, delivery, "incomplete", reason=error.reason, run=hub.run, detail=said)
        raise
    except (ContractRefused, KeyRefused) as error:
        if error.reason.startswith("stage1_key") or isinstance(error, ContractRefused):
            reject(hub, delivery, error)
        raise


def reject(hub: Hub, delivery: DeliveryId, error: HubError) -> None:
    """Books the whole delivery as refused: what was received stays sealed, the lake is as it was."""
    db.set_books(hub.engine, delivery, _all_rows(hub, delivery, error.reason))
    said = {"said": str(error)}  # names of files, tables and columns, and counts
    db.record_event(hub.engine, delivery, "rejected", reason=error.reason, run=hub.run, detail=said)


def _all_rows(hub: Hub, delivery: DeliveryId, where: str) -> list[Book]:
    """Books in which every declared row went to one place. A manifest may name a file twice: its rows are added up."""
    known = db.get_delivery(hub.engine, delivery)
    rows: dict[tuple[str, str], int] = {}
    for file in known["files"] if known else []:
        of = file["table"], file["name"]
        rows[of] = rows.get(of, 0) + file["rows"]
    return [whole_book(table, name, count, where) for (table, name), count in rows.items()]


def _answer(delivery: DeliveryId, state: str, following: str) -> Answer:
    return {
        "id": str(delivery),
        "source": delivery.source,
        "period": delivery.period,
        "state": state,
        "next": following,
    }
