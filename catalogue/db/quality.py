"""Records of quality: what the writing pass counted, and what was judged of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Engine, delete, func, select

from catalogue.db.decisions import Record, as_dict, list_decisions
from catalogue.db.engine import now, reading, writing
from catalogue.db.models import Build, Event, QualityResult, QualityRun, RuleCount
from jobs.delivery import Subject

Counts = Mapping[str, tuple[int, int]]

RESULT = ("table", "rule", "severity", "verdict", "violated", "denominator", "not_applicable")


def set_counts(engine: Engine, subject: object, table: str, counts: Counts) -> None:
    """Replace the counts of one table of a subject: ``{rule: (rows that break it, rows it applies to)}``."""
    with writing(engine) as session:
        session.execute(delete(RuleCount).where(RuleCount.subject == str(subject), RuleCount.table_name == table))
        session.add_all(
            RuleCount(subject=str(subject), table_name=table, rule=rule, violated=violated, denominator=denominator)
            for rule, (violated, denominator) in counts.items()
        )


def get_counts(engine: Engine, subject: object) -> dict[str, dict[str, tuple[int, int]]]:
    """``{table: {rule: (violated, denominator)}}`` of a subject; empty when nothing was counted."""
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    query = select(RuleCount).where(RuleCount.subject == str(subject)).order_by(RuleCount.table_name, RuleCount.rule)
    with reading(engine) as session:
        for row in session.scalars(query):
            counts.setdefault(row.table_name, {})[row.rule] = (row.violated, row.denominator)
    return counts


def add_quality_run(
    engine: Engine,
    subject: object,
    results: Iterable[Mapping[str, Any]],
    verdict: str,
    *,
    run: str | None = None,
) -> int:
    """Record one judgement and give its number.

    A result is ``table, rule, severity, verdict (passed|failed|errored), violated, denominator, not_applicable``;
    whatever else it holds (claim, why, limits: words of the rule, never of the data) is kept with it. The verdict of
    the whole is passed, warning, critical or errored. ``run`` is the Airflow run.
    """
    with writing(engine) as session:
        row = QualityRun(
            subject=str(subject),
            at=now(),
            verdict=verdict,
            run=run,
            results=[
                QualityResult(
                    position=position,
                    table_name=r["table"],
                    rule=r["rule"],
                    severity=r["severity"],
                    verdict=r["verdict"],
                    violated=r.get("violated"),
                    denominator=r.get("denominator"),
                    not_applicable=bool(r.get("not_applicable", False)),
                    words={k: v for k, v in r.items() if k not in RESULT} or None,
                )
                for position, r in enumerate(results)
            ],
        )
        session.add(row)
        session.flush()
        return row.id


def list_quality_runs(engine: Engine, subject: object = None, *, latest: bool = False) -> list[Record]:
    """Quality runs with their ``results``, newest first; of one subject, and only the last of each with ``latest``.

    Keys: ``id, subject, at, verdict, run, results``.
    """
    query = select(QualityRun).order_by(QualityRun.id.desc())
    if subject is not None:
        query = query.where(QualityRun.subject == str(subject))
    if latest:
        query = query.where(QualityRun.id.in_(select(func.max(QualityRun.id)).group_by(QualityRun.subject)))
    with reading(engine) as session:
        return [_to_run(r) for r in session.scalars(query)]


def list_quality(engine: Engine, subject: object = None, table: str | None = None) -> list[Record]:
    """One record per rule of the last quality run of each subject: ``table, subject, rule, severity, verdict, violated,
    denominator, not_applicable, run_id``; of one subject or table when asked."""
    return [
        {**{name: result[name] for name in RESULT}, "subject": run["subject"], "run_id": run["id"]}
        for run in list_quality_runs(engine, subject, latest=True)
        for result in run["results"]
        if table in (None, result["table"])
    ]


def results_of(engine: Engine, subjects: Iterable[str], rules: Iterable[str]) -> dict[str, list[Record]]:
    """What these rules said in the last quality run of each of these subjects: ``{subject: [result]}``, a result as
    ``list_quality`` has it without its words."""
    last = select(func.max(QualityRun.id)).where(QualityRun.subject.in_(list(subjects))).group_by(QualityRun.subject)
    query = (
        select(QualityRun.subject, QualityResult)
        .join(QualityResult, QualityResult.run_id == QualityRun.id)
        .where(QualityRun.id.in_(last), QualityResult.rule.in_(list(rules)))
        .order_by(QualityRun.id, QualityResult.position)
    )
    results: dict[str, list[Record]] = {}
    with reading(engine) as session:
        for subject, row in session.execute(query):
            results.setdefault(subject, []).append(as_dict(row, "table_name", *RESULT[1:]))
    return results


def get_quality_run(engine: Engine, run_id: int) -> Record | None:
    """One quality run with its results and the stewards' ``decisions`` on its subject; None if there is none."""
    with reading(engine) as session:
        row = session.get(QualityRun, run_id)
        run = _to_run(row) if row else None
    return {**run, "decisions": list_decisions(engine, run["subject"])} if run else None


def last_quality_run(engine: Engine, subject: object) -> Record | None:
    """The last quality run of a subject with its results and decisions; None if it was never judged."""
    with reading(engine) as session:
        number = session.scalar(select(func.max(QualityRun.id)).where(QualityRun.subject == str(subject)))
    return get_quality_run(engine, number) if number else None


def quality_run_of(engine: Engine, run: str) -> Record | None:
    """The last quality run that an Airflow run made, or of what that run worked on (a delivery, a build)."""
    with reading(engine) as session:
        number = session.scalar(select(func.max(QualityRun.id)).where(QualityRun.run == run))
        if not number:
            worked_on = [
                *session.scalars(select(Event.delivery_id).where(Event.run == run)),
                *(str(Subject(build=n)) for n in session.scalars(select(Build.id).where(Build.run == run))),
            ]
            number = session.scalar(select(func.max(QualityRun.id)).where(QualityRun.subject.in_(worked_on)))
    return get_quality_run(engine, number) if number else None


def _to_run(row: QualityRun) -> Record:
    return {
        "id": row.id,
        "subject": row.subject,
        "at": row.at,
        "verdict": row.verdict,
        "run": row.run,
        "results": [
            {
                **(r.words or {}),
                "table": r.table_name,
                "rule": r.rule,
                "severity": r.severity,
                "verdict": r.verdict,
                "violated": r.violated,
                "denominator": r.denominator,
                "not_applicable": r.not_applicable,
            }
            for r in row.results
        ],
    }
