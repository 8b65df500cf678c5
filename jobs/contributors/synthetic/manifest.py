"""The manifest of a made-up delivery: what a contributor declares of its files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from schemas.loader import load_source

MANIFEST = "manifest.json"


def declare(folder: Path, named: Mapping[str, str], key: str) -> None:
    """Writes the manifest of the files in ``folder`` as they are now. ``named``: file name to table."""
    source, period, version = folder.parts[-3:]
    files = []
    for name, table in named.items():
        content = (folder / name).read_bytes()
        lines = content.count(b"\n") + (bool(content) and not content.endswith(b"\n"))
        digest = hashlib.sha256(content).hexdigest()
        files.append({"table": table, "name": name, "rows": max(lines - 1, 0), "bytes": len(content), "sha256": digest})
    month_after = np.datetime64(period, "M") + (1 if source != "dcir" else 0)
    sent = month_after.astype("datetime64[D]") + 4 + int(version[1:])
    manifest = {
        "contract": source,
        "contract_version": load_source(source).contract,
        "source": source,
        "period": period,
        "version": int(version[1:]),
        "created_at": f"{sent}T06:00:00+00:00",
        "stage1_key": key,
        "synthetic": True,
        "files": files,
    }
    part = folder / f".{MANIFEST}.part"
    part.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    os.replace(part, folder / MANIFEST)
