"""A delivery: its name ``<source>/<period>/v<n>``, its states with the moves between them; and what can be judged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from jobs.errors import ConfigError, HubError, NotReady, UnexpectedState

PERIOD = r"(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])"
"""Pattern of a month, ``YYYY-MM``."""
_SOURCE = re.compile(r"[a-z][a-z0-9_]{0,30}", re.ASCII)
_BUILD = re.compile(r"build/([1-9][0-9]{0,17})", re.ASCII)
_VERSION = re.compile(r"v([1-9][0-9]{0,4})", re.ASCII)


def month_after(period: str) -> str:
    """The month (``YYYY-MM``) that follows a month."""
    year, month = int(period[:4]), int(period[5:])
    return f"{year + month // 12}-{month % 12 + 1:02d}"


@dataclass(frozen=True, order=True)
class DeliveryId:
    """One version of what one source sends for one month. Ordered by source, period, version."""

    source: str
    period: str
    """Month, ``YYYY-MM``."""
    version: int

    def __post_init__(self) -> None:
        if not (_SOURCE.fullmatch(self.source) and re.fullmatch(PERIOD, self.period) and 1 <= self.version <= 99_999):
            raise ConfigError(
                "This is not the name of a delivery.",
                reason="bad_delivery_id",
                next_step="Write it as <source>/<YYYY-MM>/v<n>, for example dcir/2024-03/v1.",
            )

    @classmethod
    def parse(cls, text: str) -> DeliveryId:
        """Reads ``dcir/2024-03/v1``. Raises ``ConfigError`` for anything else."""
        source, _, rest = text.partition("/")
        period, _, version = rest.partition("/")
        number = _VERSION.fullmatch(version)
        return cls(source, period, int(number.group(1)) if number else 0)

    def __str__(self) -> str:
        return "/".join(self.parts)

    @property
    def parts(self) -> tuple[str, str, str]:
        """The three folder names, outermost first."""
        return self.source, self.period, f"v{self.version}"

    @property
    def slice(self) -> tuple[str, str]:
        """Source and period: of each, the lake holds the rows of one delivery at a time."""
        return self.source, self.period

    def under(self, root: Path) -> Path:
        """This delivery's folder below ``root`` (an outbox, landing, quarantine, staging)."""
        return root.joinpath(*self.parts)


@dataclass(frozen=True)
class Subject:
    """What a gate judges and a steward decides on: a delivery, or a build of the OMOP tables. One of the two is set."""

    delivery: DeliveryId | None = None
    build: int | None = None

    def __post_init__(self) -> None:
        if (self.delivery is None) == (self.build is None):
            raise ConfigError("A subject is a delivery or a build.", reason="bad_subject")

    @classmethod
    def parse(cls, text: str) -> Subject:
        """Reads ``dcir/2024-03/v1`` or ``build/7``. Raises ``ConfigError`` for anything else."""
        if number := _BUILD.fullmatch(text):
            return cls(build=int(number.group(1)))
        return cls(delivery=DeliveryId.parse(text))

    def __str__(self) -> str:
        return str(self.delivery) if self.delivery else f"build/{self.build}"


@dataclass(frozen=True)
class State:
    """One state of a delivery: who moves it on, and which step or command may move it where."""

    meaning: str
    owner: str
    """The step that comes next, or who is waited for."""
    is_open: bool
    """Whether a step is still before it: other versions of its month wait for its end."""
    moves: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Step -> states that it may lead to."""

    @property
    def targets(self) -> frozenset[str]:
        """The states that can follow."""
        return frozenset(state for states in self.moves.values() for state in states)


FIRST = "announced"
"""The state that a delivery begins in."""
PEOPLE = ("contributor", "data steward", "data engineer")
_REFUSED = ("incomplete", "rejected", "superseded")
_TAKEN_IN = ("pulled", *_REFUSED, "duplicate")
_TAKEN_IN_AGAIN = ("pulled", *_REFUSED)
STATES: Mapping[str, State] = MappingProxyType({
    "announced": State(
        "Its manifest was read, and all files that it names are there.",
        owner="pull", is_open=True,
        moves={"announce": ("announced", "incomplete"), "pull": _TAKEN_IN},
    ),
    "pulled": State(
        "Its files lie sealed in the landing.",
        owner="stage", is_open=True,
        moves={"pull": _TAKEN_IN, "stage": ("staged",)},
    ),
    "staged": State(
        "Its rows are typed, pseudonymised and counted; they wait for the gate.",
        owner="gate", is_open=True,
        moves={
            "pull": _TAKEN_IN, "gate": ("waiting", "rejected"),
            "publish": ("published", "superseded"),
        },
    ),
    "waiting": State(
        "The gate found warnings: somebody must decide whether it is published.",
        owner="data steward", is_open=True,
        moves={
            "pull": _TAKEN_IN, "stage": ("staged",), "gate": ("rejected",), "decide": ("approved", "rejected"),
            # the gate was repeated, and passed
            "publish": ("published", "superseded"),
        },
    ),
    "approved": State(
        "A data steward accepted its warnings.",
        owner="publish", is_open=True,
        moves={
            "pull": _TAKEN_IN, "stage": ("staged",), "gate": ("waiting", "rejected"), "decide": ("rejected",),
            "publish": ("published", "superseded"),
        },
    ),
    "published": State(
        "Its rows are in the lake.",
        owner="data engineer", is_open=False,
        moves={
            "pull --again": _TAKEN_IN_AGAIN, "stage": ("staged",), "gate": ("rejected",), "publish": ("superseded",),
            "withdraw": ("withdrawn",),
        },
    ),
    "incomplete": State(
        "A file that its manifest names is not there.",
        owner="contributor", is_open=False,
        # what the lake holds of it from before can be withdrawn
        moves={"announce": ("announced",), "pull": _TAKEN_IN, "withdraw": ("withdrawn",)},
    ),
    "rejected": State(
        "It broke its contract, failed its gate, or a data steward rejected it. What was published before stays.",
        owner="contributor", is_open=False,
        moves={
            "announce": ("announced",), "pull --again": _TAKEN_IN_AGAIN, "stage": ("staged",),
            "withdraw": ("withdrawn",),
        },
    ),
    "duplicate": State(
        "Its files are those that the lake holds of this month.",
        owner="data engineer", is_open=False,
        moves={"pull --again": _TAKEN_IN_AGAIN},
    ),
    "superseded": State(
        "A higher version of its month was published before it.",
        owner="data engineer", is_open=False,
        moves={"pull --again": _TAKEN_IN_AGAIN, "stage": ("staged",)},
    ),
    "withdrawn": State(
        "It was published, and its rows were taken out of the lake again.",
        owner="data engineer", is_open=False,
        moves={"pull --again": _TAKEN_IN_AGAIN},
    ),
})  # fmt: skip
"""Every state of a delivery. ``hub docs`` writes this table into docs/reference/states.md."""
UNANNOUNCED = frozenset({None, "incomplete"})
"""States in which the next look into the outboxes may announce a delivery."""
OPEN = frozenset(name for name, state in STATES.items() if state.is_open)
"""States in which a step is still before a delivery."""


def may_move(state: str | None, to: str, *, by: str | None = None) -> bool:
    """Whether a delivery in ``state`` (None: not announced yet) may become ``to``, or may ``by`` that step. A step that
    is repeated says the same again: every state may follow itself."""
    if state is None:
        return to == FIRST and by in (None, "announce")
    known = STATES.get(state)
    return known is not None and (to == state or to in (known.moves.get(by, ()) if by else known.targets))


def may_act(step: str, state: str | None) -> bool:
    """Whether a step has anything to do with a delivery in ``state``."""
    known = STATES.get(state or "")
    return known is not None and step in known.moves


def require_move(delivery: object, state: str | None, to: str) -> None:
    """Raises ``NotReady`` when a delivery in ``state`` may not become ``to``, ``ConfigError`` when it is unknown."""
    if to not in STATES:
        raise UnexpectedState("A delivery was to get a state that is not in the table of states.", reason="state")
    if not may_move(state, to):
        raise not_ready(delivery, state, f"cannot become {to}")


def require_act(step: str, delivery: object, state: str | None) -> None:
    """Raises ``NotReady`` when a step has nothing to do with a delivery in ``state``, ``ConfigError`` when it is
    unknown."""
    if not may_act(step, state):
        raise not_ready(delivery, state, f"cannot be asked to {step}")


def not_ready(delivery: object, state: str | None, what: str) -> HubError:
    """The error for a step that was asked of a delivery before its turn, or after it: what comes first."""
    known = STATES.get(state or "")
    if known is None:
        return never_announced(delivery)
    source, period, _ = str(delivery).split("/")
    pull = f"hub delivery pull --source {source} --period {period}"
    turns = {"pull": pull, "data steward": f"hub delivery decide {delivery}"}
    turn = turns.get(known.owner, f"hub delivery {known.owner} {delivery}")
    following = f"`{turn}` comes first" if known.is_open else f"`{pull} --again` takes the month in again"
    return NotReady(f"{delivery} is {state}: it {what}.", reason="not_ready", next_step=following)


def never_announced(delivery: object) -> ConfigError:
    """The error for a delivery that the hub does not know."""
    return ConfigError(
        f"{delivery} was never announced.",
        reason="unknown_delivery",
        next_step="`hub delivery list` shows those that were, `hub delivery announce` looks into the outboxes",
    )
