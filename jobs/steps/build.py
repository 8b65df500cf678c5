"""build: from published source rows to staged OMOP tables, only the (source, period) slices that deliveries touch."""

from __future__ import annotations

import secrets
from datetime import date
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pyspark.sql import functions as F

from catalogue import db
from jobs.delivery import DeliveryId, Subject
from jobs.harmonise import build as compose
from jobs.harmonise.build import LOSSES
from jobs.harmonise.concepts import to_lookup
from jobs.harmonise.evidence import only_unattributable, with_dates
from jobs.harmonise.omop import Database, event_names
from jobs.harmonise.settle import to_words
from jobs.harmonise.stem import EVIDENCE, STEM
from jobs.harmonise.vocabulary import to_vocabulary
from jobs.hub import Hub, Progress
from jobs.lake import tables as lake
from jobs.lake.commits import last_commit
from jobs.lake.layout import table_path
from jobs.lake.staged import StagedTable
from jobs.lake.waiting import WaitingTable
from jobs.quality import counters
from jobs.quality.rules import in_checking_order, load_rules
from jobs.rows.counted import content_of, content_sum
from jobs.sources.filters import read_books
from jobs.sources.harmonisable import to_harmonisable
from jobs.sources.protocol import load_filters
from jobs.spark.session import safely
from jobs.steps.whole import released_beside
from schemas.loader import load, load_omop, load_source, load_tables, spark_type

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

Slice = tuple[str, str]
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
    slices = {DeliveryId.parse(d).slice for d in (*pending, *withdrawn)}
    tell = progress or (lambda _: None)
    with safely("build"):
        tell("events and persons")
        parts, books = _stage_stem(hub, number, slices, versions)
        evidence = _stage_evidence(hub, number, writer, slices, parts)
        if moved := _slices_of_changed_keys(hub, evidence) - slices:
            tell(f"{len(moved)} more months: persons in them changed")
            more, their_books = _stage_stem(hub, number, moved, versions, more=True)
            parts, books = parts + more, books + their_books
            slices |= moved
        losses, content = _stage_tables(hub, number, writer, parts, evidence, slices, tell)
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


def _stage_stem(
    hub: Hub, number: int, slices: set[Slice], versions: dict[str, int], *, more: bool = False
) -> tuple[list[str], list[dict[str, Any]]]:
    """Writes the stem of some slices, source by source; unless ``more``, also what the slices say of persons. Returns
    the parts' names, and what settlement and the sources' filters left out (``filters.read_books``)."""

    parts: list[str] = []
    counts: list[DataFrame] = []
    for source in sorted({s for s, _ in slices}):
        periods = sorted(p for s, p in slices if s == source)
        tables = {
            t: lake.read(hub.spark, table_path(hub.settings.lake, f"{source}/{t}"), versions[f"{source}/{t}"]).where(
                F.col("_period").isin(periods)
            )
            for t in load_source(source).tables
        }
        harmonisable = to_harmonisable(source, tables)
        parts.append(f"{source}-more" if more else source)
        counts += harmonisable.counts
        _staged(hub, number, "stem", parts[-1]).write(harmonisable.stem)
        if not more:
            _staged(hub, number, "persons", source).write(harmonisable.evidence)
    return parts, read_books(counts)


def _read_parts(hub: Hub, number: int, name: Literal["stem", "persons"], parts: list[str]) -> DataFrame:
    frames = [_staged(hub, number, name, part).read(hub.spark) for part in parts]
    return reduce(lambda one, other: one.unionByName(other), frames)


def _staged(hub: Hub, number: int, name: Literal["stem", "persons"], part: str) -> StagedTable:
    columns = _columns(STEM if name == "stem" else EVIDENCE) | dict.fromkeys(SLICES, "string")
    return StagedTable.of_build(hub.settings.lake, number, f"{name}/{part}", columns)


def _columns(shape: StructType) -> dict[str, str]:
    return {f.name: f.dataType.simpleString() for f in shape.fields}


def waiting(lake: Path, writer: str, name: str) -> WaitingTable:
    """What a build made of ``omop/<table>``, or of what it keeps of persons."""
    if name == KEPT_EVIDENCE:
        return WaitingTable.of(lake, name, writer, _columns(EVIDENCE), partition_by=SLICES)
    table = name.removeprefix("omop/")
    columns = {c.name: spark_type(c) for c in load_omop(table).lake_columns}
    return WaitingTable.of(lake, name, writer, columns, partition_by=SLICES if table in event_names() else ())


def _stage_evidence(hub: Hub, number: int, writer: str, slices: set[Slice], parts: list[str]) -> DataFrame:
    """All that is known of persons: what the build before kept, with the built slices replaced."""

    dated = with_dates(_read_parts(hub, number, "persons", parts), _read_parts(hub, number, "stem", parts))
    staged = waiting(hub.settings.lake, writer, KEPT_EVIDENCE)
    staged.write(dated)
    fresh, before = staged.read(hub.spark), table_path(hub.settings.lake, KEPT_EVIDENCE)
    if last_commit(before) is None:
        return fresh
    return lake.read(hub.spark, before).where(f"NOT ({lake.slices(sorted(slices))})").unionByName(fresh)


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
    hub: Hub, number: int, writer: str, parts: list[str], evidence: DataFrame, slices: set[Slice], tell: Progress
) -> tuple[dict[tuple[str, ...], int], dict[str, str]]:
    stem = _read_parts(hub, number, "stem", parts)
    shared = only_unattributable(evidence)
    vocabulary = to_vocabulary(hub.spark)
    lookup = to_lookup(vocabulary["source_to_concept_map"], vocabulary["concept"])
    database = Database(vocabulary["vocabulary"], _titles(hub), _source_release(hub))
    frames = vocabulary | compose.to_database_tables(database)
    frames |= compose.to_person_tables(evidence, database.released)
    frames |= compose.to_event_tables(stem, lookup, shared)
    content = {}

    def stage(name: str) -> tuple[str, str, counters.Counts]:
        tell(name)
        table = name.removeprefix("omop/")
        beside = released_beside(hub, table, sorted(slices)) if table in event_names() else None
        return name, *_stage_table(hub, writer, name, frames[table], beside)

    # the rules of a table look into those of groups before its own
    for group in in_checking_order(f"omop/{table}" for table in frames):
        for name, content[name], counts in lake.at_once(stage, group):
            db.set_counts(hub.engine, Subject(build=number), name, counts)
    fresh = evidence.where(lake.slices(sorted(slices)))
    lost = compose.to_losses(stem, evidence, fresh, database.released).collect()
    return {(r["_source"], r["_period"], r["kind"], r["reason"]): int(r["rows"]) for r in lost}, content


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


def _stage_table(
    hub: Hub, writer: str, name: str, frame: DataFrame, beside: DataFrame | None
) -> tuple[str, counters.Counts]:
    """Writes one OMOP table; a sum of its content and the counts of its rules come from the same pass.
    ``beside``: the rows that will stay beside these, for the rules about keys."""

    rules, made = load_rules(name), waiting(hub.settings.lake, writer, name)
    rows = counters.annotate(frame, rules, lambda other: waiting(hub.settings.lake, writer, other).read(hub.spark))
    content = content_sum(F.xxhash64(*load(name).names))
    counted = made.write(rows, [content, *counters.counters(rules)])
    number_of_rows = made.rows
    counts = counters.counts(rules, counted, made.read(hub.spark), rows=number_of_rows, beside=beside)
    return content_of(number_of_rows, counted), counts
