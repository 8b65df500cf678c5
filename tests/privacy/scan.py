"""Looks for what must not be there: identifiers and keys, in every form in which a program may have written them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

ENCRYPTED = b"PARE"
CLEAR = b"PAR1"

Needles = Mapping[bytes, str]
"""Bytes to look for, and what they are. What they are is told, the bytes never."""


@dataclass(frozen=True, order=True)
class Leak:
    """Something that must not be there: where, and what kind of thing."""

    where: str
    what: str


def of_texts(texts: Iterable[str], what: str) -> dict[bytes, str]:
    """Needles of identifiers: as text, escaped for JSON and for an address, in UTF-16, hexadecimal and base64."""
    found: dict[bytes, str] = {}
    for text in texts:
        raw = text.encode("utf-8")
        forms = (raw, json.dumps(text)[1:-1].encode(), quote(text).encode(), text.encode("utf-16-le"))
        found |= dict.fromkeys([*forms, *_encoded(raw)], what)
    return found


def of_secrets(secrets: Mapping[str, bytes]) -> dict[bytes, str]:
    """Needles of keys: the bytes, hexadecimal and base64."""
    return {form: name for name, raw in secrets.items() for form in (raw, *_encoded(raw))}


def _encoded(raw: bytes) -> list[bytes]:
    """Hexadecimal, and base64 wherever the value begins in a longer text (its ends are cut: they depend on more)."""
    plain = [raw.hex().encode(), raw.hex().upper().encode()]
    shifted = [base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)]
    return [form for form in (*plain, *shifted) if len(form) >= 8]


def leaks(root: Path, needles: Needles, *, without: tuple[str, ...] = ()) -> list[Leak]:
    """Every file below ``root`` that holds a needle in its bytes or its name, or is Parquet in clear.

    ``without``: paths relative to ``root`` that are left out, with all that is below them.
    """
    found = [leak for path in files(root, without=without) for leak in _in_file(path, root, needles)]
    return sorted(set(found))


def files(root: Path, *, without: tuple[str, ...] = ()) -> Iterator[Path]:
    """The files below ``root``; links are not followed."""
    for path in sorted(root.rglob("*")):
        relative = str(path.relative_to(root))
        left_out = any(relative == w or relative.startswith(f"{w}/") for w in without)
        if path.is_file() and not path.is_symlink() and not left_out:
            yield path


def _in_file(path: Path, root: Path, needles: Needles) -> Iterator[Leak]:
    content, where = path.read_bytes(), str(path.relative_to(root))
    if content[:4] == CLEAR:
        yield Leak(where, "Parquet in clear")
    yield from in_bytes(content, needles, where)
    yield from in_bytes(where.encode(), needles, f"{where} (its name)")


def in_bytes(content: bytes, needles: Needles, where: str) -> list[Leak]:
    """One leak per kind of needle that is in ``content``."""
    return [Leak(where, what) for what in sorted({w for needle, w in needles.items() if needle in content})]
