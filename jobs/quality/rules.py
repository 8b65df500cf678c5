"""Rules as data: reads ``expectations/**/*.toml`` into frozen rules that are checked against the contracts.

``expectations/sources/<source>/<table>.toml``  rules of ``<source>/<table>``
``expectations/omop/<table>.toml``              rules of ``omop/<table>``

A file holds ``[[rule]]`` tables only. Every mistake is a ``ConfigError`` that names file, rule and argument: a rule
that cannot be understood must stop the gate, never be left out. No Spark, no Great Expectations here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from expectations.kinds import NUMBERS
from jobs.errors import ConfigError
from jobs.quality.rule import Rule, Scalar, Severity
from schemas import loader
from schemas.loader import Column, Table

__all__ = ["EXPECTATIONS", "Rule", "Severity", "all_rules", "load_rules", "rule_names"]

EXPECTATIONS = Path(loader.__file__).resolve().parent.parent / "expectations"

Contract = Callable[[str], Table]

LINEAGE = frozenset({"_period", "_source", "_row", "_file"})
"""Technical columns that the hub adds to every table: a key may name them."""


def _typed(value: Scalar, column: Column) -> Scalar:
    """A rule's constant as the column's type holds it. Raises ``ValueError`` when it is of another type."""
    kind = column.type
    fits = {
        "string": type(value) is str,
        "integer": type(value) is int,
        "bigint": type(value) is int,
        "decimal": type(value) in (int, float),
        "double": type(value) in (int, float),
        "boolean": type(value) is bool,
        "date": type(value) in (date, str),
        "datetime": type(value) in (datetime, date, str),
    }
    if not fits[kind]:
        raise ValueError(f"{column.name} is {kind}, but a constant of the rule is {type(value).__name__}")
    if kind == "date" and isinstance(value, str):
        return date.fromisoformat(value)
    if kind == "datetime" and not isinstance(value, datetime):
        return datetime.fromisoformat(str(value))
    return value


def _known(rule: Rule, name: str, table: Table) -> Column | None:
    """The contract's column; None for a technical column. Raises ``ValueError`` when there is none in the lake."""
    if name in LINEAGE:
        return None
    if name not in table.names:
        raise ValueError(f"{rule.table} has no column {name}")
    column = table.column(name)
    if not column.keep:
        raise ValueError(f"{rule.table}.{name} does not reach the lake (keep = false)")
    return column


def against_contract(rule: Rule, contract: Contract) -> Rule:
    """The rule with its constants in the column's type. Raises ``ValueError`` when it does not fit the contracts."""
    table = _contract(rule.table, contract)
    columns = [_known(rule, name, table) for name in (*rule.columns, *((rule.other,) if rule.other else ()))]
    about = columns[0] if columns else None
    for column in columns:
        kind = "binary" if column and column.pseudonym else column.type if column else "string"
        if rule.spec.types and kind not in rule.spec.types:
            raise ValueError(f"{rule.kind} cannot be asked of {column.name if column else 'a column'} ({kind})")
    if rule.kind == "in_set" and about and about.pseudonym:
        raise ValueError(f"in_set cannot be asked of {about.name}: it is a pseudonym")
    if len({"n" if c.type in NUMBERS else c.type for c in columns if c}) > 1 and rule.kind == "not_before":
        raise ValueError("not_before compares two columns of one type")
    if rule.kind == "in_period":
        _names_a_month(rule, columns)
    if rule.kind == "same_sign" and len(columns) < 2:
        raise ValueError("same_sign compares several columns")
    if rule.kind == "foreign_key":
        _refers_to_columns(rule, contract)
    if about is None or rule.kind not in ("in_set", "between"):
        return rule
    low, high = (None if x is None else _typed(x, about) for x in (rule.min, rule.max))
    if low is not None and high is not None and low > high:  # type: ignore[operator]
        raise ValueError("min is greater than max")
    return rule.model_copy(update={"values": tuple(_typed(v, about) for v in rule.values), "min": low, "max": high})


def _names_a_month(rule: Rule, columns: Sequence[Column | None]) -> None:
    """Raises ``ValueError`` unless the columns are one date, or a year and a month."""
    kinds = [column.type for column in columns if column]
    if kinds not in (["date"], ["datetime"], ["integer", "integer"]):
        raise ValueError(f"{rule.kind} takes one date, or a year and a month as integers, in this order")


def _refers_to_columns(rule: Rule, contract: Contract) -> None:
    """Raises ``ValueError`` unless the columns that a foreign key points to exist."""
    where, names = rule.reference
    if len(names) != len(rule.columns):
        raise ValueError("references names one column, the key has several: leave the column out")
    if unknown := set(names) - set(_contract(where, contract).names) - LINEAGE:
        raise ValueError(f"{where} has no column {', '.join(sorted(unknown))}")


def _contract(name: str, contract: Contract) -> Table:
    try:
        return contract(name)
    except (KeyError, FileNotFoundError):
        raise ValueError(f"there is no contract for {name}") from None


def _path(name: str, root: Path) -> Path:
    where, _, table = name.partition("/")
    return root / "omop" / f"{table}.toml" if where == "omop" else root / "sources" / where / f"{table}.toml"


def _name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return "/".join(parts[-2:])


@cache
def _raw(root: Path) -> dict[str, tuple[dict[str, Any], ...]]:
    """Every rule of the tree as written, by table. Refuses an id that is used twice anywhere."""
    tree: dict[str, tuple[dict[str, Any], ...]] = {}
    owner: dict[str, str] = {}
    for path in sorted([*root.glob("sources/*/*.toml"), *root.glob("omop/*.toml")]):
        name = _name(path, root)
        try:
            data = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path.name} of {name} is not TOML: {error}.", next_step=f"correct {path}") from None
        written = data.pop("rule", [])
        if data or not isinstance(written, list) or not all(isinstance(r, dict) for r in written):
            raise ConfigError(f"The rules of {name} must be [[rule]] tables only.", next_step=f"correct {path}")
        for rule in written:
            identity = str(rule.get("id"))
            if identity in owner:
                raise ConfigError(
                    f"Rule {identity} is in {name} and in {owner[identity]}: an id is never used twice.",
                    next_step=f"give one of them a new id in {path}",
                )
            owner[identity] = name
        tree[name] = tuple(written)
    return tree


def _parse(name: str, written: Iterable[dict[str, Any]], path: Path, contract: Contract) -> tuple[Rule, ...]:
    rules = []
    for data in written:
        try:
            rules.append(against_contract(Rule.model_validate({**data, "table": name}), contract))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            said = f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
            raise _refused(data, name, said, path) from None
        except ValueError as error:
            raise _refused(data, name, str(error), path) from None
    return tuple(rules)


def _refused(data: dict[str, Any], name: str, said: str, path: Path) -> ConfigError:
    return ConfigError(f"Rule {data.get('id', '(without id)')} of {name}: {said}.", next_step=f"correct {path}")


def rule_names(root: Path = EXPECTATIONS) -> tuple[str, ...]:
    """Names of the tables that have rules, sorted."""
    return tuple(sorted(name for name, written in _raw(root).items() if written))


@cache
def load_rules(name: str, root: Path = EXPECTATIONS, contract: Contract = loader.load) -> tuple[Rule, ...]:
    """The rules of one table (``dcir/er_prs_f``), in the order of the file.

    Raises ``ConfigError`` for a rule that is wrong, for an id used twice in the whole tree, and for a table without
    rules: what cannot be judged must not look as if it had passed.
    """
    rules = _parse(name, _raw(root).get(name, ()), _path(name, root), contract)
    if not rules:
        raise ConfigError(f"{name} has no rules.", next_step=f"write them in {_path(name, root)}")
    return rules


def in_checking_order(names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of tables: the rules of each look into tables of groups before it only. Raises ``ConfigError`` for a
    circle."""
    wanted = set(names)
    looks_into = {n: {r.looks_into for r in load_rules(n) if r.looks_into} & wanted - {n} for n in sorted(wanted)}
    order, groups = TopologicalSorter(looks_into), []
    try:
        order.prepare()
    except CycleError as error:
        raise ConfigError(
            f"Rules of {' and '.join(sorted(set(error.args[1])))} look into each other: none can be counted first.",
            next_step="take one of these foreign keys out of expectations/",
        ) from error
    while ready := order.get_ready():
        groups.append(tuple(sorted(ready)))
        order.done(*ready)
    return tuple(groups)


def all_rules(root: Path = EXPECTATIONS, contract: Contract = loader.load) -> dict[str, tuple[Rule, ...]]:
    """The rules of every table that has some, by table name. Raises ``ConfigError`` as ``load_rules``."""
    return {name: load_rules(name, root, contract) for name in rule_names(root)}
