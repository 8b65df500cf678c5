"""Rules as data: every mistake of a steward is refused with words that help, none is left out in silence."""

from __future__ import annotations

import ast
import re
from datetime import date
from pathlib import Path

import pytest

from expectations.kinds import KINDS, OF, sentence
from jobs.errors import ConfigError
from jobs.quality.rule import Rule
from jobs.quality.rules import all_rules, load_rules, rule_names
from jobs.sources.protocol import load_filters
from schemas.loader import Table
from schemas.loader import load as load_contract

TEXT = {"fr": "x", "en": "x"}
CONTRACTS = {
    "x/y": Table.model_validate(
        {
            "table": "y",
            "title": TEXT,
            "row": TEXT,
            "column": [
                {"name": "CODE", "meaning": TEXT},
                {"name": "YEAR", "type": "integer", "meaning": TEXT},
                {"name": "MONTH", "type": "integer", "meaning": TEXT},
                {"name": "BEGINS", "type": "date", "meaning": TEXT},
                {"name": "ENDS", "type": "date", "meaning": TEXT},
                {"name": "AMOUNT", "type": "decimal", "meaning": TEXT},
                {"name": "PERSON", "pseudonym": "person", "identifying": True, "meaning": TEXT},
                {"name": "NAME", "keep": False, "identifying": True, "meaning": TEXT},
            ],
        }
    ),
    "omop/person": Table.model_validate(
        {"table": "person", "title": TEXT, "row": TEXT, "column": [{"name": "PERSON", "meaning": TEXT}]}
    ),
}


def load(root: Path, text: str, name: str = "x/y") -> tuple[Rule, ...]:
    where, _, table = name.partition("/")
    path = root / ("omop" if where == "omop" else f"sources/{where}") / f"{table}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return load_rules(name, root, CONTRACTS.__getitem__)


def written(arguments: str, identity: str = "X-Y-001") -> str:
    return f'[[rule]]\nid = "{identity}"\nseverity = "warning"\nwhy = {{fr = "a", en = "b"}}\n{arguments}\n'


GOOD = [
    ("kind = 'not_null'\ncolumn = 'CODE'", "CODE est renseigné", "CODE is present"),
    ("kind = 'in_set'\ncolumn = 'CODE'\nvalues = ['A', 'B']", "CODE est dans la liste : A, B", None),
    ("kind = 'between'\ncolumn = 'YEAR'\nmin = 1890\nmax = 2100", None, "YEAR is between 1890 and 2100 (inclusive)"),
    ("kind = 'between'\ncolumn = 'BEGINS'\nmin = '2010-01-01'", None, "BEGINS is at least 2010-01-01"),
    ("kind = 'between'\ncolumn = 'BEGINS'\nmax = 2010-01-01", None, "BEGINS is at most 2010-01-01"),
    ("kind = 'regex'\ncolumn = 'CODE'\nregex = '[A-Z]'", None, "CODE has, as a whole, the form [A-Z]"),
    ("kind = 'not_before'\ncolumn = 'ENDS'\nother = 'BEGINS'", "ENDS n'est pas antérieur à BEGINS", None),
    ("kind = 'same_sign'\ncolumns = ['AMOUNT', 'YEAR']", None, "AMOUNT and YEAR do not have opposite signs"),
    ("kind = 'in_period'\ncolumn = 'BEGINS'", None, "BEGINS is in the month of the delivery"),
    ("kind = 'in_period'\ncolumns = ['YEAR', 'MONTH']", "YEAR + MONTH est dans le mois de la livraison", None),
    ("kind = 'unique'\ncolumns = ['CODE', '_source']", None, "CODE + _source is unique in the whole table"),
    ("kind = 'unique'\ncolumn = 'CODE'", "CODE est unique dans toute la table", None),
    ("kind = 'foreign_key'\ncolumn = 'PERSON'\nreferences = 'omop/person'", None, "PERSON exists in omop/person"),
    ("kind = 'foreign_key'\ncolumns = ['PERSON']\nreferences = 'omop/person.PERSON'", None, None),
    ("kind = 'concept_domain'\ncolumn = 'YEAR'\ndomain = 'Drug'", "YEAR est un concept du domaine Drug", None),
    ("kind = 'rate'\nof = 'quarantined'\nmax_rate = 0.01", None, "no received row is quarantined"),
    ("kind = 'rate'\nof = 'unmapped'\ncolumn = 'YEAR'", None, "YEAR has a standard concept (is not 0)"),
    ("kind = 'row_count'\nmin = 1", "la table a au moins 1 ligne(s)", None),
]


@pytest.mark.parametrize(("arguments", "fr", "en"), GOOD)
def test_the_sentence_comes_from_the_kind(tmp_path: Path, arguments: str, fr: str | None, en: str | None) -> None:
    (rule,) = load(tmp_path, written(arguments))
    assert fr in (None, rule.claim("fr"))
    assert en in (None, rule.claim("en"))


def test_every_kind_is_tried_here() -> None:
    assert {re.search(r"kind = '(\w+)'", a).group(1) for a, _, _ in GOOD} == set(KINDS)  # type: ignore[union-attr]
    for of in OF:
        assert sentence("rate", {"of": of, "column": "C"}, "fr") != sentence("rate", {"of": of, "column": "C"}, "en")


BAD = [
    ("kind = 'sql'\ncolumn = 'CODE'", "unknown kind 'sql'"),
    ("kind = 'not_null'", "not_null needs column"),
    ("kind = 'not_null'\ncolumn = 'CODE'\nmin = 3", "not_null has no min"),
    ("kind = 'not_null'\ncolumn = 'CODES'", "x/y has no column CODES"),
    ("kind = 'not_null'\ncolumn = 'NAME'", "x/y.NAME does not reach the lake"),
    ("kind = 'not_null'\ncolumn = 'CODE'\nsql = '1=1'", "sql: Extra inputs are not permitted"),
    ("kind = 'in_set'\ncolumn = 'CODE'\nvalues = [1]", "CODE is string, but a constant of the rule is int"),
    ("kind = 'in_set'\ncolumn = 'YEAR'\nvalues = ['1']", "YEAR is integer, but a constant of the rule is str"),
    ("kind = 'in_set'\ncolumn = 'CODE'\nvalues = ['A', 'A']", "a value is listed twice"),
    ("kind = 'in_set'\ncolumn = 'PERSON'\nvalues = ['A']", "it is a pseudonym"),
    ("kind = 'between'\ncolumn = 'YEAR'", "between needs one of max, min"),
    ("kind = 'between'\ncolumn = 'CODE'\nmin = 'A'", r"between cannot be asked of CODE \(string\)"),
    ("kind = 'between'\ncolumn = 'YEAR'\nmin = 3\nmax = 2", "min is greater than max"),
    ("kind = 'between'\ncolumn = 'BEGINS'\nmin = 'May'", "Invalid isoformat"),
    ("kind = 'regex'\ncolumn = 'CODE'\nregex = '['", "regex is not a regular expression"),
    ("kind = 'regex'\ncolumn = 'PERSON'\nregex = '.'", r"regex cannot be asked of PERSON \(binary\)"),
    ("kind = 'not_before'\ncolumn = 'ENDS'\nother = 'YEAR'", "two columns of one type"),
    ("kind = 'same_sign'\ncolumns = ['AMOUNT']", "compares several columns"),
    ("kind = 'same_sign'\ncolumns = ['AMOUNT', 'BEGINS']", r"same_sign cannot be asked of BEGINS"),
    ("kind = 'in_period'\ncolumn = 'YEAR'", "takes one date, or a year and a month"),
    ("kind = 'in_period'\ncolumns = ['YEAR', 'BEGINS']", "takes one date, or a year and a month"),
    ("kind = 'in_period'\ncolumns = ['BEGINS', 'ENDS']", "takes one date, or a year and a month"),
    ("kind = 'in_period'\ncolumn = 'CODE'", r"in_period cannot be asked of CODE"),
    ("kind = 'unique'\ncolumns = ['CODE', 'CODE']", "a column is named twice"),
    ("kind = 'unique'\ncolumn = 'CODE'\ncolumns = ['YEAR']", "column or columns, not both"),
    ("kind = 'foreign_key'\ncolumn = 'PERSON'\nreferences = 'omop/death'", "there is no contract for omop/death"),
    ("kind = 'foreign_key'\ncolumn = 'CODE'\nreferences = 'omop/person'", "omop/person has no column CODE"),
    ("kind = 'foreign_key'\ncolumns = ['CODE', 'YEAR']\nreferences = 'x/y.CODE'", "the key has several"),
    ("kind = 'concept_domain'\ncolumn = 'CODE'\ndomain = 'Drug'", r"concept_domain cannot be asked of CODE"),
    ("kind = 'rate'\nof = 'lost'", "of must be one of"),
    ("kind = 'rate'\nof = 'quarantined'\ncolumn = 'CODE'", "column goes with of = 'unmapped'"),
    ("kind = 'rate'\nof = 'unmapped'", "column goes with of = 'unmapped'"),
    ("kind = 'row_count'\nmin = 1.5", "whole numbers"),
    ("kind = 'row_count'\nmin = 1\nmax_rate = 0.1", "limited by min and max"),
    ("kind = 'row_count'\nmin = 2\nmax = 1", "min is greater than max"),
    ("kind = 'not_null'\ncolumn = 'CODE'\nmax_rate = 1.5", "max_rate"),
    ("kind = 'not_null'\ncolumn = 'CODE'\nmax_count = -1", "max_count"),
    ("kind = 'not_null'\ncolumn = 'CODE'\nseverity = 'fatal'", "severity"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD)
def test_a_mistake_stops_the_gate(tmp_path: Path, arguments: str, said: str) -> None:
    text = written(arguments)
    if "severity = 'fatal'" in arguments:
        text = text.replace('severity = "warning"\n', "")
    with pytest.raises(ConfigError, match=said) as refused:
        load(tmp_path, text)
    assert "X-Y-001" in str(refused.value)
    assert "y.toml" in str(refused.value)


def test_a_rule_says_why(tmp_path: Path) -> None:
    text = written("kind = 'not_null'\ncolumn = 'CODE'").replace('why = {fr = "a", en = "b"}\n', "")
    with pytest.raises(ConfigError, match="why: Field required"):
        load(tmp_path, text)


def test_an_id_is_used_once_in_the_whole_tree(tmp_path: Path) -> None:
    text = written("kind = 'not_null'\ncolumn = 'PERSON'")
    (tmp_path / "omop").mkdir()
    (tmp_path / "omop" / "person.toml").write_text(text)
    with pytest.raises(ConfigError, match="Rule X-Y-001 is in x/y and in omop/person"):
        load(tmp_path, text)


@pytest.mark.parametrize("text", ["", "rule = 3", "[rules]\nx = 1", "[[rule]\n"])
def test_a_file_without_readable_rules_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, text)


def test_a_table_without_rules_cannot_look_as_if_it_had_passed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="x/z has no rules"):
        load_rules("x/z", tmp_path, CONTRACTS.__getitem__)


def test_constants_take_the_type_of_the_column(tmp_path: Path) -> None:
    (rule,) = load(tmp_path, written("kind = 'between'\ncolumn = 'BEGINS'\nmin = '2010-01-31'"))
    assert rule.min == date(2010, 1, 31)


def test_a_count_alone_is_the_limit_and_with_a_rate_both_hold(tmp_path: Path) -> None:
    base = "kind = 'not_null'\ncolumn = 'CODE'\n"
    texts = [base, base + "max_count = 5", base + "max_count = 5\nmax_rate = 0.1"]
    rules = load(tmp_path, "".join(written(t, f"X-{n}") for n, t in enumerate(texts)))
    assert [(r.allowed_rate, r.max_count) for r in rules] == [(0.0, None), (1.0, 5), (0.1, 5)]


@pytest.mark.parametrize(
    ("regex", "value", "fits"),
    [("A|B", "A", True), ("A|B", "AB", False), ("A|B", "xB", False), ("^A$", "A", True), ("A", "A\n", False)],
)
def test_a_form_is_about_the_whole_value(regex: str, value: str, fits: bool) -> None:
    rule = Rule.model_validate(
        {"table": "x/y", "id": "X-1", "severity": "info", "why": TEXT, "kind": "regex", "column": "C", "regex": regex}
    )
    assert bool(re.search(rule.pattern, value)) is fits


def test_the_rules_of_the_house_are_all_valid() -> None:
    rules = all_rules()
    assert tuple(rules) == rule_names()
    assert all(r.owner and r.why.fr and r.why.en for of_table in rules.values() for r in of_table)


def critical_over_omop() -> list[Rule]:
    return [r for n, rules in all_rules().items() if n.startswith("omop/") for r in rules if r.severity == "critical"]


@pytest.mark.parametrize("rule", critical_over_omop(), ids=lambda r: r.id)
def test_a_critical_rule_over_omop_says_what_guarantees_it(rule: Rule) -> None:
    """A filter of a source (``table:filter``), a required column (``table.COLUMN``), a function, or the maps' tests.

    What no source and no step guarantees would block the release of all sources for one bad row.
    """
    guarantees = rule.meta["guaranteed_by"].split(", ")
    for name in guarantees:
        if name.startswith("jobs."):
            module, _, function = name.rpartition(".")
            tree = ast.parse((Path(*module.split(".")).with_suffix(".py")).read_text("utf-8"))
            assert function in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        elif ":" in name:
            table, _, named = name.partition(":")
            source, _, short = table.partition("/")
            assert named in {f.name for f in load_filters(source)[short]}, name
        elif name != "schemas/mappings":
            table, _, column = name.partition(".")
            assert load_contract(table).column(column).required


def test_the_rules_over_omop_ask_for_no_more_than_the_bounds_that_rows_keep() -> None:
    from jobs.harmonise import bounds
    from jobs.harmonise.omop import event_tables

    quantities = {events.kind: events.quantity for events in event_tables().values()}
    rules = {r.id: r for name, of_table in all_rules().items() if name.startswith("omop/") for r in of_table}
    assert rules["OMOP-DEA-004"].min == bounds.FIRST_DAY
    assert rules["OMOP-VIS-008"].min == rules["OMOP-OBS-006"].min == bounds.FIRST_DAY
    assert rules["OMOP-PER-004"].min == bounds.FIRST_YEAR_OF_BIRTH
    for rule, ends in (("OMOP-DRG-009", "drug"), ("OMOP-PRO-008", "procedure")):
        assert (rules[rule].min, rules[rule].max) == quantities[ends]
    assert rules["OMOP-DRG-010"].min <= bounds.DAYS_SUPPLY[0]  # type: ignore[operator]
    assert rules["OMOP-DRG-010"].max == bounds.DAYS_SUPPLY[1]


def test_rules_need_neither_spark_nor_great_expectations() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from jobs.quality import rules, judge, verdict, docs; import jobs.cli.quality; "
        "rules.all_rules(); heavy = {'pyspark', 'great_expectations', 'pandas', 'sqlalchemy'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
