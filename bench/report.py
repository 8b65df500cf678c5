"""RESULTS.md from the figures in ``results/*.json``: one file a measurement, so that sizes can be measured apart."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench import report_pipeline
from bench.ingest import APART, job
from bench.markdown import GIB, Figures, table, where
from bench.worker import OURS, PEERS

HERE = Path(__file__).resolve().parent
MB = 10**6


def file_of(kind: str, size: int) -> Path | None:
    """The file of a measurement that was made, if any."""
    path = HERE / "results" / f"{kind}-{size}.json"
    return path if path.exists() else None


def save(kind: str, size: int, figures: Figures) -> Path:
    """Keeps a measurement and writes RESULTS.md anew from all that are kept; the path of RESULTS.md."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{kind}-{size}.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    target = HERE / "RESULTS.md"
    target.write_text(render(kept("ingest"), kept("pipeline")), "utf-8")
    return target


def kept(kind: str, folder: Path = HERE / "results") -> list[dict[str, Any]]:
    """The measurements of a kind, smallest first."""
    paths = sorted(folder.glob(f"{kind}-*.json"), key=lambda p: int(p.stem.rpartition("-")[2]))
    return [json.loads(p.read_text("utf-8")) for p in paths]


def render(ingests: Sequence[Figures], pipelines: Sequence[Figures]) -> str:
    """The whole of RESULTS.md."""
    parts = ["# Results", "Written by `hub bench`; what the words mean, and what was tried, is in README.md."]
    parts += [part for figures in ingests for part in ingest(figures)]
    if len(ingests) > 1:
        parts += sizes(ingests)
    if pipelines:
        parts += [part for figures in pipelines for part in report_pipeline.pipeline(figures)]
        if len(pipelines) > 1:
            parts += report_pipeline.sizes(pipelines)
    return "\n\n".join(parts) + "\n"


def middle(figures: Figures, name: str, value: Callable[[Figures], float]) -> float:
    """The middle value over the measured rounds of one engine."""
    return statistics.median(value(r) for r in figures["runs"] if r["name"] == name and r["round"])


def seconds(run: Figures) -> float:
    return job(run, "seconds")


def cpu(run: Figures) -> float:
    return job(run, "cpu")


def peak(run: Figures) -> float:
    """Largest sum of process and server within one step."""
    return float(max(s["peak"] + s["peak_servers"] for s in run["steps"] if s["step"] not in APART))


def ingest(figures: Figures) -> list[str]:
    """One size: engines side by side, steps, goals."""
    names = [n for n in (OURS, *PEERS) if any(r["name"] == n for r in figures["runs"])]
    first = next(iter(PEERS))
    rows = []
    for name in names:
        wall, cores = middle(figures, name, seconds), middle(figures, name, cpu)
        disk = next(r["disk"] for r in figures["runs"] if r["name"] == name)
        walls = [seconds(r) for r in figures["runs"] if r["name"] == name and r["round"]]
        imports = middle(figures, name, lambda r: sum(s["seconds"] for s in r["steps"] if s["step"] == "imports"))
        rows.append([
            name, f"{wall:.1f}", f"{min(walls):.1f} to {max(walls):.1f}", f"{cores:.1f}",
            f"{figures['rows'] / wall / 1000:.0f}", f"{middle(figures, name, peak) / GIB:.2f}", f"{disk / MB:.0f}",
            f"{imports:.1f}",
            f"{middle(figures, first, seconds) / wall:.2f}", f"{middle(figures, first, cpu) / cores:.2f}",
        ])  # fmt: skip
    loads = [x for r in figures["runs"] for x in r["load"]]
    head = [
        "engine", "wall s", "rounds", "CPU-s", "krows/s", "peak GiB", "lake MB", "imports s", f"wall, {first} = 1",
        f"CPU, {first} = 1",
    ]  # fmt: skip
    return [
        f"## Ingest of {figures['rows']:,} lines of ER_PRS_F ({figures['bytes'] / MB:,.0f} MB)",
        where(figures["machine"]) + f" {figures['rounds']} rounds after a warm-up; load average {min(loads):.1f} to"
        f" {max(loads):.1f} on {figures['machine']['cores']} cores.",
        table(head, rows),
        "Books, rules' counts and content of the published rows were equal in every run of every engine: "
        + ", ".join(f"{state} {n:,}" for state, n in figures["books"].items()) + ".",
        "### Where the hub's time goes",
        steps(figures),
        "### Goals",
        table(["goal", "measured", "reached"], [[g, m, "yes" if ok else "**no**"] for g, m, ok in goals(figures)]),
    ]  # fmt: skip


def steps(figures: Figures) -> str:
    """The hub's steps, the middle of the rounds; what Spark did, of the last round."""
    last = [r for r in figures["runs"] if r["name"] == OURS][-1]
    rows = []
    for step in last["steps"]:
        name = step["step"]

        def of(run: Figures, what: str, name: str = name) -> float:
            return float(next(s[what] for s in run["steps"] if s["step"] == name))

        wall, cores = (middle(figures, OURS, lambda r, w=w: of(r, w)) for w in ("seconds", "cpu"))  # type: ignore[misc]
        spark = step["spark"]
        scans = _scans(spark)
        peaks = f"{step['peak'] / GIB:.2f} + {step['peak_servers'] / GIB:.2f}"
        rows.append([name, f"{wall:.2f}", f"{cores:.2f}", peaks, str(spark["jobs"]), f"{spark['rows_read']:,}", scans])
    head = ["step", "wall s", "CPU-s", "peak GiB, client + server", "Spark jobs", "rows read", "scans of the landing"]
    return table(head, rows)


def _scans(spark: Figures) -> str:
    return "; ".join(f"{rows:,} rows of {columns} columns" for columns, rows in spark["scans"])


WALL = {"duckdb": {"small": 1.0, "large": 1.1}, "polars": {"small": 0.9, "large": 0.9}}
CPU = {"duckdb": {"small": 1.1, "large": 1.3}, "polars": {"small": 0.9, "large": 0.9}}
LARGE = 3_000_000
"""Lines from which a fixed cost should no longer count."""


def goals(figures: Figures) -> Iterable[tuple[str, str, bool]]:
    """Goal, what was measured, whether it is reached."""
    size = "large" if figures["rows"] >= LARGE else "small"
    for peer in PEERS:
        for what, value, of in (("wall", seconds, WALL), ("CPU", cpu, CPU)):
            ratio = middle(figures, peer, value) / middle(figures, OURS, value)
            yield f"{what} at least {of[peer][size]} x {peer}", f"{ratio:.2f}", ratio >= of[peer][size]
    share = (figures["pseudonym"]["with"] - figures["pseudonym"]["without"]) / middle(figures, OURS, cpu)
    yield "pseudonyms at most 10 % of CPU", f"{share:.1%}", share <= 0.1
    ours = [r for r in figures["runs"] if r["name"] == OURS][-1]
    by = {s["step"]: s for s in ours["steps"]}
    passes = by["pull"]["read"] / figures["delivery_bytes"]
    yield "one pass over the bytes", f"{passes:.3f} bytes read for each byte sent", passes < 1.02
    scans = _scans(by["stage"]["spark"]) or "none"
    yield "no plan of Spark reads whole rows: the task that writes them does", scans, not by["stage"]["spark"]["scans"]
    yield "publish without a Spark job", str(by["publish"]["spark"]["jobs"]), by["publish"]["spark"]["jobs"] == 0
    gate = middle(figures, OURS, lambda r: sum(s["seconds"] for s in r["steps"] if s["step"] == "gate"))
    yield "gate at most 25 % of the wall", f"{gate / middle(figures, OURS, seconds):.1%}", gate <= 0.25 * seconds(ours)
    speed = middle(figures, OURS, lambda r: figures["delivery_bytes"] / MB / _of(r, "pull", "cpu"))
    yield "pull at least 80 MB/s per core", f"{speed:.0f} MB per CPU-second", speed >= 80
    held = middle(figures, OURS, lambda r: _of(r, "pull", "peak"))
    yield "pull at most 600 MB of memory", f"{held / MB:.0f} MB", held <= 600 * MB
    task = middle(figures, OURS, lambda r: _of(r, "stage", "peak_task"))
    yield "a task of the stage at most 1 GB of memory", f"{task / MB:.0f} MB", task <= 1000 * MB


def _of(run: Figures, step: str, what: str) -> float:
    return next(float(s[what]) for s in run["steps"] if s["step"] == step)


def sizes(ingests: Sequence[Figures]) -> list[str]:
    """Seconds, CPU and peak memory of the hub over sizes."""
    rows = []
    for figures in ingests:
        pull = middle(figures, OURS, lambda r: _of(r, "pull", "peak"))
        task = middle(figures, OURS, lambda r: _of(r, "stage", "peak_task"))
        server = middle(figures, OURS, lambda r: max(s["peak_servers"] for s in r["steps"]))
        client = middle(figures, OURS, lambda r: max(s["peak"] for s in r["steps"]))
        peaks = [f"{x / GIB:.2f}" for x in (pull, client, task, server)]
        peers = [f"{middle(figures, n, peak) / GIB:.2f}" for n in PEERS]
        wall, cores = middle(figures, OURS, seconds), middle(figures, OURS, cpu)
        rows.append([f"{figures['rows']:,}", f"{wall:.1f}", f"{cores / figures['rows'] * 10**6:.1f}", *peaks, *peers])
    head = ["lines", "hub wall s", "CPU-s a million", "pull GiB", "client GiB", "task GiB", "server and tasks GiB"]
    return ["## Cost over sizes", table([*head, *(f"{n} GiB" for n in PEERS)], rows)]
