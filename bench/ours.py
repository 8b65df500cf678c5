"""The hub itself: its own steps, from the outbox to the published Delta table, on the warm Spark server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.data import DELIVERY, SOURCE, TABLE, Data
from bench.outcome import Outcome, fingerprint, of_row
from bench.sql import row_rules
from catalogue import db
from jobs.delivery import DeliveryId, Subject
from jobs.errors import UnexpectedState
from jobs.hub import Hub
from jobs.lake import tables as lake
from jobs.lake.layout import table_path
from jobs.quality.rules import load_rules
from jobs.serve.custody import initialise
from jobs.settings import Settings
from jobs.steps import gate, publish, receive, stage

NAME = f"{SOURCE}/{TABLE}"


def home_of(data: Data, root: Path) -> None:
    """An empty hub at ``root`` that has the data's keys and outboxes."""
    root.mkdir(parents=True)
    (root / "keys").symlink_to(data.keys)
    (root / "outboxes").symlink_to(data.home / "outboxes")


def run(settings: Settings, clock: Any) -> Outcome:
    """Takes the delivery in, step by step, and says what came of it."""
    hub, delivery = Hub(settings), DeliveryId.parse(DELIVERY)
    initialise(hub)
    receive.announce(hub)
    clock.lap("prepare")
    receive.receive(hub, delivery)
    clock.lap("pull")
    _import()
    clock.lap("imports")
    _ = hub.spark
    clock.lap("connect")
    stage.stage(hub, delivery)
    clock.lap("stage")
    judged = gate.gate(hub, Subject(delivery))
    clock.lap("gate")
    if judged["verdict"] != "passed":
        raise UnexpectedState(f"The bench's delivery did not pass its gate: {', '.join(judged['failed_rules'])}.")
    publish.publish(hub, delivery)
    clock.lap("publish")
    return outcome(hub, delivery)


def outcome(hub: Hub, delivery: DeliveryId) -> Outcome:
    """The books, the counts and the fingerprint of what is in the lake."""
    known = db.get_delivery(hub.engine, delivery)
    books: dict[str, int] = {}
    for book in known["books"] if known else []:
        if book["table"] == TABLE:
            states = {"kept": book["rows_published"], "duplicate": book["rows_duplicate"]}
            for state, rows in (states | book["rows_quarantined"]).items():
                books[state] = books.get(state, 0) + rows
    counted = db.get_counts(hub.engine, delivery)[NAME]
    counts = {r.id: list(counted[r.id]) for r in row_rules(list(load_rules(NAME)))}
    lake.read(hub.spark, table_path(hub.settings.lake, NAME)).createOrReplaceTempView("bench")
    rows, content = of_row(hub.spark.sql(fingerprint("bench", "spark")).first())
    return Outcome({k: n for k, n in sorted(books.items()) if n}, counts, rows, content)


def _import() -> None:
    """What the steps import when they are called: paid once a process, by every engine, and shown apart."""
    import great_expectations
    import pyspark.sql.connect.session
    import pyspark.sql.functions
    import pyspark.sql.observation

    from jobs.quality import gx

    _ = great_expectations, pyspark, gx
