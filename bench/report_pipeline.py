"""The part of RESULTS.md on the whole path."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bench.markdown import GIB, Figures, table, where

ORDER = (
    "start spark", "announce", "pull", "stage", "gate", "publish", "build", "gate of the build", "release", "describe",
)  # fmt: skip


def pipeline(figures: Figures) -> list[str]:
    """One population: steps by hand, then what Airflow adds."""
    rows = sum(figures["rows"].values())
    load = figures["load"]
    parts = [
        f"## Whole path, {figures['persons']:,} persons, {figures['months']} months: {rows:,} rows delivered",
        where(figures["machine"]) + f" Load average {min(load):.1f} to {max(load):.1f}. The generator took"
        f" {figures['generate_seconds']:.0f} s, which is in no figure.",
        "### Step by step, as commands, one after another",
        by_hand(figures),
    ]
    return parts + (by_airflow(figures) if "by_airflow" in figures else [])


def by_hand(figures: Figures) -> str:
    """Sums by step; rows a second of the steps that look at rows."""
    steps = figures["by_hand"]["steps"]
    whole = sum(s["seconds"] for s in steps), sum(s["cpu"] for s in steps)
    rows = []
    for name in ORDER:
        mine = [s for s in steps if s["step"] == name]
        seconds, cpu = sum(s["seconds"] for s in mine), sum(s["cpu"] for s in mine)
        done = sum(s["rows"] for s in mine)
        peaks = f"{max(s['peak'] for s in mine) / GIB:.2f} + {max(s['peak_servers'] for s in mine) / GIB:.2f}"
        speed = f"{done / seconds:,.0f}" if done else ""
        share = f"{seconds / whole[0]:.0%}"
        rows.append([name, str(len(mine)), f"{seconds:.1f}", share, f"{cpu:.1f}", speed, peaks])
    rows.append(["all", str(len(steps)), f"{whole[0]:.1f}", "", f"{whole[1]:.1f}", "", ""])
    head = ["step", "commands", "seconds", "share", "CPU-s", "rows/s", "peak GiB, command + server"]
    return table(head, rows)


def by_airflow(figures: Figures) -> list[str]:
    """Airflow beside the same commands without it."""
    ran, hand = figures["by_airflow"], commands(figures)
    start = next(s for s in figures["by_hand"]["steps"] if s["step"] == "start spark")
    spark, rest = cpu_of(ran)
    seconds, cpu = sum(s["seconds"] for s in hand), sum(s["cpu"] for s in hand)
    busy = covered([(t["began"], t["ended"]) for t in ran["tasks"]])
    more = spark + rest - cpu
    rows = [
        ["commands one after another", f"{seconds:.0f}", f"{cpu:.0f}"],
        ["by Airflow, from ready to described release", f"{ran['seconds']:.0f}", f"{spark + rest:.0f}"],
        ["of it, at least one task at work", f"{busy:.0f}", ""],
        ["of it, Spark server", "", f"{spark:.0f}"],
        ["of it, Airflow with the commands of its tasks", "", f"{rest:.0f}"],
        ["Spark start-up with its self-test", f"{start['seconds']:.0f}", f"{start['cpu']:.0f}"],
        ["start-up of everything together", f"{ran['start_seconds']:.0f}", f"{sum(ran['start_cpu'].values()):.0f}"],
    ]
    whole = ran["seconds"] + ran["start_seconds"]
    return [
        "### By Airflow",
        table(["", "seconds", "CPU-s"], rows),
        f"Share of Airflow: {more / (spark + rest):.0%} of the CPU (what is used beyond the commands themselves),"
        f" {max(0.0, ran['seconds'] - busy) / ran['seconds']:.0%} of the wall (no task at work). Share of Spark's"
        f" start-up: {start['seconds'] / whole:.0%} of the wall of a hub that starts for this alone."
        f" {len(ran['tasks'])} tasks; peak memory of everything together {ran['peak'] / GIB:.1f} GiB.",
    ]


def sizes(pipelines: Sequence[Figures]) -> list[str]:
    """Cost of the whole path over populations, servers running: what is fixed and what grows."""
    rows = []
    for figures in pipelines:
        delivered, hand = sum(figures["rows"].values()), commands(figures)
        seconds, cpu = sum(s["seconds"] for s in hand), sum(s["cpu"] for s in hand)
        peak = max(s["peak"] + s["peak_servers"] for s in hand) / GIB
        row = [
            f"{figures['persons']:,}",
            f"{delivered:,}",
            f"{seconds:.0f}",
            f"{cpu:.0f}",
            f"{delivered / seconds:,.0f}",
        ]
        row.append(f"{peak:.1f}")
        if ran := figures.get("by_airflow"):
            row += [f"{ran['seconds']:.0f}", f"{sum(cpu_of(ran)):.0f}", f"{ran['peak'] / GIB:.1f}"]
        rows.append(row + [""] * (9 - len(row)))
    head = ["persons", "rows", "by hand s", "CPU-s", "rows/s", "peak GiB", "by Airflow s", "CPU-s", "peak GiB"]
    return ["## Whole path over sizes", table(head, rows)]


def commands(figures: Figures) -> list[Figures]:
    """The steps by hand, once the Spark server runs."""
    return [s for s in figures["by_hand"]["steps"] if s["step"] != "start spark"]


def cpu_of(ran: Figures) -> tuple[float, float]:
    """CPU seconds of the Spark server, and of Airflow with the commands of its tasks."""
    spark = sum(v for k, v in ran["cpu"].items() if k == "spark")
    return spark, sum(v for k, v in ran["cpu"].items() if k.startswith(("airflow", "warm")))


def covered(spans: list[tuple[str, str]]) -> float:
    """Seconds in which at least one span runs."""
    total, last = 0.0, float("-inf")
    for began, ended in sorted((_seconds(b), _seconds(e)) for b, e in spans):
        total += max(0.0, ended - max(began, last))
        last = max(last, ended)
    return total


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
