"""Fills a hub database as a hub that ran for three months would have, through its records alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from catalogue import db
from jobs.disclosure import control

MONTHS = ("2024-01", "2024-02", "2024-03")
SOURCES = {
    "dcir": ("ir_ben_r", "er_prs_f", "er_pha_f"),
    "pmsi_mco": ("t_mcoaab", "t_mcoaac"),
    "ville": ("patient", "encounter"),
}
BUILT: dict[str, Any] = {
    "filtered": [
        {
            "table": "dcir/er_prs_f",
            "period": "2024-01",
            "rows": 1203,
            "stay": 1196,
            "left_out": {"shared_pseudonym": 7},
        },
        {"table": "dcir/er_prs_f", "period": "2024-02", "rows": 1000, "stay": 977, "left_out": {"settled": 23}},
        {"table": "dcir/er_pha_f", "period": "2024-01", "rows": 504, "stay": 504, "left_out": {}},
    ],
    "losses": {"dcir/2024-01/visit/unattributable": 14, "dcir/2024-02/visit/unattributable": 3},
    "words": {
        "dcir/er_prs_f/shared_pseudonym": {"fr": "Plusieurs personnes le partagent.", "en": "Several people share it."},
        "dcir/er_prs_f/settled": {"fr": "La ligne annule un acte.", "en": "The line cancels an act."},
        "loss/unattributable": {"fr": "À attribuer à personne.", "en": "To be attributed to nobody."},
    },
}
"""What a build records of what it left out."""
EVIL = "<script>document.title='broken'</script>"
"""A title that a careless page would run."""
WAITING, REJECTED = "ville/2024-03/v1", "pmsi_mco/2024-03/v1"
RUN = "ingest_dcir/asset_triggered__2026-11-23T10:00:00.123+00:00_x"


def fill(engine: Engine) -> None:
    """Nine deliveries (one refused, one waiting), a repetition, a correction, two releases and their figures."""
    first: list[str] = []
    for month in MONTHS:
        for source in SOURCES:
            name = f"{source}/{month}/v1"
            arrive(engine, name)
            if name == REJECTED:
                judge(engine, name, "critical")
                db.refuse_books(engine, name, "quality")
                db.record_event(engine, name, "rejected", reason="quality", run="ingest/1")
            elif name == WAITING:
                judge(engine, name, "warning")
                db.record_event(engine, name, "waiting", run="ingest/2")
            else:
                judge(engine, name, "passed")
                published(engine, name, run="ingest/3")
                first.append(name)
    release(engine, first, 1)
    correction = "dcir/2024-02/v2"
    arrive(engine, correction, run=RUN)
    judge(engine, correction, "warning")
    db.record_decision(engine, correction, "Camille Martin", datetime.now(UTC), "approve", "known change of codes")
    db.record_event(engine, correction, "waiting", run=RUN)
    db.record_event(engine, correction, "approved", reason="steward Camille Martin", run=RUN)
    published(engine, correction, run=RUN)
    db.announce(engine, "ville/2024-01/v2", manifest("ville", ("patient",)), "again")
    db.record_event(engine, "ville/2024-01/v2", "duplicate", reason="ville/2024-01/v1")
    db.announce(engine, "dcir/2024-04/v1", {"files": [{"name": EVIL, "table": EVIL}]}, "evil")
    number = release(engine, [correction], 2)
    db.set_figures(engine, number, figures())


def manifest(source: str, tables: tuple[str, ...]) -> dict[str, Any]:
    files = [{"table": t, "name": f"{t.upper()}_{source}.csv", "rows": 12480, "bytes": 998400} for t in tables]
    return {
        "contract_version": 1,
        "stage1_key": "0011223344556677",
        **({"synthetic": True} if source == "dcir" else {}),
        "files": [{**f, "sha256": "a" * 64} for f in files],
    }


def arrive(engine: Engine, name: str, run: str | None = None) -> None:
    tables = SOURCES[name.split("/")[0]]
    db.announce(engine, name, manifest(name.split("/")[0], tables), f"sha of {name}")
    db.record_event(engine, name, "pulled", run=run)
    books = [
        {
            "table": t,
            "file": f"{t.upper()}_{name.split('/')[1].replace('-', '')}.csv",
            "rows_in": 12480,
            "rows_published": 12420,
            "rows_duplicate": 12,
            "rows_quarantined": {"unparsable:EXE_SOI_DTD": 30, "code:BEN_SEX_COD": 10, "orphan": 8},
        }
        for t in tables
    ]
    db.set_books(engine, name, books)
    db.record_event(engine, name, "staged", run=run)


def published(engine: Engine, name: str, run: str) -> None:
    rows = dict.fromkeys(SOURCES[name.split("/")[0]], 12420)
    db.record_event(engine, name, "published", run=run, detail={"rows": rows})


def judge(engine: Engine, subject: str, verdict: str) -> int:
    table = "omop/person" if subject.startswith("build/") else f"{subject.split('/')[0]}/x"
    kept = [result(table, f"RULE-{n:03d}", "passed", n % 3) for n in range(1, 18)]
    if verdict == "passed":
        kept.append(result(table, "RULE-018", "passed", 1, 103))
    else:
        kept.append(result(table, "RULE-018", "failed", 0 if verdict == "critical" else 1, 310))
    kept.append({**result(table, "RULE-019", "passed", 2), "denominator": 0, "not_applicable": True})
    return db.add_quality_run(engine, subject, kept, verdict)


def result(table: str, rule: str, verdict: str, severity: int, violated: int = 0) -> dict[str, Any]:
    return {
        "table": table,
        "rule": rule,
        "kind": "not_null",
        "columns": ["EXE_SOI_DTD"],
        "severity": ("critical", "warning", "info")[severity],
        "verdict": verdict,
        "violated": violated,
        "denominator": 12380,
        "not_applicable": False,
        "error": None,
        "max_rate": 0.01,
        "max_count": None,
        "claim": {"fr": "EXE_SOI_DTD est renseignée", "en": "EXE_SOI_DTD is present"},
        "counted": {"fr": "toutes les lignes", "en": "all rows"},
        "why": {
            "fr": "Sans date, le soin ne se place pas dans le temps",
            "en": "Without a date the care has no place in time",
        },
        "owner": "DCIR steward",
    }


def release(engine: Engine, deliveries: list[str], number: int) -> int:
    build = db.start_build(engine, deliveries, run=f"build_omop/{number}")
    db.set_build_detail(engine, build, BUILT)
    judge(engine, f"build/{build}", "passed")
    tables = {"omop/person": number, "omop/visit_occurrence": number, "dcir/er_prs_f": number + 1}
    return db.add_release(engine, tables, deliveries, build)


def figure(table: str, measure: str, number: int | None = None, **more: Any) -> dict[str, Any]:
    shown = {
        "table": table,
        "variable": "",
        "measure": measure,
        "code": "",
        "text": None,
        "rule": control.RULE,
        **more,
    }
    return {**shown, "number": number, "suppressed": number is None and shown["text"] is None}


def figures() -> list[dict[str, Any]]:
    made = []
    for name, rows, persons in (
        ("dcir/er_prs_f", 36120, 4815),
        ("dcir/ir_ben_r", 14405, 4820),
        ("pmsi_mco/t_mcoaac", 1240, 985),
        ("ville/patient", None, None),
        ("omop/person", 4985, 4985),
        ("omop/visit_occurrence", 48210, 4980),
    ):
        made += [figure(name, "rows", rows), figure(name, "persons", persons)]
    for name in ("dcir/er_prs_f", "omop/visit_occurrence"):
        for month, persons in zip(("2023-12", *MONTHS), (None, 3120, 3055, None), strict=True):
            made.append(figure(name, "month", persons, code=month))
        made += [figure(name, "first", text="2024-01"), figure(name, "last", text="2024-02")]
    made += [
        figure("dcir/er_prs_f", "filled", 100, variable="EXE_SOI_DTD"),
        figure("dcir/er_prs_f", "filled", None, variable="PRS_NAT_REF"),
        figure("omop/person", "filled", 100, variable="gender_concept_id"),
        figure("omop/person", "filled", 62, variable="race_concept_id"),
        figure("omop/person", "code", 2540, variable="gender_concept_id", code="8532"),
        figure("omop/person", "code", 2445, variable="gender_concept_id", code="8507"),
        figure("omop/person", "distinct", 2, variable="gender_concept_id"),
        figure("omop/person", "others", None, variable="gender_concept_id"),
    ]
    for sex in ("8507", "8532"):
        for n, decade in enumerate(range(1930, 2021, 10)):
            persons = None if decade == 1930 else 200 + 10 * n
            made.append(
                figure(
                    "omop/person", "cell", persons, variable="gender_concept_id,year_of_birth", code=f"{sex}|{decade}"
                )
            )
    return made
