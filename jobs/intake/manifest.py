"""``manifest.json``: what a contributor says that a delivery holds. It is written last, so it announces a whole.

Everything here is cheap: the manifest and the sizes of files, never their contents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from jobs.delivery import DeliveryId
from jobs.errors import ContractRefused, Incomplete
from jobs.intake.connectors import MANIFEST, Connector, is_safe_name
from schemas.loader import load_source, source_names

MAX_BYTES = 4 * 2**20
_HEX16 = r"^[0-9a-f]{16}$"
_HEX64 = r"^[0-9a-f]{64}$"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileEntry(_Strict):
    """One file of the delivery. ``rows`` counts data rows, without the header line and without blank lines."""

    table: str
    name: str
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=_HEX64)


class Manifest(_Strict):
    """One delivery as its contributor declares it."""

    contract: str
    contract_version: int
    source: str
    period: str
    version: int
    created_at: AwareDatetime = Field(strict=False)
    stage1_key: str = Field(pattern=_HEX16)
    """Check value of the stage-1 key that made the pseudonyms."""
    files: tuple[FileEntry, ...] = Field(min_length=1, strict=False)


def _refuse(delivery: DeliveryId, reason: str, message: str, next_step: str | None = None) -> ContractRefused:
    return ContractRefused(
        f"{delivery} {MANIFEST}: {message}", reason=reason, next_step=next_step or "Ask the contributor to send again."
    )


def read_manifest(connector: Connector, delivery: DeliveryId) -> tuple[Manifest, str]:
    """The manifest of a delivery, checked against its contract and its place, and the sha256 of its bytes.

    Raises ``Incomplete`` (no_manifest) while it is not there, ``ContractRefused`` when it breaks the contract:
    manifest_unreadable, wrong_place, unknown_source, unknown_contract, unknown_table, missing_table, bad_name,
    duplicated_name, future_manifest.
    """
    if MANIFEST not in connector.files(delivery):
        raise Incomplete(f"{delivery}: {MANIFEST} is not there yet.", reason="no_manifest")
    with connector.open(delivery, MANIFEST) as stream:
        raw = bytearray()
        while len(raw) <= MAX_BYTES and (part := stream.read(2**16)):
            raw += part
    if len(raw) > MAX_BYTES:
        raise _refuse(delivery, "manifest_unreadable", f"larger than {MAX_BYTES} bytes.")
    manifest = _parse(delivery, bytes(raw))
    _check(delivery, manifest)
    return manifest, hashlib.sha256(raw).hexdigest()


def _parse(delivery: DeliveryId, raw: bytes) -> Manifest:
    try:
        return Manifest.model_validate(json.loads(raw.decode("utf-8")))
    except ValidationError as error:
        # places only: pydantic's own message quotes what it read
        places = sorted(
            {".".join(str(p) for p in e["loc"] if isinstance(p, int) or p in _FIELDS) for e in error.errors()}
        )
        shown = ", ".join(p for p in places if p) or "its top level"
        raise _refuse(delivery, "manifest_unreadable", f"missing, unknown or wrong at: {shown}.") from None
    except (ValueError, RecursionError):
        raise _refuse(delivery, "manifest_unreadable", "not a JSON object in UTF-8.") from None


_FIELDS = {*Manifest.model_fields, *FileEntry.model_fields}


def _check(delivery: DeliveryId, manifest: Manifest) -> None:
    if (manifest.source, manifest.period, manifest.version) != (delivery.source, delivery.period, delivery.version):
        raise _refuse(delivery, "wrong_place", "names another source, period or version than the folder it lies in.")
    if delivery.source not in source_names():
        raise _refuse(delivery, "unknown_source", "the hub has no contract with this source.")
    contract = load_source(delivery.source)
    if (manifest.contract, manifest.contract_version) != (contract.source, contract.contract):
        raise _refuse(
            delivery,
            "unknown_contract",
            "keeps a contract or a contract version that the hub does not know.",
            f"The hub knows {contract.source} version {contract.contract}: send by that one.",
        )
    if manifest.created_at > datetime.now(UTC) + timedelta(days=1):
        raise _refuse(delivery, "future_manifest", "created_at lies more than a day ahead.")
    names = [f.name for f in manifest.files]
    if bad := sum(1 for n in names if not (is_safe_name(n) and n.endswith(".csv"))):
        raise _refuse(
            delivery,
            "bad_name",
            f"{bad} file name(s) are not accepted, nothing was opened.",
            "Use letters, digits, '_', '-' and '.' only, ending in .csv.",
        )
    if len({n.lower() for n in names}) != len(names):
        raise _refuse(delivery, "duplicated_name", "lists a file twice.")
    sent = {f.table for f in manifest.files}
    if unknown := len(sent - set(contract.tables)):
        raise _refuse(delivery, "unknown_table", f"lists {unknown} table(s) that the contract does not have.")
    if missing := [t for t in contract.tables if t not in sent]:
        raise _refuse(delivery, "missing_table", f"the contract asks also for: {', '.join(missing)}.")


def missing_files(manifest: Manifest, sizes: Mapping[str, int | None]) -> list[str]:
    """Names of declared files that are not there, or are still shorter than declared."""
    found = {name: -1 if size is None else size for name, size in sizes.items()}
    return [f.name for f in manifest.files if f.name not in sizes or 0 <= found[f.name] < f.bytes]


def is_complete(manifest: Manifest, sizes: Mapping[str, int | None]) -> bool:
    """True when nothing is to be waited for. What can never become right (longer, a link) is ``pull``'s to refuse."""
    return not missing_files(manifest, sizes)


def require_complete(delivery: DeliveryId, manifest: Manifest, sizes: Mapping[str, int | None]) -> None:
    """Raises ``Incomplete`` (missing_file), or ``ContractRefused``: bad_name, unlisted_file, size_mismatch."""
    if missing := missing_files(manifest, sizes):
        raise Incomplete(
            f"{delivery}: {len(missing)} of {len(manifest.files)} files missing or too short: {', '.join(missing)}.",
            reason="missing_file",
            next_step="Wait for the contributor; nothing was loaded.",
        )
    if odd := [n for n, size in sizes.items() if size is None]:
        raise _refuse(delivery, "bad_name", f"{len(odd)} entries are links or not regular files, nothing was opened.")
    listed = {f.name: f.bytes for f in manifest.files}
    if extra := [n for n in sizes if n not in listed and n != MANIFEST]:
        named = [n for n in extra if is_safe_name(n)]
        raise _refuse(delivery, "unlisted_file", f"{len(extra)} file(s) lie beside it unlisted: {', '.join(named)}.")
    if longer := [n for n, size in listed.items() if sizes[n] != size]:
        raise _refuse(delivery, "size_mismatch", f"longer than declared: {', '.join(longer)}.")
