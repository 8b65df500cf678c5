"""``hub delivery``: the life of a delivery, step by step."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli import arguments, home, show
from jobs.delivery import STATES, DeliveryId, Subject, never_announced
from jobs.errors import ConfigError

if TYPE_CHECKING:
    from catalogue.db import LateMonth
    from schemas.loader import Due

app = typer.Typer(
    no_args_is_help=True, help="Deliveries: announce, pull, stage, gate, publish, withdraw; list them; backfill months."
)

Source = Annotated[str, arguments.Source]
Period = Annotated[str, arguments.Period]
Delivery = Annotated[str, arguments.Delivery]
ROWS = ("rows_in", "rows_published", "rows_quarantined", "rows_duplicate")
BOOK = ("table", "file", *ROWS)
COLUMNS = (
    "id", "rows_in_lake", "replaced_by", "state", "first_seen", "due", "days_late", "last_event", "reason", *ROWS,
    "rows_settled",
)  # fmt: skip


@app.command("list")
def list_(
    source: Annotated[str | None, arguments.Source] = None,
    period: Annotated[str | None, arguments.Period] = None,
    state: Annotated[
        str | None,
        typer.Option(
            help=f"State of the last attempt: {', '.join(STATES)}.",
            callback=arguments.state,
            autocompletion=arguments.complete_state,
        ),
    ] = None,
    on: Annotated[datetime | None, arguments.On] = None,
    json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False,
) -> None:
    """Every delivery: its rows in the lake, then what became of the last attempt to take it in, with its books.

    Settled: of the rows published, those that the last build with it left out because reversals cancel them.
    Days late: how long after its due day a month came first. Months that are due and not there are named below.
    """
    from catalogue import db

    hub = home.hub(reads=True)
    known = db.with_due(db.with_settled(hub.engine, db.list_deliveries(hub.engine, source)), db.dues())
    rows = [d for d in known if period in (None, d["period"]) and state in (None, d["state"])]
    empty = f"No delivery was announced yet in {hub.settings.root}: `hub delivery announce`."
    if not rows and (known or db.list_deliveries(hub.engine)):
        asked = "".join(
            f" {word} {value}" for word, value in (("of", source), ("for", period), ("in state", state)) if value
        )
        empty = f"No delivery{asked} in {hub.settings.root}: `hub delivery list` shows all."
    dated = rows if json else [{**d, "first_seen": d["first_seen_at"], "last_event": d["at"]} for d in rows]
    show.table(dated, COLUMNS, empty=empty, as_json=json)
    if rows and not json:
        held = [d for d in rows if d["in_lake"]]
        show.say(f"In the lake: {sum(d['rows_in_lake'] or 0 for d in held):,} rows of {len(held)} deliveries.")
    if not json and state is None:
        for month in db.late_months(known, _dues(source), _day(on)):
            if period in (None, month.period):
                show.say(_in_words(month))


def _dues(source: str | None) -> dict[str, Due]:
    from catalogue import db

    return {name: due for name, due in db.dues().items() if source in (None, name)}


def _in_words(month: LateMonth) -> str:
    what = f"{month.last} was refused" if month.last else "nothing came"
    return f"Late: {month.source} {month.period}, due {month.due}, {month.days:,} days ago: {what}."


@app.command()
def late(
    on: Annotated[datetime | None, arguments.On] = None,
    json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False,
) -> None:
    """Months that are due and of which the lake holds nothing, nor is anything under way. Made-up ones are never."""
    from catalogue import db

    hub = home.hub(reads=True)
    months = [asdict(m) for m in db.late_months(db.list_deliveries(hub.engine), db.dues(), _day(on))]
    empty = "Nothing is late: of every month that was due, a delivery is in the lake or under way."
    show.table(months, ("source", "period", "due", "days", "last"), empty=empty, as_json=json)


def _day(on: datetime | None) -> date:
    return on.date() if on else datetime.now(UTC).date()


@app.command("show")
def show_(
    delivery: Delivery,
    json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False,
) -> None:
    """One delivery: what happened to it and why, and its books file by file."""
    from catalogue import db

    engine = home.hub(reads=True).engine
    found = db.get_delivery(engine, DeliveryId.parse(delivery))
    if found is None:
        raise never_announced(delivery)
    (record,) = db.with_settled(engine, [found])
    if json:
        show.line(record)
        return
    for event in record["events"]:
        typer.echo(f"{event['at']:%Y-%m-%d %H:%M:%S}  {event['state']:10}  {event['reason'] or ''}".rstrip())
        for detail in filter(None, ((event["detail"] or {}).get("said"), event["run"] and f"in {event['run']}")):
            typer.echo(f"{'':21}{detail}")
    if record["replaced_by"]:
        typer.echo(f"The lake holds the rows of {record['replaced_by']} instead.")
    elif record["in_lake"] and record["state"] != "published":
        typer.echo(
            f"The lake holds {record['rows_in_lake'] or 0:,} rows of it,"
            f" as published {record['published_at']:%Y-%m-%d}."
        )
    books = [{**b, "rows_quarantined": b["rows_quarantined"] or 0} for b in record["books"]]
    show.table(books, BOOK, empty="It has no books yet: they come with its stage.", as_json=False)
    if record["rows_settled"]:
        of = ", ".join(f"{t} {b['rows_settled']:,}" for t, b in record["tables"].items() if b.get("rows_settled"))
        where = "beside the rows published" if record["settled_by"] == "stage" else "of the rows published"
        show.say(f"Settled by {record['settled_by']}, {where}: {of}. The rest of a build's books: `hub omop show`.")


@app.command()
def quarantined(
    delivery: Delivery,
    key: Annotated[
        Path | None, typer.Option(help="The stewards' private key; keys/steward/quarantine.pem by default.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="Only this table, as in er_prs_f.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many records at most.")] = 1000,
    json: Annotated[bool, typer.Option("--json", help=show.JSON_HELP)] = False,
) -> None:
    """Where the quarantined records stand in the contributor's files, and why. Never what they hold."""
    from jobs.intake.quarantine import quarantined_records

    settings = home.hub().settings
    records = quarantined_records(
        DeliveryId.parse(delivery), settings.quarantine, key or settings.keys / "steward" / "quarantine.pem", table
    )
    rows = list(islice(records, limit))
    if not rows:
        _require_announced(delivery)
    show.table(
        rows,
        ("table", "file", "record", "reason"),
        empty="No record of it is in quarantine. (One that was refused whole is kept there as it came.)",
        as_json=json,
    )
    if next(records, None):
        show.say(f"There are more than {limit}: narrow with --table, or raise --limit.")


def _require_announced(delivery: str) -> None:
    from catalogue import db

    if db.delivery_state(home.hub(reads=True).engine, delivery) is None:
        raise never_announced(delivery)


@app.command()
def announce() -> None:
    """Look into the outboxes and record what is complete; say what was seen and not taken, and why."""
    from jobs.steps import receive

    hub = home.hub()
    found = receive.announce_in_run(hub, hub.run, show.say) if hub.run else receive.announce(hub, tell=show.say)
    show.line(found)


@app.command()
def pull(
    source: Source,
    period: Period,
    again: Annotated[bool, typer.Option(help="Take it in again although it is finished.")] = False,
) -> None:
    """Receive the month's delivery that is next: one pass per file into the sealed landing."""
    from jobs.steps.receive import choose, receive

    hub = home.hub()
    delivery = choose(hub, source, period)
    reported: set[str] = set()

    def progress(name: str, done: int, total: int) -> None:
        if done >= total and name not in reported:
            reported.add(name)
            show.say(f"{delivery}: {name} received, {done:,} bytes")

    answer = receive(hub, delivery, again=again, progress=progress)
    if answer["next"] == "stop":
        show.say(f"{delivery} is {answer['state']}: there is nothing to do.")
        show.say("To take it in all the same: --again; in Airflow, trigger the month with the switch Again on.")
    show.line(answer)


@app.command()
def stage(delivery: Delivery) -> None:
    """Cast, check and pseudonymise the rows of a pulled delivery."""
    from jobs.steps.stage import stage as step

    show.line(step(home.hub(), DeliveryId.parse(delivery), lambda t: show.say(f"{delivery}: staging {t}")))


@app.command()
def gate(delivery: Delivery) -> None:
    """Judge a staged delivery. Exit 12 when it is refused, 13 when it could not be judged."""
    from jobs.steps.gate import gate as step

    show.line(step(home.hub(), Subject(DeliveryId.parse(delivery))))


@app.command()
def decide(
    delivery: Delivery,
    decision: Annotated[str, typer.Option(help="approve or reject.")],
    who: Annotated[str, typer.Option(help="Name of the steward.")],
    reason: Annotated[str, typer.Option(help="Why, in one sentence.")],
    at: Annotated[datetime | None, typer.Option(help="When it was decided; now by default.")] = None,
) -> None:
    """Record a steward's decision on a delivery that waits."""
    from jobs.steps.gate import decide as step

    when = at.replace(tzinfo=at.tzinfo or UTC) if at else None
    show.line(step(home.hub(), Subject(DeliveryId.parse(delivery)), decision, who, reason, when))


@app.command()
def publish(delivery: Delivery) -> None:
    """Replace the month in the lake by a delivery that passed its gate."""
    from jobs.steps.publish import publish as step

    show.line(step(home.hub(), DeliveryId.parse(delivery), lambda t: show.say(f"{delivery}: publishing {t}")))


@app.command()
def withdraw(
    delivery: Delivery,
    reason: Annotated[str, typer.Option(help="Why, in one sentence; never a person's data.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would go.")] = False,
) -> None:
    """Take a published delivery out of the lake; the next build takes it out of the OMOP tables."""
    from jobs.steps.withdraw import plan
    from jobs.steps.withdraw import withdraw as step

    hub, which = home.hub(reads=not yes), DeliveryId.parse(delivery)
    planned = plan(hub, which)
    if planned["state"] == "withdrawn":
        show.say(f"{delivery} is withdrawn: the lake holds nothing of it.")
    else:
        rows, since = planned["rows"] or 0, planned["published_at"]
        show.say(f"{delivery}, published {since:%Y-%m-%d}: {rows:,} rows go from the lake, its files from the landing.")
        show.say("Readers see them until the next build is released: `hub omop build`; Airflow starts it by itself.")
    if yes:
        planned = step(hub, which, reason, lambda t: show.say(f"{delivery}: withdrawn from {t}"))
    else:
        show.say("Nothing was changed: repeat with --yes to withdraw it.")
    show.line(planned)


@app.command()
def backfill(
    source: Source,
    first: Annotated[str, typer.Option("--from", help="First month, YYYY-MM.")],
    last: Annotated[str | None, typer.Option("--to", help="Last month, YYYY-MM; the first one by default.")] = None,
    again: Annotated[bool, typer.Option(help="Take months in again although they are finished.")] = False,
    follow: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the runs to end.")] = True,
    minutes: Annotated[float, typer.Option(help="Wait at most so long.")] = 120.0,
) -> None:
    """Let Airflow take in one month or several: one run of ingest_<source> each. The hub must be up.

    Ctrl-C ends the waiting, not the runs: it says which go on.
    """
    from jobs.serve import airflow
    from jobs.serve.backfill import left_behind, months_between, start, wait
    from jobs.serve.rest import AirflowClient

    settings, months = home.settings(), months_between(first, last or first)
    if not airflow.passwords_file(settings).exists():
        raise ConfigError("This home has no Airflow.", next_step="start it with `hub up`, or ask in Airflow itself")
    with AirflowClient(airflow.address(settings), "admin", airflow.passwords(settings)["admin"]) as client:
        runs: list[dict[str, Any]] = []
        page = f"{airflow.address(settings)}/dags/ingest_{source}"
        try:
            for run in start(client, source, months, again=again):
                runs.append(run)  # one by one: those that were started are known when it is interrupted
            show.say(f"{len(runs)} runs of ingest_{source}: {page}")
            if follow:
                wait(client, source, runs, show.say, minutes)
        except KeyboardInterrupt:
            for line in left_behind(runs, page):
                show.say(line)
            raise typer.Exit(130) from None
    show.line(runs)
