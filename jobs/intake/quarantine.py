"""Where quarantined records stood in the contributor's files, for who holds the stewards' key. Never what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

from jobs.delivery import DeliveryId
from jobs.errors import ConfigError
from jobs.intake.landing import contributed_name, read_encrypted
from jobs.intake.readers.csv import ROW
from jobs.keys import read_private_key

Place = dict[str, str | int]


def quarantined_records(
    delivery: DeliveryId, quarantine: Path, key_file: Path, table: str | None = None
) -> Iterator[Place]:
    """``table, file, record, reason`` of each quarantined record, by table and file, in the order of the file.

    ``record`` counts from 1 below the header, blank lines left out. Only these columns are decrypted. A delivery that
    was refused whole has no records here: its files are kept as they came. Raises ``KeyRefused``, ``ConfigError``.
    """
    folder = delivery.under(quarantine)
    tables = sorted(p.name for p in folder.glob("*") if p.is_dir() and p.name != "refused" and table in (None, p.name))
    if table and not tables:
        raise ConfigError(f"Nothing of {delivery.source}/{table} is in quarantine.", next_step="leave --table out")
    if not tables:
        return iter(())
    key = read_private_key(key_file)
    return (place for name in tables for place in _of_table(folder / name, key))


def _of_table(folder: Path, key: rsa.RSAPrivateKey) -> Iterator[Place]:
    places: list[Place] = []
    for path in sorted(folder.glob("rows/*.parquet")):
        rows = read_encrypted(path, key, ["_file", ROW, "_reason"]).to_pylist()
        places += [_place(folder.name, r["_file"], r[ROW], r["_reason"]) for r in rows]
    for path in sorted(folder.glob("malformed-*.parquet")):
        file = contributed_name(path.name.removeprefix("malformed-"))
        lines = read_encrypted(path, key, [ROW, "reason"]).to_pylist()
        places += [_place(folder.name, file, r[ROW], f"malformed: {r['reason']}") for r in lines]
    yield from sorted(places, key=lambda p: (p["file"], p["record"]))


def _place(table: str, file: str, record: int, reason: str) -> Place:
    return {"table": table, "file": file, "record": record, "reason": reason}
