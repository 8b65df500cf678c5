"""Alerts: what somebody should look at now, by webhook and by mail to those whom the settings name.

An alert leaves the hub: it names the delivery or build, the kind of error, the reason's code and where to read more. It
holds no count and no value of a cell, and not the words of an error, which hold counts.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from functools import partial
from typing import Literal

import httpx

from jobs.errors import ConfigError, ContractRefused, QualityRefused, ServerUnavailable
from jobs.settings import Settings

Kind = Literal["refusal", "question", "failure", "lateness", "test"]
TITLES: dict[Kind, str] = {
    "refusal": "Refused",
    "question": "A steward is asked",
    "failure": "Failed",
    "lateness": "Late",
    "test": "Test of the alerts",
}
REFUSALS = frozenset({ContractRefused.__name__, QualityRefused.__name__})
"""Errors by which the hub did its work: the contributor must act. All others are failures."""
PATIENCE = 15
"""Seconds that a channel gets to answer."""


@dataclass(frozen=True)
class Alert:
    """One alert. ``about``: a delivery, a build, a DAG's task, or months that are late."""

    kind: Kind
    about: str
    reason: str = ""
    """What happened: an error's class and its reason's code, never its words."""
    next_step: str = ""
    link: str = ""
    """The page that says more, for those who may read it."""
    run: str = ""
    """The Airflow run, ``<dag>/<run>``."""

    @property
    def title(self) -> str:
        """One line."""
        return " ".join(f"{TITLES[self.kind]}: {self.about}".split())

    @property
    def text(self) -> str:
        """All of it, for people."""
        lines = (self.title, self.reason, self.next_step and f"Next: {self.next_step}", self.link, self.run)
        return "\n".join(filter(None, lines))


def kind_of(error: str) -> Kind:
    """The kind of alert for the class of an error."""
    return "refusal" if error in REFUSALS else "failure"


def send(settings: Settings, alert: Alert) -> list[str]:
    """Sends an alert to all channels that are set: their names; empty when none is.

    One that does not answer keeps nothing from the others. Raises ``ServerUnavailable`` for it after that.
    """
    channels: dict[str, Callable[[], None]] = {}
    if settings.alert_webhook:
        channels["webhook"] = partial(_post, settings, settings.alert_webhook.get_secret_value(), alert)
    if settings.alert_mail:
        channels["mail"] = partial(_mail, settings, alert)
    faults = []
    for name, channel in channels.items():
        try:
            channel()
        except (httpx.HTTPError, httpx.InvalidURL, smtplib.SMTPException, OSError) as error:
            faults.append(f"{name} ({type(error).__name__})")  # its text may quote the address, which is a secret
    if faults:
        raise ServerUnavailable(
            f"An alert did not reach: {', '.join(faults)}.",
            reason="alert",
            next_step="check alert_* and smtp_* in hub.toml with `hub alert test`",
        )
    return list(channels)


def _post(settings: Settings, address: str, alert: Alert) -> None:
    body = {**asdict(alert), "title": alert.title, "text": alert.text, "hub": settings.catalogue_address}
    answer = httpx.post(address, json=body, timeout=PATIENCE)
    answer.raise_for_status()


def _mail(settings: Settings, alert: Alert) -> None:
    message = EmailMessage()
    message["From"], message["To"] = settings.alert_from, ", ".join(settings.alert_mail)
    message["Subject"] = f"[hub] {alert.title}"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(alert.text + "\n")
    with _server(settings) as server:
        server.send_message(message)


@contextmanager
def _server(settings: Settings) -> Iterator[smtplib.SMTP]:
    if settings.smtp_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            settings.smtp_host, settings.smtp_port, timeout=PATIENCE, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=PATIENCE)
    with server:
        if settings.smtp_security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if settings.smtp_user:
            server.login(settings.smtp_user, _password(settings))
        yield server


def _password(settings: Settings) -> str:
    path = settings.smtp_password_file
    if path is None or not path.is_file():
        raise ConfigError(
            "The mail server has a user and no password.", reason="bad_setting", next_step="name smtp_password_file"
        )
    return path.read_text("utf-8").strip()
