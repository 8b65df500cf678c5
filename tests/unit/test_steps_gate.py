"""One gate and one decision for deliveries and builds, on a real hub database with Great Expectations."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from catalogue import db
from jobs.delivery import DeliveryId, Subject
from jobs.errors import ConfigError, NotReady, QualityErrored, QualityRefused
from jobs.hub import Hub
from jobs.quality import verdict
from jobs.quality.rules import load_rules
from jobs.settings import Settings
from jobs.steps import gate
from schemas.loader import load_source, omop_names

NAME = DeliveryId("ville", "2024-03", 1)
DELIVERY = Subject(NAME)
CRITICAL, WARNING = (
    next(r for r in load_rules("ville/patient") if r.severity == s and r.allowed_rate < 0.4 and r.kind != "row_count")
    for s in ("critical", "warning")
)


@pytest.fixture
def hub(home: Settings) -> Hub:
    return Hub(home)


def counted(hub: Hub, subject: Subject, broken: Iterable[str] = (), missing: str | None = None) -> Subject:
    """Every rule of a subject holds, but for the ``broken`` ones: 40 of 100 rows; one is not counted at all."""
    source = subject.delivery.source if subject.delivery else None
    names = [f"{source}/{t}" for t in load_source(source).tables] if source else [f"omop/{t}" for t in omop_names()]
    for name in names:
        rules = [r.id for r in load_rules(name) if r.id != missing]
        db.set_counts(hub.engine, subject, name, {r: (40 if r in broken else 0, 100) for r in rules})
    return subject


def staged(hub: Hub, broken: Iterable[str] = (), missing: str | None = None) -> Subject:
    db.announce(hub.engine, NAME, {"files": []}, "m1")
    for state in ("pulled", "staged"):
        db.record_event(hub.engine, NAME, state)
    return counted(hub, DELIVERY, broken, missing)


def built(hub: Hub, broken: Iterable[str] = ()) -> Subject:
    db.announce(hub.engine, NAME, {"files": []}, "m1")
    return counted(hub, Subject(build=db.start_build(hub.engine, [NAME])), broken)


def state(hub: Hub) -> str | None:
    return db.delivery_state(hub.engine, NAME)


def test_a_delivery_that_keeps_every_rule_passes(hub: Hub) -> None:
    answer = gate.gate(hub, staged(hub))
    assert (answer["id"], answer["period"], answer["verdict"]) == (str(NAME), "2024-03", "passed")
    assert answer["books"].endswith(f"/en/deliveries/{NAME}")
    gate.require_passed(hub, DELIVERY)
    assert state(hub) == "staged"


def test_a_refusal_names_the_rule_the_table_and_the_count(hub: Hub) -> None:
    with pytest.raises(QualityRefused) as refused:
        gate.gate(hub, staged(hub, [CRITICAL.id]))
    said = str(refused.value)
    assert said.startswith(f"{NAME} is refused and readers see what they saw before; it fails 1 rule: ")
    assert f"{CRITICAL.claim('en')}: broken by 40 of 100, allowed at most" in said
    assert f"(ville/patient, {CRITICAL.id})" in said
    assert state(hub) == "rejected"


def test_a_refused_build_says_the_same_in_the_same_words(hub: Hub) -> None:
    rule = next(r for r in load_rules("omop/person") if r.severity == "critical" and r.kind != "row_count")
    subject = built(hub, [rule.id])
    with pytest.raises(QualityRefused, match=f"^{subject} is refused .* it fails 1 rule: ") as refused:
        gate.gate(hub, subject)
    assert f"broken by 40 of 100, allowed at most {rule.allowed_rate:g}%" in str(refused.value)
    assert f"(omop/person, {rule.id})" in str(refused.value)


def test_many_rules_are_counted_and_the_first_are_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "SAID", 3)
    tables = load_source("ville").tables
    broken = [
        r.id for t in tables for r in load_rules(f"ville/{t}") if r.severity == "critical" and r.allowed_rate < 0.4
    ]
    with pytest.raises(QualityRefused) as refused:
        gate.gate(hub, staged(hub, broken))
    assert f"it fails {len(broken)} rules: " in str(refused.value)
    assert f"; and {len(broken) - verdict.SAID} more." in str(refused.value)


def test_a_rule_that_was_not_counted_is_named_and_refuses_without_a_verdict_on_the_data(hub: Hub) -> None:
    with pytest.raises(QualityErrored, match=rf"could not judge 1 rule: {WARNING.id} \(ville/patient, \w+\)"):
        gate.gate(hub, staged(hub, missing=WARNING.id))
    assert state(hub) == "staged"


def test_a_warning_waits_and_is_approved_once_with_a_reason(hub: Hub) -> None:
    assert gate.gate(hub, staged(hub, [WARNING.id]))["verdict"] == "warning"
    assert state(hub) == "waiting"
    with pytest.raises(QualityRefused):
        gate.require_passed(hub, DELIVERY)
    with pytest.raises(ConfigError, match="reason"):
        gate.decide(hub, DELIVERY, "approve", "steward", " ")
    with pytest.raises(ConfigError, match="approve or reject"):
        gate.decide(hub, DELIVERY, "maybe", "steward", "why")
    for _ in range(2):
        assert gate.decide(hub, DELIVERY, "approve", "steward", "known") == {
            "id": str(NAME),
            "period": "2024-03",
            "decision": "approve",
        }
    assert state(hub) == "approved"
    gate.require_passed(hub, DELIVERY)
    # judged again, it is asked again
    gate.gate(hub, DELIVERY)
    assert state(hub) == "waiting"
    with pytest.raises(QualityRefused):
        gate.require_passed(hub, DELIVERY)


def test_what_was_rejected_is_not_approved_later(hub: Hub) -> None:
    gate.gate(hub, staged(hub, [WARNING.id]))
    gate.decide(hub, DELIVERY, "reject", "steward", "wrong month")
    assert state(hub) == "rejected"
    with pytest.raises(NotReady, match="is rejected: it asks for no decision"):
        gate.decide(hub, DELIVERY, "approve", "steward", "after all")
    assert [d["decision"] for d in db.list_decisions(hub.engine, DELIVERY)] == ["reject"]


def test_a_build_with_warnings_is_decided_by_the_same_step(hub: Hub) -> None:
    rule = next(
        r for n in omop_names() for r in load_rules(f"omop/{n}")
        if r.severity == "warning" and r.allowed_rate < 0.4 and r.kind != "row_count"
    )  # fmt: skip
    subject = built(hub, [rule.id])
    answer = gate.gate(hub, subject)
    assert (answer["build"], answer["verdict"]) == (subject.build, "warning")
    assert "books" not in answer
    assert gate.decide(hub, subject, "approve", "steward", "known") == {"build": subject.build, "decision": "approve"}
    gate.require_passed(hub, subject)


@pytest.mark.parametrize("moves", [(), ("pulled",), ("pulled", "staged", "rejected"), ("duplicate",)])
def test_only_what_is_staged_is_judged(hub: Hub, moves: tuple[str, ...]) -> None:
    db.announce(hub.engine, NAME, {"files": []}, "m1")
    for name in moves:
        db.record_event(hub.engine, NAME, name)
    with pytest.raises(NotReady, match="cannot be asked to gate"):
        gate.gate(hub, DELIVERY)
    assert db.list_quality_runs(hub.engine) == []


def test_there_must_be_such_a_build(hub: Hub) -> None:
    with pytest.raises(ConfigError, match="no build 9"):
        gate.gate(hub, Subject(build=9))
