"""The contracts hold together, and say what the public references say: names, lengths, required, keys."""

from __future__ import annotations

import csv
import re
from datetime import date
from functools import cache
from pathlib import Path

import pytest
import typer

from jobs.cli import run
from jobs.contributors.agent.stage1 import stage1
from jobs.quality.rules import load_rules, rule_names
from schemas import loader
from schemas.loader import Column, Table
from schemas.values import NO_IDENTIFIER, SURE_IDENTIFIER

CHECKOUT = Path(loader.__file__).resolve().parent.parent
REFERENCE = CHECKOUT.parent / "shared" / "reference"
reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="no folder of public references beside the checkout")

SOURCES = {source: loader.load_source(source).tables for source in loader.source_names()}
SOURCE_TABLES = [(source, table) for source, tables in SOURCES.items() for table in tables]
NINE = (
    "FLX_DIS_DTD",
    "FLX_TRT_DTD",
    "FLX_EMT_TYP",
    "FLX_EMT_NUM",
    "FLX_EMT_ORD",
    "ORG_CLE_NUM",
    "DCT_ORD_NUM",
    "PRS_ORD_NUM",
    "REM_TYP_AFF",
)
DOMAINS = {"person", "identity", "practitioner", "patient_local"}


def every_table() -> list[tuple[str, Table]]:
    named = [(f"{s}/{t}", loader.load_table(s, t)) for s, t in SOURCE_TABLES]
    return named + [(f"omop/{t}", loader.load_omop(t)) for t in loader.omop_names()]


def by_name(tables: list[tuple[str, Table]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("table", [t for _, t in tables], ids=[n for n, _ in tables])


@pytest.mark.parametrize("source", SOURCES)
def test_a_folder_of_contracts_is_one_source_with_its_tables(source: str) -> None:
    contract = loader.load_source(source)
    assert contract.source == source and contract.contract >= 1
    assert contract.tables and len(set(contract.tables)) == len(contract.tables)
    files = {p.stem for p in (loader.HERE / "sources" / source).glob("*.toml")}
    assert files == {*contract.tables, "source"}, "every file is a table of the contract"


@pytest.mark.parametrize("source", SOURCES)
def test_no_contract_has_a_column_for_the_nir(source: str) -> None:
    """Where persons arrive by NIR, the agent keeps it in its own custody."""
    assert not [t for t, table in loader.load_tables(source).items() if "nir" in (n.lower() for n in table.names)]


def test_city_medicine_arrives_with_a_nir_claims_and_stays_do_not() -> None:
    keys = {s: loader.load_source(s).person_key for s in SOURCES}
    assert (keys["dcir"], keys["pmsi_mco"], keys["ville"]) == ("stage1", "stage1", "nir")


@pytest.mark.parametrize("source", SOURCES)
def test_parents_come_before_their_details(source: str) -> None:
    seen: dict[str, Table] = {}
    for name, table in loader.load_tables(source).items():
        assert table.table == name
        if table.parent:
            parent = seen[table.parent.table]
            assert table.parent.columns == parent.key, "a detail names its parent by the parent's whole key"
            for column in table.parent.columns:
                mine, theirs = table.column(column), parent.column(column)
                assert (mine.type, mine.length, mine.pseudonym) == (theirs.type, theirs.length, theirs.pseudonym)
        seen[name] = table


@pytest.mark.parametrize(("source", "name"), SOURCE_TABLES)
def test_keys_are_required_and_reach_the_lake(source: str, name: str) -> None:
    table = loader.load_table(source, name)
    assert table.key
    for column in (*table.key, *((table.date,) if table.date else ())):
        assert table.column(column).required, column
    for column in (*table.key, *(c for c in (table.date, table.person) if c)):
        assert table.column(column).keep, column


@by_name(every_table())
def test_every_column_has_a_meaning_in_both_languages(table: Table) -> None:
    for text in (table.title, table.row, *(c.meaning for c in table.columns)):
        assert text.fr.strip() and text.en.strip()
    for column in table.columns:
        assert not column.meaning.fr.endswith("."), column.name
        assert not column.meaning.en.endswith("."), column.name


@by_name(every_table())
def test_pseudonyms_are_identifying_and_the_person_is_one(table: Table) -> None:
    for column in table.columns:
        if column.pseudonym:
            assert column.identifying and column.pseudonym in DOMAINS, column.name
            assert column.type == "string", column.name
        if not column.keep:
            assert column.identifying and not column.required, column.name
    if table.person and table.person != "person_id":
        assert table.column(table.person).pseudonym == "person"


@by_name(every_table())
def test_statistics_are_dates_and_technical_numbers(table: Table) -> None:
    for name in table.stats:
        column = table.column(name)
        assert column.type in ("date", "datetime", "integer") and not column.pseudonym and column.keep


@pytest.mark.parametrize(("source", "name"), SOURCE_TABLES)
def test_free_text_and_names_never_reach_the_lake(source: str, name: str) -> None:
    free = {c.name for c in loader.load_table(source, name).columns if c.name in ("reason_text", "label", "dose_text")}
    kept = {c.name for c in loader.load_table(source, name).lake_columns}
    assert not free & kept


def test_nine_columns_key_and_its_types() -> None:
    prs = loader.load_table("dcir", "er_prs_f")
    assert set(prs.key) == set(NINE) and len(prs.key) == 9
    kinds = {c: prs.column(c).type for c in NINE}
    assert {c for c, kind in kinds.items() if kind == "string"} == {"ORG_CLE_NUM"}
    assert {c for c, kind in kinds.items() if kind == "date"} == {"FLX_DIS_DTD", "FLX_TRT_DTD"}
    assert loader.load_table("dcir", "er_pha_f").key == (*prs.key, "PHA_ORD_NUM")
    assert loader.load_table("dcir", "er_cam_f").key == (*prs.key, "CAM_ORD_NUM")


def test_settlement_groups_by_act_and_sums_the_quantity() -> None:
    settle = loader.load_table("dcir", "er_prs_f").settle
    assert settle is not None and settle.quantity == "PRS_ACT_QTE"
    needed = {"BEN_NIR_PSA", "BEN_RNG_GEM", "EXE_SOI_DTD", "PRS_NAT_REF", "PFS_EXE_NUM", "PFS_PRE_NUM", "ETB_PRE_FIN"}
    assert needed <= set(settle.group)
    assert not {settle.quantity, *settle.sums} & set(settle.group)
    assert not set(settle.group) & set(NINE), "a cancellation has its own key"


@pytest.mark.parametrize("source", SOURCES)
def test_what_a_build_settles_has_a_key_by_which_its_details_name_it(source: str) -> None:
    tables = loader.load_tables(source)
    for table in tables.values():
        if table.settle:
            assert table.key
            used = (*table.settle.group, table.settle.quantity, *table.settle.sums)
            assert all(table.column(name).keep for name in used), "the lake holds what settles"
        if table.parent and tables[table.parent.table].settle:
            assert set(table.parent.columns) == set(tables[table.parent.table].key)


@pytest.mark.parametrize("name", SOURCES["dcir"])
def test_missing_dates_of_the_claims_are_recognised(name: str) -> None:
    table = loader.load_table("dcir", name)
    for column in table.columns:
        if column.type == "date" and column.name not in NINE and not column.format:
            assert column.null_values == ("01/01/1600",), column.name


@pytest.mark.parametrize(
    "placeholder", ["x" * 17, "X" * 17, "x" * 16 + "D", "X" * 16 + "d", "NULL", ".", "0", "0" * 17]
)
def test_a_placeholder_is_no_person_in_any_source(placeholder: str) -> None:
    for source, name in SOURCE_TABLES:
        for column in loader.load_table(source, name).columns:
            if column.pseudonym:
                assert re.fullmatch(str(column.no_value), placeholder), f"{name}.{column.name}"


@pytest.mark.parametrize(
    "placeholder", ["NULL", "n.a.", "-", "000", "x" * 17, "x" * 16 + "D", "9" * 17, "a" * 9, "1" * 9]
)
def test_the_quick_look_lets_no_placeholder_pass(placeholder: str) -> None:
    until, beginning = SURE_IDENTIFIER
    assert re.fullmatch(NO_IDENTIFIER, placeholder)
    assert not (re.match(until, placeholder) and not re.match(beginning, placeholder))


def test_pseudonyms_have_the_form_in_which_they_are_made() -> None:
    """Stage 1 makes the practices'; of those that the insurance and hospitals send, only the length is public."""
    made = stage1(b"k" * 32, "1850578006084", date(1985, 5, 1), "1")
    for source, name in SOURCE_TABLES:
        for column in loader.load_table(source, name).columns:
            if column.pseudonym == "person":
                assert column.form and re.fullmatch(column.form, made), f"{name}.{column.name}"
                assert not re.fullmatch(column.form, made[:-1]) and not re.fullmatch(column.form, made[:-1] + " ")


def test_care_is_not_after_the_delivery() -> None:
    """In every table whose rows are dated by a day."""
    for source, name in SOURCE_TABLES:
        table = loader.load_table(source, name)
        if table.date:
            assert table.column(table.date).not_after == "period", name


def test_bounds_of_another_type_are_refused() -> None:
    meaning = {"fr": "x", "en": "x"}
    for kind, bound in (
        ("string", {"min": 1}), ("integer", {"min": "2000-01-01"}), ("date", {"min": 1}), ("date", {"max": 1}),
        ("integer", {"not_after": "period"}), ("date", {"form": "x"}), ("string", {"form": "["}),
    ):  # fmt: skip
        with pytest.raises((ValueError, re.error)):
            loader.Column.model_validate({"name": "C", "type": kind, "meaning": meaning} | bound)


# ------------------------------------------------------------------ against the references


@cache
def snds() -> dict[str, dict[str, set[str]]]:
    """Table to column to the lengths that the two public descriptions give."""
    found: dict[str, dict[str, set[str]]] = {}

    def add(table: str, column: str, length: str) -> None:
        found.setdefault(table.lower(), {}).setdefault(column, set()).add(length)

    with (REFERENCE / "snds" / "snds_columns.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            add(row["table"], row["column"], row["length"])
    delivery = REFERENCE / "snds" / "scalpel_extract_schema" / "DCIR_schema.csv"
    with delivery.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter=";"):
            add(row["MEMNAME"], row["NAME"], row["FORMATL"])
    return found


@reference
@pytest.mark.parametrize(
    ("source", "name"), [x for x in SOURCE_TABLES if "schema-snds" in loader.load_table(*x).source_document]
)
def test_names_and_lengths_are_the_real_ones(source: str, name: str) -> None:
    real = snds()[name]
    for column in loader.load_table(source, name).columns:
        assert column.name in real, f"{name} has no column {column.name}"
        lengths = real[column.name] - {"", "0"}
        if column.type == "string" and lengths and column.name not in ("PHA_PRS_C13", "PHA_PRS_IDE", "GRG_RET"):
            assert str(column.length) in lengths, f"{name}.{column.name}: {sorted(lengths)}"


@cache
def cdm() -> dict[str, list[dict[str, str]]]:
    path = REFERENCE / "omop" / "cdm" / "OMOP_CDMv5.4_Field_Level.csv"
    fields: dict[str, list[dict[str, str]]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            fields.setdefault(row["cdmTableName"].lower(), []).append(row)
    return fields


def _type(column: Column) -> set[str]:
    """CDM types that a column of ours may stand for: identifiers are wider here, on purpose."""
    length = "MAX" if column.length is None else str(column.length)
    return {
        "string": {f"varchar({length})"},
        "double": {"float"},
        "bigint": {"integer"},
        "integer": {"integer"},
        "date": {"date"},
        "datetime": {"datetime"},
    }[column.type]


@reference
@by_name([(f"omop/{t}", loader.load_omop(t)) for t in loader.omop_names()])
def test_omop_tables_are_those_of_the_cdm(table: Table) -> None:
    fields = cdm()[table.table]
    assert table.names == tuple(f["cdmFieldName"] for f in fields), "all columns, in order"
    for field, column in zip(fields, table.columns, strict=True):
        assert column.required is (field["isRequired"] == "Yes"), column.name
        assert field["cdmDatatype"].replace("Integer", "integer") in _type(column), column.name
        target = f"{field['fkTableName']}.{field['fkFieldName']}".lower() if field["isForeignKey"] == "Yes" else None
        assert column.fk == target, column.name
        assert column.domain == (field["fkDomain"] if field["fkDomain"] != "NA" else None), column.name
    primary = tuple(f["cdmFieldName"] for f in fields if f["isPrimaryKey"] == "Yes")
    if primary:
        assert table.key == primary


def test_omop_tables_of_this_version() -> None:
    assert set(loader.omop_names()) == {
        "person",
        "observation_period",
        "visit_occurrence",
        "condition_occurrence",
        "drug_exposure",
        "procedure_occurrence",
        "death",
        "cdm_source",
        "source_to_concept_map",
        "concept",
        "vocabulary",
    }


def test_identifiers_have_64_bits_and_concepts_32() -> None:
    for name in loader.omop_names():
        for column in loader.load_omop(name).columns:
            if column.name.endswith("concept_id"):
                assert column.type == "integer", f"{name}.{column.name}"
            elif column.name.endswith("_id") and column.type != "string":
                assert column.type == "bigint", f"{name}.{column.name}"


# ------------------------------------------------------------------ rules


def test_every_table_has_rules_and_there_are_enough() -> None:
    assert set(rule_names()) == {name for name, _ in every_table()}
    for source, tables in SOURCES.items():
        assert sum(len(load_rules(f"{source}/{t}")) for t in tables) >= 3 * len(tables)
    assert sum(len(load_rules(f"omop/{t}")) for t in loader.omop_names()) >= 30


@pytest.mark.parametrize("name", [n for n, _ in every_table()])
def test_rules_say_why_and_who(name: str) -> None:
    for rule in load_rules(name):
        assert rule.why.fr and rule.why.en and rule.owner, rule.id
        assert not rule.why.fr.endswith(".") and not rule.why.en.endswith("."), rule.id


@pytest.mark.parametrize(("source", "table"), SOURCE_TABLES)
def test_quarantine_first_warns_then_refuses(source: str, table: str) -> None:
    rates = [r for r in load_rules(f"{source}/{table}") if r.kind == "rate" and r.of == "quarantined"]
    # a record without a valid NIR is quarantined: practices are judged by what their records usually hold
    warning, critical = (0.16, 0.5) if loader.load_source(source).person_key == "nir" else (0.01, 0.2)
    assert [r.severity for r in rates] == ["warning", "critical"]
    held_to, refused_at = (r.max_rate or 0 for r in rates)
    assert held_to <= warning and held_to < refused_at <= critical


def test_rules_add_to_the_contract_and_do_not_repeat_it() -> None:
    for source, name in SOURCE_TABLES:
        table = loader.load_table(source, name)
        for rule in load_rules(f"{source}/{name}"):
            if rule.kind == "not_null" and rule.column:
                assert not table.column(rule.column).required, rule.id
            # the contract holds the key within a delivery, the rule in the whole table: it is about the same key
            assert rule.kind != "unique" or rule.columns == table.key, rule.id


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("key = [", "it is no TOML"),
        ('table = "x"\nfoo = 1\n', "title: Field required; row: Field required.*foo: Extra inputs are not permitted"),
        ("", "table: Field required"),
    ],
)
def test_a_contract_that_is_none_names_its_file_and_every_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    file = tmp_path / "schemas" / "omop" / "oddity.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    monkeypatch.setattr(loader, "HERE", tmp_path / "schemas")
    with pytest.raises(loader.InvalidContract, match=rf"^schemas/omop/oddity.toml is no contract: .*{said}"):
        loader.load_omop("oddity")
    loader.load_omop.cache_clear()


def test_a_command_says_which_contract_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()

    @app.command()
    def broken() -> None:
        raise loader.InvalidContract("schemas/omop/oddity.toml is no contract: it is missing.")

    monkeypatch.setattr("sys.argv", ["hub"])
    with pytest.raises(SystemExit) as ended:
        run(app, "hub")
    assert ended.value.code == 10
    assert "hub: contract: schemas/omop/oddity.toml is no contract" in capsys.readouterr().err
