"""Deliveries as contributors put them out: tables with tags in memory, files and a manifest on disk.

A tag says what should become of a row: ``kept``, ``duplicate``, ``settled`` (published, and settled by a build), or the
reason code under which the stage quarantines it (malformed, missing:<COLUMN>, unparsable:<COLUMN>, too_long:<COLUMN>,
code:<COLUMN>, conflict, orphan, identity:<status>). Tags come from whoever made or damaged the row, never from reading
it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from jobs.contributors.agent.pseudonymise import pseudonymise
from jobs.contributors.synthetic.csvs import to_bytes
from jobs.contributors.synthetic.file_faults import damage
from jobs.contributors.synthetic.manifest import declare
from jobs.delivery import DeliveryId
from jobs.keys import check_value
from schemas.loader import load_source, load_tables

KEPT, DUPLICATE, SETTLED, ORPHAN = "kept", "duplicate", "settled", "orphan"


@dataclass
class Delivery:
    """One version of what one source sends for one month. ``tables`` hold the contract's columns and ``_tag``."""

    source: str
    period: str
    version: int
    tables: dict[str, pd.DataFrame]
    faults: list[str] = field(default_factory=list)
    """Names of the faults planted in it."""
    refused: str | None = None
    """Reason for which the whole delivery is refused."""
    same_as: str | None = None
    """The earlier delivery whose files it repeats."""
    detail: dict[str, int] = field(default_factory=dict)
    """Numbers of a correction: rows changed, removed, added in its first table."""

    @property
    def id(self) -> str:
        return f"{self.source}/{self.period}/v{self.version}"

    @property
    def file_fault(self) -> str | None:
        """The fault of its files, when the whole delivery is refused."""
        return self.faults[-1] if self.refused else None


def with_orphans(delivery: Delivery) -> Delivery:
    """Tags details whose parent row is not kept: ``settled`` with it, otherwise ``orphan``. Changes the tables."""
    for name, contract in load_tables(delivery.source).items():
        if contract.parent is None:
            continue
        parent, table = delivery.tables[contract.parent.table], delivery.tables[name]
        keys = list(contract.parent.columns)
        tagged = parent.assign(_kept=parent["_tag"] == KEPT, _settled=parent["_tag"] == SETTLED)
        states = tagged.groupby(keys, dropna=False)[["_kept", "_settled"]].any()
        received = table[keys].merge(states.reset_index(), on=keys, how="left")
        kept = received["_kept"].eq(True).to_numpy()
        settled = received["_settled"].eq(True).to_numpy()
        open_ = (table["_tag"] == KEPT).to_numpy()
        tags = table["_tag"].to_numpy(dtype=object)
        table["_tag"] = np.where(open_ & ~kept, np.where(settled, SETTLED, ORPHAN), tags)
    return delivery


def file_name(source: str, table: str, period: str, practice: str = "") -> str:
    """Name of the contributor's file."""
    if source == "dcir":
        return f"{table.upper()}_{period.replace('-', '')}.csv"
    if source == "pmsi_mco":
        return f"T_MCO{period[2:4]}_{period[5:]}{table[-1].upper()}.csv"
    last = str((np.datetime64(period, "M") + 1).astype("datetime64[D]") - 1)
    return f"GP_{practice}_{last.replace('-', '')}_{table}.csv"


def files_of(delivery: Delivery) -> Iterable[tuple[str, str, bytes]]:
    """(table, file name, bytes) in load order; one file per practice for city medicine, with ``nir`` as exported."""
    source = load_source(delivery.source)
    for name in source.tables:
        table = delivery.tables[name]
        columns = [c for c in table.columns if not c.startswith("_")]
        if delivery.source != "ville":
            yield name, file_name(delivery.source, name, delivery.period), to_bytes(table, columns, source.csv)
            continue
        for practice in sorted(delivery.tables["patient"]["practice_id"].unique()):
            rows = table[table["practice_id"] == practice]
            yield name, file_name("ville", name, delivery.period, practice), to_bytes(rows, columns, source.csv)


def write(delivery: Delivery, home: Path, key: bytes) -> Path:
    """Puts the delivery out and returns its folder in the outboxes; the manifest comes last, by rename.

    City medicine is written to the practices' own inbox first; the source agent makes the delivery from it.
    """
    target = home / "outboxes" / delivery.source / delivery.period / f"v{delivery.version}"
    raw = home / "agents" / "ville" / "inbox" / delivery.period / f"v{delivery.version}"
    folder = raw if delivery.source == "ville" else target
    shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    named: dict[str, str] = {}
    for table, name, content in files_of(delivery):
        (folder / name).write_bytes(content)
        named[name] = table
    if delivery.source == "ville":
        pseudonymise(
            DeliveryId("ville", delivery.period, delivery.version),
            inbox=home / "agents" / "ville" / "inbox",
            outbox=home / "outboxes",
            key_file=home / "keys" / "contributors" / "p1.key",
            synthetic=True,
        )
    if delivery.file_fault:
        declared = None if delivery.source == "ville" else named
        damage(target, delivery.file_fault, declared=declared, key=check_value(key))
    elif delivery.source != "ville":
        declare(target, named, check_value(key))
    return target
