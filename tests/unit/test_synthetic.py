"""The synthetic population and its deliveries: the same every time, sound, and what is planted is told."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs import keys
from jobs.contributors.agent.canonical import canonical_nir, key_of
from jobs.contributors.synthetic import clinical, codes, faults, nir
from jobs.contributors.synthetic.deliveries import Delivery
from jobs.contributors.synthetic.generate import (
    Parameters,
    Report,
    canaries,
    check,
    generate,
    population_of,
    sound_deliveries,
)
from jobs.contributors.synthetic.population import Population, make_population
from jobs.errors import ConfigError
from schemas.loader import load_tables, source_names

KEY = bytes(range(32))
SMALL = Parameters(persons=600, months=2, seed=7)


def with_key(home: Path) -> Path:
    """A hub home whose contributors' key is known."""
    keys.generate(home / "keys")
    path = home / "keys" / "contributors" / "p1.key"
    path.unlink()
    path.write_bytes(KEY)
    path.chmod(0o400)
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_key(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def report(home: Path) -> Report:
    return generate(home, SMALL)


@cache
def sound() -> tuple[Population, dict[str, Delivery]]:
    """A population with its deliveries of two months, without faults."""
    population = population_of(SMALL, KEY)
    return population, {d.id: d for d in sound_deliveries(SMALL, population)}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def sums(home: Path) -> dict[str, str]:
    """sha256 of every file delivered; of manifests, without the time at which the source agent wrote them."""
    found = {}
    for path in sorted(p for folder in ("outboxes", "agents", "synthetic") for p in (home / folder).rglob("*.*")):
        content = path.read_bytes()
        if path.name == "manifest.json" and "ville" in path.parts:
            content = json.dumps({k: v for k, v in json.loads(content).items() if k != "created_at"}).encode()
        found[str(path.relative_to(home))] = hashlib.sha256(content).hexdigest()
    return found


def test_same_seed_same_bytes(home: Path, report: Report, tmp_path: Path) -> None:
    generate(with_key(tmp_path), SMALL)
    assert sums(tmp_path) == sums(home)


def test_another_seed_is_another_population() -> None:
    one = make_population(200, 1, date(2024, 1, 1), 1)
    other = make_population(200, 2, date(2024, 1, 1), 1)
    assert (one.persons["nir"] != other.persons["nir"]).any()


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    generate(with_key(tmp_path), Parameters(100, 2, with_faults=False))
    generate(tmp_path, Parameters(100, 1, with_faults=False))
    assert sorted(p.parent.relative_to(tmp_path / "outboxes").as_posix() for p in tmp_path.rglob("manifest.json")) == [
        "dcir/2024-01/v1",
        "pmsi_mco/2024-01/v1",
        "ville/2024-01/v1",
    ]


def test_every_nir_is_valid_and_of_one_person() -> None:
    persons = sound()[0].persons
    assert persons["nir"].is_unique
    found = [canonical_nir(n) for n in persons["nir"]]
    provisional = (persons["cdi"] != "00").tolist()
    assert [f.reason for f in found] == ["nir_provisional" if p else None for p in provisional]


@pytest.mark.parametrize("nir13", ["1840669123456", "276052A004012", "284122B033017"])
def test_key_agrees_with_the_hub(nir13: str) -> None:
    assert nir.nir_key(nir13) == key_of(nir13)


def test_corsicans_have_letters_since_1976() -> None:
    made = nir.make_nirs(
        np.array([1, 1]), np.array([1975, 1976]), np.array([3, 3]), np.array(["2A", "2A"], dtype=object),
        np.array(["004", "004"], dtype=object),
    )  # fmt: skip
    assert [n[5:7] for n in made] == ["20", "2A"]


def test_large_population_has_all_kinds_of_persons() -> None:
    population = make_population(5000, 42, date(2024, 1, 1), 3)
    persons = population.persons
    minors = persons["age"] < 18
    assert (persons.loc[minors, "holder"] != persons.index[minors]).mean() > 0.99
    assert (persons.loc[~minors, "holder"] == persons.index[~minors]).all()
    gap = persons["birth"] - persons["birth"].to_numpy()[persons["holder"]]
    assert gap[minors].min() > 17 * 365
    assert {"2A", "2B", "974", "971"} & set(persons["department"])
    assert (persons["rank"] == 2).sum() >= 3
    assert (persons["cdi"] == "04").any()
    assert (persons["death"] < 100_000).any()
    for index, disease in enumerate(clinical.DISEASES):
        limits, code = codes.load_universe().condition_limits, codes.load_universe().conditions[disease.cim10]
        fits = limits.allow(code, population.ints("sex"), population.ints("age"))
        assert not population.diseases[~fits, index].any()


def test_clinical_codes_are_those_of_the_mappings() -> None:
    universe = codes.load_universe()
    acts = {r["code"] for r in universe.acts}
    conditions = {c for d in clinical.DISEASES for c in (d.cim10, d.cisp2)}
    conditions |= {c for r in clinical.REASONS for c in (r.cim10, r.cisp2)} - {""}
    conditions |= {s.main for s in clinical.STAYS} | set(clinical.ASSOCIATED) | set(clinical.LAST_STAYS)
    assert conditions - {""} <= universe.conditions.keys()
    assert {a for s in clinical.STAYS for a, _ in s.acts} <= acts
    assert {s.needs for s in clinical.STAYS} - {""} <= {d.cim10 for d in clinical.DISEASES}


def test_twins_share_a_pseudonym_and_nobody_else_does() -> None:
    persons = sound()[0].persons
    shared = persons[persons.duplicated("psa", keep=False)]
    assert sorted(shared["rank"]) == [1] * (len(shared) // 2) + [2] * (len(shared) // 2)
    assert (persons["rank"] == 2).sum() == len(shared) // 2 > 0
    register = sound()[1]["dcir/2024-01/v1"].tables["ir_ben_r"]
    both = register[register["BEN_NIR_PSA"].isin(shared["psa"])]
    assert both.groupby("BEN_NIR_PSA")["BEN_IDT_ANO"].nunique().eq(2).all()


@pytest.mark.parametrize("source", source_names())
def test_tables_keep_their_contract(source: str) -> None:
    for delivery in sound()[1].values():
        if delivery.source != source:
            continue
        for name, contract in load_tables(source).items():
            table = delivery.tables[name]
            kept = table[table["_tag"] == "kept"]
            assert len(kept) > 0
            columns = [c for c in table.columns if not c.startswith("_")]
            expected = list(contract.names)
            if name == "patient":
                expected = [n for n in expected if n not in ("patient_pseudonym", "identity_status")]
                expected.insert(columns.index("nir"), "nir")
            assert columns == expected
            assert not kept.duplicated(list(contract.key)).any()
            for column in contract.columns:
                if column.name not in kept:
                    continue
                values = kept[column.name].dropna()
                if column.required:
                    assert len(values) == len(kept), column.name
                if column.values:
                    assert set(values) <= set(column.values), column.name
                if column.length:
                    assert values.str.len().max() <= column.length or values.empty, column.name


@pytest.mark.parametrize("source", source_names())
def test_every_kept_detail_has_its_parent(source: str) -> None:
    for delivery in sound()[1].values():
        for name, contract in load_tables(source).items():
            if delivery.source != source or contract.parent is None:
                continue
            keys_of = list(contract.parent.columns)
            kept = delivery.tables[name][delivery.tables[name]["_tag"] == "kept"]
            parent = delivery.tables[contract.parent.table]
            named = set(map(tuple, parent.loc[parent["_tag"] == "kept", keys_of].to_numpy().tolist()))
            assert set(map(tuple, kept[keys_of].to_numpy().tolist())) <= named


def test_lines_name_known_persons_and_drugs() -> None:
    for delivery in sound()[1].values():
        if delivery.source == "dcir":
            tables = delivery.tables
            assert set(tables["er_prs_f"]["BEN_NIR_PSA"]) <= set(tables["ir_ben_r"]["BEN_NIR_PSA"])
            assert set(tables["er_pha_f"]["PHA_PRS_C13"]) <= set(tables["ir_pha_r"]["PHA_CIP_C13"])


def test_settled_lines_are_those_that_the_settlement_removes() -> None:
    """An independent reading of the rule: per act with a negative line, at most one positive line survives."""
    settle = load_tables("dcir")["er_prs_f"].settle
    assert settle is not None
    seen = 0
    for delivery in sound()[1].values():
        if delivery.source != "dcir":
            continue
        lines = delivery.tables["er_prs_f"]
        lines = lines[lines["_tag"] != "duplicate"].assign(q=lambda t: t["PRS_ACT_QTE"].astype(int))
        for _, act in lines.groupby(list(settle.group), dropna=False):
            survivors = (act["_tag"] == "kept").sum()
            if (act["q"] < 0).any():
                seen += 1
                assert survivors == (1 if act["q"].sum() > 0 else 0)
            else:
                assert survivors == len(act)
    assert seen > 5


def test_reversals_cancel_amounts() -> None:
    lines = sound()[1]["dcir/2024-01/v1"].tables["er_prs_f"]
    settled = lines[lines["_tag"] == "settled"]
    negative = settled["PRS_ACT_QTE"].astype(int) < 0
    assert negative.sum() == (~negative).sum()
    assert settled["PRS_PAI_MNT"].astype(float).sum() == pytest.approx(0)
    assert set(settled.loc[negative, "BSE_REM_SGN"]) == {"2"}


def test_claims_arrive_after_the_care() -> None:
    for delivery in sound()[1].values():
        if delivery.source == "dcir":
            lines = delivery.tables["er_prs_f"]
            care, treated, made = (
                pd.to_datetime(lines[c], format="%d/%m/%Y") for c in ("EXE_SOI_DTD", "FLX_TRT_DTD", "FLX_DIS_DTD")
            )
            assert (care < treated).all()
            assert (treated < made).all()
            assert (made.dt.strftime("%Y-%m") == delivery.period).all()
            assert (made - care).dt.days.median() < 60


def test_the_same_persons_are_in_all_sources() -> None:
    population, deliveries = sound()
    psa = set(population.persons["psa"])
    found: dict[str, set[str]] = {"dcir": set(), "pmsi_mco": set(), "ville": set()}
    for delivery in deliveries.values():
        table, column = {
            "dcir": ("ir_ben_r", "BEN_NIR_PSA"),
            "pmsi_mco": ("t_mcoaac", "NIR_ANO_17"),
            "ville": ("patient", "_psa"),
        }[delivery.source]
        found[delivery.source] |= set(delivery.tables[table][column]) - {"x" * 17}
    assert all(persons <= psa for persons in found.values())
    assert found["dcir"] & found["ville"]
    assert found["dcir"] & found["pmsi_mco"]


def test_outbox_of_ville_has_the_pseudonyms_of_the_other_sources(home: Path, report: Report) -> None:
    population = population_of(SMALL, KEY)
    known = set(population.persons["psa"])
    for path in (home / "outboxes" / "ville").rglob("*_patient.csv"):
        rows = read(path)
        assert {r["patient_pseudonym"] for r in rows if r["identity_status"] == "ok"} <= known
        assert all(not r["patient_pseudonym"] for r in rows if r["identity_status"] != "ok")


def test_manifests_declare_their_files(home: Path, report: Report) -> None:
    check_value = keys.check_value(KEY)
    for entry in report.expected:
        folder = home / "outboxes" / entry["id"]
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        assert manifest["stage1_key"] == check_value
        assert {f["name"] for f in manifest["files"]} == {p.name for p in folder.glob("*.csv")}
        for file in manifest["files"]:
            content = (folder / file["name"]).read_bytes()
            assert file["sha256"] == hashlib.sha256(content).hexdigest()
            assert (file["bytes"], file["rows"]) == (len(content), content.count(b"\n") - 1)
        assert sum(f["rows"] for f in manifest["files"]) == entry["rows_in"]


def test_books_balance(report: Report) -> None:
    for entry in report.expected:
        for book in (entry, *entry["tables"].values()):
            out = sum(book["rows_quarantined"].values()) + book["rows_duplicate"]
            assert book["rows_in"] == book["rows_published"] + out
            assert book["rows_settled"] <= book["rows_published"]


def test_plan_of_the_demo() -> None:
    """Which fault comes where with three months, at a size where rates of quarantine are those of the demo."""
    from jobs.contributors.synthetic.expected import expected_of
    from jobs.contributors.synthetic.generate import planted

    parameters = Parameters(persons=2000, months=3, seed=3)
    population = population_of(parameters, KEY)
    found = {}
    for number, delivery in enumerate(sound_deliveries(parameters, population)):
        for version in planted(delivery, number // 3, parameters):
            entry = expected_of(version, 0)
            found[version.id] = (entry["state"], entry["reason"])
    assert found == {
        "dcir/2024-01/v1": ("published", None),
        "dcir/2024-01/v2": ("duplicate", "dcir/2024-01/v1"),
        "dcir/2024-02/v1": ("published", None),
        "dcir/2024-03/v1": ("published", None),
        "pmsi_mco/2024-01/v1": ("published", None),
        "pmsi_mco/2024-01/v2": ("published", None),
        "pmsi_mco/2024-02/v1": ("rejected", "missing_column"),
        "pmsi_mco/2024-02/v2": ("published", None),
        "pmsi_mco/2024-03/v1": ("published", None),
        "ville/2024-01/v1": ("published", None),
        "ville/2024-02/v1": ("published", None),
        "ville/2024-03/v1": ("waiting", None),
    }


def test_truth_follows_the_published_versions(report: Report) -> None:
    published, approved = report.truth["published"], report.truth["approved"]
    assert sum(n for month in published["by_delivery"].values() for n in month.values()) == sum(
        n for t, n in published["rows"].items() if t not in ("person", "observation_period", "death")
    )
    assert set(approved["by_delivery"]) - set(published["by_delivery"]) == {
        f"{e['source']}/{e['period']}" for e in report.expected if e["state"] == "waiting"
    }
    assert sum(published["linkage"].values()) == published["rows"]["person"]
    assert published["linkage"]["dcir+ville"] > 0
    assert published["shared_pseudonyms"] >= 1


def test_canaries_are_planted_and_hold_no_other_text(home: Path, report: Report) -> None:
    found = canaries(home)
    assert len(found) > 50
    everything = b"".join(p.read_bytes() for folder in ("agents", "outboxes") for p in (home / folder).rglob("*.csv"))
    assert all(c.encode() in everything for c in found)
    assert any(len(c) == 15 and c.isalnum() for c in found)
    outboxes = b"".join(p.read_bytes() for p in (home / "outboxes").rglob("*.csv"))
    assert not any(c.encode() in outboxes for c in found if len(c) in (13, 15) and c[0] in "12")


@pytest.mark.parametrize("bad", [{"persons": 5}, {"persons": 300}, {"months": 0}, {"first_month": "2024-13"}])
def test_senseless_parameters_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        check(Parameters(**bad))  # type: ignore[arg-type]


def test_too_small_a_delivery_cannot_take_the_faults() -> None:
    delivery = sound()[1]["dcir/2024-01/v1"]
    tiny = Delivery("dcir", "2024-01", 1, {n: t.head(3) for n, t in delivery.tables.items()})
    with pytest.raises(ValueError, match="too few rows"):
        faults.bad_rows(tiny, 1)


def test_command_line(home: Path, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from jobs.cli.synth import app

    monkeypatch.setenv("HUB_HOME", str(with_key(tmp_path)))
    made = CliRunner().invoke(app, ["generate", "--persons", "100", "--months", "1", "--no-faults", "--json"])
    assert made.exit_code == 0
    assert [d["state"] for d in json.loads(made.stdout)["deliveries"]] == ["published"] * 3
    table = CliRunner().invoke(app, ["generate", "--persons", "100", "--months", "1", "--no-faults"])
    assert "dcir/2024-01/v1" in table.stdout
    told = CliRunner().invoke(app, ["expected", "--json"])
    assert {e["id"] for e in json.loads(told.stdout)} == {
        "dcir/2024-01/v1",
        "pmsi_mco/2024-01/v1",
        "ville/2024-01/v1",
    }


def test_speed_is_reported(report: Report, record_property: pytest.RecordProperty) -> None:
    rows = sum(report.rows.values())
    record_property("synthetic_rows_per_second", round(rows / report.seconds))
    assert rows > 0
