"""Where everything lies in the lake: paths, nothing is read or written here.

``lake/source/<source>/<table>``  published rows of a contributor, partitioned by ``_period``
``lake/omop/<table>``             OMOP CDM 5.4; event tables are partitioned by ``_source`` and ``_period``
``lake/build/<table>``            what the build keeps between deliveries

``<table>/files/<writer>``  below a table's root: files that one writer made, its rows from the commit that names them

``lake/staging/<source>/<period>/v<n>/<table>``  tables of a delivery, removed when it was published or refused
``lake/staging/build/<number>/<name>``           what a build makes on its way: ``persons``, ``events``
"""

from __future__ import annotations

from pathlib import Path

from jobs.delivery import Subject

FILES, LOG = "files", "_delta_log"


def staging(lake: Path, subject: Subject) -> Path:
    """Folder of all tables of a delivery or a build."""
    return lake / "staging" / str(subject)


def table_path(lake: Path, name: str) -> str:
    """Where a table lies: ``dcir/x`` in ``<lake>/source/dcir/x``, ``omop/person`` in ``<lake>/omop/person``."""
    return str(lake / name if name.split("/")[0] in ("omop", "build") else lake / "source" / name)


def waiting_folder(root: Path, writer: str) -> Path:
    """Where a writer's files lie below the root of their table."""
    return root / FILES / writer
