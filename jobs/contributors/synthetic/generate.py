"""Makes a population and its deliveries under one ``HUB_HOME``, with what to expect of them.

Beside the outboxes: ``synthetic/parameters.json``, ``synthetic/expected.json`` (per delivery) and
``synthetic/truth.json`` (the lake). The population itself is not stored: ``population_of`` makes it again.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jobs import keys
from jobs.contributors.synthetic import dcir, faults, pmsi, truth, ville
from jobs.contributors.synthetic.calendar import month_number, period_of
from jobs.contributors.synthetic.care import care_of
from jobs.contributors.synthetic.codes import load_universe
from jobs.contributors.synthetic.deliveries import Delivery, with_orphans, write
from jobs.contributors.synthetic.expected import expected_of
from jobs.contributors.synthetic.hospital import stays_of
from jobs.contributors.synthetic.population import Population, make_population, with_pseudonyms
from jobs.errors import ConfigError

Progress = Callable[[str, int, int], None]
"""Called with what was just made, how many are made, how many there will be."""

FEWEST_WITH_FAULTS = 500


@dataclass(frozen=True)
class Parameters:
    """All that decides what is made, beside the contributors' key."""

    persons: int = 5000
    months: int = 3
    first_month: str = "2024-01"
    seed: int = 42
    with_faults: bool = True


@dataclass(frozen=True)
class Report:
    """What was made: deliveries in the order of taking them in, rows by table, seconds."""

    parameters: Parameters
    expected: list[dict[str, Any]]
    truth: dict[str, Any]
    seconds: float

    @property
    def rows(self) -> dict[str, int]:
        """Rows of all deliveries by table name (``dcir/er_prs_f``)."""
        total: dict[str, int] = {}
        for entry in self.expected:
            for table, book in entry["tables"].items():
                name = f"{entry['source']}/{table}"
                total[name] = total.get(name, 0) + book["rows_in"]
        return total


def population_of(parameters: Parameters, key: bytes) -> Population:
    """The same parameters and key give the same persons."""
    start = date.fromisoformat(f"{parameters.first_month}-01")
    made = make_population(parameters.persons, parameters.seed, start, parameters.months)
    return with_pseudonyms(made, key)


def sound_deliveries(parameters: Parameters, population: Population) -> Iterator[Delivery]:
    """Every source's delivery of every month, without faults; one month is in memory at a time."""
    universe, first = load_universe(), month_number(parameters.first_month)
    claims = dcir.Claims(population, universe)
    for month in range(first - dcir.LOOK_BACK, first + parameters.months):
        if month >= first:
            period = period_of(month)
            yield Delivery("dcir", period, 1, claims.flow(month))
            stays = stays_of(population, universe, month)
            yield Delivery("pmsi_mco", period, 1, pmsi.tables_of(population, stays, month))
        care = care_of(population, universe, month)
        claims.add(care, month)
        if month >= first:
            raw = ville.tables_of(population, universe, care, month)
            raw["patient"]["_psa"] = population.column("psa")[raw["patient"].pop("_person").to_numpy()]
            yield with_orphans(Delivery("ville", period_of(month), 1, raw))


def planted(delivery: Delivery, index: int, parameters: Parameters) -> list[Delivery]:
    """The delivery as it is sent, with the demo's faults: one or more versions.

    dcir: the first month is sent twice, the second has bad rows. pmsi_mco: the first month is corrected, the second is
    refused whole and sent again. ville: the first month has bad rows, the last needs a steward. With fewer months the
    faults of a source fall together.
    """
    if not parameters.with_faults:
        return [delivery]
    last, second = parameters.months - 1, min(1, parameters.months - 1)
    versions = [delivery]
    if delivery.source == "dcir":
        if index == second:
            versions = [faults.bad_rows(delivery, parameters.seed)]
        if index == 0:
            versions.append(faults.twice(versions[0]))
    elif delivery.source == "pmsi_mco":
        if index == 0 and second > 0:
            versions = list(faults.correction(delivery, parameters.seed))
        if index == second:
            versions = [faults.refused(delivery), _next(delivery)]
    elif index == last:
        versions = [faults.steward(delivery, parameters.seed)]
    elif index == 0:
        versions = [faults.bad_rows(delivery, parameters.seed)]
    return versions


def _next(delivery: Delivery) -> Delivery:
    return Delivery(delivery.source, delivery.period, delivery.version + 1, delivery.tables, ["sent again"])


def generate(home: Path, parameters: Parameters, progress: Progress | None = None) -> Report:
    """Writes everything under ``home`` and returns what was made.

    Makes the hub's keys when there are none. Deliveries of an earlier run under the same home are removed first.
    Raises ``ConfigError`` for parameters that make no sense.
    """

    began = time.perf_counter()
    check(parameters)
    keys.generate(home / "keys")
    key = keys.read_key(home / "keys" / "contributors" / "p1.key")
    _remove_earlier(home)
    population = population_of(parameters, key)
    expected: list[dict[str, Any]] = []
    given: dict[str, truth.Contribution] = {}
    waiting: dict[str, truth.Contribution] = {}
    total = 3 * parameters.months
    for number, sound in enumerate(sound_deliveries(parameters, population)):
        for version in planted(sound, number // 3, parameters):
            write(version, home, key)
            entry = expected_of(version, len(expected))
            expected.append(entry)
            slot = f"{version.source}/{version.period}"
            if entry["state"] == "published":
                given[slot] = truth.contribution(version)
            elif entry["state"] == "waiting":
                waiting[slot] = truth.contribution(version)
        if progress:
            progress(f"{sound.source}/{sound.period}", number + 1, total)
    lake = {"published": truth.lake_of(given.values()), "approved": truth.lake_of({**given, **waiting}.values())}
    folder = home / "synthetic"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("parameters", asdict(parameters)), ("expected", expected), ("truth", lake)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return Report(parameters, expected, lake, time.perf_counter() - began)


def check(parameters: Parameters) -> None:
    """Raises ``ConfigError`` when nothing sensible can be made."""

    if not 100 <= parameters.persons <= 2_000_000:
        raise ConfigError("--persons is between 100 and 2,000,000.", reason="bad_option")
    if parameters.with_faults and parameters.persons < FEWEST_WITH_FAULTS:
        raise ConfigError(
            f"The demo's faults need at least {FEWEST_WITH_FAULTS} persons: fewer rows make each one weigh too much.",
            reason="bad_option",
            next_step="give more --persons, or --no-faults",
        )
    if not 1 <= parameters.months <= 60:
        raise ConfigError("--months is between 1 and 60.", reason="bad_option")
    if not re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", parameters.first_month):
        raise ConfigError("--first-month is a month as 2024-01.", reason="bad_option")


def _remove_earlier(home: Path) -> None:
    earlier = home / "synthetic" / "expected.json"
    if not earlier.exists():
        return
    for entry in json.loads(earlier.read_text("utf-8")):
        source, period, version = entry["id"].split("/")
        shutil.rmtree(home / "outboxes" / source / period / version, ignore_errors=True)
        if source == "ville":
            shutil.rmtree(home / "agents" / "ville" / "inbox" / period / version, ignore_errors=True)


def canaries(home: Path) -> list[str]:
    """Identifiers that were planted: NIR (with and without key), family names, stage-1 pseudonyms.

    Read from what the generator put under ``home``: the practices' raw exports and the outboxes. None of them may be
    found in clear anywhere else.
    """

    planted: dict[str, None] = {}

    def rows(path: Path) -> list[dict[str, str]]:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter=";"))

    for path in sorted((home / "agents" / "ville" / "inbox").glob("*/v1/*_patient.csv")):
        numbers = [r["nir"] for r in rows(path) if r["nir"]][:10]
        planted |= dict.fromkeys([*numbers, *(n[:13] for n in numbers)])
    for path in sorted((home / "agents" / "ville" / "inbox").glob("*/v1/*_encounter.csv")):
        named = [r["reason_text"].partition(" : ")[0].split() for r in rows(path) if " : " in r["reason_text"]]
        planted |= dict.fromkeys(words[-1] for words in named[:20])
    sent = {"ville/*/v1/*_patient.csv": "patient_pseudonym", "dcir/*/v1/IR_BEN_R_*.csv": "BEN_NIR_PSA"}
    for pattern, column in sent.items():
        for path in sorted((home / "outboxes").glob(pattern)):
            planted |= dict.fromkeys([r[column] for r in rows(path) if r[column]][:10])
    return list(planted)
