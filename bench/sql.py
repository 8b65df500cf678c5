"""The contract and the stewards' rules in DuckDB's SQL: what ``jobs.rows.typed`` and ``jobs.quality.counters`` say.

Written anew from the TOML files, not translated from the hub's expressions: two readings of one contract that must
come to the same rows.
"""

from __future__ import annotations

from expectations.kinds import FROM_BOOKS
from jobs.quality.rule import Rule
from schemas.forms import form, latest
from schemas.loader import Column, Csv, Table
from schemas.values import BLANKS

STRPTIME = {"dd/MM/yyyy": "%d/%m/%Y", "yyyy-MM-dd": "%Y-%m-%d"}
TYPES = {"string": "varchar", "date": "date", "integer": "integer", "bigint": "bigint", "double": "double"}


def quoted(value: object) -> str:
    """A literal."""
    return "'" + str(value).replace("'", "''") + "'"


def in_list(values: object) -> str:
    """A parenthesised list of literals."""
    return "(" + ", ".join(quoted(v) for v in values) + ")"  # type: ignore[attr-defined]


def text(column: Column) -> str:
    """As sent but for blanks at its ends; NULL for a sentinel. An empty field is NULL already."""
    value = f"nullif(trim({column.name}, {quoted(BLANKS[1:])}), '')"  # a NUL is not text: the door refuses it
    for sentinel in column.null_values:
        value = f"nullif({value}, {quoted(sentinel)})"
    return f"CASE WHEN NOT {matches(value, column.no_value)} THEN {value} END" if column.no_value else value


def matches(value: str, pattern: str) -> str:
    """Whether a whole value has a pattern."""
    return f"regexp_full_match({value}, {quoted(pattern)})"


def typed(column: Column, csv: Csv) -> str:
    """The value of the lake from its text, NULL when it cannot be read; a pseudonymised column stays text."""
    sent = column.name
    if column.type == "string":
        return sent
    if column.type == "date":
        return f"try_strptime({sent}, {quoted(STRPTIME[csv.date_format])})::date"
    if column.type == "decimal":
        return f"try_cast({sent} AS decimal({column.precision},{column.scale}))"
    return f"try_cast({sent} AS {TYPES[column.type]})"


def reason(table: Table, csv: Csv, period: str) -> str:
    """The first rule of the contract that a row of texts breaks, in the order of its columns; NULL when none."""
    cases = []
    for column in table.columns:
        sent, value, pattern = column.name, typed(column, csv), form(column, csv)
        misshapen = f"NOT {matches(sent, pattern)}" if pattern else "false"
        if column.required:
            cases.append((f"{sent} IS NULL", "missing", column))
        if column.type != "string":
            cases.append((f"{sent} IS NOT NULL AND ({value} IS NULL OR {misshapen})", "unparsable", column))
        if column.length and column.type in ("string", "integer", "bigint"):
            digits = sent if column.type == "string" else f"ltrim({sent}, '-')"
            cases.append((f"length({digits}) > {column.length}", "too_long", column))
        if column.type == "string" and pattern:
            cases.append((misshapen, "form", column))
        if column.values:
            cases.append((f"{sent} NOT IN {in_list(column.values)}", "code", column))
        if column.type == "date":
            cases.append((f"{value} < {quoted(column.earliest)}", "too_early", column))
            cases.append((f"{value} > {quoted(latest(column.not_after, period))}", "too_late", column))
    return "CASE " + " ".join(f"WHEN {c} THEN '{code}:{column.name}'" for c, code, column in cases) + " END"


def row_rules(rules: list[Rule]) -> list[Rule]:
    """The rules that a row answers alone."""
    return [r for r in rules if r.of not in FROM_BOOKS and r.kind in ("not_before", "between", "in_set", "regex")]


def violated(rule: Rule) -> str:
    """True where the rule is broken."""
    if rule.kind == "not_before":
        return f"{rule.column} < {rule.other}"
    if rule.kind == "in_set":
        return f"{rule.column} NOT IN {in_list(rule.values)}"
    if rule.kind == "regex":
        return f"NOT regexp_full_match({rule.column}, {quoted(rule.regex)})"
    below = [] if rule.min is None else [f"{rule.column} < {quoted(rule.min)}"]
    above = [] if rule.max is None else [f"{rule.column} > {quoted(rule.max)}"]
    return " OR ".join(below + above)


def asked(rule: Rule) -> str:
    """True where the rule can be asked."""
    present = f"{rule.column} IS NOT NULL"
    return f"{present} AND {rule.other} IS NOT NULL" if rule.kind == "not_before" else present
