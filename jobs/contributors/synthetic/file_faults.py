"""Faults of whole files, by name, for the demo and the tests: each damages a delivery that is in its outbox.

Where a contributor would have sent it so, the manifest declares the damaged bytes; where they were damaged on the
way, it declares the sound ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.contributors.synthetic.manifest import MANIFEST, declare
from schemas.loader import load_source

Change = Callable[[bytes], bytes | None]
"""The bytes of the file to its new bytes; None removes it."""


@dataclass(frozen=True)
class FileFault:
    """``state`` and ``reason``: what the hub should say. ``declared``: the manifest declares the damaged bytes."""

    change: Change
    state: str
    reason: str | None
    declared: bool = True


def _header(content: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = content.partition(b"\n")
    return head.split(b";"), body


def _with_header(names: list[bytes], body: bytes) -> bytes:
    return b";".join(names) + b"\n" + body


def _renamed(content: bytes) -> bytes:
    names, body = _header(content)
    return _with_header([*names[:-1], names[-1] + b"_2"], body)


def _missing(content: bytes) -> bytes:
    return b"".join(line.rsplit(b";", 1)[0] + b"\n" for line in content.splitlines())


def _extra(content: bytes) -> bytes:
    head, *lines = content.splitlines()
    return b"\n".join([head + b";NEW_COLUMN", *(line + b";1" for line in lines)]) + b"\n"


def _reordered(content: bytes) -> bytes:
    """Moves the first column to the end (no field before the first delimiter is ever quoted)."""
    moved = []
    for line in content.splitlines():
        first, _, rest = line.partition(b";")
        moved.append(rest + b";" + first)
    return b"\n".join(moved) + b"\n"


def _latin1(content: bytes) -> bytes:
    """Another encoding: é is one byte, which UTF-8 does not allow."""
    text = content.decode("utf-8")
    if text.isascii():
        head, first, *lines = text.splitlines()
        text = "\n".join([head, first + "é", *lines]) + "\n"
    return text.encode("latin-1", errors="replace")


def _flipped(content: bytes) -> bytes:
    """One digit of the last line becomes another one: same length, other sum."""
    at = next(i for i in range(len(content) - 1, -1, -1) if content[i : i + 1].isdigit())
    return content[:at] + (b"1" if content[at : at + 1] != b"1" else b"2") + content[at + 1 :]


FAULTS: dict[str, FileFault] = {
    "checksum": FileFault(_flipped, "rejected", "checksum_mismatch", declared=False),
    "missing_file": FileFault(lambda _: None, "incomplete", "missing_file", declared=False),
    "short_file": FileFault(lambda c: c[: len(c) // 2], "incomplete", "missing_file", declared=False),
    "empty_file": FileFault(lambda _: b"", "rejected", "empty_file"),
    "header_only": FileFault(lambda c: c.partition(b"\n")[0] + b"\n", "rejected", "header_only"),
    "wrong_separator": FileFault(lambda c: c.replace(b";", b","), "rejected", "wrong_separator"),
    "renamed_column": FileFault(_renamed, "rejected", "missing_column"),
    "missing_column": FileFault(_missing, "rejected", "missing_column"),
    "extra_column": FileFault(_extra, "rejected", "extra_column"),
    "reordered_column": FileFault(_reordered, "published", None),
    "latin1": FileFault(_latin1, "rejected", "wrong_encoding"),
    "truncated": FileFault(lambda c: c[: c.rstrip(b"\n").rfind(b"\n") + 12], "rejected", "truncated"),
}


def damage(
    folder: Path,
    fault: str,
    *,
    table: str | None = None,
    declared: Mapping[str, str] | None = None,
    key: str | None = None,
) -> FileFault:
    """Damages the first file of ``table`` (default: er_prs_f, t_mcoaab or patient) in ``folder``.

    ``folder`` is ``<outboxes>/<source>/<period>/v<n>``. Without a manifest there, give ``declared`` (file name to
    table) and ``key`` (check value). The manifest is taken away first and comes back last. Returns what to expect.
    """
    chosen = FAULTS[fault]
    source = folder.parts[-3]
    manifest_path = folder / MANIFEST
    manifest = json.loads(manifest_path.read_text("utf-8")) if manifest_path.exists() else None
    if manifest is not None:
        declared = {f["name"]: f["table"] for f in manifest["files"]}
        key = manifest["stage1_key"]
        manifest_path.unlink()
    if declared is None or key is None:
        raise ValueError("a delivery without manifest needs declared and key")
    table = table or {"dcir": "er_prs_f", "pmsi_mco": "t_mcoaab"}.get(source, load_source(source).tables[0])
    name = next(n for n, t in declared.items() if t == table)
    if not chosen.declared:
        declare(folder, declared, key)
        sound = (folder / MANIFEST).read_bytes()
        (folder / MANIFEST).unlink()
    content = chosen.change((folder / name).read_bytes())
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    if chosen.declared:
        declare(folder, declared, key)
    else:
        part = folder / f".{MANIFEST}.part"
        part.write_bytes(sound)
        os.replace(part, folder / MANIFEST)
    return chosen
