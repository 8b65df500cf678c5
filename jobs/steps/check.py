"""Checks a table, in the lake or as a delivery staged it, by standard Great Expectations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.delivery import DeliveryId
from jobs.errors import ConfigError
from jobs.hub import Hub
from jobs.lake import tables as lake
from jobs.lake.commits import last_commit
from jobs.lake.layout import table_path
from jobs.quality.counters import only_kept
from jobs.quality.rules import load_rules
from jobs.quality.suite import check_table, checkable
from jobs.quality.verdict import Result
from jobs.spark.session import safely
from jobs.steps.stage import staged_rows
from schemas.loader import load

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def check(hub: Hub, table: str, staged: str | None = None) -> tuple[list[Result], int]:
    """One result per rule that a table can be asked, and how many others there are: those about a delivery's books.

    ``staged``: the delivery whose staged rows are checked. Raises ``ConfigError`` when the table is not there.
    """
    rules = load_rules(table)
    _ = hub.engine  # without a hub there is nothing to check
    with safely(f"check of {table}"):
        rows = _rows(hub, table, staged)
        left = len(rules) - len(checkable(rules, rows.columns, {}))
        return check_table(rows, rules, lambda other: _referred(hub, other, staged)), left


def _rows(hub: Hub, table: str, staged: str | None) -> DataFrame:
    """The table in the lake, or as a delivery staged it; raises ``ConfigError`` when there is none."""
    if staged:
        delivery = DeliveryId.parse(staged)
        of_source = table.startswith(f"{delivery.source}/")
        if of_source and (rows := staged_rows(hub, delivery, load(table))) is not None:
            return rows
        raise ConfigError(f"{table} of {staged} is not staged.", next_step="see `hub delivery list`")
    where = table_path(hub.settings.lake, table)
    if last_commit(where) is None:
        raise ConfigError(f"{table} is not in the lake.", next_step="see `hub lake show`")
    return lake.read(hub.spark, where)


def _referred(hub: Hub, table: str, staged: str | None) -> DataFrame:
    """A table that a rule refers to: staged by the same delivery, else in the lake."""
    together = staged if staged and table.startswith(f"{DeliveryId.parse(staged).source}/") else None
    return only_kept(_rows(hub, table, together))
