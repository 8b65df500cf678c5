"""How a value must be written, once for every reader of a contract: blanks, placeholders, and one form for each type.

Patterns keep to what Java, RE2 and Rust understand alike and match a whole value. No Spark, no I/O.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.loader import Column, Csv

BLANKS = "".join(
    [chr(n) for n in (*range(0x21), *range(0x7F, 0xA1), 0xAD)]  # controls, the DOS end mark, blank, no-break blank
    + [chr(n) for n in (0x34F, 0x61C, 0x115F, 0x1160, 0x1680, 0x180E, *range(0x2000, 0x2010))]  # zero width, marks
    + [chr(n) for n in (*range(0x2028, 0x2030), *range(0x205F, 0x2070), 0x2800, 0x3000, 0x3164, 0xFEFF, 0xFFA0)]
)
"""What is trimmed at both ends of a value before anything else: every white space and every invisible character."""

NO_IDENTIFIER = (
    r"(?i)(?:null|nul|none|nil|nan|na|n/a|n\.a\.?|nd|nr|unknown|unk|inconnue?|vide|missing|manquante?|absente?"
    r"|[!-/:-@\[-`{-~]+|0+|x+d?|" + "|".join(f"{c}{{9,}}" for c in "123456789abcdefghijklmnopqrstuvwyz") + ")"
)
"""Placeholders that stand where an identifier is not known, in any case: words, signs alone, zeros, x (and x with the
D that ends NIR_ANO_17), and one character nine times or more."""

SURE_IDENTIFIER = "[^1-9]*[1-9]", "|".join(f"{n}{n}{n}" for n in range(1, 10))
"""How no placeholder of ``NO_IDENTIFIER`` begins: up to one of the digits 1 to 9; and how some placeholders begin that
do. A quick look: what begins like the first and not like the second is an identifier, of the rest the whole pattern
decides."""

EARLIEST, LATEST = date(1850, 1, 1), date(2099, 12, 31)
"""No date of a delivery lies outside these, unless the contract says so."""

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
