"""The wide pass of the stage, one task a landed file: its rows that go on become a file that waits below the root of
their table, pseudonymised and counted; those that only other rows tell against are sealed to the stewards.

A task is given names of files and places of rows, and reports counts: no value of a cell leaves it. One that is
repeated writes under another name; only what a task reported is listed, and so committed.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.errors import HubError, ServerUnavailable, UnexpectedState
from jobs.intake.landing import Apart, EncryptedParquet, open_encrypted
from jobs.quality.counting import counting_of
from jobs.quality.rule import Rule
from jobs.rows.books import DUPLICATE
from jobs.rows.noted import FILE, SAID, TABLE
from jobs.rows.pseudonymised import content_sum, pseudonymised
from jobs.rows.texts import Mask, flat, numbers, present
from jobs.rows.typed import CONTENT, REASON, ROW, typed_schema
from jobs.tasks.code import code
from jobs.tasks.keyring import LAKE, Keyring, open_keyring
from schemas.loader import Table

REPORT = "report string"
"""What a task answers with, one row a file: ``Report`` as JSON."""
NOTES = "file int, row bigint, reason string"
"""What a task is told: one row without ``row`` for each file that it works on; and one for each row of the
contributor's file that does not go on for what other rows say, with the ``reason`` when it is to be sealed."""


@dataclass(frozen=True)
class Work:
    """What all tasks of one table have in common."""

    table: Table
    rules: tuple[Rule, ...]
    """Those that its rows answer alone."""
    period: str
    files: tuple[tuple[str, str], ...]
    """Path of each landed file, and the name of the contributor's file whose rows it holds."""
    noted: str | None
    """Path of the rows that the pull found that others tell not to go on (``rows.noted``); None: the notes say them."""
    target: str
    """Folder of what is written."""
    sealed: str
    """Folder of what is sealed."""
    checks: Mapping[str, str]
    """Registered check values of the server's keys."""
    code: str = field(default_factory=code)
    """Check value of the code that whoever commands runs."""


@dataclass
class Report:
    """What became of one landed file."""

    file: str
    """Name of what was written, below ``target``; without rows nothing is."""
    rows: int = 0
    bytes: int = 0
    sealed: str | None = None
    """Name of what was sealed."""
    content: int = 0
    """Sum of what the written rows hold (``rows.pseudonymised.content_sum``)."""
    counts: Counter[str] = field(default_factory=Counter)
    """Of the rules, by the names of ``quality.counters``."""
    extremes: dict[str, list[Any]] = field(default_factory=dict)
    """Of each column that the log may say it of: least, greatest, how many are missing."""


def write_landed(work: Work, told: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Does the work on the files that the notes name. What goes wrong is said without a value that it went wrong on."""
    try:
        if not (batches := list(told)):
            return
        if work.code != code():
            raise ServerUnavailable("HUB_CODE_OTHER")
        files = pa.Table.from_batches(batches)
        keys = open_keyring(work.checks)
        for number in sorted(set(files["file"].to_pylist())):
            of = files.filter(pc.equal(files["file"], number))
            notes = _noted_by_pull(work, keys, number) if work.noted else of.filter(pc.is_valid(of["row"]))
            report = _write(work, keys, number, notes)
            yield pa.RecordBatch.from_pylist([{"report": json.dumps(vars(report))}])
    except HubError as error:
        raise type(error)(f"{work.table.table}: {error.args[0]}") from None
    except Exception as error:
        raise UnexpectedState(f"{work.table.table}: a landed file could not be written ({_where(error)}).") from None


def _noted_by_pull(work: Work, keys: Keyring, number: int) -> pa.Table:
    """``row, reason`` of the rows of a file that are not to be written."""
    noted = open_encrypted(Path(str(work.noted)), keys.open_landed).read()
    of = noted.filter(pc.and_(pc.equal(noted[TABLE], work.table.table), pc.equal(noted[FILE], work.files[number][1])))
    # one that breaks the contract and repeats another row is counted as that: the stewards' list is to know
    reason = pc.if_else(pc.is_valid(of[SAID]), DUPLICATE, of[REASON])
    return pa.table({"row": of[ROW], "reason": reason})


def _where(error: BaseException) -> str:
    """Kind and place of an error. Its message may quote a value."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    at = f" in {Path(trace.tb_frame.f_code.co_filename).name} {trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{at}"


def _write(work: Work, keys: Keyring, number: int, notes: pa.Table) -> Report:
    landed, file = work.files[number]
    name = f"part-{number:05}-{secrets.token_hex(8)}.parquet"
    count = counting_of(work.rules, work.period)
    report = Report(name, counts=count(pa.table({})))
    found = notes.filter(pc.is_valid(notes["reason"]))
    columns = [*_read_columns(work.table, every=bool(found.num_rows)), ROW, REASON, CONTENT]
    coded = [c.name for c in work.table.columns if c.type == "string"]
    with ExitStack() as stack:
        rows = open_encrypted(Path(landed), keys.open_landed, read_dictionary=coded)
        out: EncryptedParquet | None = None
        sealed = stack.enter_context(Apart(Path(work.sealed) / name, _sealed_schema(work.table), keys.seal_to_stewards))
        for group in range(rows.num_row_groups):
            block = rows.read_row_group(group, columns=columns).unify_dictionaries().combine_chunks()
            sealed.write(_to_seal(block, found, file, work.table))
            going = _only_going(block, notes)
            if not going.num_rows:
                continue
            made = pseudonymised(going, work.table, keys.stage2, file)
            if out is None:
                target = Path(work.target) / name
                out = stack.enter_context(
                    EncryptedParquet(
                        target, made.schema, keys.wrap_for_lake, LAKE, group=1, statistics=work.table.stats
                    )
                )
            out.write(made)
            report.content ^= content_sum(going, keys.stage2)
            report.counts.update(count(going))
            _extend(report.extremes, going, work.table)
    if out is not None:
        report.rows, report.bytes = out.rows, (Path(work.target) / name).stat().st_size
    report.sealed = name if sealed.rows else None
    return report


def _read_columns(table: Table, *, every: bool) -> list[str]:
    return list(table.names) if every else [c.name for c in table.lake_columns]


def _sealed_schema(table: Table) -> pa.Schema:
    landed = typed_schema(table)
    columns = [landed.field(name) for name in (*table.names, ROW)]
    return pa.schema([*columns, (FILE, pa.string()), (REASON, pa.string())])


def _noted(block: pa.Table, notes: pa.Table) -> Mask:
    rows, noted = (numbers(flat(t.column(name)), np.int64) for t, name in ((block, ROW), (notes, "row")))
    return np.isin(rows, noted) if len(noted) else np.zeros(len(rows), np.bool_)


def _only_going(block: pa.Table, notes: pa.Table) -> pa.Table:
    stay = ~present(flat(block.column(REASON))) & ~_noted(block, notes)
    return block if stay.all() else block.filter(pa.array(stay))


def _to_seal(block: pa.Table, found: pa.Table, file: str, table: Table) -> pa.Table:
    """The rows of a block that are to be sealed, in the form of ``_sealed_schema``."""
    schema = _sealed_schema(table)
    here = _noted(block, found) if found.num_rows else np.zeros(0, np.bool_)
    if not here.any():
        return schema.empty_table()
    rows = block.filter(pa.array(here))
    reasons = dict(zip(found["row"].to_pylist(), found["reason"].to_pylist(), strict=True))
    said = pa.array([reasons[row] for row in rows[ROW].to_pylist()], pa.string())
    columns = [rows.column(name).cast(schema.field(name).type) for name in (*table.names, ROW)]
    return pa.Table.from_arrays([*columns, pa.array([file] * rows.num_rows, pa.string()), said], schema=schema)


def _extend(extremes: dict[str, list[Any]], rows: pa.Table, table: Table) -> None:
    """As a log writes them: of a point in time the millisecond that is not after, or not before it."""
    for name in table.stats:
        column = rows.column(name)
        ends = pc.min_max(column)
        least, greatest, missing = extremes.setdefault(name, [None, None, 0])
        low, high = ends["min"].as_py(), ends["max"].as_py()
        if low is not None:
            if pa.types.is_timestamp(column.type):
                low, high = _moment(low), _moment(high + timedelta(milliseconds=1))
            elif pa.types.is_date(column.type):
                low, high = low.isoformat(), high.isoformat()
            least = low if least is None else min(least, low)
            greatest = high if greatest is None else max(greatest, high)
        extremes[name] = [least, greatest, missing + column.null_count]


def _moment(moment: Any) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
