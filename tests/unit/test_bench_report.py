"""The bench's words on figures: middles, ratios, goals reached and missed, on figures that a reader can check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.markdown import table
from bench.report import goals, ingest, kept, render
from bench.report_pipeline import covered, pipeline, sizes

MACHINE = {
    "day": "2024-01-01", "processor": "P", "cores": 2, "memory": 2**33, "python": "3", "java": "17", "heap": "2g",
    "versions": {"duckdb": "2"},
}  # fmt: skip
STEPS = ("prepare", "pull", "imports", "stage", "gate", "publish")


def step(name: str, seconds: float, **more: Any) -> dict[str, Any]:
    spark: dict[str, Any] = {"jobs": 0, "rows_read": 0, "scans": []}
    cost = {"step": name, "seconds": seconds, "cpu": seconds, "peak": 500 * 10**6, "peak_servers": 2**30, "read": 0}
    return cost | {"spark": spark, "peak_task": 9 * 10**8} | more


def told(pull: float = 1.0, stage: float = 8.0, duckdb: float = 10.0, read: int = 10**8) -> dict[str, Any]:
    def run(name: str, number: int, steps: list[dict[str, Any]]) -> dict[str, Any]:
        return {"name": name, "round": number, "steps": steps, "load": [1.0, 2.0], "disk": 10**8}

    runs = []
    for number in range(4):
        late = 99.0 if number in (0, 3) else 0.0  # the warm-up, and one round of three that was disturbed
        hub = [step(n, {"pull": pull, "stage": stage + late}.get(n, 0.0)) for n in STEPS]
        hub[1]["read"] = read
        runs += [run("hub", number, hub)]
        runs += [run(peer, number, [step("imports", 3.0), step("load", duckdb)]) for peer in ("duckdb", "polars")]
    return {
        "rows": 10**6, "bytes": 10**8, "delivery_bytes": 10**8, "seed": 1, "rounds": 3, "machine": MACHINE,
        "books": {"kept": 10**6}, "pseudonym": {"with": 2.8, "without": 2.0}, "runs": runs,
    }  # fmt: skip


def reached(figures: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    return {goal: (measured, held) for goal, measured, held in goals(figures)}


def test_the_middle_round_counts_and_imports_are_apart() -> None:
    found = reached(told(pull=1.0, stage=8.0, duckdb=10.0))
    assert found["wall at least 1.0 x duckdb"] == ("1.11", True)
    assert found["CPU at least 1.1 x duckdb"] == ("1.11", True)
    assert reached(told(stage=20.0))["wall at least 1.0 x duckdb"] == ("0.48", False)
    large = reached(told(pull=1.0, stage=8.0, duckdb=10.0) | {"rows": 5 * 10**6})
    assert large["CPU at least 1.3 x duckdb"] == ("1.11", False)


def test_goals_can_be_missed() -> None:
    good, bad = reached(told()), reached(told(pull=2.0, read=3 * 10**8))
    assert good["one pass over the bytes"][1]
    assert not bad["one pass over the bytes"][1]
    assert good["pull at least 80 MB/s per core"] == ("100 MB per CPU-second", True)
    assert not bad["pull at least 80 MB/s per core"][1]
    assert good["pseudonyms at most 10 % of CPU"] == ("8.9%", True)
    assert not reached(told(stage=5.0))["pseudonyms at most 10 % of CPU"][1]
    whole = "no plan of Spark reads whole rows: the task that writes them does"
    assert good[whole] == ("none", True)
    figures = told()
    figures["runs"][-3]["steps"][3]["spark"]["scans"] = [(49, 10**6)]
    assert reached(figures)[whole] == ("1,000,000 rows of 49 columns", False)


def test_a_size_is_written_with_its_machine_and_its_load() -> None:
    text = "\n".join(ingest(told()))
    assert "## Ingest of 1,000,000 lines" in text
    assert "load average 1.0 to 2.0 on 2 cores" in text
    assert "**no**" not in text
    assert "| hub | 9.0 | 9.0 to 108.0 |" in text


def test_sizes_are_compared_when_there_are_several() -> None:
    assert "Cost over sizes" not in render([told()], [])
    assert "Cost over sizes" in render([told(), told()], [])


def test_kept_figures_come_back_smallest_first(tmp_path: Path) -> None:
    for size in (20_000, 5_000, 100_000):
        (tmp_path / f"pipeline-{size}.json").write_text(json.dumps({"persons": size, "rows": {"dcir/x": size}}))
    (tmp_path / "ingest-7.json").write_text(json.dumps({"rows": 7}))
    assert [t["persons"] for t in kept("pipeline", tmp_path)] == [5_000, 20_000, 100_000]


def test_the_whole_path_says_what_airflow_adds() -> None:
    def cost(name: str, seconds: float, rows: int = 0) -> dict[str, Any]:
        return {"step": name, "seconds": seconds, "cpu": seconds, "peak": 1, "peak_servers": 1, "rows": rows}

    names = ("announce", "pull", "stage", "gate", "publish", "build", "gate of the build", "release", "describe")
    hand = [cost("start spark", 5.0), *(cost(n, 10.0, 1000) for n in names)]
    spans = [("2024-01-01T00:00:00+00:00", "2024-01-01T00:01:00+00:00")]
    ran = {
        "start_seconds": 20.0, "start_cpu": {"spark": 30.0}, "seconds": 120.0, "peak": 2**32,
        "cpu": {"spark": 60.0, "airflow-scheduler": 120.0, "catalogue": 1.0},
        "tasks": [{"task": "a.b", "began": b, "ended": e, "seconds": 60.0} for b, e in spans],
    }  # fmt: skip
    figures = {
        "persons": 500, "months": 3, "rows": {"dcir/er_prs_f": 1000}, "generate_seconds": 1.0, "machine": MACHINE,
        "load": [1.0], "by_hand": {"steps": hand}, "by_airflow": ran,
    }  # fmt: skip
    text = "\n".join(pipeline(figures))
    assert "| stage | 1 | 10.0 | 11% | 10.0 | 100 |" in text
    assert "Share of Airflow: 50% of the CPU" in text
    assert "50% of the wall (no task at work)" in text
    # servers running: without the start of Spark, without the catalogue
    assert "| 500 | 1,000 | 90 | 90 | 11 | 0.0 | 120 | 180 | 4.0 |" in "\n".join(sizes([figures, figures]))
    del figures["by_airflow"]
    assert "| 500 | 1,000 | 90 | 90 | 11 | 0.0 |  |  |  |" in "\n".join(sizes([figures, figures]))


def test_spans_that_overlap_count_once() -> None:
    day = "2024-01-01T00:00:"
    spans = [
        (f"{day}00+00:00", f"{day}10+00:00"),
        (f"{day}05+00:00", f"{day}12+00:00"),
        (f"{day}20+00:00", f"{day}21+00:00"),
    ]
    assert covered(spans) == 13.0


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
