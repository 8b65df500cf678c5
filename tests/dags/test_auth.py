"""What each of the hub's Airflow users may do: a steward decides and reads, and changes nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobs.serve import airflow
from jobs.serve.airflow import USERS, environment
from jobs.settings import Settings

if TYPE_CHECKING:
    from dags.lib.auth import HubAuthManager

METHODS = ("GET", "POST", "PUT", "DELETE")
CHANGES = METHODS[1:]


@pytest.fixture(scope="module")
def manager(dags_folder: Any) -> HubAuthManager:
    from airflow._shared.module_loading import import_string

    # as Airflow finds it
    found: HubAuthManager = import_string(environment(Settings())["AIRFLOW__CORE__AUTH_MANAGER"])()
    return found


def user(name: str) -> Any:
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return SimpleAuthManagerUser(username=name, role=USERS[name], teams=None)


@pytest.mark.parametrize("resource", ["pool", "connection", "variable", "configuration", "asset", "asset_alias"])
@pytest.mark.parametrize("method", CHANGES)
@pytest.mark.parametrize("name", ["steward", "reader"])
def test_a_steward_and_a_reader_change_no_setting(
    manager: HubAuthManager, name: str, resource: str, method: Any
) -> None:
    ask = getattr(manager, f"is_authorized_{resource}")
    assert not ask(method=method, user=user(name))
    assert ask(method=method, user=user("admin"))


@pytest.mark.parametrize("resource", ["connection", "variable"])
def test_what_may_hold_a_password_is_not_shown_to_a_steward(manager: HubAuthManager, resource: str) -> None:
    assert not getattr(manager, f"is_authorized_{resource}")(method="GET", user=user("steward"))


def test_of_a_dag_a_steward_reads_all_and_answers_questions_only(manager: HubAuthManager) -> None:
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity

    def may(name: str) -> set[tuple[str, str]]:
        """What a user may change, by entity (empty: the DAG itself) and method."""
        return {
            (entity.name if entity else "", method)
            for entity in (None, *DagAccessEntity)
            for method in CHANGES
            if manager.is_authorized_dag(method=method, user=user(name), access_entity=entity)
        }

    assert may("steward") == {("HITL_DETAIL", "PUT")}
    assert may("reader") == set()
    assert ("RUN", "POST") in may("admin")
    for entity in (None, *DagAccessEntity):
        for name in USERS:
            assert manager.is_authorized_dag(method="GET", user=user(name), access_entity=entity)


def test_a_question_is_answered_by_those_whom_it_asks(manager: HubAuthManager) -> None:
    from dags.lib.defaults import STEWARDS

    asked = {steward["id"] for steward in STEWARDS}
    allowed = {name for name in USERS if manager.is_authorized_hitl_task(assigned_users=asked, user=user(name))}
    assert allowed == {"steward"}


ASKS = """
import json, sys
from airflow.api_fastapi.app import create_app
from fastapi.testclient import TestClient

words = json.loads(sys.stdin.read())
pool = {"name": "mine", "slots": 1, "description": "", "include_deferred": False}
answer = {"chosen_options": ["Approve"], "params_input": {"reason": "seen"}}
asked = [
    ("GET", "/pools", None),
    ("POST", "/pools", pool),
    ("GET", "/connections", None),
    ("POST", "/connections", {"connection_id": "outbox_dcir", "conn_type": "fs"}),
    ("POST", "/variables", {"key": "a", "value": "b"}),
    ("POST", "/dags/ingest_dcir/dagRuns", {"logical_date": None}),
    ("PATCH", "/dags/ingest_dcir/dagRuns/none/taskInstances/ask_steward/-1/hitlDetails", answer),
]
with TestClient(create_app()) as client:
    for user, password in words.items():
        token = client.post("/auth/token", json={"username": user, "password": password}).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        codes = [client.request(m, f"/api/v2{path}", json=body, headers=headers).status_code for m, path, body in asked]
        print("CODES", user, *codes)
"""


def test_airflows_own_interface_answers_a_steward_so(tmp_path: Path) -> None:
    """No run is there, so what is allowed on one is 404, and what is not is 403."""
    settings = Settings(home=tmp_path / "hub")
    airflow.prepare(settings)
    done = subprocess.run(
        [sys.executable, "-c", ASKS], env=airflow.environment(settings), input=json.dumps(airflow.passwords(settings)),
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    codes = dict(line.split(maxsplit=2)[1:] for line in done.stdout.splitlines() if line.startswith("CODES "))
    assert codes == {
        "admin": "200 201 200 201 201 404 404",
        "steward": "200 403 403 403 403 403 404",
        "reader": "200 403 403 403 403 403 403",
    }, done.stderr
