"""Makes NIR numbers (13 characters and their key), many at once.

Sex, year, month, département or country of birth, commune, order number; Corsicans born since 1976 have 2A or 2B.
The key is computed here on its own, apart from ``jobs.contributors.agent.canonical`` that verifies it: a test holds the
two against each other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Strings = npt.NDArray[np.object_]
CORSICA = {"2A": "19", "2B": "18"}
CORSICA_SPLIT = 1976
"""Year from which Corsica's two départements appear in the number; 20 before."""


def nir_key(nir13: str) -> int:
    """The control key (1 to 97) of a number of 13 characters."""
    return 97 - int(nir13[:5] + CORSICA.get(nir13[5:7], nir13[5:7]) + nir13[7:]) % 97


def make_nirs(
    leading: npt.NDArray[np.int64],
    year: npt.NDArray[np.int64],
    month: npt.NDArray[np.int64],
    department: Strings,
    commune: Strings,
) -> Strings:
    """Numbers of 15 characters (with key), all different.

    ``leading`` is 1 or 2 (sex), or 7 or 8 for a provisional number. ``department`` has two characters (2A, 2B, 97,
    99 abroad), ``commune`` three. Raises ``ValueError`` when more than 999 are born in one place and month.
    """
    old = ((department == "2A") | (department == "2B")) & (year < CORSICA_SPLIT)
    department = np.where(old, "20", department)
    births = pd.DataFrame({"s": leading, "y": year % 100, "m": month, "d": department, "c": commune})
    order = births.groupby(["s", "y", "m", "d", "c"], sort=False).cumcount().to_numpy() + 1
    if order.size and order.max() > 999:
        raise ValueError("too many births in one month and commune: spread the population over more communes")
    bare = [
        f"{s}{y:02d}{m:02d}{d}{c}{o:03d}"
        for s, y, m, d, c, o in zip(leading, year % 100, month, department, commune, order, strict=True)
    ]
    return np.array([f"{n}{nir_key(n):02d}" for n in bare], dtype=object)
