"""Reference pages of docs/: written from contracts, rules, settings, errors and commands, never by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from catalogue.web.words import reason, reasons
from docs.tools import rooms
from docs.tools.commands import commands_page, in_cell
from expectations.kinds import KINDS
from jobs.delivery import FIRST, PEOPLE, STATES
from jobs.errors import BY_EXIT_CODE, RETRYABLE
from jobs.quality.rule import Rule
from jobs.quality.rules import all_rules
from jobs.settings import CHECKOUT, NOT_IN_FILE, Settings
from jobs.sources.protocol import Filter, load_filters
from schemas.loader import Column, Table, load_omop, load_source, load_tables, omop_names, source_names
from schemas.values import EARLIEST, LATEST

PICTURE = "pictures/rooms.svg"
ENDS = {"critical": "refused", "warning": "a steward is asked", "info": "noted"}
"""What a rule's severity means for the delivery."""
MADE = "<!-- Written from the code by `hub docs`: change the code, not this page. -->\n"


def pages() -> dict[str, str]:
    """Every reference page: path below docs/ -> Markdown."""
    made: dict[str, str] = {}
    rules = all_rules()
    for name in source_names():
        made[f"reference/contracts/{name}.md"] = contract_page(name)
    made["reference/contracts/omop.md"] = omop_page()
    for name in (*source_names(), "omop"):
        of_source = {table: of_table for table, of_table in rules.items() if table.split("/")[0] == name}
        made[f"reference/rules/{name}.md"] = rules_page(name, of_source)
    made["reference/rules/kinds.md"] = kinds_page()
    made["reference/rules/sources.md"] = sources_page(rules)
    made["reference/settings.md"] = settings_page()
    made["reference/states.md"] = states_page()
    made["reference/errors.md"] = errors_page()
    made["reference/refusals.md"] = refusals_page()
    made["reference/commands.md"] = commands_page()
    made["reference/rooms.md"] = rooms.page()
    written = {path: MADE + "\n" + text for path, text in made.items()}
    return written | {PICTURE: rooms.picture()}


def write(docs: Path) -> list[str]:
    """Writes the pages that differ and removes reference pages that nothing makes any more. Their paths."""
    changed = stale(docs)
    made = pages()
    for path in changed:
        if path in made:
            (docs / path).parent.mkdir(parents=True, exist_ok=True)
            (docs / path).write_text(made[path], "utf-8")
        else:
            (docs / path).unlink()
    return changed


def stale(docs: Path) -> list[str]:
    """Paths of reference pages that are not what the code says: to be written again, or to be removed."""
    made = pages()
    paths = [*(docs / "reference").rglob("*.md"), *docs.glob(PICTURE)]
    there = {str(p.relative_to(docs)): p.read_text("utf-8") for p in paths}
    return sorted(path for path in made.keys() | there.keys() if made.get(path) != there.get(path))


VALUES = (
    "Blanks of every kind (white space, no-break and zero-width blanks, control characters, the DOS end mark) are no "
    "part of a value where they stand before or behind it; what stands between is never altered. An identifier that is "
    "a placeholder (NULL, N/A, a dot, a dash, zeros, x, one character again and again) is empty, in any case. Numbers "
    "have ASCII digits, no plus sign, no exponent, and no more decimals than their column; dates have all their digits "
    f"and lie between {EARLIEST} and {LATEST}. What is written otherwise costs its row.",
)
"""How values are read, on each page of a contract."""


def contract_page(name: str) -> str:
    """What a contributor sends: one source with its tables."""
    source = load_source(name)
    form = source.csv
    facts = {
        "Holder": source.holder.en,
        "Cadence": source.cadence.en,
        "Due": f"{source.due.after_days} days after the end of its month" if source.due else "never",
        "Version of the contract": source.contract,
        "Persons arrive": "by NIR, which the source agent replaces" if source.person_key == "nir" else "by pseudonym",
        "File names": f"`{source.file_name}`",
        "Form": f"CSV, separator `{form.delimiter}`, quote `{form.quote}`, {form.encoding}, decimal `{form.decimal}`, "
        f"dates `{form.date_format}`, times `{form.datetime_format}`",
    }
    lines = [f"# Contract: {name}", "", f"{source.title.en}. {source.description.en}", "", *_facts(facts), "", *VALUES]
    for table in load_tables(name).values():
        lines += [*_contract_table(name, table), *_filters(load_filters(name)[table.table])]
    return _text(lines)


def _filters(filters: Sequence[Filter]) -> Iterator[str]:
    if filters:
        yield from ("", "Left out of OMOP, in this order:", "")
        rows = ((f"`{f.name}`", f"`{' '.join(f.leaves_out.split())}`", f.why.en) for f in filters)
        yield from _table(("filter", "condition", "why"), rows)


def omop_page() -> str:
    """The OMOP tables that the hub makes."""
    lines = ["# OMOP tables", "", "Tables of OMOP CDM 5.4 that the hub makes, with the columns that they have."]
    return _text([*lines, *(line for name in omop_names() for line in _contract_table("omop", load_omop(name)))])


def _contract_table(where: str, table: Table) -> Iterator[str]:
    yield from ("", f"## {where}/{table.table}", "", f"{table.title.en}. One row is: {_lower(table.row.en)}.", "")
    said = {
        "Key": _codes(table.key),
        "Parent": f"`{table.parent.table}` by {_codes(table.parent.columns)}" if table.parent else "",
        "Reversals": f"lines equal in {_codes(table.settle.group)} are one act; builds sum `{table.settle.quantity}`"
        if table.settle
        else "",
        "Dated by": _codes([table.date] if table.date else []),
        "Person": _codes([table.person] if table.person else []),
    }
    if any(said.values()):
        yield from (*_facts({k: v for k, v in said.items() if v}), "")
    yield from _table(("column", "type", "", "meaning"), map(_column, table.columns))


def _column(column: Column) -> Sequence[Any]:
    size = f"({column.precision},{column.scale})" if column.type == "decimal" else ""
    size = f"({column.length})" if column.length else size
    marks = [
        "required" if column.required else "",
        "identifying" if column.identifying else "",
        f"pseudonym: {column.pseudonym}" if column.pseudonym else "",
        "" if column.keep else "never in the lake",
        f"of {', '.join(column.values[:12])}{' ...' if len(column.values) > 12 else ''}" if column.values else "",
        f"no value: {', '.join(column.null_values)}" if column.null_values else "",
        f"written `{column.format}`" if column.format else "",
        f"form: `{column.form.replace('|', chr(92) + '|')}`" if column.form else "",
        _bounds(column),
        f"in {column.unit}" if column.unit else "",
        f"refers to `{column.fk}`" if column.fk else "",
        f"domain {column.domain}" if column.domain else "",
    ]
    return f"`{column.name}`", column.type + size, "; ".join(m for m in marks if m), column.meaning.en


def _bounds(column: Column) -> str:
    late = {"period": "not after the delivery's month", "next_month": "not after the month that follows the delivery's"}
    limits = [
        f"from {column.min}" if column.min is not None else "",
        f"to {column.max}" if column.max is not None else "",
        late[column.not_after] if column.not_after else "",
    ]
    return " ".join(filter(None, limits))


def sources_page(rules: Mapping[str, Sequence[Rule]]) -> str:
    """Every source with its contract and rules, and what each asks of a delivery's month."""
    lines = ["# Sources", "", "Contract and rules of each source, and of OMOP.", ""]
    titles = {**{name: load_source(name).title.en for name in source_names()}, "omop": "OMOP CDM 5.4"}
    links = ((f"`{n}`", title, f"[contract](../contracts/{n}.md), [rules]({n}.md)") for n, title in titles.items())
    lines += _table(("source", "", ""), links)
    lines += ["", "## The month of a delivery", ""]
    lines += ["A delivery replaces its month whole. The rules `in_period` ask whether it is of that month.", ""]
    asked = [r for table in sorted(rules) for r in rules[table] if r.kind == "in_period"]
    lines += _table(
        ("table", "rule", "a good row, and why", "when more than is tolerated break it", "tolerated"),
        ((f"`{r.table}`", f"`{r.id}`", (r.claim("en"), r.why.en), ENDS[r.severity], _tolerated(r)) for r in asked),
    )
    return _text(lines)


def rules_page(name: str, rules: Mapping[str, Sequence[Rule]]) -> str:
    """The rules of one source, or of OMOP, by table."""
    count = sum(map(len, rules.values()))
    lines = [f"# Rules: {name}", "", f"{count} rules of {len(rules)} tables. Their kinds: [kinds](kinds.md)."]
    for table, of_table in sorted(rules.items()):
        lines += ["", f"## {table}", "", f"Owner: {', '.join(sorted({r.owner for r in of_table}))}.", ""]
        lines += _table(
            ("rule", "severity", "a good row, and why", "tolerated"),
            ((f"`{r.id}`", r.severity, (r.claim("en"), r.why.en), _tolerated(r)) for r in of_table),
        )
    return _text(lines)


def _tolerated(rule: Rule) -> str:
    rate = f"{rule.max_rate * 100:g} %" if rule.max_rate else ""
    count = f"{rule.max_count} rows" if rule.max_count else ""
    return " and ".join(filter(None, (rate, count))) or ("see the claim" if rule.kind == "row_count" else "none")


def kinds_page() -> str:
    """What a rule file may say."""
    rows = (
        (
            f"`{k.name}`",
            _codes(sorted(k.required)),
            _codes(sorted(k.optional)),
            k.counted["en"],
            f"`{k.standard}`",
        )
        for k in KINDS.values()
    )
    head = ("kind", "needs", "may have", "counted over", "Great Expectations")
    lines = ["# Kinds of rules", "", "The closed list of what a rule in `expectations/` may ask. Every rule also has"]
    lines += ["`id`, `severity`, `why.fr`, `why.en`, and may have `max_rate`, `max_count`, `meta.owner`.", ""]
    return _text([*lines, *_table(head, rows)])


def settings_page() -> str:
    """The settings: variable of the environment, line of hub.toml, default, meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = str(default.relative_to(CHECKOUT)) if isinstance(default, Path) else str(default).lower()
        shown = "" if default in (None, {}, ()) else f"`{shown if isinstance(default, bool | Path) else default}`"
        in_file = "" if name in NOT_IN_FILE else f"`{name}`"
        meaning = " ".join((field.description or "").replace("``", "`").split())
        rows.append((f"`HUB_{name.upper()}`", in_file, shown, meaning))
    lines = [
        "# Settings",
        "",
        "A setting comes from the environment, else from `hub.toml` in `HUB_HOME`, else it has its",
    ]
    lines += [
        "default. `hub init` writes a `hub.toml` with all of them, commented out. Paths are below the checkout.",
        "",
    ]
    return _text([*lines, *_table(("environment", "hub.toml", "default", "meaning"), rows)])


def states_page() -> str:
    """The states of a delivery: who moves each on, and which step may lead where."""
    lines = [
        "# States of a delivery",
        "",
        f"A delivery begins as `{FIRST}`. Each change is one row that is only ever added; the hub database refuses any",
        "move that is not below. A step that is repeated says the same again: every state may follow itself.",
        "",
    ]
    rows = (
        (f"`{name}`", state.meaning, f"the {state.owner}" if state.owner in PEOPLE else f"`{state.owner}`",
         "yes" if state.is_open else "no")
        for name, state in STATES.items()
    )  # fmt: skip
    lines += _table(("state", "meaning", "owner", "open"), rows)
    lines += ["", "While a version of a month is open, other versions of it wait.", "", "## Moves", ""]
    lines += ["A cell says which step may lead from the state of its row to the state of its column.", ""]
    moves = (
        (f"`{name}`", *(", ".join(f"`{step}`" for step, to in state.moves.items() if other in to) for other in STATES))
        for name, state in STATES.items()
    )
    return _text([*lines, *_table(("from", *STATES), moves)])


def errors_page() -> str:
    """Exit codes: what kind of thing went wrong, and whether Airflow tries again."""
    rows = [
        (0, "", "Success.", ""),
        (1, "`HubError`", "Anything else went wrong; a fault of the hub says so, and asks to be reported.", "no"),
        (2, "", "The command line is wrong: an unknown command, option or value. Nothing was done.", "no"),
    ]
    for code, kind in sorted(BY_EXIT_CODE.items()):
        meaning = " ".join((kind.__doc__ or "").split())
        rows.append((code, f"`{kind.__name__}`", meaning, "yes" if issubclass(kind, RETRYABLE) else "no"))
    rows.append((130, "", "Ctrl-C: what was going on was stopped, unless the command says what goes on.", "no"))
    lines = [
        "# Errors and exit codes",
        "",
        "Every command of the hub ends with one of these. A task of Airflow turns the",
    ]
    lines += ["code into the named error, and tries again only where that can help.", ""]
    return _text([*lines, *_table(("exit code", "error", "meaning", "tried again"), rows)])


def refusals_page() -> str:
    """Why records and deliveries are refused: each reason with its words in both languages."""
    lines = [
        "# Reasons of refusals",
        "",
        "Why a record is in quarantine, or a whole delivery was refused or waits, as the catalogue and",
        "`hub delivery show` say it. The message beside it names the file, the table, what was seen and the next step;",
        "`hub delivery quarantined` says where records stand. A reason may carry a column: `unparsable:EXE_SOI_DTD`.",
        "",
    ]
    rows = ((f"`{code}`", reason("en", code), reason("fr", code)) for code in sorted(reasons()))
    return _text([*lines, *_table(("reason", "meaning", "in French"), rows)])


def _facts(facts: Mapping[str, Any]) -> list[str]:
    return [f"- **{name}**: {value}" for name, value in facts.items()]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(_cell(c) for c in row)} |" for row in rows]


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return "<br>".join(map(_cell, value))
    return in_cell(str(value))


def _codes(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
