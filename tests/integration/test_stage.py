"""The stage of a whole delivery: what stands between its tables."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalogue import db
from jobs.delivery import DeliveryId
from jobs.errors import HubError
from jobs.intake.quarantine import quarantined_records
from jobs.quality.rule import Rule
from jobs.quality.rules import load_rules
from jobs.rows import noted
from jobs.steps import receive, stage
from tests.deliveries import Rows, rewrite
from tests.integration.conftest import World
from tests.unit.typing_kit import TEXT

DELIVERY = DeliveryId("pmsi_mco", "2024-01", 1)
STAYS, DIAGNOSES, LINKS = "pmsi_mco/t_mcoaab", "pmsi_mco/t_mcoaad", "pmsi_mco/t_mcoaac"


def pulled(world: World) -> World:
    hub = world.hub()
    receive.announce(hub)
    receive.receive(hub, DELIVERY)
    return world


def rule(identity: str, table: str, references: str) -> Rule:
    return Rule.model_validate(
        {"table": table, "id": identity, "kind": "foreign_key", "columns": ["ETA_NUM", "RSA_NUM"],
         "references": references, "severity": "warning", "why": TEXT}
    )  # fmt: skip


def test_a_rule_that_looks_into_another_table_is_counted_when_both_are_written(
    small: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In either direction: the tables of a delivery are written side by side."""
    more = {LINKS: [rule("T-1", LINKS, STAYS)], STAYS: [rule("T-2", STAYS, LINKS), rule("T-3", STAYS, DIAGNOSES)]}
    monkeypatch.setattr(stage, "load_rules", lambda name: [*load_rules(name), *more.get(name, [])])
    world = pulled(small("pmsi_mco"))
    hub = world.hub()
    stage.stage(hub, DELIVERY)
    rows = {b["table"]: b["rows_published"] for b in world_books(world)}
    counts = db.get_counts(hub.engine, DELIVERY)
    assert counts[LINKS]["T-1"] == (0, rows["t_mcoaac"])
    assert counts[STAYS]["T-2"] == (0, rows["t_mcoaab"])
    broken, asked = counts[STAYS]["T-3"]
    assert asked == rows["t_mcoaab"] > broken > 0  # stays without an associated diagnosis


def world_books(world: World) -> list[dict[str, object]]:
    known = db.get_delivery(world.hub().engine, DELIVERY)
    assert known
    return list(known["books"])


def test_a_delivery_in_order_is_staged_by_a_task_a_file_and_nothing_else(
    small: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pull saw which rows are copies and orphans: the stage does not look for them."""
    world = pulled(small("pmsi_mco"))
    known = db.get_delivery(world.hub().engine, DELIVERY)
    assert known
    assert known["events"][-1]["detail"]["unknown"] == []

    def looked(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(stage, "_set_apart", looked)
    answer = stage.stage(world.hub(), DELIVERY)
    assert answer["rows_in"] == answer["rows_kept"] > 0
    monkeypatch.setattr(stage, "write_landed", looked)
    with pytest.raises(HubError):
        stage.stage(world.hub(), DELIVERY)


def test_a_delivery_too_large_to_be_remembered_comes_to_the_same(
    small: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With copies, conflicts and orphans in it, found once by the pull and once by the stage."""

    def damage(rows: Rows) -> None:
        stays, links = rows["t_mcoaab"], rows["t_mcoaac"]
        stays += [dict(stays[0]), dict(stays[1]) | {"AGE_ANN": "1"}]
        links += [dict(links[2]), dict(links[3]) | {"RSA_NUM": "999999999"}]

    books, states = [], []
    for most in (noted.MOST, 5):
        world = small("pmsi_mco")
        rewrite(DELIVERY.under(world.settings.outboxes), damage)
        monkeypatch.setattr(noted, "MOST", most)
        stage.stage(pulled(world).hub(), DELIVERY)
        books.append(world_books(world))
        places = quarantined_records(
            DELIVERY, world.settings.quarantine, world.settings.keys / "steward" / "quarantine.pem"
        )
        states.append(list(places))
    assert books[0] == books[1]
    assert states[0] == states[1]
    assert {s["reason"] for s in states[0]} == {"conflict", "orphan"}
    assert sum(int(str(b["rows_duplicate"])) for b in books[0]) == 2
