"""One run of one engine in a process of its own: ``python -m bench.worker '<JSON>'`` prints one line of JSON."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.data import Data
from bench.measure import Clock
from jobs.settings import Settings

PEERS = {"duckdb": "bench.peer_duckdb", "polars": "bench.peer_polars"}
"""The module of each peer."""
OURS = "hub"


def run(engine: str, home: str, data: dict[str, Any], port: int, server: int) -> dict[str, Any]:
    """Loads the data into ``home`` with one engine. ``port``, ``server``: of the Spark server, for the hub."""
    delivery = Data(**{**data, "home": Path(data["home"])})
    if engine == OURS:
        from bench import ours

        clock = Clock((server,))
        outcome = ours.run(Settings(home=Path(home), spark_port=port), clock)
    else:
        clock = Clock()
        peer = importlib.import_module(PEERS[engine])
        clock.lap("imports")
        outcome = peer.run(delivery, Path(home), clock.lap)
        from bench.peer_duckdb import published

        rows, content = published(Path(home))
        outcome = replace(outcome, rows=rows, content=content)
    return {"engine": engine, "steps": [c.to_dict() for c in clock.steps], "outcome": asdict(outcome)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(**json.loads(sys.argv[1]))) + "\n")
