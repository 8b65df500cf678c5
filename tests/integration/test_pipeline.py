"""Deliveries travel the whole way and end as the generator says that they should; a second run changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from catalogue import db
from jobs.delivery import DeliveryId, Subject
from jobs.errors import HubError, NotReady
from jobs.hub import Hub
from jobs.lake import tables as lake
from jobs.lake.commits import last_commit
from jobs.lake.inventory import names
from jobs.lake.layout import table_path
from jobs.steps import build, gate, publish, receive, release, stage
from schemas.loader import load_table, omop_names
from tests.deliveries import Rows, rewrite
from tests.integration.conftest import World, build_and_release, describe, take_in

EVENTS = {
    "visit_occurrence": "visit_concept_id",
    "condition_occurrence": "condition_concept_id",
    "drug_exposure": "drug_concept_id",
    "procedure_occurrence": "procedure_concept_id",
}
BOOKS = ("rows_in", "rows_published", "rows_quarantined", "rows_duplicate")


def released(hub: Hub, table: str) -> Any:
    """The table as readers of the current release see it."""
    current = db.current_release(hub.engine)
    assert current
    return lake.read(hub.spark, table_path(hub.settings.lake, table), current.tables[table])


def omop_counts(hub: Hub) -> dict[str, Any]:
    """What truth.json says, counted in the released tables."""
    rows, unmapped, months = {}, {}, {}
    for table, concept in EVENTS.items():
        found = released(hub, f"omop/{table}").selectExpr("_source", "_period", f"int({concept} = 0) AS lost")
        parts = found.groupBy("_source", "_period").agg({"*": "count", "lost": "sum"}).collect()
        rows[table] = sum(r["count(1)"] for r in parts)
        unmapped[table] = sum(r["sum(lost)"] for r in parts)
        for r in parts:
            months.setdefault(f"{r['_source']}/{r['_period']}", {})[table] = r["count(1)"]
    rows |= {t: released(hub, f"omop/{t}").count() for t in ("person", "observation_period", "death")}
    return {"rows": rows, "unmapped": unmapped, "by_delivery": months}


def linkage(hub: Hub) -> dict[str, int]:
    """Persons by the sources in which they have events."""
    from pyspark.sql import functions as F

    seen = None
    for table in EVENTS:
        part = released(hub, f"omop/{table}").select("person_id", "_source")
        seen = part if seen is None else seen.unionByName(part)
    assert seen is not None
    sets = seen.groupBy("person_id").agg(F.array_join(F.array_sort(F.collect_set("_source")), "+").alias("sources"))
    return {r["sources"]: r["count"] for r in sets.groupBy("sources").count().collect()}


def test_every_delivery_ends_in_its_state_with_its_books(world: World) -> None:
    found = world.deliveries
    expected = {d["id"]: d for d in world.read("expected")}
    assert set(found) == set(expected)
    for name, wanted in expected.items():
        held = {k: found[name][k] for k in ("state", *BOOKS)}
        assert held == {k: wanted[k] for k in held}, name
        if wanted["state"] != "waiting":
            assert found[name]["reason"] == wanted["reason"], name
    assert {d["state"] for d in found.values()} == {"published", "rejected", "duplicate", "waiting"}
    assert set(world.errors) == {name for name, d in expected.items() if d["state"] == "rejected"}


def test_books_agree_per_table_and_balance_per_file(world: World) -> None:
    engine = world.hub().engine
    for wanted in world.read("expected"):
        known = db.get_delivery(engine, wanted["id"])
        assert known
        held = {t: {k: book[k] for k in BOOKS} for t, book in known["tables"].items()}
        assert held == {t: {k: book[k] for k in BOOKS} for t, book in wanted["tables"].items()}, wanted["id"]
        for book in known["books"]:
            out = book["rows_published"] + sum(book["rows_quarantined"].values())
            assert book["rows_in"] == out + book["rows_duplicate"], (wanted["id"], book["file"])
        declared = {f["name"]: f["rows"] for f in known["files"]}
        if wanted["state"] != "rejected":
            assert {b["file"]: b["rows_in"] for b in known["books"]} == declared


def test_reversals_are_published_and_settled_by_the_build(world: World) -> None:
    """What the build settles of each table is what the generator cancelled; of a delivery it did not take, nothing."""
    engine = world.hub().engine
    held = {d["id"]: d for d in db.with_settled(engine, db.list_deliveries(engine))}
    built = {name for name, d in held.items() if d["settled_by"]}
    assert built == {d for d in world.deliveries if d in db.published_deliveries(engine)}
    for wanted in world.read("expected"):
        found = held[wanted["id"]]
        if found["settled_by"]:
            assert found["settled_by"] == "build/1"
            settled = {t: book["rows_settled"] for t, book in found["tables"].items()}
            assert settled == {t: book["rows_settled"] for t, book in wanted["tables"].items()}, wanted["id"]
        else:
            assert found["rows_settled"] is None
    cancelled = {name: d["rows_settled"] for name, d in held.items() if d["rows_settled"]}
    assert {name.split("/")[0] for name in cancelled} == {"dcir"}
    lines = released(world.hub(), "dcir/er_prs_f")
    assert lines.where("PRS_ACT_QTE < 0").count() > 0


def test_source_tables_hold_what_the_books_say(world: World) -> None:
    hub = world.hub()
    wanted: dict[str, dict[str, int]] = {}
    for d in world.deliveries.values():
        if d["state"] == "published":  # the highest version of a month is what its partition holds
            for table, book in d["tables"].items():
                wanted.setdefault(f"{d['source']}/{table}", {})[d["period"]] = book["rows_published"]
    for name, months in wanted.items():
        parts = released(hub, name).groupBy("_period").count().collect()
        assert {r["_period"]: r["count"] for r in parts} == {p: n for p, n in months.items() if n}, name


def test_the_books_of_the_filters_begin_where_those_of_the_deliveries_end(world: World) -> None:
    """Rows published = rows that stay + rows left out, for every table and month of the build."""
    published: dict[tuple[str, str], int] = {}
    for d in world.deliveries.values():
        if d["state"] == "published":
            published |= {
                (f"{d['source']}/{table}", d["period"]): book["rows_published"] for table, book in d["tables"].items()
            }
    books = db.filter_books(world.hub().engine, 1)
    assert {(b["table"], b["period"]): b["rows"] for b in books} == {at: rows for at, rows in published.items() if rows}
    for book in books:
        assert book["rows"] == book["stay"] + sum(reason["rows"] for reason in book["left_out"])
        assert all(reason["why"]["fr"] and reason["why"]["en"] for reason in book["left_out"])
    named = {f"{book['table']}/{reason['filter']}" for book in books for reason in book["left_out"]}
    assert {"dcir/er_prs_f/hospital_information", "dcir/ir_ben_r/fictitious_nir", "ville/patient/objection"} <= named


def test_omop_tables_hold_what_the_oracle_says(world: World) -> None:
    truth, found = world.read("truth")["published"], omop_counts(world.hub())
    assert found == {k: truth[k] for k in found}


def test_persons_link_across_sources(world: World) -> None:
    truth = world.read("truth")["published"]
    found = linkage(world.hub())
    assert found == truth["linkage"]
    assert found["dcir+pmsi_mco"] + found.get("dcir+pmsi_mco+ville", 0) > 0


def test_the_release_names_every_table_and_is_described(world: World) -> None:
    hub = world.hub()
    current = db.current_release(hub.engine)
    assert current
    assert set(current.tables) == set(names())
    assert {n: current.tables[n] for n in names()} == {
        n: (last_commit(table_path(hub.settings.lake, n)) or (None,))[0] for n in names()
    }
    assert db.described_release(hub.engine) == current.id
    assert dict(world.answers)["describe"]["figures"] > 100


def test_every_table_has_the_contracts_rules_judged(world: World) -> None:
    engine = world.hub().engine
    for d in world.deliveries.values():
        judged = db.last_quality_run(engine, d["id"])
        if d["state"] in ("published", "waiting"):
            assert judged
            assert judged["verdict"] == ("warning" if d["state"] == "waiting" else "passed"), d["id"]
    found = db.last_quality_run(engine, "build/1")
    assert found
    assert found["verdict"] == "passed"


def test_every_step_again_changes_nothing(world: World) -> None:
    hub = world.hub()
    before, deliveries = world.versions(), world.deliveries
    assert receive.announce(hub) == []
    for name, d in deliveries.items():
        if d["state"] == "published" and d["id"] != "pmsi_mco/2024-01/v1":
            assert publish.publish(hub, DeliveryId.parse(name))["versions"] == dict(world.answers)[name]["versions"]
        if d["state"] != "waiting":
            assert receive.receive(hub, DeliveryId.parse(name))["next"] == "stop"
    assert build.build(hub)["next"] == "stop"
    again = release.release(hub, 1)
    assert {k: v for k, v in again.items() if k != "tables"} == {
        k: v for k, v in dict(world.answers)["release"].items() if k != "tables"
    }
    assert describe(hub) == dict(world.answers)["describe"]
    assert world.versions() == before
    assert world.deliveries == deliveries
    assert len(db.list_releases(hub.engine)) == 1


def test_a_published_delivery_taken_in_again_changes_no_table(world: World) -> None:
    hub, delivery = world.hub(), DeliveryId("dcir", "2024-02", 1)
    before, deliveries = world.versions(), world.deliveries
    assert receive.receive(hub, delivery, again=True)["next"] == "stage"
    stage.stage(hub, delivery)
    assert gate.gate(hub, Subject(delivery))["verdict"] == "passed"
    publish.publish(hub, delivery)
    assert world.versions() == before
    again = world.deliveries
    assert again.pop(str(delivery)) | {"at": None} == deliveries.pop(str(delivery)) | {"at": None}
    assert again == deliveries
    assert build.build(hub)["next"] == "stop"


def waiting(world: World) -> DeliveryId:
    return DeliveryId.parse(next(d["id"] for d in world.deliveries.values() if d["state"] == "waiting"))


def test_a_waiting_delivery_is_not_published_without_a_steward(world: World) -> None:
    delivery = waiting(world)
    with pytest.raises(HubError):
        publish.publish(world.hub(), delivery)
    assert world.deliveries[str(delivery)]["state"] == "waiting"


def test_nobody_approves_what_the_gate_passed(world: World) -> None:
    with pytest.raises(NotReady, match="passed its gate"):
        gate.decide(world.hub(), Subject(DeliveryId("dcir", "2024-01", 1)), "approve", "steward", "why not")


def sums(hub: Hub, tables: list[str]) -> dict[str, tuple[int, int]]:
    """Rows and a sum of what they hold, of the released tables."""
    from pyspark.sql import functions as F

    from schemas.loader import load_omop

    found = {}
    for table in tables:
        names = load_omop(table).names
        row = released(hub, f"omop/{table}").agg(F.count("*"), F.sum(F.xxhash64(*names) % 1_000_003)).first()
        assert row
        found[table] = (row[0], row[1] or 0)
    return found


def test_building_month_by_month_with_a_correction_equals_one_build_of_everything(small: Callable[..., World]) -> None:
    world, later = small("dcir", "pmsi_mco", "ville"), DeliveryId("pmsi_mco", "2024-01", 2)
    uncancelled = DeliveryId("dcir", "2024-01", 2)
    outboxes, aside = world.settings.outboxes, world.settings.root / "later"
    for source in ("dcir", "ville"):
        (aside / source).mkdir(parents=True)
        (outboxes / source / "2024-02").rename(aside / source / "2024-02")
    take_in(world)  # the stays of both months, the rest of the first
    build_and_release(world)
    before = sums(world.hub(), omop_names())
    for source in ("dcir", "ville"):
        (aside / source / "2024-02").rename(outboxes / source / "2024-02")
    shutil.copytree(DeliveryId("pmsi_mco", "2024-01", 1).under(outboxes), later.under(outboxes))

    def without_one(rows: Rows) -> None:
        gone = rows["t_mcoaab"][0]["RSA_NUM"]
        for table in rows:
            rows[table] = [r for r in rows[table] if r["RSA_NUM"] != gone]

    rewrite(later.under(outboxes), without_one)
    shutil.copytree(DeliveryId("dcir", "2024-01", 1).under(outboxes), uncancelled.under(outboxes))

    def without_cancellations(rows: Rows) -> None:
        key = load_table("dcir", "er_prs_f").key
        gone = {tuple(r[n] for n in key) for r in rows["er_prs_f"] if float(r["PRS_ACT_QTE"]) < 0}
        assert gone
        for table in ("er_prs_f", "er_pha_f", "er_cam_f"):
            rows[table] = [r for r in rows[table] if tuple(r[n] for n in key) not in gone]

    rewrite(uncancelled.under(outboxes), without_cancellations)
    take_in(world)
    build_and_release(world)
    assert not world.errors
    settled = {d["id"]: d["rows_settled"] for d in db.with_settled(world.hub().engine, world.deliveries.values())}
    assert settled["dcir/2024-01/v1"] > 0  # as the first build found it
    assert settled[str(uncancelled)] == 0
    assert settled["dcir/2024-02/v1"] > 0
    by_month = sums(world.hub(), omop_names())
    assert by_month != before
    hub = world.hub()
    again = build.build(hub, again=True)
    assert len(again["deliveries"]) == 6
    assert gate.gate(hub, Subject(build=again["build"]))["verdict"] == "passed"
    release.release(hub, again["build"])
    assert sums(hub, omop_names()) == by_month
    assert len(db.list_releases(hub.engine)) == 3
