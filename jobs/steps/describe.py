"""The step ``describe``: figures of a release, made from its tables and stored for the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from catalogue import db
from jobs.disclosure import control
from jobs.disclosure.limits import SHARES, SIZES
from jobs.errors import ConfigError
from jobs.lake.tables import at_once
from jobs.steps.figures import Figure, profile, with_person
from schemas import loader

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from sqlalchemy import Engine


def describe(
    engine: Engine, release_id: int, read: Callable[[str], DataFrame], progress: Callable[[str], None] | None = None
) -> dict[str, int]:
    """Make and store the figures of a release: of every table in it that has a contract.

    ``read`` gives a table of the release by name; ``progress`` is told each name. A figure that would tell a small
    group apart from the release before keeps its old value. Says how many ``tables``, ``figures`` and ``suppressed``
    ones there are. Raises ``HubError``.
    """
    release = db.get_release(engine, release_id)
    if release is None:
        raise ConfigError(f"There is no release {release_id}.", next_step="`hub release list` shows those that exist")
    before = db.described_release(engine, before=release_id)
    old = {_key(f): f for f in db.list_figures(engine, before)} if before else {}
    names = described_tables(release.tables)
    tell = progress or (lambda _: None)

    def of_table(name: str) -> list[Figure]:
        tell(name)
        return profile(with_person(read(name), name, read), loader.load(name), name)

    fresh = [figure for of_one in at_once(of_table, names) for figure in of_one]
    figures = [_refreshed(figure, old.get(_key(figure))) for figure in fresh]
    db.set_figures(engine, release_id, figures)
    hidden = sum(1 for f in figures if f["suppressed"])
    return {"tables": len(names), "figures": len(figures), "suppressed": hidden}


def described_tables(tables: Iterable[str]) -> list[str]:
    """Those of a release's tables that have a contract, sorted."""
    known = {f"omop/{t}" for t in loader.omop_names()}
    known |= {f"{s}/{t}" for s in loader.source_names() for t in loader.load_source(s).tables}
    return sorted(known & set(tables))


def _key(figure: Mapping[str, Any]) -> tuple[str, ...]:
    return (figure["table"], figure["variable"], figure["measure"], figure["code"])


def _refreshed(new: Figure, old: Mapping[str, Any] | None) -> Figure:
    """D7: the new figure, or the old number when the step between them is too small."""
    counts = new["measure"] not in (*SHARES, *SIZES)
    if old and counts and new["number"] and old["number"] and not control.is_refreshed(new["number"], old["number"]):
        return {**new, "number": int(old["number"])}
    return new
