"""The code universe holds together: every code has a concept, every concept a row, every fact its place."""

from __future__ import annotations

from collections import Counter

import pytest

from schemas import mappings
from schemas.loader import load_omop

VOCABULARIES = {"CIM10", "CISP2", "CCAM", "CIP13", "PRS_NAT_REF", "MCO_STAY", "VILLE_ENCOUNTER"}
CLOSED = {"MCO_STAY", "VILLE_ENCOUNTER"}


def test_every_vocabulary_of_the_sources_is_mapped() -> None:
    assert {m.vocabulary for m in mappings.mappings()} == VOCABULARIES


def test_every_emitted_code_is_mapped_and_every_mapped_code_is_emitted() -> None:
    emitted = {
        "CIM10": {c.code for c in mappings.conditions("CIM10")},
        "CISP2": {c.code for c in mappings.conditions("CISP2")},
        "CCAM": {a.code for a in mappings.acts()},
        "CIP13": {d.cip13 for d in mappings.drugs()},
        "PRS_NAT_REF": {str(s.code) for s in mappings.services()},
    }
    for vocabulary, codes in emitted.items():
        assert codes == {m.code for m in mappings.mappings() if m.vocabulary == vocabulary}


def test_every_target_is_a_standard_concept_of_the_mini_vocabulary() -> None:
    for m in mappings.mappings():
        concept = mappings.concepts()[m.target_concept_id]
        assert concept.vocabulary == m.target_vocabulary
        assert concept.standard is (m.target_concept_id != 0)
        assert m.target_concept_id < 2_000_000_000, "custom concepts are never standard"


@pytest.mark.parametrize("vocabulary", sorted(VOCABULARIES - CLOSED))
def test_one_code_of_each_open_vocabulary_is_unmapped(vocabulary: str) -> None:
    unmapped = [code for (v, code), ids in mappings.targets().items() if v == vocabulary and ids == (0,)]
    assert len(unmapped) == 1


def test_zero_is_never_one_of_several_targets() -> None:
    assert not [key for key, ids in mappings.targets().items() if len(ids) > 1 and 0 in ids]


def test_one_code_gives_two_concepts_and_two_codes_are_routed_to_another_domain() -> None:
    assert mappings.targets()["CIM10", "E1128"] == (201826, 192279)
    routed = {m.code for m in mappings.mappings() if m.vocabulary == "CIM10" and _domain(m) == "Procedure"}
    assert routed == {"Z511", "Z491"}


def _domain(mapping: mappings.Mapping) -> str:
    return mappings.concepts()[mapping.target_concept_id].domain


@pytest.mark.parametrize(
    ("vocabulary", "domains"),
    [
        ("CIM10", {"Condition", "Procedure", "Metadata"}),
        ("CISP2", {"Condition", "Metadata"}),
        ("CCAM", {"Procedure", "Metadata"}),
        ("CIP13", {"Drug", "Metadata"}),
        ("PRS_NAT_REF", {"Visit", "Metadata"}),
        ("MCO_STAY", {"Visit"}),
        ("VILLE_ENCOUNTER", {"Visit"}),
    ],
)
def test_only_domains_that_the_hub_has_tables_for(vocabulary: str, domains: set[str]) -> None:
    assert {_domain(m) for m in mappings.mappings() if m.vocabulary == vocabulary} == domains


def test_housekeeping_concepts_are_there_with_their_domain() -> None:
    known = {i: c.domain for i, c in mappings.concepts().items()}
    assert known[0] == "Metadata" and known[756265] == "Metadata"
    assert {known[i] for i in (8507, 8532)} == {"Gender"}
    assert {known[i] for i in (9201, 9202, 581477, 581476, 581458, 32036, 5083)} == {"Visit"}
    assert {known[i] for i in (32810, 32812, 32813, 32817, 32827, 32838, 32854, 32855, 32869, 32880)} == {
        "Type Concept"
    }
    assert {known[i] for i in (32902, 32908)} == {"Condition Status"}


def test_cip13_is_country_code_cip7_and_check_digit() -> None:
    for drug in mappings.drugs():
        assert drug.cip13[:12] == "34009" + drug.cip7
        digits = [int(c) for c in drug.cip13]
        assert (sum(digits[::2]) + 3 * sum(digits[1::2])) % 10 == 0
        assert drug.cip7.startswith("999"), "fictitious numbers only"


def test_units_per_box_shows_the_forms_that_the_source_sends() -> None:
    forms = {d.units_per_box for d in mappings.drugs()}
    assert {"30", "200 DOSES", "2 / 3ML", "10 + 10"} <= forms


def test_codes_have_the_form_of_their_nomenclature() -> None:
    assert all("." not in c.code and 3 <= len(c.code) <= 6 for c in mappings.conditions("CIM10"))
    assert all(len(c.code) == 3 for c in mappings.conditions("CISP2"))
    assert all(len(a.code) == 7 and a.code[:4].isalpha() and a.code[4:].isdigit() for a in mappings.acts())
    assert all(len(d.atc) == 7 for d in mappings.drugs())


def test_plausibility_is_usable() -> None:
    rows: list[mappings.Condition | mappings.Act | mappings.Drug] = [*mappings.conditions(), *mappings.acts()]
    rows += mappings.drugs()
    for row in rows:
        assert row.sex in (None, 1, 2) and 0 <= row.age_min <= row.age_max <= 105 and row.weight > 0
    services = {s.code for s in mappings.services()}
    assert {a.prs_nat_ref for a in mappings.acts()} | {d.prs_nat_ref for d in mappings.drugs()} <= services
    topics = {c.topic for c in mappings.conditions()}
    assert {t for row in rows if not isinstance(row, mappings.Condition) for t in row.topics} <= topics


def test_prices_are_cents() -> None:
    assert next(a for a in mappings.acts() if a.code == "DEQP003").price == 1426
    assert next(s for s in mappings.services() if s.code == 3313).price is None


@pytest.mark.parametrize("table", mappings.vocabulary_tables())
def test_omop_rows_keep_the_contract(table: str) -> None:
    contract = load_omop(table)
    rows = mappings.omop_rows(table)
    assert rows
    for row in rows:
        for value, column in zip(row, contract.columns, strict=True):
            assert value is not None or not column.required, column.name
            assert column.length is None or value is None or len(str(value)) <= column.length, column.name
    places = [contract.names.index(name) for name in contract.key]
    assert max(Counter(tuple(row[i] for i in places) for row in rows).values()) == 1


def test_omop_rows_knows_only_vocabulary_tables() -> None:
    with pytest.raises(KeyError):
        mappings.omop_rows("person")


def test_vocabularies_are_declared() -> None:
    names = {row[0] for row in mappings.omop_rows("vocabulary")}
    assert VOCABULARIES | {c.vocabulary for c in mappings.concepts().values()} <= names
    assert 0 < len(mappings.vocabulary_version()) <= 20
