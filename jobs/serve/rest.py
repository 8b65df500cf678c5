"""A client of Airflow's REST interface: what the demo and the tests watch and ask, with one user's rights."""

from __future__ import annotations

from typing import Any, Self
from urllib.parse import quote

import httpx

from jobs.errors import HubError, ServerUnavailable

Record = dict[str, Any]


class AirflowClient:
    """One user of one Airflow. Raises ``ServerUnavailable`` when it does not answer, ``HubError`` when it refuses."""

    def __init__(self, base: str, user: str, password: str) -> None:
        self.user, self._password = user, password
        # a proxy of the environment has no business between two processes of one machine
        self._http = httpx.Client(base_url=base, timeout=30, trust_env=False)
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """One request under ``/api/v2``, the token renewed when it is over. The JSON of the answer."""
        for again in (True, False):
            answer = self._send(method, f"/api/v2{path}", headers={"Authorization": f"Bearer {self.token}"}, **options)
            if answer.status_code == 401 and again:
                self._token = ""
                continue
            break
        if answer.is_error:
            raise HubError(f"Airflow refused {method} {path}: {answer.status_code}.", reason=str(answer.status_code))
        return answer.json() if answer.content else None

    @property
    def token(self) -> str:
        """The user's token, as a browser keeps it in the cookie ``_token``."""
        self._token = self._token or self._new_token()
        return self._token

    def _new_token(self) -> str:
        answer = self._send("POST", "/auth/token", json={"username": self.user, "password": self._password})
        if answer.is_error:
            raise HubError(f"Airflow does not know the user {self.user}.", reason=str(answer.status_code))
        return str(answer.json()["access_token"])

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ServerUnavailable(
                f"Airflow does not answer ({type(error).__name__}).", next_step="start it with `hub up`"
            ) from None

    def import_errors(self) -> list[str]:
        """Files of ``dags/`` that Airflow could not read."""
        return [str(e["filename"]) for e in self.request("GET", "/importErrors")["import_errors"]]

    def dag_ids(self) -> set[str]:
        """DAGs that Airflow has read so far."""
        return {str(d["dag_id"]) for d in self.request("GET", "/dags", params={"limit": 100})["dags"]}

    def trigger(
        self, dag: str, *, partition_key: str | None = None, conf: Record | None = None, name: str | None = None
    ) -> str:
        """Starts a run, for a partition when given, and returns its id: the ``name``, or one that Airflow makes."""
        body: Record = {"logical_date": None, "conf": conf or {}}
        if partition_key is not None:
            body["partition_key"] = partition_key
        if name is not None:
            body["dag_run_id"] = name
        return str(self.request("POST", f"/dags/{dag}/dagRuns", json=body)["dag_run_id"])

    def run(self, dag: str, run: str) -> Record:
        """One run: ``state``, ``partition_key``, ..."""
        record: Record = self.request("GET", f"/dags/{dag}/dagRuns/{_quoted(run)}")
        return record

    def runs(self, dag: str = "~", *, states: tuple[str, ...] = (), limit: int = 100) -> list[Record]:
        """The last runs, the newest first."""
        params: Record = {"limit": limit, "order_by": "-run_after", "state": list(states)}
        records: list[Record] = self.request("GET", f"/dags/{dag}/dagRuns", params=params)["dag_runs"]
        return records

    def tasks(self, dag: str = "~", run: str = "~", *, states: tuple[str, ...] = (), limit: int = 200) -> list[Record]:
        """Task instances with their ``state``; ``~`` is any."""
        params: Record = {"limit": limit, "state": list(states)}
        answer: Record = self.request("GET", f"/dags/{dag}/dagRuns/{_quoted(run)}/taskInstances", params=params)
        tasks: list[Record] = answer["task_instances"]
        return tasks

    def result(self, dag: str, run: str, task: str) -> Any:
        """What a task returned."""
        where = f"/dags/{dag}/dagRuns/{_quoted(run)}/taskInstances/{task}/xcomEntries/return_value"
        return self.request("GET", where, params={"deserialize": False})["value"]

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> list[str]:
        """Lines of a task's log."""
        where = f"/dags/{dag}/dagRuns/{_quoted(run)}/taskInstances/{task}/logs/{attempt}"
        answer = self.request("GET", where)
        return [str(e.get("event", e)) if isinstance(e, dict) else str(e) for e in answer["content"]]

    def questions(self) -> list[Record]:
        """Gates' questions that a steward can answer now, each with its ``task_instance``: Airflow 3.3.2 fails a task
        that is answered before it has paused."""
        where = "/dags/~/dagRuns/~/hitlDetails"
        questions: list[Record] = self.request("GET", where, params={"response_received": False})["hitl_details"]
        return [q for q in questions if q["task_instance"]["state"] == "awaiting_input"]

    def answer(self, dag: str, run: str, option: str, reason: str, *, task: str = "ask_steward") -> None:
        """Answers a gate as this user: one of ``questions``, some seconds old."""
        where = f"/dags/{dag}/dagRuns/{_quoted(run)}/taskInstances/{task}/-1/hitlDetails"
        self.request("PATCH", where, json={"chosen_options": [option], "params_input": {"reason": reason}})


def _quoted(run: str) -> str:
    return run if run == "~" else quote(run, safe="")
