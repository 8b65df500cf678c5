"""Records of deliveries: announced, moved from state to state, counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session

from catalogue.db.decisions import as_dict, decisions
from catalogue.db.engine import now, reading, writing
from catalogue.db.holdings import Holding, holdings
from catalogue.db.models import Book, Delivery, DeliveryFile, Event
from jobs.delivery import FIRST, DeliveryId, may_move, never_announced, require_move
from jobs.errors import ContractRefused, UnexpectedState

Record = dict[str, Any]


def announce(
    engine: Engine, delivery: DeliveryId | str, manifest: Mapping[str, Any], sha256: str, *, run: str | None = None
) -> bool:
    """Record that a contributor announces a delivery by this manifest. True when it is new or was replaced.
    ``run`` is the Airflow run.

    The same manifest again changes nothing. Another manifest under the same id is accepted while nothing of the
    delivery is in the hub; after that it raises ``ContractRefused``. Raises ``ConfigError`` for what is not the name of
    a delivery.
    """
    name = DeliveryId.parse(str(delivery))
    with writing(engine) as session:
        row = _lock(session, str(name))
        if row and row.manifest_sha256 == sha256:
            return False
        state = _state(session, str(name))
        if row and not (may_move(state, FIRST) and row.id not in _published(session)):
            raise ContractRefused(
                f"{delivery} is {state} and came again with another manifest.",
                reason="manifest_changed",
                next_step="the contributor sends the change as the next version",
            )
        if not row:
            row = Delivery(
                id=str(name), source=name.source, period=name.period, version=name.version, first_seen_at=now()
            )
            session.add(row)
        row.manifest_sha256 = sha256
        row.contract_version = _number(manifest.get("contract_version"), 2**31)
        key = manifest.get("stage1_key")
        row.stage1_key = _text(key, 64).lower() if isinstance(key, str) else None
        row.synthetic = manifest.get("synthetic") is True
        row.files.clear()
        session.flush()
        row.files.extend(_files(manifest.get("files")))
        session.add(Event(delivery_id=row.id, at=now(), state=FIRST, run=run))
        return True


def _files(files: object) -> Iterable[DeliveryFile]:
    # a manifest that breaks its contract is recorded as far as it goes; the pull refuses it
    for position, file in enumerate(files if isinstance(files, list) else []):
        if isinstance(file, Mapping):
            yield DeliveryFile(
                position=position,
                name=_text(file.get("name")),
                table_name=_text(file.get("table")),
                rows=_number(file.get("rows")) or 0,
                bytes=_number(file.get("bytes")) or 0,
                sha256=_text(file.get("sha256"), 64).lower(),
            )


def _text(value: object, length: int = 200) -> str:
    """What every database stores, and a page shows on one line: a zero byte or half a character becomes ``?``."""
    return "".join(c if c.isprintable() else "?" for c in value[:length]) if isinstance(value, str) else ""


def _number(value: object, limit: int = 2**48) -> int | None:
    """A count, below what the column holds; sums of counts still fit."""
    return value if isinstance(value, int) and 0 <= value < limit else None


def record_event(
    engine: Engine,
    delivery_id: object,
    state: str,
    *,
    reason: str | None = None,
    run: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> bool:
    """Add a change of state. False, and nothing added, when the last event already says the same.

    ``run`` is the Airflow run; ``detail`` holds counts and names of tables and rules, never a value of a cell.
    Raises ``ConfigError`` for a delivery that was never announced, ``NotReady`` for a move that is not in
    ``jobs.delivery.STATES``.
    """
    with writing(engine) as session:
        _known(_lock(session, str(delivery_id)), delivery_id)
        last = _last_event(session, str(delivery_id))
        said = dict(detail) if detail else None
        if last and (last.state, last.reason, last.detail) == (state, reason, said) and run in (None, last.run):
            return False
        require_move(delivery_id, last.state if last else None, state)
        session.add(
            Event(
                delivery_id=str(delivery_id),
                at=now(),
                state=state,
                reason=reason,
                run=run,
                detail=said,
            )
        )
        return True


def delivery_state(engine: Engine, delivery_id: object) -> str | None:
    """The present state of a delivery; None when it was never announced."""
    with reading(engine) as session:
        return _state(session, str(delivery_id))


def set_books(engine: Engine, delivery_id: object, books: Iterable[Mapping[str, Any]]) -> None:
    """Replace the books of a delivery, one entry per file: ``table, file, rows_in, rows_published, rows_duplicate,
    rows_quarantined: {reason: rows}``.

    Raises ``UnexpectedState`` when a file's rows in are not published + quarantined + duplicate.
    """
    rows = [
        Book(
            delivery_id=str(delivery_id),
            table_name=b["table"],
            file=b["file"],
            rows_in=b["rows_in"],
            rows_published=b["rows_published"],
            rows_duplicate=b["rows_duplicate"],
            rows_quarantined={k: int(v) for k, v in sorted(b["rows_quarantined"].items()) if v},
        )
        for b in books
    ]
    for row in rows:
        _must_balance(row)
    with writing(engine) as session:
        _known(_lock(session, str(delivery_id)), delivery_id)
        session.execute(delete(Book).where(Book.delivery_id == str(delivery_id)))
        session.add_all(rows)


def refuse_books(engine: Engine, delivery_id: object, reason: str) -> None:
    """Book every row that would have been published as quarantined for ``reason``: the whole delivery is refused."""
    with writing(engine) as session:
        _known(_lock(session, str(delivery_id)), delivery_id)
        for row in session.scalars(select(Book).where(Book.delivery_id == str(delivery_id))):
            if row.rows_published:
                held = row.rows_quarantined.get(reason, 0)
                row.rows_quarantined = {**row.rows_quarantined, reason: held + row.rows_published}
                row.rows_published = 0


def _must_balance(row: Book) -> None:
    parts = [row.rows_published, row.rows_duplicate, *row.rows_quarantined.values()]
    if min(row.rows_in, *parts) < 0 or row.rows_in != sum(parts):
        raise UnexpectedState(
            f"The books of {row.delivery_id}, {row.table_name} do not balance: {row.rows_in} in, {sum(parts)} out.",
            reason="books",
            next_step="report this, the lake was not changed by it",
        )


def list_deliveries(
    engine: Engine, source: str | None = None, period: str | None = None, delivery_id: str | None = None
) -> list[Record]:
    """One record per delivery, by source, period and version: ``id, source, period, version, synthetic,
    state, reason, at, first_seen_at, in_lake, published_at, rows_in_lake, replaced_by, rows_in, rows_published,
    rows_quarantined {reason: rows}, rows_duplicate,
    tables {table: the same counts}, books [table, file and the same counts]``.

    A delivery that was staged when the stage settled reversals also counts ``rows_settled``, beside the others; of all
    deliveries ``with_settled`` tells what builds settle.

    ``state``, ``reason``, ``at`` and the counts of rows are those of the last attempt to take it in; rows are zero
    until it was staged. ``in_lake``, ``published_at``, ``rows_in_lake`` (None: not recorded) and ``tables_in_lake``
    (rows by table) are what the lake holds of it: also of a delivery that is being taken in again, or was refused then.
    ``replaced_by``: the delivery whose rows the lake holds where those of this one stood, or would stand.
    """
    query = select(Delivery).order_by(Delivery.source, Delivery.period, Delivery.version)
    for column, value in ((Delivery.source, source), (Delivery.period, period), (Delivery.id, delivery_id)):
        if value is not None:
            query = query.where(column == value)
    with reading(engine) as session:
        deliveries = session.scalars(query).all()
        last = select(func.max(Event.id)).group_by(Event.delivery_id)
        events = {e.delivery_id: e for e in session.scalars(select(Event).where(Event.id.in_(last)))}
        held, published = holdings(session), _published(session)
        books: dict[str, list[Book]] = {}
        for book in session.scalars(select(Book).order_by(Book.table_name, Book.file)):
            books.setdefault(book.delivery_id, []).append(book)
    return [
        {
            "id": d.id,
            "source": d.source,
            "period": d.period,
            "version": d.version,
            "synthetic": d.synthetic,
            "state": events[d.id].state,
            "reason": events[d.id].reason,
            "at": events[d.id].at,
            "first_seen_at": d.first_seen_at,
            **_in_lake(d, held.get((d.source, d.period)), d.id in published or events[d.id].state == "superseded"),
            **_sum(books.get(d.id, [])),
            "tables": {
                t: _sum([b for b in books.get(d.id, []) if b.table_name == t])
                for t in dict.fromkeys(b.table_name for b in books.get(d.id, []))
            },
            "books": [{"table": b.table_name, "file": b.file, **_sum([b])} for b in books.get(d.id, [])],
        }
        for d in deliveries
    ]


def _published(session: Session) -> set[str]:
    """Deliveries that were ever published."""
    return set(session.scalars(select(Event.delivery_id).where(Event.state == "published").distinct()))


def _in_lake(delivery: Delivery, held: Holding | None, had_its_turn: bool) -> Record:
    mine = held if held and held.delivery == delivery.id else None
    return {
        "in_lake": mine is not None,
        "published_at": mine.at if mine else None,
        "rows_in_lake": (sum(mine.rows.values()) if mine.rows else None) if mine else 0,
        "tables_in_lake": dict(mine.rows) if mine and mine.rows else {},
        "replaced_by": held.delivery if held and not mine and had_its_turn else None,
    }


def _sum(books: Sequence[Book]) -> Record:
    settled = [b.rows_settled for b in books if b.rows_settled is not None]
    quarantined: dict[str, int] = {}
    for book in books:
        for reason, rows in book.rows_quarantined.items():
            quarantined[reason] = quarantined.get(reason, 0) + rows
    return {
        "rows_in": sum(b.rows_in for b in books),
        "rows_published": sum(b.rows_published for b in books),
        "rows_quarantined": dict(sorted(quarantined.items())),
        "rows_duplicate": sum(b.rows_duplicate for b in books),
        **({"rows_settled": sum(settled)} if settled else {}),
    }


def get_delivery(engine: Engine, delivery_id: object) -> Record | None:
    """One delivery with ``files``, ``events`` and ``decisions``, oldest first; or None."""
    wanted = str(delivery_id)
    records = list_deliveries(engine, delivery_id=wanted)
    if not records:
        return None
    with reading(engine) as session:
        row = session.get_one(Delivery, wanted)
        events = session.scalars(select(Event).where(Event.delivery_id == wanted).order_by(Event.id))
        return {
            **records[0],
            "contract_version": row.contract_version,
            "stage1_key": row.stage1_key,
            "manifest_sha256": row.manifest_sha256,
            "files": [as_dict(f, "name", "table_name", "rows", "bytes", "sha256") for f in row.files],
            "events": [as_dict(e, "at", "state", "reason", "run", "detail") for e in events],
            "decisions": decisions(session, wanted),
        }


def _lock(session: Session, delivery_id: str) -> Delivery | None:
    return session.scalar(select(Delivery).where(Delivery.id == delivery_id).with_for_update())


def _known(row: Delivery | None, delivery_id: object) -> None:
    if row is None:
        raise never_announced(delivery_id)


def _last_event(session: Session, delivery_id: str) -> Event | None:
    return session.scalar(select(Event).where(Event.delivery_id == delivery_id).order_by(Event.id.desc()).limit(1))


def _state(session: Session, delivery_id: str) -> str | None:
    last = _last_event(session, delivery_id)
    return last.state if last else None
