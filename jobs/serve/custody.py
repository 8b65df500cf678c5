"""Keys made and registered. On one machine one command does both; in production each keeper makes its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from catalogue import db
from jobs import keys
from jobs.hub import Hub

SECRETS = {"stage1": "contributors/p1.key", "stage2": "hub/p2.key", "lake": "hub/lake.key"}
PAIRS = {"landing": "public/landing.pub.pem", "quarantine": "public/quarantine.pub.pem"}


def initialise(hub: Hub, keepers: Collection[str] = keys.KEEPERS) -> dict[str, Any]:
    """Makes these keepers' keys that are missing and registers each purpose that has none. Raises ``KeyRefused`` when a
    key that is there is not the registered one."""
    folder = hub.settings.keys
    made = keys.generate(folder, keepers)
    there = {p: folder / f for p, f in {**SECRETS, **PAIRS}.items() if (folder / f).exists()}
    checks = {p: keys.check_value(keys.read_key(f)) for p, f in there.items() if p in SECRETS}
    checks |= {p: keys.public_check_value(keys.read_public_key(f)) for p, f in there.items() if p in PAIRS}
    for purpose, check in checks.items():
        db.register_key(hub.engine, f"{purpose}-1", purpose, check)
    return {"made": list(made), "registered": sorted(checks)}
