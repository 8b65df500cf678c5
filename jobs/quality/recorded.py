"""A recorded quality run as the report wants it: numbers from the hub database, words from the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from expectations.kinds import Lang
from jobs.delivery import Subject
from jobs.errors import ConfigError
from jobs.quality.report import report, with_words
from jobs.quality.rules import Rule, all_rules

if TYPE_CHECKING:
    from sqlalchemy import Engine


def recorded_report(run: Mapping[str, Any], lang: Lang) -> str:
    """The report of a run as the hub database keeps it: words come from the rules. What the catalogue serves."""
    return report(with_words(run, _rules()), lang)


def _rules() -> list[Rule]:
    return [rule for rules in all_rules().values() for rule in rules]


def recorded_run(engine: Engine, subject: str) -> dict[str, Any]:
    """The last quality run of a delivery or build with words, decisions and, of a delivery, its books per file.

    Raises ``ConfigError`` when the subject was never judged.
    """
    from catalogue.db import records

    run = records.last_quality_run(engine, subject)
    if run is None:
        raise ConfigError(f"{subject} was never judged.", next_step="see `hub quality list` for what was")
    delivery = Subject.parse(subject).delivery
    known = records.get_delivery(engine, delivery) if delivery else None
    return {**with_words(run, _rules()), "books": known["books"] if known else []}


def recorded_counts(engine: Engine, subject: str) -> dict[str, tuple[tuple[Rule, ...], dict[str, tuple[int, int]]]]:
    """The rules and the recorded counts of every judged table of a subject: what ``judge_all`` takes.

    Raises ``ConfigError`` when nothing was counted.
    """
    from catalogue.db import records

    rules, counts = all_rules(), records.get_counts(engine, subject)
    if not counts:
        raise ConfigError(f"Nothing was counted of {subject}.", next_step="see `hub quality list` for what was")
    return {name: (rules.get(name, ()), found) for name, found in counts.items()}
