"""``manifest.json``: what a contributor says that a delivery holds. It is written last, so it announces a whole.

Everything here is cheap: the manifest and the sizes of files, never their contents.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from jobs.delivery import DeliveryId
from jobs.errors import ContractRefused, Incomplete
from jobs.intake.connectors import MANIFEST, Connector, is_safe_name
from schemas.loader import load_source, source_names

MAX_BYTES = 4 * 2**20
MAX_COUNT = 2**48
"""More rows or bytes than any file has, and sums of them still fit a database's integer."""
_SHOWN = 10
Hex16 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{16}$"), AfterValidator(str.lower)]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$"), AfterValidator(str.lower)]
"""Hexadecimal digits, in upper case too (as PowerShell writes a sum); in lower case from here on."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileEntry(_Strict):
    """One file of the delivery. ``rows`` counts data rows, without the header line and without blank lines."""

    table: str
    name: str
    rows: int = Field(ge=0, le=MAX_COUNT)
    bytes: int = Field(ge=0, le=MAX_COUNT)
    sha256: Hex64


class Manifest(_Strict):
    """One delivery as its contributor declares it."""

    contract: str
    contract_version: int
    source: str
    period: str
    version: int
    created_at: AwareDatetime = Field(strict=False)
    stage1_key: Hex16
    """Check value of the stage-1 key that made the pseudonyms."""
    synthetic: bool = False
    """The rows are made up and are of nobody: every page that shows something of them says so."""
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
    raw = read_content(connector, delivery)
    manifest = _parse(delivery, raw)
    _check(delivery, manifest)
    return manifest, hashlib.sha256(raw).hexdigest()


def read_content(connector: Connector, delivery: DeliveryId) -> bytes:
    """The bytes of a manifest, whatever they are. Raises ``Incomplete`` (no_manifest), ``ContractRefused`` when it must
    not or may not be opened, or is larger than ``MAX_BYTES``."""
    if MANIFEST not in connector.files(delivery):
        raise Incomplete(f"{delivery}: {MANIFEST} is not there yet.", reason="no_manifest")
    with connector.open(delivery, MANIFEST) as stream:
        raw = bytearray()
        while len(raw) <= MAX_BYTES and (part := stream.read(2**16)):
            raw += part
    if len(raw) > MAX_BYTES:
        raise _refuse(delivery, "manifest_unreadable", f"larger than {MAX_BYTES:,} bytes.")
    return bytes(raw)


def declared(raw: bytes) -> dict[str, Any]:
    """What the bytes of a manifest say, before anything is checked: empty when they are not one JSON object."""
    try:
        said = _json(raw)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


class _Odd(ValueError):
    """JSON that is not a manifest; its text says why, without a word of it."""


def _json(raw: bytes) -> object:
    """JSON in UTF-8, with or without a byte order mark, or in UTF-16 as PowerShell writes it. Raises ``ValueError``,
    ``RecursionError``."""
    said = json.loads(raw.decode(json.detect_encoding(raw)), object_pairs_hook=_object, parse_constant=_no_number)
    # half a character, which an escape may hold, is not text, and no database takes it
    json.dumps(said, ensure_ascii=False).encode("utf-8")
    return said


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Odd("a field stands twice.")
    return made


def _no_number(_name: str) -> object:
    raise _Odd("NaN and Infinity are not numbers of JSON.")


def _parse(delivery: DeliveryId, raw: bytes) -> Manifest:
    try:
        return Manifest.model_validate(_json(raw))
    except Exception as error:  # whatever a contributor wrote, it is the fault of this delivery alone
        raise _refuse(delivery, "manifest_unreadable", _seen(error, raw), _NEXT) from None


_NEXT = "Write it again (`hub agent declare` does) and send the delivery as its next version."


def _seen(error: Exception, raw: bytes) -> str:
    """What is wrong with a manifest: kinds, places and counts, never what it holds."""
    if isinstance(error, ValidationError):
        return _wrong_fields(error)
    if isinstance(error, _Odd):
        return str(error)
    if not raw.strip():
        return "is empty."
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON, from line {error.lineno}, column {error.colno} on."
    if isinstance(error, RecursionError):
        return "nested too deep to be a manifest."
    if isinstance(error, UnicodeEncodeError):
        return "a text in it holds half a character (a lone surrogate)."
    if isinstance(error, UnicodeDecodeError):
        return "not text in UTF-8."
    return f"cannot be read ({type(error).__name__})."


def _wrong_fields(error: ValidationError) -> str:
    # places only: pydantic's own message quotes what it read
    places: dict[str, list[str]] = {"missing": [], "extra_forbidden": [], "": []}
    for e in error.errors(include_url=False, include_context=False, include_input=False):
        known = [str(p) for p in e["loc"] if isinstance(p, int) or p in _FIELDS]
        places[e["type"] if e["type"] in places else ""].append(".".join(known) or "its top level")
    said = [
        f"{words}: {_listed(sorted(set(where)))}"
        for words, where in (
            ("lacks", places["missing"]),
            ("has what the contract does not have, in", places["extra_forbidden"]),
            ("wrong at", places[""]),
        )
        if where
    ]
    return "; ".join(said) + "."


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


_FIELDS = {*Manifest.model_fields, *FileEntry.model_fields}


def _check(delivery: DeliveryId, manifest: Manifest) -> None:
    other = [f for f in ("source", "period", "version") if getattr(manifest, f) != getattr(delivery, f)]
    if other:
        raise _refuse(delivery, "wrong_place", f"names another {' and '.join(other)} than the folder that it lies in.")
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
    _check_names(delivery, [f.name for f in manifest.files], contract.csv.extension)
    sent = {f.table for f in manifest.files}
    if unknown := len(sent - set(contract.tables)):
        raise _refuse(delivery, "unknown_table", f"lists {unknown} table(s) that the contract does not have.")
    if missing := [t for t in contract.tables if t not in sent]:
        raise _refuse(delivery, "missing_table", f"the contract asks also for: {', '.join(missing)}.")


def _check_names(delivery: DeliveryId, names: Sequence[str], extension: str) -> None:
    if bad := sum(1 for n in names if not (is_safe_name(n) and n.endswith(extension))):
        raise _refuse(
            delivery,
            "bad_name",
            f"{bad} file name(s) are not accepted, nothing was opened.",
            f"Use letters, digits, '_', '-' and '.' only, ending in {extension}.",
        )
    if more := len(names) - len({n.lower() for n in names}):
        said = "twice" if len(set(names)) < len(names) else "under names that differ in case only"
        raise _refuse(delivery, "duplicated_name", f"lists {more} file(s) {said}.")


def missing_files(manifest: Manifest, sizes: Mapping[str, int | None]) -> list[str]:
    """Names of declared files that are not there, or are still shorter than declared."""
    return [f.name for f in manifest.files if _is_awaited(f, sizes)]


def _is_awaited(file: FileEntry, sizes: Mapping[str, int | None]) -> bool:
    size = sizes.get(file.name, -1)
    return size is not None and size < file.bytes


def awaited(manifest: Manifest, sizes: Mapping[str, int | None]) -> str:
    """In words, what a delivery waits for: which files are not there, which are shorter than declared."""
    in_other_case = {n.lower(): n for n in sizes if is_safe_name(n)}
    said = []
    for file in (f for f in manifest.files if _is_awaited(f, sizes)):
        if file.name in sizes:
            said.append(f"{file.name} (shorter than the {file.bytes:,} bytes declared)")
        elif other := in_other_case.get(file.name.lower()):
            said.append(f"{file.name} (not there: the name of {other} differs in case)")
        else:
            said.append(f"{file.name} (not there)")
    return f"{len(said):,} of {len(manifest.files):,} files missing or too short: {_listed(said)}"


def require_complete(delivery: DeliveryId, manifest: Manifest, sizes: Mapping[str, int | None]) -> None:
    """Raises ``Incomplete`` (missing_file); for what can never become right, ``ContractRefused``: bad_name,
    unlisted_file, size_mismatch."""
    if missing_files(manifest, sizes):
        raise Incomplete(
            f"{delivery}: {awaited(manifest, sizes)}.",
            reason="missing_file",
            next_step="Wait for the contributor; nothing was loaded.",
        )
    if odd := [n for n, size in sizes.items() if size is None]:
        said = f"{len(odd)} entries are links or not regular files, nothing was opened{_named(odd)}."
        raise _refuse(delivery, "bad_name", said, "Send the files themselves.")
    listed = {f.name: f.bytes for f in manifest.files}
    if extra := [n for n in sizes if n not in listed and n != MANIFEST]:
        raise _refuse(delivery, "unlisted_file", f"{len(extra)} file(s) lie beside it unlisted{_named(extra)}.")
    if longer := [n for n, size in listed.items() if sizes[n] != size]:
        raise _refuse(delivery, "size_mismatch", f"longer than declared: {_listed(longer)}.")


def _named(names: Iterable[str]) -> str:
    """Those names that are plain, for a message; the others may hold anything."""
    plain = [n for n in names if is_safe_name(n)]
    return f": {_listed(plain)}" if plain else ""
