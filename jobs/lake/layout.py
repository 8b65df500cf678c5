"""Where what waits for its gate lies in the lake: paths, nothing is read or written here.

``lake/staging/<source>/<period>/v<n>/<table>``  tables of a delivery, removed when it was published or refused
``lake/staging/build/<number>/<name>``           tables of a build: ``omop/person``, ``stem/dcir``, ``evidence``
"""

from __future__ import annotations

from pathlib import Path

from jobs.delivery import Subject


def staging(lake: Path, subject: Subject) -> Path:
    """Folder of all tables of a delivery or a build."""
    return lake / "staging" / str(subject)
