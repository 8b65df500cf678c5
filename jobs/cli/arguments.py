"""What commands are asked about: sources, months, states, deliveries, tables. A word that names nothing is refused with
what is accepted, and the shell completes those that are."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

import typer

from jobs.cli import home
from jobs.delivery import PERIOD, STATES, DeliveryId, Subject
from jobs.errors import ConfigError, HubError
from schemas.names import source_names

SHOWN = 40
"""So many characters of a word that names nothing are repeated."""


def require_one_of(word: str, names: Iterable[str], kind: str) -> str:
    """The word, when it is one of the names. Raises ``ConfigError`` with the nearest of them, or with all."""
    known = list(names)
    if word in known:
        return word
    near = get_close_matches(word, known, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(
        f"There is no {kind} {word[:SHOWN]!a}.",
        reason=f"unknown_{kind}",
        next_step=f"{meant}{kind.capitalize()}s are {', '.join(known)}" if meant else f"one of {', '.join(known)}",
    )


def source(word: str | None) -> str | None:
    """Checks the name of a source."""
    return word and require_one_of(word, source_names(), "source")


def state(word: str | None) -> str | None:
    """Checks the name of a delivery's state."""
    return word and require_one_of(word, STATES, "state")


def period(word: str | None) -> str | None:
    """Checks a month."""
    if word is not None and not re.fullmatch(PERIOD, word):
        raise ConfigError(
            f"{word[:SHOWN]!a} is not a month.", reason="bad_month", next_step="write it YYYY-MM, for example 2024-03"
        )
    return word


def delivery(word: str) -> str:
    """Checks the form of a delivery's name, and its source."""
    source(DeliveryId.parse(word).source)
    return word


def subject(word: str | None) -> str | None:
    """Checks the name of what is judged: a delivery or a build."""
    try:
        return word and str(Subject.parse(word))
    except ConfigError:
        raise ConfigError(
            "This is not the name of a delivery or a build.",
            reason="bad_subject",
            next_step="write <source>/<YYYY-MM>/v<n> or build/<n>, for example dcir/2024-03/v1 or build/7",
        ) from None


def table(word: str | None) -> str | None:
    """Checks the name of a table that has rules."""
    from jobs.quality.rules import rule_names

    if word is None or word in rule_names():
        return word
    near = get_close_matches(word, rule_names(), n=1)
    raise ConfigError(
        f"{word[:SHOWN]!a} has no rules.",
        reason="unknown_table",
        next_step=f"did you mean {near[0]}?" if near else "`hub quality rules` names those that have",
    )


def complete_source(incomplete: str) -> list[str]:
    """Sources that begin so."""
    return [name for name in source_names() if name.startswith(incomplete)]


def complete_state(incomplete: str) -> list[str]:
    """States of a delivery that begin so."""
    return [name for name in STATES if name.startswith(incomplete)]


def complete_period(incomplete: str) -> list[str]:
    """Months of announced deliveries that begin so; none where there is no hub."""
    return sorted({d.period for d in _announced() if d.period.startswith(incomplete)})


def complete_delivery(incomplete: str) -> list[str]:
    """Announced deliveries that begin so; none where there is no hub."""
    return [str(d) for d in _announced() if str(d).startswith(incomplete)]


def _announced() -> list[DeliveryId]:
    from catalogue import db

    try:
        return [DeliveryId.parse(d["id"]) for d in db.list_deliveries(home.hub(reads=True).engine)]
    except HubError:
        return []


Source = typer.Option(
    help=f"Source, as in schemas/sources: {', '.join(source_names())}.",
    callback=source,
    autocompletion=complete_source,
)
Period = typer.Option(help="Month, YYYY-MM.", callback=period, autocompletion=complete_period)
Delivery = typer.Argument(
    help="Delivery, <source>/<YYYY-MM>/v<n>.", callback=delivery, autocompletion=complete_delivery
)


On = typer.Option("--on", formats=["%Y-%m-%d"], help="As of this day, YYYY-MM-DD; today by default.")
