"""``hub alert``: tells those whom the settings name what they should look at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli import arguments, home, show
from jobs.errors import ConfigError

if TYPE_CHECKING:
    from jobs.alerts import Alert
    from jobs.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="Alerts by webhook and mail: refusals, questions, failures, late deliveries; a test."
)
Run = Annotated[str, typer.Option(help="The Airflow run, <dag>/<run>.")]


def _send(settings: Settings, alert: Alert) -> None:
    from jobs.alerts import send

    channels = send(settings, alert)
    show.say(f"Sent by {' and '.join(channels)}." if channels else NO_CHANNEL)
    show.line({"kind": alert.kind, "about": alert.about, "sent": channels})


NO_CHANNEL = "No alert was sent: neither alert_webhook nor alert_mail is set in hub.toml."


@app.command()
def test() -> None:
    """Send a test alert by every channel that is set. Exit 10 when none is, 18 when one does not answer."""
    from jobs.alerts import Alert

    settings = home.settings()
    if not (settings.alert_webhook or settings.alert_mail):
        raise ConfigError("No channel is set.", reason="no_channel", next_step="set alert_webhook or alert_mail")
    _send(settings, Alert("test", settings.catalogue_address, next_step="nothing, it arrived"))


@app.command()
def failed(
    run: Run,
    task: Annotated[str, typer.Option(help="The task that failed.")],
    error: Annotated[str, typer.Option(help="Class of the error.")] = "",
    reason: Annotated[str, typer.Option(help="The code of its reason.")] = "",
) -> None:
    """A task of Airflow failed: a refusal, when it is the contributor's turn, else a failure."""
    from jobs.alerts import Alert, kind_of

    settings = home.settings()
    about, link = _about(settings, run)
    what = ", ".join(dict.fromkeys(filter(None, (f"task {task}", error, reason))))
    refused = kind_of(error) == "refusal"
    following = "the contributor sends a corrected version" if refused else "read the task's log in Airflow"
    _send(settings, Alert(kind_of(error), about, what, following, link, run))


@app.command()
def asked(run: Run) -> None:
    """A gate asks a steward."""
    from jobs.alerts import Alert

    settings = home.settings()
    about, link = _about(settings, run)
    following = "read the quality report, then answer in Airflow under Required Actions"
    _send(settings, Alert("question", about, "the gate found warnings", following, link, run))


@app.command()
def late(
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only when a month became late on this day or after it."),
    ] = None,
    on: Annotated[datetime | None, arguments.On] = None,
) -> None:
    """Months that are late, in one alert; none when there is nothing new."""
    from catalogue import db
    from jobs.alerts import Alert

    hub, day = home.hub(reads=True), (on or datetime.now(UTC)).date()
    every, dues = db.list_deliveries(hub.engine), db.dues()
    fresh = db.late_months(every, dues, day, since.date() if since else None)
    if not fresh:
        show.say("Nothing became late.")
        show.line({"kind": "lateness", "about": "", "sent": []})
        return
    known = len(db.late_months(every, dues, day)) - len(fresh)
    about = ", ".join(f"{m.source} {m.period} (due {m.due})" for m in fresh)
    older = f"{known} more were late before" if known else ""
    page = f"{hub.settings.steward_address}/en/to-do"
    _send(hub.settings, Alert("lateness", about, older, "ask the contributor", page))


def _about(settings: Settings, run: str) -> tuple[str, str]:
    """What a run works on, and the page of it: its delivery or build, else the run itself."""
    from catalogue import db

    engine = home.hub(reads=True).engine
    delivery = db.delivery_of_run(engine, run)
    judged: dict[str, Any] | None = db.quality_run_of(engine, run)
    if judged:
        return judged["subject"], f"{settings.steward_address}/en/quality/{judged['subject']}"
    if delivery:
        return delivery, f"{settings.steward_address}/en/deliveries/{delivery}"
    return run, f"{settings.steward_address}/en/to-do"
