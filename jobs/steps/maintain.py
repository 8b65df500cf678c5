"""maintain: removes from the lake what no reader can reach any more, and puts checkpoints of its logs in clear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from catalogue import db
from jobs.hub import Hub, Progress
from jobs.lake.commits import last_commit
from jobs.lake.inventory import names
from jobs.lake.layout import table_path
from jobs.lake.maintenance import find_dead, has_hidden_checkpoint, remove_old_staging, rewrite_checkpoint
from jobs.steps.build import KEPT_EVIDENCE

Answer = dict[str, Any]


def maintain(hub: Hub, progress: Progress | None = None, *, yes: bool = False) -> list[Answer]:
    """One row per table that needs it: ``table``, ``files`` and ``bytes`` that go, ``checkpoint`` whether that of its
    log is rewritten. Nothing is changed without ``yes``. Repeating changes nothing more."""
    release, writers = db.current_release(hub.engine), db.list_writers(hub.engine)
    answers = []
    for name in (*names(), KEPT_EVIDENCE):
        root = Path(table_path(hub.settings.lake, name))
        if hidden := has_hidden_checkpoint(root):
            if not yes:
                answers.append({"table": name, "files": 0, "bytes": 0, "checkpoint": True})
                continue
            rewrite_checkpoint(hub.spark, root)
        named = release.tables.get(name) if release else None
        dead = find_dead(root, [] if named is None or last_commit(root) is None else [named], writers)
        if dead.files or hidden:
            answers.append({"table": name, "files": len(dead.files), "bytes": dead.bytes, "checkpoint": hidden})
        if yes:
            dead.remove()
        if progress:
            progress(name)
    if yes:
        remove_old_staging(hub.settings.lake, db.open_build(hub.engine))
    return answers
