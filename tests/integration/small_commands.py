"""Small real commands in the place of those of ``hub`` that need a Spark server; every other one is the hub's own.

They keep the contract of the commands with the DAGs and write the hub database. The folder of a delivery may hold
``duplicate``, ``verdict`` (warning, critical, errored), ``exit`` (the code that ``stage`` ends with) and ``slow``
(seconds that ``stage`` takes). A test puts this file in the place of ``jobs/cli/__main__.py`` in a copy of the code.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catalogue import db
from jobs.delivery import OPEN, DeliveryId
from jobs.hub import Hub
from jobs.settings import Settings

HUB = Hub(Settings())
RULE = {"table": "dcir/er_prs_f", "rule": "DCIR-PRS-001", "severity": "warning", "verdict": "failed"}
WORDS = {"fr": "peu de lignes en quarantaine", "en": "few rows are quarantined"}
RULE |= {"claim": WORDS, "counted": WORDS, "why": WORDS, "owner": "", "max_rate": 0.01, "max_count": None}
Answer = dict[str, Any]


def mark(delivery: str, name: str) -> str:
    """What the delivery's folder says under this name, empty when it says nothing."""
    of = DeliveryId.parse(delivery)
    path = of.under(HUB.settings.outbox.get(of.source, HUB.settings.outboxes)) / name
    return path.read_text("utf-8") if path.exists() else ""


def pull(_s: str, source: str, _p: str, period: str, *_: str) -> Answer:
    known = [d for d in db.list_deliveries(HUB.engine, source, period) if d["state"] in OPEN]
    if not known:
        return {"id": "", "next": "stop"}
    delivery = known[0]["id"]
    state = "duplicate" if mark(delivery, "duplicate") else "pulled"
    db.record_event(HUB.engine, delivery, state, run=HUB.run)
    return {"id": delivery, "state": state, "next": "stage" if state == "pulled" else "stop"}


def stage(delivery: str) -> Answer:
    time.sleep(float(mark(delivery, "slow") or 0))
    if code := mark(delivery, "exit"):
        if code == "11":
            db.record_event(HUB.engine, delivery, "rejected", reason="contract", run=HUB.run)
        raise SystemExit(int(code))
    db.record_event(HUB.engine, delivery, "staged", run=HUB.run)
    return {"id": delivery}


def gate(delivery: str) -> Answer:
    verdict = mark(delivery, "verdict") or "passed"
    rules = [] if verdict == "passed" else [{**RULE, "violated": 3, "denominator": 50}]
    db.add_quality_run(HUB.engine, delivery, rules, verdict, run=HUB.run)
    if verdict in ("critical", "errored"):
        db.record_event(HUB.engine, delivery, "rejected", reason="quality", run=HUB.run)
        raise SystemExit({"critical": 12, "errored": 13}[verdict])
    if verdict == "warning":
        db.record_event(HUB.engine, delivery, "waiting", reason="quality", run=HUB.run)
    failed = {"critical": 0, "warning": len(rules), "info": 0}
    names = [f"{r['table']}: {r['rule']} (3 of 50)" for r in rules]
    report = f"{HUB.settings.steward_address}/en/quality/{delivery}"
    return {"id": delivery, "verdict": verdict, "rules": 9, "failed": failed, "failed_rules": names, "report": report}


def publish(delivery: str) -> Answer:
    db.record_event(HUB.engine, delivery, "published", run=HUB.run)
    return {"id": delivery, "period": delivery.split("/")[1], "rows": 50, "versions": {"dcir/er_prs_f": 1}}


def withdraw(delivery: str, reason: str, _yes: str) -> Answer:
    from jobs.steps.withdraw import plan  # as in the CLI: what starts threads is loaded by the warm parent's own load

    planned = plan(HUB, DeliveryId.parse(delivery))
    db.record_event(
        HUB.engine, delivery, "withdrawn", reason=reason.removeprefix("--reason="), run=HUB.run, detail={"versions": {}}
    )
    return planned | {"published_at": None, "state": "withdrawn"}


def build(*_: str) -> Answer:
    pending, withdrawn = db.pending_deliveries(HUB.engine), db.pending_withdrawals(HUB.engine)
    if not pending and not withdrawn:
        return {"build": 0, "deliveries": [], "next": "stop"}
    number = db.start_build(HUB.engine, pending, withdrawn=withdrawn, run=HUB.run)
    return {"build": number, "deliveries": pending, "next": "gate"}


def gate_build(number: str) -> Answer:
    db.add_quality_run(HUB.engine, f"build/{number}", [], "passed", run=HUB.run)
    return {"build": int(number), "verdict": "passed"}


def release(number: str) -> Answer:
    brought, withdrawn = (db.build_deliveries(HUB.engine, int(number), withdrawn=w) for w in (False, True))
    made = db.add_release(HUB.engine, {"omop/person": 1}, brought, int(number), withdrawn=withdrawn)
    return {"release": made, "build": int(number)}


def describe(number: str) -> Answer:
    (Path(HUB.settings.root) / f"described-{number}").touch()
    return {"release": int(number)}


COMMANDS: dict[tuple[str, str], Callable[..., Answer]] = {
    ("delivery", "pull"): pull,
    ("delivery", "stage"): stage,
    ("delivery", "gate"): gate,
    ("delivery", "publish"): publish,
    ("delivery", "withdraw"): withdraw,
    ("omop", "build"): build,
    ("omop", "gate"): gate_build,
    ("omop", "release"): release,
    ("catalogue", "describe"): describe,
}


def main(noun: str, verb: str, *arguments: str) -> None:
    command = COMMANDS.get((noun, verb))
    if command is None or (verb == "withdraw" and "--yes" not in arguments):  # what only looks needs no Spark
        from jobs.cli import main as real

        real()
        return
    sys.stderr.write(f"{noun} {verb} runs\n")
    sys.stderr.flush()
    sys.stdout.write(json.dumps(command(*arguments)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
