"""Alerts over real servers: a webhook, a mail server; what they say, what they never say, what happens when one is
away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from typer.testing import CliRunner

from catalogue import db
from jobs.alerts import Alert, kind_of, send
from jobs.cli.alert import app
from jobs.errors import ConfigError, HubError, ServerUnavailable
from jobs.settings import Settings
from tests.conftest import free_port
from tests.hooks import Hook, listening

ALERT = Alert("refusal", "dcir/2024-03/v1", "QualityRefused, quality", "the contributor sends a corrected version")


class Mails(Message):  # type: ignore[misc]
    """Keeps what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.kept.append(message)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as server:
        yield server


@pytest.fixture
def mails() -> Iterator[tuple[Mails, int]]:
    kept, port = Mails(), free_port()
    controller = Controller(kept, hostname="127.0.0.1", port=port)
    controller.start()
    yield kept, port
    controller.stop()


def settings(home: Settings, **changed: Any) -> Settings:
    return Settings(**(home.model_dump() | changed))


def by_mail(home: Settings, port: int) -> Settings:
    to = ("stewards@example.org", "operators@example.org")
    return settings(home, alert_mail=to, smtp_host="127.0.0.1", smtp_port=port, smtp_security="none")


def test_a_webhook_gets_json_and_a_text_for_chats(home: Settings, hook: Hook) -> None:
    assert send(settings(home, alert_webhook=hook.address), ALERT) == ["webhook"]
    (body,) = hook.bodies
    assert (body["kind"], body["about"]) == ("refusal", "dcir/2024-03/v1")
    assert body["text"].splitlines() == [
        "Refused: dcir/2024-03/v1",
        "QualityRefused, quality",
        "Next: the contributor sends a corrected version",
    ]


def test_a_mail_reaches_all_who_are_named(home: Settings, mails: tuple[Mails, int]) -> None:
    kept, port = mails
    assert send(by_mail(home, port), ALERT) == ["mail"]
    (mail,) = kept.kept
    assert mail["Subject"] == "[hub] Refused: dcir/2024-03/v1"
    assert mail["To"] == "stewards@example.org, operators@example.org"
    assert "Next: the contributor sends a corrected version" in mail.get_payload()


def test_what_is_told_of_a_line_end_stays_in_the_subject(home: Settings, mails: tuple[Mails, int]) -> None:
    kept, port = mails
    send(by_mail(home, port), Alert("failure", "build/1\nBcc: someone@example.org"))
    (mail,) = kept.kept
    assert mail["Bcc"] is None
    assert mail["Subject"] == "[hub] Failed: build/1 Bcc: someone@example.org"


def test_without_a_channel_nothing_is_sent(home: Settings) -> None:
    assert send(home, ALERT) == []


def test_one_channel_that_is_away_keeps_nothing_from_the_other(
    home: Settings, hook: Hook, mails: tuple[Mails, int]
) -> None:
    kept, port = mails
    hook.status = 500
    with pytest.raises(ServerUnavailable, match=r"did not reach: webhook \(HTTPStatusError\)") as caught:
        send(settings(by_mail(home, port), alert_webhook=hook.address), ALERT)
    assert len(kept.kept) == 1
    assert "secret-token" not in str(caught.value)


def test_a_mail_server_without_encryption_gets_nothing_when_it_is_asked_for(
    home: Settings, mails: tuple[Mails, int]
) -> None:
    kept, port = mails
    with pytest.raises(ServerUnavailable, match=r"mail \(SMTPNotSupportedError\)"):
        send(settings(by_mail(home, port), smtp_security="starttls"), ALERT)
    assert kept.kept == []


def test_a_user_needs_a_password_file(home: Settings, mails: tuple[Mails, int]) -> None:
    with pytest.raises(ConfigError, match="no password"):
        send(settings(by_mail(home, mails[1]), smtp_user="hub"), ALERT)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("ContractRefused", "refusal"),
        ("QualityRefused", "refusal"),
        ("QualityErrored", "failure"),
        ("StorageError", "failure"),
        ("", "failure"),
    ],
)
def test_a_refusal_is_no_failure(error: str, kind: str) -> None:
    assert kind_of(error) == kind


def test_the_address_of_the_webhook_is_not_shown(home: Settings) -> None:
    assert "secret-token" not in repr(settings(home, alert_webhook="http://127.0.0.1/hooks/secret-token"))


@pytest.fixture
def hub(home: Settings, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A hub with a webhook that took one month of ville in, refused the next and waits with a third of dcir."""
    monkeypatch.setenv("HUB_HOME", str(home.root))
    monkeypatch.setenv("HUB_ALERT_WEBHOOK", hook.address)
    engine = db.open_engine(home.database)
    db.migrate(engine)
    for name, last in (("ville/2024-01/v1", "published"), ("ville/2024-02/v1", "rejected")):
        db.announce(engine, name, {"files": []}, name)
        for state in ("pulled", "staged", last):
            db.record_event(engine, name, state, run=f"ingest_ville/{name.split('/')[1]}")
    engine.dispose()
    return home


def run(*argv: str) -> Any:
    return CliRunner().invoke(app, argv, catch_exceptions=False)


def test_a_failed_task_says_what_it_worked_on(hub: Settings, hook: Hook) -> None:
    told = run("failed", "--run=ingest_ville/2024-02", "--task=gate", "--error=QualityRefused", "--reason=quality")
    assert json.loads(told.stdout)["sent"] == ["webhook"]
    (body,) = hook.bodies
    assert body["kind"] == "refusal"
    assert body["about"] == "ville/2024-02/v1"
    assert body["reason"] == "task gate, QualityRefused, quality"
    assert body["link"].endswith("/en/deliveries/ville/2024-02/v1")


def test_a_question_leads_to_the_report(hub: Settings, hook: Hook) -> None:
    engine = db.open_engine(hub.database)
    db.add_quality_run(engine, "dcir/2024-03/v1", [], "warning", run="ingest_dcir/2024-03")
    engine.dispose()
    run("asked", "--run=ingest_dcir/2024-03")
    (body,) = hook.bodies
    assert body["title"] == "A steward is asked: dcir/2024-03/v1"
    assert body["link"].endswith("/en/quality/dcir/2024-03/v1")


def test_a_run_that_the_hub_does_not_know_is_named(hub: Settings, hook: Hook) -> None:
    run("failed", "--run=ingest_pmsi_mco/x", "--task=pull")
    assert hook.bodies[0]["about"] == "ingest_pmsi_mco/x"
    assert hook.bodies[0]["kind"] == "failure"


def test_lateness_is_told_once(hub: Settings, hook: Hook) -> None:
    quiet = run("late", "--on=2024-03-14", "--since=2024-03-13")  # refused, and not due before the 15th is over
    assert "Nothing became late." in quiet.stderr and hook.bodies == []
    run("late", "--on=2024-03-17", "--since=2024-03-15")
    assert [b["about"] for b in hook.bodies] == ["ville 2024-02 (due 2024-03-15)"]
    run("late", "--on=2024-03-18", "--since=2024-03-17")
    assert len(hook.bodies) == 1


def test_the_test_needs_a_channel(home: Settings, monkeypatch: pytest.MonkeyPatch, hook: Hook) -> None:
    monkeypatch.setenv("HUB_HOME", str(home.root))
    with pytest.raises(HubError, match="No channel is set"):
        run("test")
    monkeypatch.setenv("HUB_ALERT_WEBHOOK", hook.address)
    assert "Sent by webhook." in run("test").stderr
    assert hook.bodies[0]["kind"] == "test"
