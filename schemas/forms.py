"""How a value must be written, once for every reader of a contract: blanks, placeholders, and one form for each type.

Patterns keep to what Java, RE2 and Rust understand alike and match a whole value. No Spark, no I/O.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date
from typing import TYPE_CHECKING

from schemas.values import LATEST

if TYPE_CHECKING:
    from schemas.loader import Column, Csv

_DATE_PARTS = {"yyyy": "[0-9]{4}", "MM": "[0-9]{2}", "dd": "[0-9]{2}", "HH": "[0-9]{2}", "mm": "[0-9]{2}"} | {
    "ss": "[0-9]{2}"
}


def form(column: Column, csv: Csv) -> str | None:
    """The pattern of a column's values after trimming; None where any text will do.

    ASCII digits only, no plus sign, no exponent, no thousands separator; of decimals no digit beyond the scale but
    zeros: what a cast would have to guess or to round is refused. What has the form is still to be cast: a sign alone
    has that of a number, the thirtieth of February that of a date.
    """
    point = re.escape(csv.decimal)
    match column.type:
        case "integer" | "bigint":
            return "-?[0-9]*"
        case "decimal":
            return rf"-?[0-9]*{point}?[0-9]{{0,{column.scale}}}0*" if column.scale else rf"-?[0-9]*{point}?0*"
        case "double":
            return rf"-?[0-9]{{0,300}}(?:{point}[0-9]*)?"  # no more digits than a double has room for
        case "boolean":
            return "true|false|1|0"
        case "date":
            return dates(column.format or csv.date_format)
        case "datetime":
            return dates(csv.datetime_format)
    return column.form


def dates(format: str) -> str:
    """The pattern of dates in a format as Spark writes it (``dd/MM/yyyy``): each part with all its digits."""
    parts = re.findall(r"yyyy|MM|dd|HH|mm|ss|'[^']*'|.", format)
    return "".join(_DATE_PARTS.get(p) or re.escape(p.strip("'")) for p in parts)


def latest(bound: str | None, period: str) -> date:
    """The last day that ``not_after`` allows in a delivery of ``period`` (``YYYY-MM``)."""
    if bound is None:
        return LATEST
    year, month = map(int, period.split("-"))
    if bound == "next_month":
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return date(year, month, monthrange(year, month)[1])
