"""Where quarantined records stood in the contributor's files, for who holds the stewards' key. Never what they hold."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from jobs.delivery import DeliveryId
from jobs.errors import ConfigError
from jobs.intake.landing import MALFORMED, REFUSED, contributed_name, read_encrypted
from jobs.intake.readers.csv import ROW
from jobs.keys import read_private_key
from jobs.rows.books import DUPLICATE

Place = dict[str, str | int]


def quarantined_records(
    delivery: DeliveryId, quarantine: Path, key_file: Path, table: str | None = None
) -> Iterator[Place]:
    """``table, file, record, reason`` of each quarantined record, by table and file, in the order of the file.

    ``record`` counts from 1 below the header, blank lines left out. Only these columns are decrypted. A delivery that
    was refused whole has no records here: its files are kept as they came. Raises ``KeyRefused``, ``ConfigError``.
    """
    tables = [folder for folder in _tables(delivery, quarantine) if table in (None, folder.name)]
    if table and not tables:
        raise ConfigError(f"Nothing of {delivery.source}/{table} is in quarantine.", next_step="leave --table out")
    if not tables:
        return iter(())
    key = read_private_key(key_file)
    return (place for folder in tables for place in _of_table(folder, key))


def remove_records(delivery: DeliveryId, quarantine: Path) -> None:
    """Removes the quarantined records of a delivery whose twin has the same; what was refused whole stays."""
    for folder in _tables(delivery, quarantine):
        shutil.rmtree(folder, ignore_errors=True)


def _tables(delivery: DeliveryId, quarantine: Path) -> list[Path]:
    """Folders of the tables that have quarantined records, by name."""
    return sorted(p for p in delivery.under(quarantine).glob("*") if p.is_dir() and p.name != "refused")


def _of_table(folder: Path, key: rsa.RSAPrivateKey) -> Iterator[Place]:
    """The pull says which rows break the contract, the stage which others cannot be believed. It also says which of the
    former repeat another row: those are counted as duplicates, and are not in quarantine."""
    reasons: dict[tuple[str, int], str] = {}
    for path in folder.glob(f"{REFUSED}*.parquet"):
        rows = read_encrypted(path, key, [ROW, "_reason"]).to_pylist()
        reasons |= {(contributed_name(path.name), r[ROW]): r["_reason"] for r in rows}
    for path in folder.glob("rows/*.parquet"):
        rows = read_encrypted(path, key, ["_file", ROW, "_reason"]).to_pylist()
        reasons |= {(r["_file"], r[ROW]): r["_reason"] for r in rows}
    for path in folder.glob(f"{MALFORMED}*.parquet"):
        lines = read_encrypted(path, key, [ROW, "reason"]).to_pylist()
        reasons |= {(contributed_name(path.name), r[ROW]): f"malformed: {r['reason']}" for r in lines}
    for (file, record), reason in sorted(reasons.items()):
        if reason != DUPLICATE:
            yield {"table": folder.name, "file": file, "record": record, "reason": reason}
