"""What a build learns from the logs of tables: no Spark server runs here, and none is asked unless rows are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.errors import HubError
from jobs.hub import Hub
from jobs.lake.commits import WrittenFile, commit
from jobs.lake.layout import table_path
from jobs.settings import Settings
from jobs.steps.events import rows_published
from jobs.steps.whole import released_beside, slices_beside
from schemas.loader import load_source

CONTENT = b"PARE and more"
KEPT = "build/person_evidence"


@pytest.fixture
def hub(home: Settings) -> Hub:
    return Hub(home)


def put(hub: Hub, name: str, partition: dict[str, str], rows: int) -> int:
    """Makes ``rows`` those of one partition of a table; the version that holds them."""
    root = Path(table_path(hub.settings.lake, name))
    path = root / "files" / f"{rows}" / "part-0.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    file = WrittenFile(path=str(path.relative_to(root)), rows=rows, bytes=len(CONTENT), partition=partition)
    columns = {"code": "string", **dict.fromkeys(partition, "string")}
    return commit(
        root,
        [file],
        columns,
        {"rows": rows},
        replaces=lambda of: dict(of) == partition,
        claim="test",
        partition_by=list(partition),
    )


def test_where_every_slice_is_made_again_nothing_stays_beside_it(hub: Hub) -> None:
    january, february = ("dcir", "2024-01"), ("dcir", "2024-02")
    assert slices_beside(hub, KEPT, [january]) is None
    for name in (KEPT, "omop/visit_occurrence"):
        put(hub, name, {"_source": "dcir", "_period": "2024-01"}, rows=3)
    assert slices_beside(hub, KEPT, [january]) is None
    assert released_beside(hub, "visit_occurrence", {january, february}) is None
    with pytest.raises(HubError, match="Next"):  # rows stay, and only Spark can read them
        released_beside(hub, "visit_occurrence", [february])


def test_published_rows_are_those_of_the_version_and_the_slices_that_are_built(hub: Hub) -> None:
    tables = [f"ville/{table}" for table in load_source("ville").tables]
    first = put(hub, tables[0], {"_period": "2024-01"}, rows=5)
    put(hub, tables[0], {"_period": "2024-02"}, rows=7)
    newest = put(hub, tables[0], {"_period": "2024-01"}, rows=4)
    versions = dict.fromkeys(tables, 0)
    for version, month, rows in ((first, "2024-01", 5), (newest, "2024-01", 4), (newest, "2024-02", 7)):
        told = rows_published(hub, {("ville", month)}, versions | {tables[0]: version})
        assert told == {(tables[0], month): rows}
