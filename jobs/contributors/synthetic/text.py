"""Numbers to the text that files carry. Each distinct value is written once, which keeps long columns cheap."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from jobs.contributors.synthetic.calendar import Ints

Texts = npt.NDArray[np.object_]
FRENCH, ISO = "%d/%m/%Y", "%Y-%m-%d"
NO_DATE = "01/01/1600"
"""How the claims say 'no date'."""


def _each(values: Ints, write: Callable[[int], str]) -> Texts:
    distinct, where = np.unique(np.asarray(values, dtype=np.int64), return_inverse=True)
    return np.array([write(int(v)) for v in distinct], dtype=object)[where]


def dates(days: Ints, form: str = FRENCH, *, none_after: int | None = None, none: str | None = NO_DATE) -> Texts:
    """Days since 1970 as dates; negative prescriptions and days after ``none_after`` become ``none``."""

    def write(day: int) -> str:
        return np.datetime64(day, "D").astype(object).strftime(form)  # type: ignore[no-any-return]

    text = _each(days, write)
    if none_after is not None:
        text[np.asarray(days) > none_after] = none
    return text


def dates_or_none(days: Ints, form: str = FRENCH, none: str | None = NO_DATE) -> Texts:
    """As ``dates``; -1 means no date."""
    text = dates(days, form)
    text[np.asarray(days) == -1] = none
    return text


def whole(values: Ints) -> Texts:
    """Integers as text."""
    return _each(values, str)


def money(cents: Ints) -> Texts:
    """Cents as euros with two decimals and a point."""
    return _each(cents, lambda c: f"{'-' if c < 0 else ''}{abs(c) // 100}.{abs(c) % 100:02d}")


def pick(choices: Sequence[str | None] | Texts, index: Ints) -> Texts:
    """The choice at each index."""
    return np.array(choices, dtype=object)[index]


def either(which: npt.ArrayLike, yes: object, no: object) -> Texts:
    """``yes`` where ``which`` holds, else ``no``; each is one value, None, or one value per row."""
    mask = np.asarray(which, dtype=bool)
    out = np.full(mask.size, None, dtype=object)
    for chosen, value in ((mask, yes), (~mask, no)):
        out[chosen] = value[chosen] if isinstance(value, np.ndarray) else value
    return out


def same(value: str | None, size: int) -> Texts:
    """One value, repeated."""
    return np.full(size, value, dtype=object)


def frame(columns: dict[str, Texts], names: Sequence[str]) -> pd.DataFrame:
    """A table of text with exactly the contract's columns in its order, every row tagged ``kept``.

    Raises ``ValueError`` naming the columns when the form and the contract differ.
    """
    if set(columns) != set(names):
        raise ValueError(f"not as the contract says: {sorted(set(columns) ^ set(names))}")
    table = pd.DataFrame({n: columns[n] for n in names}, dtype=object)
    return table.assign(_tag="kept")


def with_copies(rng: np.random.Generator, table: pd.DataFrame, share: float) -> pd.DataFrame:
    """Appends exact copies of some kept rows, tagged ``duplicate``; the first of two equal rows is the one kept."""
    kept = np.flatnonzero((table["_tag"] == "kept").to_numpy())
    chosen = kept[rng.random(kept.size) < share]
    return pd.concat([table, table.iloc[chosen].assign(_tag="duplicate")], ignore_index=True)
