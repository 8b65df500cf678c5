"""The bench on a few thousand lines: every engine comes to the same rows, and a difference would be seen."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

import pytest
from pyspark.sql import SparkSession

from bench import events, ingest, ours, peer_duckdb, peer_polars
from bench.data import SOURCE, TABLE, Data, make
from bench.measure import Clock
from bench.outcome import Outcome
from jobs.errors import UnexpectedState
from jobs.settings import Settings
from schemas.loader import load_table, load_tables

ROWS, SEED = 3000, 42

Run = tuple[Clock, Outcome]


@pytest.fixture(scope="module")
def data(spark_hub: Settings, tmp_path_factory: pytest.TempPathFactory) -> Data:
    root = tmp_path_factory.mktemp("bench")
    (root / "keys").symlink_to(spark_hub.keys)
    return make(root, ROWS, SEED, lambda _: None)


@pytest.fixture(scope="module")
def hub(spark: SparkSession, spark_hub: Settings, data: Data, tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("bench-hub") / "hub"
    ours.home_of(data, home)
    clock = Clock()
    return clock, ours.run(spark_hub.model_copy(update={"home": home}), clock)


@pytest.fixture(scope="module", params=[peer_duckdb, peer_polars], ids=["duckdb", "polars"])
def peer(request: pytest.FixtureRequest, data: Data, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    out = tmp_path_factory.mktemp("bench-peer") / "out"
    outcome = request.param.run(data, out, lambda _: None)
    rows, content = peer_duckdb.published(out)
    return replace(outcome, rows=rows, content=content)


def test_the_data_holds_every_kind_of_line(data: Data) -> None:
    assert {"kept", "conflict", "duplicate", "code:BEN_SEX_COD"} <= set(data.books)
    assert sum(data.books.values()) == data.rows


def test_the_hub_comes_to_what_the_generator_planted(hub: Run, data: Data) -> None:
    assert hub[1].books == data.books
    assert hub[1].rows == data.books["kept"]


def test_a_peer_comes_to_the_same(peer: Outcome, hub: Run) -> None:
    assert peer.differences(hub[1]) == []


def test_a_difference_is_seen(hub: Run, data: Data) -> None:
    runs = [{"name": "hub", "outcome": asdict(hub[1])}]
    ingest.require_equal(data, runs)
    for change in ({"content": "0"}, {"counts": {}}, {"rows": 1}, {"books": {}}):
        other = {"name": "peer", "outcome": asdict(replace(hub[1], **change))}  # type: ignore[arg-type]
        with pytest.raises(UnexpectedState):
            ingest.require_equal(data, [*runs, other])


def test_one_pass_over_the_bytes_and_no_plan_of_spark_reads_whole_rows(
    hub: Run, data: Data, spark_hub: Settings
) -> None:
    by = {step.step: step for step in hub[0].steps}
    # manifests and what the first use of a library reads are small beside twice the bytes
    assert data.delivery_bytes <= by["pull"].read < 1.5 * data.delivery_bytes
    events.settle()
    step = by["stage"]
    seen = events.seen(
        spark_hub.logs / "spark-events", load_table(SOURCE, TABLE), step.began, step.began + step.seconds
    )
    # each is read whole by the task that writes it; copies, conflicts and orphans were noted by the pull
    assert seen.scans == []
    assert seen.rows_read < data.rows
    assert seen.jobs >= len(load_tables(SOURCE))


def test_the_clock_counts_this_process() -> None:
    clock = Clock()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    clock.lap("busy")
    (step,) = clock.steps
    assert 0.15 < step.cpu < step.seconds + 0.5
    assert step.peak > 2**20
