"""What only a look at other rows finds out about a row, beside what the row says alone."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.rows.books import DUPLICATE, QUARANTINED, STATUS
from jobs.rows.exceptions import PLACE
from jobs.rows.state import with_state
from schemas.loader import Table


def to_found(few: DataFrame, table: Table) -> DataFrame:
    """``_file, _row, _reason`` of each row that keeps the contract and cannot be believed, with the reason; and of each
    that breaks the contract and repeats another row, with ``duplicate``: it is counted as that.

    ``few``: rows as each says alone, with the columns of ``to_exceptions``."""
    alone = few.select(*PLACE, F.col("_reason").isNull().alias("_is_sound"))
    state, is_sound = F.col(STATUS), F.col("_is_sound")
    reason = F.when((state == QUARANTINED) & is_sound, F.col("_reason"))
    return (
        with_state(few, table)
        .join(alone, list(PLACE))
        .select(*PLACE, reason.when((state == DUPLICATE) & ~is_sound, F.lit(DUPLICATE)).alias("_reason"))
        .where(F.col("_reason").isNotNull())
    )
