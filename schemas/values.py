"""What holds of every value of a delivery, whatever its column: blanks, placeholders, bounds of dates."""

from __future__ import annotations

from datetime import date

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
