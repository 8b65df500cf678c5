"""A delivery holds its own month: what is of another one is refused, or left out row by row, and is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from catalogue import db
from jobs.contributors.synthetic.manifest import MANIFEST, declare
from jobs.delivery import DeliveryId, Subject
from jobs.errors import QualityRefused
from jobs.lake import tables as lake
from jobs.lake.layout import table_path
from jobs.steps import build, gate, publish, release
from tests.deliveries import Rows, rewrite
from tests.integration.conftest import World, build_and_release, take_in

JANUARY, FEBRUARY = "2024-01", "2024-02"


def outbox(world: World, source: str, period: str) -> Path:
    return DeliveryId(source, period, 1).under(world.settings.outboxes)


def results(world: World, subject: str) -> dict[str, tuple[str, int, int]]:
    """{rule: (verdict, violated, denominator)} of the last quality run."""
    run = db.last_quality_run(world.hub().engine, Subject.parse(subject))
    assert run
    return {r["rule"]: (r["verdict"], r["violated"], r["denominator"]) for r in run["results"]}


def test_an_export_of_another_month_is_refused_and_the_column_is_named(small: Callable[..., World]) -> None:
    world = small("ville")
    shutil.rmtree(outbox(world, "ville", FEBRUARY))
    shutil.copytree(outbox(world, "ville", JANUARY), outbox(world, "ville", FEBRUARY))
    shutil.rmtree(outbox(world, "ville", JANUARY).parent)
    told = json.loads((outbox(world, "ville", FEBRUARY) / MANIFEST).read_text("utf-8"))
    named = {f["name"]: f["table"] for f in told["files"]}
    declare(outbox(world, "ville", FEBRUARY), named, told["stage1_key"])
    take_in(world)
    error = world.errors["ville/2024-02/v1"]
    verdict, violated, asked = results(world, "ville/2024-02/v1")["GP-ENC-006"]
    assert isinstance(error, QualityRefused)
    assert (verdict, violated) == ("failed", asked)
    assert f"date_time is in the month of the delivery: broken by {violated:,} of {asked:,}" in str(error)
    assert "ville/encounter" in str(error)
    assert world.deliveries["ville/2024-02/v1"]["state"] == "rejected"


def test_cumulative_hospital_files_are_refused_and_a_straggler_stays_out_of_omop(small: Callable[..., World]) -> None:
    world, february = small("pmsi_mco"), "pmsi_mco/2024-02/v1"
    earlier: Rows = {}
    rewrite(outbox(world, "pmsi_mco", JANUARY), lambda rows: earlier.update({t: list(r) for t, r in rows.items()}))

    def cumulate(rows: Rows) -> None:
        for table in rows:
            rows[table] = [*earlier[table], *rows[table]]

    sound = world.settings.root / "sound"
    shutil.copytree(outbox(world, "pmsi_mco", FEBRUARY), sound)
    rewrite(outbox(world, "pmsi_mco", FEBRUARY), cumulate)
    take_in(world)
    assert "t_mcoaab" in str(world.errors[february])
    assert "SOR_ANN + SOR_MOI is in the month of the delivery" in str(world.errors[february])

    second = DeliveryId("pmsi_mco", FEBRUARY, 2)
    shutil.copytree(sound, second.under(world.settings.outboxes))
    number = earlier["t_mcoaab"][0]["RSA_NUM"]

    def straggle(rows: Rows) -> None:
        for table, own in rows.items():
            numbered = [(r, r["RSA_NUM"][:4], int(r["RSA_NUM"][4:])) for r in own]
            rows[table] = [r | {"RSA_NUM": f"{head}{n + 1000 * k:06d}"} for r, head, n in numbered for k in range(40)]
            rows[table] += [r for r in earlier[table] if r["RSA_NUM"] == number]

    rewrite(second.under(world.settings.outboxes), straggle)
    take_in(world)
    late = sum(r["RSA_NUM"] == number for r in earlier["t_mcoaab"])
    found = results(world, str(second))
    assert found["MCO-STA-021"][:2] == ("passed", late)
    assert found["MCO-STA-022"][:2] == ("failed", late)
    assert world.deliveries[str(second)]["state"] == "waiting"
    hub = world.hub()
    gate.decide(hub, Subject(delivery=second), "approve", "anna", "the hospital told us of it")
    publish.publish(hub, second)
    build_and_release(world)
    visits = lake.read(hub.spark, table_path(world.settings.lake, "omop/visit_occurrence"))
    outside = visits.where("date_format(visit_end_date, 'yyyy-MM') <> _period")
    assert visits.where(f"_period = '{FEBRUARY}'").count() > 0
    assert outside.count() == 0


def test_one_impossible_death_costs_its_row_or_its_date_and_never_the_release(small: Callable[..., World]) -> None:
    """One that no register holds costs the row, one that the contract lets in its date: all else is released."""
    world = small("dcir")
    shutil.rmtree(outbox(world, "dcir", FEBRUARY))

    def die(rows: Rows) -> None:
        people = [r for r in rows["ir_ben_r"] if r["BEN_CDI_NIR"] == "00" and r["BEN_DCD_DTE"] == "01/01/1600"]
        old = next(r for r in people if "1900" < r["BEN_NAI_ANN"] < "1990")
        child = next(r for r in people if r["BEN_NAI_ANN"] > "2003")
        old |= {"BEN_DCD_DTE": "15/03/1998"}
        child |= {"BEN_DCD_DTE": "15/03/2002"}

    rewrite(outbox(world, "dcir", JANUARY), die)
    take_in(world)
    january = DeliveryId("dcir", JANUARY, 1)
    books = world.deliveries[str(january)]
    assert books["state"] == "waiting"  # the one death that is left is impossible: a steward is asked
    assert sum(books["tables"]["ir_ben_r"]["rows_quarantined"].values()) == 1
    assert results(world, str(january))["DCIR-BEN-009"] == ("failed", 1, 1)
    hub = world.hub()
    gate.decide(hub, Subject(delivery=january), "approve", "anna", "one death of 1998, told to the fund")
    publish.publish(hub, january)
    built = build.build(hub)
    assert built["losses"]["dcir/2024-01/death/implausible_death"] == 1
    assert gate.gate(hub, Subject(build=built["build"]))["verdict"] == "passed"
    release.release(hub, built["build"])
    deaths = lake.read(hub.spark, table_path(world.settings.lake, "omop/death"))
    assert deaths.where("death_date < '2006-01-01'").count() == 0


def test_another_flow_is_refused(small: Callable[..., World]) -> None:
    world = small("dcir")
    shutil.rmtree(outbox(world, "dcir", JANUARY))

    def other_flow(rows: Rows) -> None:
        for table in ("er_prs_f", "er_pha_f", "er_cam_f"):
            for row in rows[table]:
                row["FLX_DIS_DTD"] = "01/01/2024"

    rewrite(outbox(world, "dcir", FEBRUARY), other_flow)
    take_in(world)
    for table in ("er_prs_f", "er_pha_f", "er_cam_f"):
        assert f"(dcir/{table}, " in str(world.errors["dcir/2024-02/v1"])
    assert "FLX_DIS_DTD is in the month of the delivery" in str(world.errors["dcir/2024-02/v1"])


def test_an_id_is_unique_over_the_released_table_not_only_over_what_was_built(
    small: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """February's events have the keys of January's: each month is sound by itself."""
    from pyspark.sql import DataFrame, Window
    from pyspark.sql import functions as F

    from jobs.sources import harmonisable
    from jobs.sources.protocol import load_source_module

    world = small("pmsi_mco")
    held = world.settings.root / "february"
    outbox(world, "pmsi_mco", FEBRUARY).parent.rename(held)
    lawful = load_source_module("pmsi_mco")

    def numbered(tables: Mapping[str, DataFrame]) -> DataFrame:
        """Events that are numbered from one in every month: their keys forget person and month."""
        number = F.row_number().over(Window.partitionBy("_period", "kind").orderBy("natural_key"))
        keys = {"natural_key": F.concat("kind", number.cast("string")), "visit_key": F.lit(None).cast("string")}
        return lawful.events(tables).withColumns(keys)

    monkeypatch.setattr(harmonisable, "load_source_module", lambda source: replace(lawful, events=numbered))
    take_in(world)
    hub = world.hub()
    january = build.build(hub)["build"]
    if gate.gate(hub, Subject(build=january))["verdict"] == "warning":  # three acts are few
        gate.decide(hub, Subject(build=january), "approve", "anna", "few procedures")
    release.release(hub, january)
    held.rename(outbox(world, "pmsi_mco", FEBRUARY).parent)
    take_in(world)
    with monkeypatch.context() as without:
        without.setattr(build, "released_beside", lambda *given: None)
        blind = build.build(hub)
    gate.gate(hub, Subject(build=blind["build"]))
    assert results(world, f"build/{blind['build']}")["OMOP-VIS-001"][0] == "passed"  # the built part shows nothing
    built = build.build(hub)
    with pytest.raises(QualityRefused, match="OMOP-VIS-001"):
        gate.gate(hub, Subject(build=built["build"]))
    assert results(world, f"build/{built['build']}")["OMOP-VIS-001"][0] == "failed"
