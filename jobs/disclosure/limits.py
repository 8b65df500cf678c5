"""Limits of disclosure control: the one place that says how few is too few."""

SMALL = 11
"""Fewer persons than this are never shown."""
BASE = 5
"""Counts are shown in multiples of this."""
SHARES = ("filled",)
"""Measures that are whole percents."""
SIZES = ("distinct",)
"""Measures that count codes, not persons or rows."""
