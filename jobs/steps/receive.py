"""announce and pull: from a contributor's outbox into the sealed landing, or refused whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import Any

from catalogue.db import records
from jobs.delivery import FIRST, OPEN, UNANNOUNCED, DeliveryId, may_act
from jobs.errors import ContractRefused, HubError, Incomplete, KeyRefused, StorageError
from jobs.intake.arrivals import complete_deliveries, incomplete_deliveries
from jobs.intake.connectors import MANIFEST, FolderOutbox
from jobs.intake.pull import Progress, PullReport, pull
from jobs.steps.hub import Hub

MANIFEST_BYTES = 4 * 1024 * 1024
Answer = dict[str, Any]


def announce(hub: Hub, only: tuple[str, str] | None = None) -> list[Answer]:
    """Records what is in the outboxes (``only``: of one source and period) and returns what was announced now:
    ``source, period, version``.

    Of several versions of one source and period at most one is open at a time: the lowest. A delivery whose files are
    not all there is recorded as incomplete and looked at again next time.
    """
    known = {d["id"]: d["state"] for d in records.list_deliveries(hub.engine)}
    outbox = outbox_of(hub)
    for delivery in incomplete_deliveries(outbox):
        if known.get(str(delivery)) in UNANNOUNCED:
            _announce(hub, delivery)
            records.record_event(hub.engine, delivery, "incomplete", reason="files_missing", run=hub.run)
            known[str(delivery)] = "incomplete"
    announced = []
    busy = {DeliveryId.parse(d).slice for d, state in known.items() if state in OPEN}
    for delivery in complete_deliveries(outbox):
        if known.get(str(delivery)) not in UNANNOUNCED or delivery.slice in busy:
            continue
        if only and delivery.slice != only:
            continue
        if not _announce(hub, delivery) and records.delivery_state(hub.engine, delivery) in UNANNOUNCED:
            records.record_event(hub.engine, delivery, FIRST, run=hub.run)
        busy.add(delivery.slice)
        announced.append({"source": delivery.source, "period": delivery.period, "version": delivery.version})
    return announced


def outbox_of(hub: Hub) -> FolderOutbox:
    """Where deliveries come from, as the settings say it."""
    return FolderOutbox(hub.settings.outboxes, hub.settings.outbox)


def _announce(hub: Hub, delivery: DeliveryId) -> bool:
    outbox = outbox_of(hub)
    try:
        with outbox.open(delivery, MANIFEST) as stream:
            content = stream.read(MANIFEST_BYTES)
        manifest = json.loads(content)
    except (ValueError, ContractRefused, StorageError):
        content, manifest = b"", {}  # the pull says what is wrong with it
    known = manifest if isinstance(manifest, dict) else {}
    return records.announce(hub.engine, delivery, known, hashlib.sha256(content).hexdigest())


def choose(hub: Hub, source: str, period: str) -> DeliveryId:
    """The delivery of a month that is to be taken in: the lowest open version, else the highest that is known.

    Raises ``Incomplete`` when nothing of that month was announced or is in the outbox.
    """
    known = records.list_deliveries(hub.engine, source=source, period=period)
    if not known:  # asked for by hand before the bell rang
        announce(hub, only=(source, period))
        known = records.list_deliveries(hub.engine, source=source, period=period)
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
    state = records.delivery_state(hub.engine, delivery)
    if not (again or may_act("pull", state)):
        return _answer(delivery, state or "unknown", "stop")
    published = records.latest_published(hub.engine, delivery.source, delivery.period)
    if published and DeliveryId.parse(published).version > delivery.version:
        records.record_event(hub.engine, delivery, "superseded", reason=published, run=hub.run)
        return _answer(delivery, "superseded", "stop")
    report = _pull(hub, delivery, progress)
    if not again and (same := records.same_content(
        hub.engine, delivery.source, delivery.period, [f.sha256 for f in report.files]
    )):  # fmt: skip
        records.set_books(hub.engine, delivery, _all_rows(hub, delivery, "rows_duplicate"))
        records.record_event(hub.engine, delivery, "duplicate", reason=same, run=hub.run)
        shutil.rmtree(delivery.under(hub.settings.landing), ignore_errors=True)
        return _answer(delivery, "duplicate", "stop")
    files = [
        {"table": f.table, "file": f.file, "rows": f.rows, "malformed": f.malformed, "reasons": f.reasons}
        for f in report.files
    ]
    records.record_event(hub.engine, delivery, "pulled", run=hub.run, detail={"files": files})
    return _answer(delivery, "pulled", "stage") | {"rows_in": report.rows}


def _pull(hub: Hub, delivery: DeliveryId, progress: Progress | None) -> PullReport:
    settings = hub.settings
    registered = records.key_check(hub.engine, "stage1")
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
            progress=progress,
        )
    except Incomplete as error:
        records.record_event(hub.engine, delivery, "incomplete", reason=error.reason, run=hub.run)
        raise
    except (ContractRefused, KeyRefused) as error:
        if error.reason.startswith("stage1_key") or isinstance(error, ContractRefused):
            reject(hub, delivery, error)
        raise


def reject(hub: Hub, delivery: DeliveryId, error: HubError) -> None:
    """Books the whole delivery as refused: what was received stays sealed, the lake is as it was."""
    records.set_books(hub.engine, delivery, _all_rows(hub, delivery, error.reason))
    said = {"said": str(error)}  # names of files, tables and columns, and counts
    records.record_event(hub.engine, delivery, "rejected", reason=error.reason, run=hub.run, detail=said)


def _all_rows(hub: Hub, delivery: DeliveryId, where: str) -> list[Answer]:
    known = records.get_delivery(hub.engine, delivery)
    books = []
    for file in known["files"] if known else []:
        book: Answer = {"table": file["table"], "file": file["name"], "rows_in": file["rows"]}
        book |= {"rows_published": 0, "rows_duplicate": 0, "rows_settled": 0, "rows_quarantined": {}}
        if where == "rows_duplicate":
            book["rows_duplicate"] = file["rows"]
        else:
            book["rows_quarantined"] = {where: file["rows"]}
        books.append(book)
    return books


def _answer(delivery: DeliveryId, state: str, following: str) -> Answer:
    return {
        "id": str(delivery),
        "source": delivery.source,
        "period": delivery.period,
        "state": state,
        "next": following,
    }
