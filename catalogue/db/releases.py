"""What a build brings in and what a release holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from catalogue.db.engine import now, one_at_a_time, reading, writing
from catalogue.db.holdings import holdings
from catalogue.db.models import (
    Build,
    BuildDelivery,
    Delivery,
    ReleaseDelivery,
    ReleaseRow,
)
from jobs.delivery import DeliveryId, Subject
from jobs.errors import ConfigError, ConflictError, NotReady, UnexpectedState


@dataclass(frozen=True)
class Release:
    """One release. ``tables``: Delta version by table name; ``deliveries``: all it holds; ``added``: the new ones."""

    id: int
    at: datetime
    build: str
    tables: dict[str, int] = field(default_factory=dict)
    deliveries: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def pending_deliveries(engine: Engine) -> list[str]:
    """Deliveries that are in the lake and not in the last release, in publishing order; among them those that were
    taken in again since and brought other rows."""
    with reading(engine) as session:
        last = _last_release(session)
        released = {d.delivery_id for d in last.deliveries} if last else set()
        held = last.tables if last else {}
        return [
            h.delivery
            for h in holdings(session).values()
            if h.delivery not in released or any(v > held.get(table, -1) for table, v in h.versions.items())
        ]


def pending_withdrawals(engine: Engine) -> list[str]:
    """Deliveries of the last release of whose period the lake holds nothing any more, sorted."""
    with reading(engine) as session:
        last, held = _last_release(session), holdings(session)
        released = [d.delivery_id for d in last.deliveries] if last else []
        return [d for d in released if DeliveryId.parse(d).slice not in held]


def start_build(
    engine: Engine, deliveries: Iterable[object], *, withdrawn: Iterable[object] = (), run: str | None = None
) -> int:
    """A build that brings in these deliveries, and takes out the ``withdrawn`` ones; its subject is ``build/<id>``.

    The newest build is taken up again when it brings in and takes out the same ones and was not released: a repeated
    task builds what it began. Raises ``UnexpectedState`` for a delivery that was never announced.
    """
    wanted = sorted({**{str(d): False for d in deliveries}, **{str(d): True for d in withdrawn}}.items())
    with writing(engine) as session:
        one_at_a_time(session, Build.__tablename__)
        known = set(session.scalars(select(Delivery.id).where(Delivery.id.in_([d for d, _ in wanted]))))
        if missing := [d for d, _ in wanted if d not in known]:
            raise UnexpectedState(f"A build asks for deliveries that were never announced: {', '.join(missing)}.")
        last = session.scalar(select(Build).order_by(Build.id.desc()).limit(1))
        begun = [(d.delivery_id, d.withdrawn) for d in last.deliveries] if last else []
        if last and begun == wanted and not _is_released(session, last.id):
            last.run = run or last.run
            return last.id
        build = Build(at=now(), run=run, deliveries=[BuildDelivery(delivery_id=d, withdrawn=w) for d, w in wanted])
        session.add(build)
        session.flush()
        return build.id


def _is_released(session: Session, build: int) -> bool:
    return session.scalar(select(ReleaseRow.id).where(ReleaseRow.build == str(Subject(build=build)))) is not None


def set_build_detail(engine: Engine, build: int, detail: Mapping[str, Any]) -> None:
    """Record what a build read and staged: names, versions, counts and sums, never a value of a cell."""
    with writing(engine) as session:
        session.get_one(Build, build).detail = dict(detail)


def build_detail(engine: Engine, build: int) -> dict[str, Any]:
    """What a build recorded when it had staged everything. Raises ``NotReady`` before that, ``ConfigError``
    when there is no such build."""
    with reading(engine) as session:
        row = _known(session.get(Build, build), build)
        if row.detail is None:
            raise NotReady(
                f"Build {build} is not complete.", reason="not_ready", next_step="run `hub omop build` first"
            )
        return dict(row.detail)


def open_build(engine: Engine) -> int | None:
    """The newest build while it is not released: the one that a repeated step takes up."""
    with reading(engine) as session:
        last = session.scalar(select(Build).order_by(Build.id.desc()).limit(1))
        return last.id if last and not _is_released(session, last.id) else None


def is_complete(engine: Engine, build: int) -> bool:
    """Whether there is such a build, and it has staged everything."""
    with reading(engine) as session:
        row = session.get(Build, build)
        return row is not None and row.detail is not None


def build_deliveries(engine: Engine, build: int, *, withdrawn: bool = False) -> list[str]:
    """Deliveries that a build brings in, or the ``withdrawn`` ones that it takes out, sorted. Raises
    ``ConfigError`` if the build is unknown."""
    with reading(engine) as session:
        row = _known(session.get(Build, build), build)
        return [d.delivery_id for d in row.deliveries if d.withdrawn == withdrawn]


def _known(row: Build | None, build: int) -> Build:
    if row is None:
        raise ConfigError(
            f"There is no build {build}.",
            reason="unknown_build",
            next_step="`hub omop build` makes one and says its number; `hub release list` shows those released",
        )
    return row


def add_release(
    engine: Engine,
    tables: Mapping[str, int],
    deliveries: Iterable[object],
    build: int,
    *,
    withdrawn: Iterable[object] = (),
) -> int:
    """Make a release in one row: the given Delta versions, over those of the release before for tables not given.

    ``deliveries`` are those that the build brings in; the others are carried over, each source and period once, without
    the ``withdrawn`` ones. The same build again gives the same release. Raises ``ConflictError`` when it asks for other
    versions, or brings in a delivery that was withdrawn since it was built.
    """
    subject = str(Subject(build=build))
    with writing(engine) as session:
        one_at_a_time(session, ReleaseRow.__tablename__)
        before = _last_release(session)
        known = session.scalar(select(ReleaseRow).where(ReleaseRow.build == subject))
        if known:
            if {**known.tables, **tables} != known.tables:
                raise ConflictError(f"{subject} is released already, with other table versions.", reason="release")
            return known.id
        added = {DeliveryId.parse(str(d)).slice: str(d) for d in deliveries}
        if gone := sorted(set(added) - set(holdings(session))):
            raise ConflictError(
                f"{subject} brings in {added[gone[0]]}, which was withdrawn since.",
                reason="withdrawn",
                next_step="build again: `hub omop build`",
            )
        out = {str(d) for d in withdrawn}
        carried = [d.delivery_id for d in (before.deliveries if before else []) if d.delivery_id not in out]
        held = {DeliveryId.parse(d).slice: d for d in carried}
        row = ReleaseRow(
            at=now(), build=subject, tables=dict(sorted({**(before.tables if before else {}), **tables}.items()))
        )
        row.deliveries = [
            ReleaseDelivery(delivery_id=d, added=d not in held.values()) for d in sorted({**held, **added}.values())
        ]
        session.add(row)
        session.flush()
        return row.id


def _last_release(session: Session) -> ReleaseRow | None:
    return session.scalar(select(ReleaseRow).order_by(ReleaseRow.id.desc()).limit(1))


def list_releases(engine: Engine) -> list[Release]:
    """All releases, newest first."""
    with reading(engine) as session:
        return [_to_release(r) for r in session.scalars(select(ReleaseRow).order_by(ReleaseRow.id.desc()))]


def current_release(engine: Engine) -> Release | None:
    """The release that readers see, or None before the first one."""
    with reading(engine) as session:
        row = _last_release(session)
        return _to_release(row) if row else None


def get_release(engine: Engine, release_id: int) -> Release | None:
    """One release, or None."""
    with reading(engine) as session:
        row = session.get(ReleaseRow, release_id)
        return _to_release(row) if row else None


def _to_release(row: ReleaseRow) -> Release:
    return Release(
        id=row.id,
        at=row.at,
        build=row.build,
        tables=dict(row.tables),
        deliveries=tuple(d.delivery_id for d in row.deliveries),
        added=tuple(d.delivery_id for d in row.deliveries if d.added),
    )
