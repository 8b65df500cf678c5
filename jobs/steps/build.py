"""build: from published source rows to staged OMOP tables, only the (source, period) slices that deliveries touch."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from catalogue import db
from jobs.delivery import DeliveryId, Subject
from jobs.harmonise import build as compose
from jobs.harmonise.build import LOSSES
from jobs.harmonise.concepts import to_lookup
from jobs.harmonise.evidence import only_unattributable, resolve, with_dates
from jobs.harmonise.omop import Database, event_names
from jobs.harmonise.settle import to_words
from jobs.harmonise.vocabulary import to_vocabulary
from jobs.hub import Hub, Progress
from jobs.lake import tables as lake
from jobs.lake.commits import last_commit
from jobs.lake.layout import table_path
from jobs.lake.waiting import WaitingTable
from jobs.quality import counters
from jobs.quality.rules import in_checking_order, load_rules
from jobs.rows.counted import content_of, content_sum
from jobs.sources.protocol import load_filters
from jobs.spark.session import safely
from jobs.steps.events import EVIDENCE_COLUMNS, stage_events, stage_persons, stage_resolved
from jobs.steps.whole import Slice, released_beside, slices_beside
from schemas.loader import load, load_omop, load_source, load_tables, spark_type

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

SLICES = ("_source", "_period")
KEPT_EVIDENCE = "build/person_evidence"


def build(hub: Hub, progress: Progress | None = None, *, again: bool = False) -> dict[str, Any]:
    """Builds everything that is published and in no release yet, and takes out of the OMOP tables what was withdrawn.
    The answer says what is ``next``: gate, or stop.

    ``again``: everything that is published, released or not, as after a change of the maps or of the harmonisation.
    """
    pending = (db.published_deliveries if again else db.pending_deliveries)(hub.engine)
    withdrawn = db.pending_withdrawals(hub.engine)  # of their months nothing is left: they are built as empty
    if not pending and not withdrawn:
        return {"build": 0, "deliveries": [], "next": "stop"}
    number = db.start_build(hub.engine, pending, withdrawn=withdrawn, run=hub.run)
    writer = f"build-{number}-{secrets.token_hex(4)}"  # a build that is repeated writes beside what it wrote before
    versions = db.source_versions(hub.engine)
    asked = {DeliveryId.parse(d).slice for d in (*pending, *withdrawn)}
    tell = progress or (lambda _: None)
    with safely("build"):
        tell("persons")
        persons = stage_persons(hub, number, asked, versions)
        before = slices_beside(hub, KEPT_EVIDENCE, asked)
        evidence = _with(persons, before)
        slices = asked | _slices_of_changed_keys(hub, evidence)
        if moved := len(slices - asked):
            tell(f"{moved} more months: persons in them changed")
        tell("events")
        vocabulary = to_vocabulary(hub.spark)
        lookup = to_lookup(vocabulary["source_to_concept_map"], vocabulary["concept"])
        events, books = stage_events(hub, number, slices, versions, lookup, evidence)
        dated = _with(_stage_evidence(hub, writer, persons, events), before)
        database = Database(vocabulary["vocabulary"], _titles(hub), _source_release(hub))
        resolved = stage_resolved(hub, number, resolve(dated, database.released))
        frames = vocabulary | compose.to_database_tables(database) | compose.to_person_tables(resolved)
        frames |= compose.to_event_tables(events)
        content = _stage_tables(hub, number, writer, {f"omop/{t}": f for t, f in frames.items()}, slices, tell)
        fresh = dated.where(lake.slices(sorted(slices)))
        lost = compose.to_losses(events, evidence, fresh, database.released).collect()
        losses = {(r["_source"], r["_period"], r["kind"], r["reason"]): int(r["rows"]) for r in lost}
    records_lost = {"/".join(k): n for k, n in sorted(losses.items())}
    detail = {
        "writer": writer,
        "slices": sorted("/".join(s) for s in slices),
        "versions": versions,
        "content": content,
        "losses": records_lost,
        "filtered": books,
        "words": _words({s for s, _ in slices}),
    }
    db.set_build_detail(hub.engine, number, detail)
    left_out = sum(sum(book["left_out"].values()) for book in books)
    answer = {"build": number, "deliveries": pending, "withdrawn": withdrawn, "slices": detail["slices"]}
    return answer | {"losses": records_lost, "rows_left_out": left_out, "next": "gate"}


def _words(sources: set[str]) -> dict[str, dict[str, str]]:
    """Why settlement, filters and losses leave rows out, as said when the build was made: ``dcir/er_prs_f/settled``,
    ``dcir/er_prs_f/fictitious_nir``, ``loss/unattributable``."""

    settlement = {
        f"{s}/{name}": why.model_dump() for s in sorted(sources) for name, why in to_words(load_tables(s)).items()
    }
    filters = {
        f"{s}/{table}/{f.name}": f.why.model_dump()
        for s in sorted(sources)
        for table, declared in load_filters(s).items()
        for f in declared
    }
    return settlement | filters | {f"loss/{reason}": why.model_dump() for reason, why in LOSSES.items()}


def waiting(lake: Path, writer: str, name: str) -> WaitingTable:
    """What a build made of ``omop/<table>``, or of what it keeps of persons."""
    if name == KEPT_EVIDENCE:
        columns = {name: kind for name, kind in EVIDENCE_COLUMNS.items() if name not in SLICES}
        return WaitingTable.of(lake, KEPT_EVIDENCE, writer, columns, partition_by=SLICES)
    table = name.removeprefix("omop/")
    columns = {c.name: spark_type(c) for c in load_omop(table).lake_columns}
    return WaitingTable.of(lake, name, writer, columns, partition_by=SLICES if table in event_names() else ())


def _stage_evidence(hub: Hub, writer: str, persons: DataFrame, events: DataFrame) -> DataFrame:
    """Writes what the slices say of persons, with the dates of their events: it is kept for the next build."""
    staged = waiting(hub.settings.lake, writer, KEPT_EVIDENCE)
    staged.write(with_dates(persons, events))
    return staged.read(hub.spark)


def _with(rows: DataFrame, others: DataFrame | None) -> DataFrame:
    return rows if others is None else rows.unionByName(others)


def _slices_of_changed_keys(hub: Hub, evidence: DataFrame) -> set[Slice]:
    """Slices that hold persons whose key became, or ceased to be, that of several people."""

    kept = table_path(hub.settings.lake, KEPT_EVIDENCE)
    if last_commit(kept) is None:
        return set()
    before = only_unattributable(lake.read(hub.spark, kept)).select("person_key")
    now = only_unattributable(evidence).select("person_key")
    changed = before.exceptAll(now).unionAll(now.exceptAll(before))
    slices = evidence.join(changed, "person_key", "left_semi").select(*SLICES).distinct().collect()
    return {(r["_source"], r["_period"]) for r in slices}


def _stage_tables(
    hub: Hub, number: int, writer: str, frames: Mapping[str, DataFrame], slices: set[Slice], tell: Progress
) -> dict[str, str]:
    """Writes the OMOP tables and counts their rules; the content of each."""
    counted: dict[str, dict[str, Any]] = {}

    made = {name: waiting(hub.settings.lake, writer, name) for name in frames}

    def read(name: str) -> DataFrame:
        return made[name].read(hub.spark)

    def stage(name: str) -> tuple[str, dict[str, Any]]:
        tell(name)
        rules, content = load_rules(name), content_sum(F.xxhash64(*load(name).names))
        rows = counters.annotate(frames[name], rules, read)
        return name, made[name].write(rows, [content, *counters.counters(rules)])

    # the rules of a table look into those of groups before its own
    for group in in_checking_order(frames):
        counted |= lake.at_once(stage, group)
    beside = {n: released_beside(hub, n.removeprefix("omop/"), slices) for n, of in made.items() if of.partition_by}
    repeated = counters.all_duplicates((load_rules(n), read(n), beside.get(n)) for n in made)
    for name, of in made.items():
        counts = counters.counts(load_rules(name), counted[name], read(name), rows=of.rows, repeated=repeated)
        db.set_counts(hub.engine, Subject(build=number), name, counts)
    return {name: content_of(of.rows, counted[name]) for name, of in made.items()}


def _titles(hub: Hub) -> tuple[str, ...]:
    """Titles of the sources that take part."""
    sources = {DeliveryId.parse(d).source for d in db.published_deliveries(hub.engine)}
    return tuple(load_source(s).title.en for s in sorted(sources))


def _source_release(hub: Hub) -> date:
    """Day of the newest delivery that takes part, or took part when all were withdrawn: the same for every build of the
    same deliveries."""
    days: list[date] = []
    for delivery in db.published_deliveries(hub.engine) or db.pending_withdrawals(hub.engine):
        known = db.get_delivery(hub.engine, delivery)
        days += [e["at"].date() for e in (known["events"] if known else []) if e["state"] == "announced"]
    return max(days)
