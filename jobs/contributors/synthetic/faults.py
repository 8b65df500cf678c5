"""Faults of rows and of deliveries, by name: each changes a delivery and its tags, so that what to expect is known.

Rows that get a fault had none: kept, with a key of their own, in no group that a reversal touches and, where asked,
without details. A fault and its reason code are data; ``with_orphans`` adds what follows for details.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from jobs.contributors.synthetic.csvs import MALFORMED
from jobs.contributors.synthetic.deliveries import KEPT, Delivery, with_orphans
from jobs.contributors.synthetic.file_faults import FAULTS
from jobs.contributors.synthetic.population import stream
from schemas.loader import load_table, load_tables


@dataclass(frozen=True)
class RowFault:
    """One damaged row. ``value`` replaces the column's, and ``reason`` is what the stage should say.

    kind ``value``: the row is changed; ``conflict``: a second row with the same key differs in ``column``; ``orphan``:
    a further row whose ``column`` names no parent; ``malformed``: the line lacks a field.
    """

    table: str
    kind: str
    column: str = ""
    value: str | None = None
    reason: str = ""


BAD_ROWS: dict[str, tuple[RowFault, ...]] = {
    "dcir": (
        RowFault("er_prs_f", "value", "EXE_SOI_DTD", "31/02/2024", "unparsable:EXE_SOI_DTD"),
        RowFault("er_prs_f", "value", "PRS_ACT_QTE", "une", "unparsable:PRS_ACT_QTE"),
        RowFault("er_prs_f", "value", "PRS_NAT_REF", None, "missing:PRS_NAT_REF"),
        RowFault("er_prs_f", "value", "BEN_SEX_COD", "5", "code:BEN_SEX_COD"),
        RowFault("er_prs_f", "value", "ORG_AFF_BEN", "01C0751011", "too_long:ORG_AFF_BEN"),
        RowFault("er_prs_f", "conflict", "PRS_PAI_MNT", "9999.99", "conflict"),
        RowFault("er_prs_f", "malformed", reason=MALFORMED),
        RowFault("er_pha_f", "value", "PHA_ACT_QSN", "deux", "unparsable:PHA_ACT_QSN"),
        RowFault("er_pha_f", "orphan", "DCT_ORD_NUM", "999999999", "orphan"),
    ),
    "pmsi_mco": (
        RowFault("t_mcoaab", "value", "SEJ_NBJ", "3j", "unparsable:SEJ_NBJ"),
        RowFault("t_mcoaac", "value", "EXE_SOI_DTD", "2024-01-15", "unparsable:EXE_SOI_DTD"),
        RowFault("t_mcoaad", "orphan", "RSA_NUM", "9999999999", "orphan"),
        RowFault("t_mcoaaa", "value", "CDC_ACT", None, "missing:CDC_ACT"),
        RowFault("t_mcoaad", "malformed", reason=MALFORMED),
    ),
    "ville": (
        RowFault("patient", "value", "nir", "wrong_key", "identity:nir_key_invalid"),
        RowFault("patient", "value", "nir", "wrong_key", "identity:nir_key_invalid"),
        RowFault("encounter", "value", "type", "domicile", "code:type"),
        RowFault("encounter", "value", "date_time", "2024-13-45T10:00:00", "unparsable:date_time"),
        RowFault("problem", "orphan", "encounter_id", "E000000000000", "orphan"),
        RowFault("problem", "malformed", reason=MALFORMED),
        RowFault("prescription", "value", "quantity", "1 boite", "unparsable:quantity"),
    ),
}


def bad_rows(delivery: Delivery, seed: int, faults: Sequence[RowFault] | None = None) -> Delivery:
    """Plants a few bad rows, one per fault. Returns a changed copy."""
    chosen = BAD_ROWS[delivery.source] if faults is None else tuple(faults)
    changed = _copy(delivery, "bad_rows")
    rng = stream(seed, "bad_rows", delivery.id)
    for name in dict.fromkeys(f.table for f in chosen):
        mine = [f for f in chosen if f.table == name]
        rows = rng.permutation(_sound(changed, name))[: len(mine)]
        if rows.size < len(mine):
            raise ValueError(f"{delivery.id} {name}: too few rows to plant {len(mine)} faults")
        for fault, row in zip(mine, rows.tolist(), strict=True):
            changed.tables[name] = _plant(changed.tables[name], fault, row)
    return with_orphans(changed)


def _sound(delivery: Delivery, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rows that nothing else happens to: their fault is their only one, and nobody else's."""
    contract, table = load_table(delivery.source, name), delivery.tables[name]
    good = (table["_tag"] == KEPT).to_numpy() & ~table.duplicated(list(contract.key), keep=False).to_numpy()
    if contract.settle:
        good &= ~table.duplicated(list(contract.settle.group), keep=False).to_numpy()
        # details of a line stay what they are: each fault shows one reason
        for other, child in load_tables(delivery.source).items():
            if child.parent and child.parent.table == name:
                keys = list(child.parent.columns)
                named = delivery.tables[other][keys].drop_duplicates().assign(_has=True)
                good &= table[keys].merge(named, on=keys, how="left")["_has"].isna().to_numpy()
    return np.flatnonzero(good)


def _plant(table: pd.DataFrame, fault: RowFault, row: int) -> pd.DataFrame:
    if fault.kind in ("conflict", "orphan"):
        other = table.iloc[[row]].copy()
        other[fault.column] = fault.value
        other["_tag"] = fault.reason
        if fault.kind == "conflict":
            table.loc[row, "_tag"] = fault.reason
        return pd.concat([table, other], ignore_index=True)
    if fault.kind == "value":
        table.loc[row, fault.column] = _wrong_key(table.loc[row, "nir"]) if fault.column == "nir" else fault.value
    table.loc[row, "_tag"] = fault.reason
    return table


def _wrong_key(nir: object) -> str:
    """The same number with another key."""
    text = str(nir)
    return f"{text[:13]}{(int(text[13:]) % 97) + 1:02d}"


def steward(delivery: Delivery, seed: int, share: float = 0.3) -> Delivery:
    """A practice's software spoils the keys of NIRs: so many patients are quarantined that a steward must look."""
    changed = _copy(delivery, "steward")
    table = changed.tables["patient"]
    sound = np.flatnonzero((table["_tag"] == KEPT).to_numpy())
    chosen = stream(seed, "steward", delivery.id).permutation(sound)[: int(len(table) * share)]
    table.loc[chosen, "nir"] = [_wrong_key(n) for n in table.loc[chosen, "nir"]]
    table.loc[chosen, "_tag"] = "identity:nir_key_invalid"
    return with_orphans(changed)


def refused(delivery: Delivery, fault: str = "missing_column") -> Delivery:
    """A delivery that breaks its contract as a whole: ``fault`` is one of ``file_faults.FAULTS``."""

    changed = _copy(delivery, fault)
    return replace(changed, refused=FAULTS[fault].reason)


def twice(delivery: Delivery) -> Delivery:
    """The same files again, as the next version."""
    return replace(_copy(delivery, "twice"), version=delivery.version + 1, same_as=delivery.id)


def correction(delivery: Delivery, seed: int) -> tuple[Delivery, Delivery]:
    """(first version, correction) of a month of hospital stays.

    The first lacks some late stays; the correction has them, no longer has some that were sent by mistake, and codes
    the main diagnosis of others anew. Details follow their stay.
    """
    keys = ["ETA_NUM", "RSA_NUM"]
    stays = delivery.tables["t_mcoaab"]
    rng = stream(seed, "correction", delivery.id)
    sound = stays[(stays["_tag"] == KEPT) & ~stays.duplicated(keys, keep=False)]
    order = rng.permutation(sound.index.to_numpy())
    part = max(1, len(order) // 20)
    late, mistaken, recoded = (stays.loc[order[i * part : (i + 1) * part], keys] for i in range(3))
    first = replace(_copy(delivery, "correction"), faults=["corrected later"])
    second = replace(_copy(delivery, "correction"), version=delivery.version + 1)
    first.tables = {n: _without(t, late) for n, t in first.tables.items()}
    second.tables = {n: _without(t, mistaken) for n, t in second.tables.items()}
    table = second.tables["t_mcoaab"]
    changed = table[keys].merge(recoded.assign(_new=True), on=keys, how="left")["_new"].notna().to_numpy()
    table.loc[changed, ["DGN_PAL", "DGN_REL"]] = ["R104", None]
    second.detail = {"changed": int(changed.sum()), "removed": len(mistaken), "added": len(late)}
    return with_orphans(first), with_orphans(second)


def _without(table: pd.DataFrame, stays: pd.DataFrame) -> pd.DataFrame:
    keys = list(stays.columns)
    gone = table[keys].merge(stays.assign(_gone=True), on=keys, how="left")["_gone"].notna().to_numpy()
    return table[~gone].reset_index(drop=True)


def _copy(delivery: Delivery, fault: str) -> Delivery:
    return replace(delivery, tables={n: t.copy() for n, t in delivery.tables.items()}, faults=[*delivery.faults, fault])
