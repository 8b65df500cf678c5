"""One dcir delivery with as many lines of ER_PRS_F as asked for, and what every line should become.

The synthetic population makes one month; it is repeated with other persons (the head of the pseudonym) and another
sequence number of the flow (a part of the key), so that copies, reversals and bad rows stay in proportion and the tags
of the generator stay true. The four other tables come once, so the whole contract is kept.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs import keys
from jobs.contributors.synthetic.csvs import to_bytes
from jobs.contributors.synthetic.deliveries import KEPT, SETTLED, Delivery, file_name, files_of
from jobs.contributors.synthetic.faults import RowFault, bad_rows
from jobs.contributors.synthetic.generate import Parameters, population_of, sound_deliveries
from jobs.contributors.synthetic.manifest import declare
from schemas.loader import load_source, load_table

SOURCE, PERIOD, TABLE = "dcir", "2024-01", "er_prs_f"
DELIVERY = f"{SOURCE}/{PERIOD}/v1"
FILES = 4
BASE_ROWS = 40_000
ROWS_A_PERSON = 2.09
BAD_SHARE = 0.008
"""Below one in a hundred, so that the gate needs no steward. No malformed lines: one of the peers accepts them."""
FAULTS = (
    RowFault(TABLE, "value", "EXE_SOI_DTD", "31/02/2024", "unparsable:EXE_SOI_DTD"),
    RowFault(TABLE, "value", "PRS_ACT_QTE", "une", "unparsable:PRS_ACT_QTE"),
    RowFault(TABLE, "value", "PRS_NAT_REF", None, "missing:PRS_NAT_REF"),
    RowFault(TABLE, "value", "BEN_SEX_COD", "5", "code:BEN_SEX_COD"),
    RowFault(TABLE, "value", "ORG_AFF_BEN", "01C0751011", "too_long:ORG_AFF_BEN"),
    RowFault(TABLE, "conflict", "PRS_PAI_MNT", "9999.99", "conflict"),
)
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Data:
    """One delivery in the outboxes of ``home``; the keys that made it lie beside all of them."""

    home: Path
    rows: int
    """Lines of ER_PRS_F."""
    size: int
    """Bytes of its files."""
    books: dict[str, int]
    """Lines by what the stage should find: kept, duplicate, or the reason code of the quarantine."""

    @property
    def files(self) -> list[Path]:
        """The files of ER_PRS_F, in order."""
        return sorted((self.home / "outboxes" / DELIVERY).glob(f"{TABLE.upper()}_*.csv"))

    @property
    def delivery_bytes(self) -> int:
        """Of all files of the delivery."""
        return sum(f.stat().st_size for f in (self.home / "outboxes" / DELIVERY).iterdir())

    @property
    def keys(self) -> Path:
        return self.home.parent / "keys"

    @property
    def key(self) -> bytes:
        """The stage-2 key."""
        return keys.read_key(self.keys / "hub" / "p2.key")


def make(root: Path, rows: int, seed: int, tell: Progress) -> Data:
    """The data of about ``rows`` lines below ``root``; made once, found again by its size and seed. All share keys."""
    home = root / f"{rows}-{seed}"
    described = home / "data.json"
    if not described.exists():
        tell(f"making {rows:,} lines of ER_PRS_F")
        shutil.rmtree(home, ignore_errors=True)
        keys.generate(root / "keys")
        facts = _write(home, rows, seed)
        part = described.with_suffix(".part")
        part.write_text(json.dumps(facts), "utf-8")
        os.replace(part, described)
    return Data(home=home, **json.loads(described.read_text("utf-8")))


def _base(rows: int, seed: int, key: bytes) -> Delivery:
    persons = max(400, int(rows / ROWS_A_PERSON))
    parameters = Parameters(persons, 1, PERIOD, seed, with_faults=False)
    sound = next(sound_deliveries(parameters, population_of(parameters, key)))
    lines = len(sound.tables[TABLE])
    each = max(1, round(lines * BAD_SHARE / len(FAULTS) / 1.2))  # a conflict makes two bad rows
    return bad_rows(sound, seed, FAULTS * each)


def _write(home: Path, rows: int, seed: int) -> dict[str, Any]:
    key = keys.read_key(home.parent / "keys" / "contributors" / "p1.key")
    times = -(-rows // BASE_ROWS)
    base = _base(rows // times, seed, key)
    folder = home / "outboxes" / DELIVERY
    folder.mkdir(parents=True)
    named: dict[str, str] = {}
    for other, name, content in files_of(base):
        if other != TABLE:
            (folder / name).write_bytes(content)
            named[name] = other
    table = base.tables[TABLE]
    stem = file_name(SOURCE, TABLE, PERIOD).removesuffix(".csv")
    names = [f"{stem}_{i + 1}.csv" for i in range(min(FILES, times))]
    contract, dialect = load_table(SOURCE, TABLE), load_source(SOURCE).csv
    columns = [c for c in table.columns if not c.startswith("_")]
    whole = to_bytes(table.iloc[:0], contract.names, dialect)
    for i, name in enumerate(names):
        with (folder / name).open("wb") as out:
            out.write(whole)
            for number in range(i, times, len(names)):
                again = table if number == 0 else table.assign(**_other(table, number))
                out.write(to_bytes(again, columns, dialect).split(b"\n", 1)[1])
        named[name] = TABLE
    order = load_source(SOURCE).tables
    declare(folder, dict(sorted(named.items(), key=lambda f: order.index(f[1]))), keys.check_value(key))
    tags = Counter(KEPT if t == SETTLED else str(t) for t in table["_tag"])  # the build settles what is published
    return {
        "rows": len(table) * times,
        "size": sum((folder / n).stat().st_size for n in names),
        "books": {tag: n * times for tag, n in sorted(tags.items())},
    }


def _other(table: Any, number: int) -> dict[str, Any]:
    head = "".join(DIGITS[number >> 5 * i & 31] for i in range(4))
    return {"BEN_NIR_PSA": head + table["BEN_NIR_PSA"].str[4:], "FLX_EMT_ORD": str(number + 1)}
