"""What is in the lake: one row per table."""

from __future__ import annotations

from typing import Any

from jobs.hub import Hub
from jobs.lake.commits import last_commit, measure
from jobs.lake.layout import table_path
from schemas.loader import load_source, omop_names, source_names


def names() -> list[str]:
    """Every table that the hub may hold, by its one name."""
    sources = [f"{s}/{t}" for s in source_names() for t in load_source(s).tables]
    return [*sources, *(f"omop/{t}" for t in omop_names())]


def inventory(hub: Hub) -> list[dict[str, Any]]:
    """One row per table that is there: ``table, rows, delta_version, bytes`` (of the newest version)."""
    _ = hub.engine  # without a hub there is nothing to list
    tables = []
    for name in names():
        where = table_path(hub.settings.lake, name)
        commit = last_commit(where)
        if commit is None:
            continue
        rows, size = measure(where)
        tables.append({"table": name, "rows": rows, "delta_version": commit[0], "bytes": size})
    return tables
