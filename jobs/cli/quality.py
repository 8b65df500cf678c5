"""``hub quality``: the rules, their results, the stewards' reports."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.cli import arguments, home, show
from jobs.delivery import Subject
from jobs.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Rules and results: check a table, list results, write reports.")

Table = Annotated[str, typer.Argument(help="Table, as in dcir/er_prs_f or omop/person.", callback=arguments.table)]
Judged = Annotated[
    str, typer.Argument(help="Delivery (<source>/<YYYY-MM>/v<n>) or build (build/<n>).", callback=arguments.subject)
]
Json = Annotated[bool, typer.Option("--json", help=show.JSON_HELP)]
RESULT = ("table", "rule", "severity", "verdict", "violated", "denominator", "error")
LISTED = ("table", "subject", "delivery", "release", "rule", "severity", "verdict", "violated", "denominator")
RULE = ("table", "rule", "severity", "kind", "claim_fr", "claim_en", "max_rate", "max_count", "owner")


@app.command()
def check(
    table: Table,
    staged: Annotated[str | None, typer.Option(help="Check what is staged of this delivery.")] = None,
    json: Json = False,
) -> None:
    """Check a table by standard Great Expectations. Exit 12 when a critical rule fails, 13 when one errs."""
    from jobs.quality.verdict import refuse
    from jobs.steps.check import check as step

    results, left = step(home.hub(reads=True), table, staged)
    show.table([r.model_dump() for r in results], RESULT, empty="No rule to check.", as_json=json)
    if left:
        show.say(f"{left} rules are about the books of a delivery: see `hub quality list`.")
    refuse(table, results, see="see the table above")


@app.command("export-suite")
def export_suite(
    table: Table,
    out: Annotated[Path | None, typer.Option(help="File to write; standard output by default.")] = None,
) -> None:
    """The rules of a table as a plain Great Expectations suite (JSON)."""
    from jobs.quality.suite import export_suite as export

    text = dumps(export(table), indent=2, ensure_ascii=False, sort_keys=True)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text + "\n", "utf-8")
        show.say(f"{table}: suite written to {out}")


@app.command("list")
def list_(
    subject: Annotated[
        str | None, typer.Option(help="Only this delivery or build.", callback=arguments.subject)
    ] = None,
    table: Annotated[str | None, typer.Option(help="Only this table.", callback=arguments.table)] = None,
    json: Json = False,
) -> None:
    """The last result of every rule, by delivery and build."""
    from catalogue import db

    hub = home.hub(reads=True)
    engine = hub.engine
    releases = {r.build: r.id for r in db.list_releases(engine)}
    rows: list[dict[str, Any]] = []
    for result in db.list_quality(engine, subject, table):
        build = Subject.parse(result["subject"]).build is not None
        of = {"delivery": None if build else result["subject"], "release": releases.get(result["subject"])}
        rows.append({key: of[key] if key in of else result[key] for key in LISTED})
    empty = f"Nothing was judged yet in {hub.settings.root}: `hub delivery gate`."
    if not rows and db.list_quality_runs(engine, latest=True):
        asked = "".join(f" of {name}" for name in (table, subject) if name)
        empty = f"No result{asked} in {hub.settings.root}: `hub quality list` shows all."
    show.table(rows, LISTED, empty=empty, as_json=json)


@app.command()
def rules(
    table: Annotated[
        str | None, typer.Argument(help="Table, as in dcir/er_prs_f; all by default.", callback=arguments.table)
    ] = None,
    json: Json = False,
) -> None:
    """The rules with their sentences."""
    from jobs.quality.rules import all_rules, load_rules

    chosen = load_rules(table) if table else [rule for of_table in all_rules().values() for rule in of_table]
    rows = [
        {
            "table": r.table,
            "rule": r.id,
            "severity": r.severity,
            "kind": r.kind,
            "claim_fr": r.claim("fr"),
            "claim_en": r.claim("en"),
            "why_fr": r.why.fr,
            "why_en": r.why.en,
            "max_rate": r.allowed_rate,
            "max_count": r.max_count,
            "owner": r.owner,
        }
        for r in chosen
    ]
    shown = ("rule", "severity", "claim_en", "max_rate", "owner") if table else (*RULE[:4], "claim_en", "owner")
    show.table(rows, shown, empty="No rules: write them in expectations/.", as_json=json)


@app.command()
def report(
    subject: Judged,
    out: Annotated[Path | None, typer.Option(help="Folder; reports/quality/<subject> of the hub by default.")] = None,
) -> None:
    """Write the page of the last quality run as files to print or send, in French and English."""
    from catalogue.web.checks import write_run

    hub = home.hub(reads=True)
    paths = write_run(hub.engine, subject, out or hub.settings.reports / "quality" / subject)
    if paths is None:
        raise ConfigError(f"{subject} was never judged.", next_step="see `hub quality list` for what was")
    show.line({lang: str(path) for lang, path in paths.items()})


@app.command("data-docs")
def data_docs(subject: Judged, out: Annotated[Path, typer.Option(help="Folder to write the site to.")]) -> None:
    """Write Great Expectations' Data Docs of the recorded counts (English, 4 MB, styles from public CDNs)."""
    from catalogue import db
    from jobs.quality.docs import data_docs as build
    from jobs.quality.docs import judged

    counts = db.get_counts(home.hub(reads=True).engine, subject)
    show.line({"index": str(build(judged(counts, subject), subject, out))})
