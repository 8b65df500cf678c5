"""What goes wrong between a contributor and the lake: each ends as said, the lake whole, nothing lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from catalogue import db
from jobs.delivery import DeliveryId, Subject
from jobs.errors import ConflictError, NotReady, ServerUnavailable
from jobs.intake.quarantine import quarantined_records
from jobs.lake import commits
from jobs.lake import tables as lake
from jobs.lake.layout import table_path
from jobs.rows import typed
from jobs.rows.texts import strings
from jobs.settings import Settings
from jobs.spark import server
from jobs.steps import build, gate, publish, receive, release, stage
from schemas.loader import load_source, load_table
from tests.deliveries import Rows, rewrite
from tests.integration.conftest import World, settings_like, start_again, take_in

MONTH = "2024-01"


def change(world: World, delivery: DeliveryId, edit: Callable[[Rows], None]) -> None:
    """Edits the rows of a delivery in its outbox (table -> rows) and declares it anew."""
    rewrite(delivery.under(world.settings.outboxes), edit)


def stages(world: World, delivery: DeliveryId) -> None:
    """Announce, pull, stage and gate: the delivery is ready to be published."""
    hub = world.hub()
    receive.announce(hub)
    assert receive.receive(hub, delivery)["next"] == "stage"
    stage.stage(hub, delivery)
    assert gate.gate(hub, Subject(delivery))["verdict"] == "passed"


def rows_of(world: World, name: str) -> list[tuple[Any, ...]]:
    """All rows of a source table, sorted: what the lake holds."""
    frame = lake.read(world.hub().spark, table_path(world.settings.lake, name))
    return sorted((tuple(bytes(v) if isinstance(v, bytearray) else v for v in r) for r in frame.collect()), key=repr)


def test_copies_conflicts_and_orphans_are_told_apart(small: Callable[..., World]) -> None:
    delivery, contract = DeliveryId("dcir", MONTH, 1), load_table("dcir", "er_prs_f")
    clean, world = small("dcir"), small("dcir")

    def spoil(rows: Rows) -> None:
        lines, details = rows["er_prs_f"], rows["er_pha_f"] + rows["er_cam_f"]

        def key(row: dict[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(row[n] for n in names)

        assert contract.settle
        with_details = {key(r, contract.key) for r in details}
        groups = [key(r, contract.settle.group) for r in lines]
        keyed = [key(r, contract.key) for r in lines]
        lonely = [
            r
            for r in lines
            if key(r, contract.key) not in with_details
            and groups.count(key(r, contract.settle.group)) == 1
            and keyed.count(key(r, contract.key)) == 1
        ]
        same, differs = lonely[0], lonely[1]
        broken = same | {"DCT_ORD_NUM": "999999998", "PRS_PAI_MNT": "1e3"}
        lines += [dict(same), differs | {"PRS_PAI_MNT": "9999.99"}, broken, dict(broken)]
        rows["er_pha_f"].append(rows["er_pha_f"][0] | {"DCT_ORD_NUM": "999999999"})
        rows["er_pha_f"].append(rows["er_pha_f"][0] | {name: broken[name] for name in contract.key})

    change(world, delivery, spoil)
    books = []
    for each in (clean, world):
        hub = each.hub()
        receive.announce(hub)
        receive.receive(hub, delivery)
        stage.stage(hub, delivery)
        books.append(each.deliveries[str(delivery)]["tables"])
    before, after = books
    lines, drugs = after["er_prs_f"], after["er_pha_f"]
    assert lines["rows_in"] == before["er_prs_f"]["rows_in"] + 4
    assert lines["rows_duplicate"] == before["er_prs_f"]["rows_duplicate"] + 2  # the copies; one twin is kept
    assert lines["rows_quarantined"] == {"conflict": 2, "unparsable:PRS_PAI_MNT": 1}  # of the first neither is believed
    assert lines["rows_published"] == before["er_prs_f"]["rows_published"] - 1
    assert drugs["rows_quarantined"] == {"orphan": 2}  # one of them is a detail of a row that breaks the contract
    assert drugs["rows_published"] == before["er_pha_f"]["rows_published"]
    assert {t: b for t, b in after.items() if t not in ("er_prs_f", "er_pha_f")} == {
        t: b for t, b in before.items() if t not in ("er_prs_f", "er_pha_f")
    }
    sealed = list(delivery.under(world.settings.quarantine).rglob("*.parquet"))
    assert sealed
    assert all(p.read_bytes()[:4] == b"PARE" for p in sealed)
    key = world.settings.keys / "steward" / "quarantine.pem"
    listed = Counter((p["table"], p["reason"]) for p in quarantined_records(delivery, world.settings.quarantine, key))
    assert listed == {(t, reason): n for t, book in after.items() for reason, n in book["rows_quarantined"].items()}


def test_what_another_contract_or_another_reader_typed_is_pulled_again(
    small: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, delivery = small("ville"), DeliveryId("ville", MONTH, 1)
    hub = world.hub()
    receive.announce(hub)
    with monkeypatch.context() as before:
        before.setattr(typed, "READER", 0)
        receive.receive(hub, delivery)
    with pytest.raises(NotReady, match="`hub delivery pull --source ville --period 2024-01` comes first"):
        stage.stage(hub, delivery)
    assert receive.receive(hub, delivery)["next"] == "stage"
    assert stage.stage(hub, delivery)["state"] == "staged"


class TestVersions:
    """Versions of one month, in every order."""

    def outbox(self, world: World) -> tuple[DeliveryId, DeliveryId, Path]:
        """Version 1, version 2 without one stay, and where version 1 waits outside the outbox."""
        first, second = DeliveryId("pmsi_mco", MONTH, 1), DeliveryId("pmsi_mco", MONTH, 2)
        folder = first.under(world.settings.outboxes)
        shutil.rmtree(folder.parent.parent / "2024-02")
        shutil.copytree(folder, second.under(world.settings.outboxes))

        def without_one(rows: Rows) -> None:
            gone = rows["t_mcoaab"][0]["RSA_NUM"]
            for table in rows:
                rows[table] = [r for r in rows[table] if r["RSA_NUM"] != gone]

        change(world, second, without_one)
        return first, second, world.settings.root / "later"

    def stays(self, world: World) -> int:
        return len(rows_of(world, "pmsi_mco/t_mcoaab"))

    def test_a_correction_replaces_the_original_and_a_copy_of_it_changes_nothing(
        self, small: Callable[..., World]
    ) -> None:
        world = small("pmsi_mco")
        first, second, _ = self.outbox(world)
        third = DeliveryId("pmsi_mco", MONTH, 3)
        shutil.copytree(second.under(world.settings.outboxes), third.under(world.settings.outboxes))
        change(world, third, lambda rows: None)
        take_in(world)
        found = world.deliveries
        assert not world.errors
        assert [found[str(d)]["state"] for d in (first, second, third)] == ["published", "published", "duplicate"]
        assert found[str(third)]["reason"] == str(second)
        assert self.stays(world) == found[str(second)]["tables"]["t_mcoaab"]["rows_published"]
        assert self.stays(world) == found[str(first)]["tables"]["t_mcoaab"]["rows_published"] - 1
        assert db.published_deliveries(world.hub().engine) == [str(second)]
        assert world.versions()["source/pmsi_mco/t_mcoaab"] == 1

    def test_an_original_that_comes_after_its_correction_is_superseded(self, small: Callable[..., World]) -> None:
        world = small("pmsi_mco")
        first, second, later = self.outbox(world)
        first.under(world.settings.outboxes).rename(later)
        take_in(world)
        before, stays = world.versions(), self.stays(world)
        later.rename(first.under(world.settings.outboxes))
        take_in(world)
        found = world.deliveries
        assert (found[str(first)]["state"], found[str(first)]["reason"]) == ("superseded", str(second))
        assert found[str(second)]["state"] == "published"
        assert world.versions() == before
        assert self.stays(world) == stays
        assert list(first.under(world.settings.outboxes).glob("*.csv"))  # the contributor's files are untouched


def test_a_month_taken_in_again_under_a_repaired_rule_is_replaced(
    small: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the tables whose rows differ get a new version, and the next build takes the month in again."""
    world, delivery = small("pmsi_mco"), DeliveryId("pmsi_mco", MONTH, 1)
    shutil.rmtree(delivery.under(world.settings.outboxes).parent.parent / "2024-02")

    def again() -> dict[str, Any]:
        hub = world.hub()
        assert receive.receive(hub, delivery, again=True)["next"] == "stage"
        stage.stage(hub, delivery)
        assert gate.gate(hub, Subject(delivery))["verdict"] == "passed"
        return publish.publish(hub, delivery)

    receive.announce(world.hub())
    first = again()
    engine = world.hub().engine
    db.add_release(engine, first["versions"], [delivery], 1)
    assert again()["versions"] == first["versions"]
    assert db.pending_deliveries(engine) == []

    lawful = typed.to_values

    def repaired(column: Any) -> Any:
        """Reads one act's code otherwise."""
        read = lawful(column)
        return (lambda texts: strings(["9", *read(texts).to_pylist()[1:]])) if column.name == "MOD_ACT" else read

    before = rows_of(world, "pmsi_mco/t_mcoaaa")
    with monkeypatch.context() as patch:
        patch.setattr(typed, "to_values", repaired)
        changed = again()["versions"]
    assert changed == first["versions"] | {"pmsi_mco/t_mcoaaa": 1}
    assert len(set(rows_of(world, "pmsi_mco/t_mcoaaa")) - set(before)) == 1
    assert db.pending_deliveries(engine) == [str(delivery)]


class TestAtOnce:
    """Two tasks publish into the same tables at the same moment."""

    def together(self, world: World, deliveries: list[DeliveryId]) -> int:
        """Publishes each in its own thread; one that met another writer tries again. The number of such conflicts."""
        start, conflicts = threading.Barrier(len(deliveries)), []

        def one(delivery: DeliveryId) -> None:
            hub = world.hub()
            assert hub.spark
            start.wait(60)
            for _ in range(5):
                try:
                    publish.publish(hub, delivery)
                    return
                except ConflictError as error:
                    conflicts.append(error)
            raise conflicts[-1]

        with ThreadPoolExecutor(len(deliveries)) as pool:
            for done in [pool.submit(one, d) for d in deliveries]:
                done.result(120)
        return len(conflicts)

    def holds_its_books(self, world: World) -> None:
        found = world.deliveries
        assert {d["state"] for d in found.values()} == {"published"}
        for table in load_source("pmsi_mco").tables:
            wanted = sum(d["tables"][table]["rows_published"] for d in found.values())
            assert len(rows_of(world, f"pmsi_mco/{table}")) == wanted, table

    def test_two_months_of_one_source(self, small: Callable[..., World]) -> None:
        world = small("pmsi_mco")
        both = [DeliveryId("pmsi_mco", p, 1) for p in (MONTH, "2024-02")]
        hub = world.hub()
        receive.announce(hub)
        for delivery in both:
            receive.receive(hub, delivery)
            stage.stage(hub, delivery)
            assert gate.gate(hub, Subject(delivery))["verdict"] == "passed"
        self.together(world, both)
        self.holds_its_books(world)

    def test_one_delivery_twice(self, small: Callable[..., World]) -> None:
        world = small("pmsi_mco")
        delivery = DeliveryId("pmsi_mco", MONTH, 1)
        shutil.rmtree(delivery.under(world.settings.outboxes).parent.parent / "2024-02")
        stages(world, delivery)
        self.together(world, [delivery, delivery])
        self.holds_its_books(world)

    def test_one_delivery_twice_into_tables_that_are_there(
        self, small: Callable[..., World], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = small("pmsi_mco")
        first, second = (DeliveryId("pmsi_mco", p, 1) for p in (MONTH, "2024-02"))
        hub = world.hub()
        receive.announce(hub)
        for delivery in (first, second):
            receive.receive(hub, delivery)
            stage.stage(hub, delivery)
            assert gate.gate(hub, Subject(delivery))["verdict"] == "passed"
        publish.publish(hub, first)
        # both have looked and found nothing of this month when either begins to write
        first_table = table_path(world.settings.lake, f"pmsi_mco/{load_source('pmsi_mco').tables[0]}")
        meet, write = threading.Barrier(2), commits._change

        def together(root: Path, *args: Any) -> None:
            with contextlib.suppress(threading.BrokenBarrierError):  # the second try of one comes alone
                if str(root) == first_table:
                    meet.wait(15)
            write(root, *args)

        monkeypatch.setattr(commits, "_change", together)
        assert self.together(world, [second, second]) > 0
        self.holds_its_books(world)


class TestKilledServer:
    """The Spark server dies in the middle of a step; the step is repeated and ends as if nothing had happened."""

    def dies(self, shared: Settings, step: Callable[[Callable[[str], None]], Any], at: int) -> None:
        """Runs a step whose server is killed shortly after the step told its ``at``-th progress; starts it again."""
        told: list[str] = []
        pid = server.running(shared)
        assert pid

        def progress(name: str) -> None:
            told.append(name)
            if len(told) == at:
                threading.Timer(0.2, os.killpg, (pid, signal.SIGKILL)).start()

        try:
            with pytest.raises(ServerUnavailable) as died:
                step(progress)
            assert "hub spark start" in str(died.value)
        finally:
            server.stop(shared)
            start_again(shared)

    def test_stage_publish_and_build_are_repeated_with_the_same_outcome(
        self, small: Callable[..., World], spark_hub: Settings, sound: Path
    ) -> None:
        world, delivery = small("dcir"), DeliveryId("dcir", MONTH, 1)
        shutil.rmtree(delivery.under(world.settings.outboxes).parent.parent / "2024-02")
        oracle = World(settings_like(world.settings, home=sound))
        wanted = next(d for d in oracle.read("expected") if d["id"] == str(delivery))
        hub = world.hub()
        receive.announce(hub)
        receive.receive(hub, delivery)
        assert hub.spark

        self.dies(spark_hub, lambda progress: stage.stage(hub, delivery, progress), at=2)
        assert world.deliveries[str(delivery)]["state"] == "pulled"
        assert not list(world.settings.lake.rglob("_delta_log"))
        hub = world.hub()
        stage.stage(hub, delivery)
        for book in wanted["tables"].values():
            del book["rows_settled"]  # a build says
        assert world.deliveries[str(delivery)]["tables"] == wanted["tables"]
        assert gate.gate(hub, Subject(delivery))["verdict"] == "passed"

        server.stop(spark_hub)  # a commit needs none
        try:
            for _ in range(2):
                published = publish.publish(world.hub(), delivery)
                assert set(published["versions"].values()) == {0}  # one commit per table, however often it is tried
        finally:
            start_again(spark_hub)
        hub = world.hub()
        for table, book in wanted["tables"].items():
            frame = lake.read(hub.spark, table_path(world.settings.lake, f"dcir/{table}"))
            assert frame.count() == book["rows_published"], table

        self.dies(spark_hub, lambda progress: build.build(hub, progress), at=3)
        assert db.current_release(hub.engine) is None
        assert not list(world.settings.lake.glob("omop/*/_delta_log"))  # what it wrote waits, and no table names it
        hub = world.hub()
        built = build.build(hub)
        assert built["build"] == 1  # the one that was begun
        assert gate.gate(hub, Subject(build=1))["verdict"] == "passed"
        release.release(hub, 1)
        truth = oracle.read("truth")["published"]["by_delivery"][f"dcir/{MONTH}"]
        found = {
            t: lake.read(hub.spark, table_path(world.settings.lake, f"omop/{t}")).count()
            for t in ("visit_occurrence", "drug_exposure", "procedure_occurrence")
        }
        assert found == {t: truth.get(t, 0) for t in found}
