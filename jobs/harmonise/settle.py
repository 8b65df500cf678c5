"""Reversals: lines that cancel others are facts of a source; what they settle is no event, what remains of it is.

``settle`` of a contract is the one definition: lines that are equal in ``group`` are one act, whose ``quantity`` and
``sums`` are added. The details of a line that is left out go with it; they name it by its whole key.
Source: regularisations of the DCIR (a cancellation repeats the line with a negative quantity).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import and_
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.harmonise.stem import LEFT_OUT, PERIOD
from schemas.loader import Settle, Table, spark_type
from schemas.text import Text

PLACE = (PERIOD, "_file", "_row")
"""What tells a published row from every other."""
SETTLED, OVERFLOW = "settled", "overflow"
WHY_SETTLED = Text(
    fr="La ligne en annule une autre, ou est annulée : leurs quantités s'additionnent. Un détail suit sa ligne.",
    en="The line cancels another, or is cancelled: their quantities are added up. A detail goes with its line.",
)
WHY_OVERFLOW = Text(
    fr="La somme de l'acte et de ses annulations dépasse sa colonne : aucune de ses lignes ne peut être crue.",
    en="The sum of the act and its cancellations is larger than its column: none of its lines can be believed.",
)


class Settled(NamedTuple):
    """One table: the rows that ``stay``, a line that stands for its act with the act's sums; and one row per row that
    is ``left_out``, with ``_period`` and ``_left_out``: ``settled``, or ``overflow:<column>``. None: none can be."""

    stay: DataFrame
    left_out: DataFrame | None


Acts = Mapping[str, DataFrame]
"""Table whose contract has ``settle`` -> its acts (``to_acts``). A table that is not there has none."""


def settle(tables: Mapping[str, DataFrame], contracts: Mapping[str, Table], acts: Acts) -> dict[str, Settled]:
    """The published tables of a source, settled within each period. Only the ``acts`` are looked at, and their details:
    lines and details look for them, so let them be written once, before."""
    return {t: _settled(rows, contracts[t], acts) for t, rows in tables.items()}


def to_all_acts(tables: Mapping[str, DataFrame], contracts: Mapping[str, Table]) -> dict[str, DataFrame]:
    """The acts of every table of a source whose contract settles lines."""
    return {t: to_acts(tables[t], c, c.settle) for t, c in contracts.items() if c.settle}


def act_columns(table: Table) -> dict[str, str]:
    """Columns of ``to_acts`` and their types, as Spark SQL writes them."""
    place = {PERIOD: "string", "_file": "string", "_row": "bigint"}
    key = {name: spark_type(table.column(name)) for name in table.key}
    sums = {_sum(n): spark_type(table.column(n)) for n in _summed(table.settle)} if table.settle else {}
    return place | key | {LEFT_OUT: "string"} | sums


def to_words(contracts: Mapping[str, Table]) -> dict[str, Text]:
    """Why settlement leaves rows out, by table and reason: ``er_pha_f/settled``, ``er_prs_f/overflow:PRS_ACT_QTE``."""
    words = {}
    for table, contract in contracts.items():
        rule = contract.settle or (contract.parent and contracts[contract.parent.table].settle)
        if rule:
            words[f"{table}/{SETTLED}"] = WHY_SETTLED
            words |= {f"{table}/{OVERFLOW}:{name}": WHY_OVERFLOW for name in _summed(rule)}
    return words


def to_acts(lines: DataFrame, table: Table, rule: Settle) -> DataFrame:
    """One row per line of an act that has a line of negative quantity: its place, its key, ``_left_out`` and the sums
    of the act (``_sum_<column>``).

    The line that stays (NULL) is the last one of a positive quantity, of an act whose quantities sum above zero. Where
    a sum is larger than its column can hold, no line of the act can stand for it: all are left out for that.
    """
    hashed = lines.withColumn("_act", F.xxhash64(PERIOD, *rule.group))
    negative = hashed.where(F.col(rule.quantity) < 0).select("_act").distinct()
    act = Window.partitionBy(PERIOD, *rule.group)
    latest = act.orderBy((F.col(rule.quantity) > 0).desc(), F.col("_row").desc(), F.col("_file").desc())
    types = {name: spark_type(table.column(name)) for name in _summed(rule)}
    summed = hashed.join(F.broadcast(negative), "_act", "left_semi").select(
        *PLACE,
        *table.key,
        F.min(rule.quantity).over(act).alias("_least"),
        F.row_number().over(latest).alias("_order"),
        *[F.try_sum(name).over(act).try_cast(kind).alias(_sum(name)) for name, kind in types.items()],
        *[F.count(name).over(act).alias(f"_n_{name}") for name in types],
    )
    gone = (F.col("_order") > 1) | (F.col(_sum(rule.quantity)) <= 0)
    reason = F.coalesce(_overflow(rule), F.when(gone, F.lit(SETTLED)))
    # of two acts that share a hash one may have no negative line: it is not looked at
    found = summed.where("_least < 0").withColumn(LEFT_OUT, reason)
    return found.select(*PLACE, *table.key, LEFT_OUT, *[_sum(name) for name in types])


def _overflow(rule: Settle) -> Column:
    """The first sum that its column cannot hold. Of an act that is reversed altogether only the quantity matters."""
    remains = F.col(_sum(rule.quantity)) > 0
    return F.coalesce(
        *[
            F.when(
                F.col(_sum(name)).isNull() & (F.col(f"_n_{name}") > 0) & (F.lit(name == rule.quantity) | remains),
                F.lit(f"{OVERFLOW}:{name}"),
            )
            for name in _summed(rule)
        ]
    )


def _settled(rows: DataFrame, contract: Table, acts: Acts) -> Settled:
    if contract.settle and contract.table in acts:
        mine = acts[contract.table]
        return Settled(_with_sums(rows, mine, contract.settle), _only_left_out(mine).select(PERIOD, LEFT_OUT))
    if contract.parent and contract.parent.table in acts:
        names = (PERIOD, *contract.parent.columns)
        gone = F.broadcast(_only_left_out(acts[contract.parent.table]).select(*names, LEFT_OUT))
        left_out = rows.select(*names).join(gone, list(names)).select(PERIOD, LEFT_OUT)
        return Settled(rows.join(gone, list(names), "left_anti"), left_out)
    return Settled(rows, None)


def _only_left_out(acts: DataFrame) -> DataFrame:
    return acts.where(F.col(LEFT_OUT).isNotNull())


def _with_sums(lines: DataFrame, acts: DataFrame, rule: Settle) -> DataFrame:
    """The lines that stay; one that stands for its act has the act's sums."""
    sums = _summed(rule)
    place = {name: f"_act{name}" for name in PLACE}
    found = acts.select(*[F.col(name).alias(at) for name, at in place.items()], LEFT_OUT, *map(_sum, sums))
    same = reduce(and_, [F.col(name) == F.col(at) for name, at in place.items()])
    stay = lines.join(F.broadcast(found), same, "left").where(F.col(LEFT_OUT).isNull())
    added = stay.withColumns({name: F.coalesce(_sum(name), name) for name in sums})
    return added.drop(*place.values(), LEFT_OUT, *map(_sum, sums))


def _summed(rule: Settle) -> tuple[str, ...]:
    return (rule.quantity, *rule.sums)


def _sum(name: str) -> str:
    return f"_sum_{name}"
