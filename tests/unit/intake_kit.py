"""Makes deliveries for the tests of the door, with planted canaries, and looks for them afterwards."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric import rsa

from jobs import keys
from jobs.delivery import DeliveryId
from jobs.intake.pull import PullReport, pull
from schemas.loader import load_source, load_table

DELIVERY = DeliveryId("dcir", "2024-03", 2)
CANARIES = ("CANARYP1ABCDEFGH2", "DUPONTCANARI", "185057800608436")
_KEYS = tempfile.TemporaryDirectory(prefix="hub-test-keys-")


@cache
def shared_keys() -> Path:
    """One set of keys for all tests of the run."""
    keys.generate(Path(_KEYS.name))
    return Path(_KEYS.name)


@cache
def private_key(name: str) -> rsa.RSAPrivateKey:
    """``hub/landing`` or ``steward/quarantine``; loading one costs 0.1 s."""
    return keys.read_private_key(shared_keys() / f"{name}.pem")


def file_name(table: str) -> str:
    return f"{table.upper()}_202403.csv"


def good(table: str, rows: int = 3, source: str = "dcir") -> bytes:
    """A well-formed file; every row holds the canaries, in columns of text too, and breaks the contract."""
    columns = load_table(source, table).columns
    lines = [";".join(c.name for c in columns)]
    for i in range(1, rows + 1):
        values = [f"v{i}-{j}" for j in range(len(columns))]
        values[: len(CANARIES)] = CANARIES
        values[10:] = [CANARIES[j % 3] if columns[j].type == "string" else values[j] for j in range(10, len(columns))]
        lines.append(";".join(values))
    return ("\n".join(lines) + "\n").encode()


def sound(table: str, rows: int = 3, source: str = "dcir") -> bytes:
    """A well-formed file whose rows keep the contract: row n has n in every number, and an empty text if it may."""
    columns = load_table(source, table).columns
    lines = [";".join(c.name for c in columns)]
    for i in range(1, rows + 1):
        values = {"date": "01/03/2024", "string": "", "integer": str(i), "decimal": f"{i}.5"}
        lines.append(";".join(values[c.type] or ("x" * c.required) for c in columns))
    return ("\n".join(lines) + "\n").encode()


def send(
    root: Path,
    delivery: DeliveryId = DELIVERY,
    *,
    files: dict[str, bytes] | None = None,
    rows: dict[str, int] | None = None,
    edit: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Writes a delivery: ``files`` replaces the bytes of a table, ``rows`` its declared rows, ``edit`` the manifest."""
    folder = delivery.under(root)
    folder.mkdir(parents=True)
    entries = []
    for table in load_source(delivery.source).tables:
        data = (files or {}).get(table, good(table, source=delivery.source))
        (folder / file_name(table)).write_bytes(data)
        entries.append(
            {
                "table": table,
                "name": file_name(table),
                "rows": (rows or {}).get(table, 3),
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    manifest: dict[str, Any] = {
        "contract": delivery.source,
        "contract_version": 1,
        "source": delivery.source,
        "period": delivery.period,
        "version": delivery.version,
        "created_at": "2024-04-02T08:00:00+00:00",
        "stage1_key": "0123456789abcdef",
        "files": entries,
    }
    if edit:
        edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def receive(home: Path, delivery: DeliveryId = DELIVERY, **options: Any) -> PullReport:
    return pull(
        delivery,
        outbox=home / "outboxes",
        landing=home / "landing",
        quarantine=home / "quarantine",
        keys_public=shared_keys() / "public",
        **options,
    )


def fingerprint(root: Path) -> dict[str, str]:
    """Every file below ``root`` and what it holds; locks are not counted."""
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.suffix != ".lock"
    }


def readable(path: Path) -> bytes:
    """All that somebody without a key can read of a file: its bytes, and the values of a Parquet file in clear."""
    raw = path.read_bytes()
    if raw[:4] == b"PAR1":
        raw += repr(pq.read_table(path).to_pydict()).encode()
    return raw


def canaries_in(paths: Iterable[Path], canaries: Iterable[str] = CANARIES) -> list[str]:
    """Names of files where a canary can be read."""
    return [str(p) for p in paths if any(c.encode() in readable(p) for c in canaries)]


def written_by_the_hub(home: Path) -> list[Path]:
    return [p for place in ("landing", "quarantine") for p in (home / place).rglob("*") if p.is_file()]
