"""A whole hub that Airflow ran once over deliveries full of canaries, and everything that it left behind.

Canaries are the population's own identifiers and some that were planted where a program is likely to quote them: in
cells that cannot be read, in lines that are no rows, in a manifest that breaks its form.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin

import httpx
import psutil
import pytest

from catalogue import db
from jobs.contributors.synthetic.generate import Parameters, canaries, generate
from jobs.contributors.synthetic.manifest import declare
from jobs.delivery import DeliveryId
from jobs.serve import airflow, servers
from jobs.serve.rest import AirflowClient
from jobs.serve.watch import Sight, Watcher
from jobs.settings import CHECKOUT, Settings
from tests.conftest import free_port
from tests.deliveries import Rows, rewrite
from tests.privacy import scan

MONTH = "2024-01"
PLANTED = {"NIR": "185057800608436", "name": "Quevinzelbray", "stage-1 pseudonym": "CANARYCANARY2345A"}
"""Identifiers of nobody, in the cells that a parser cannot read."""
CUSTODY = ("agents", "outboxes", "keys")
"""What contributors and keepers hold: identifiers and keys belong there."""
SECONDS = 900
DELIVERIES = {
    f"dcir/{MONTH}/v1": "published",
    f"pmsi_mco/{MONTH}/v1": "rejected",
    f"pmsi_mco/{MONTH}/v2": "rejected",
    f"pmsi_mco/{MONTH}/v3": "published",
    f"ville/{MONTH}/v1": "published",
}
"""What becomes of each: two are refused whole, the bad rows of another are a steward's to accept."""
READS = (
    ("delivery", "list", "--json"),
    ("quality", "list", "--json"),
    ("release", "list", "--json"),
    ("key", "list", "--json"),
    ("lake", "show", "--json"),
    ("lake", "query", "SELECT gender_concept_id, count(*) AS persons FROM omop.person GROUP BY 1", "--json"),
    # Spark quotes the value that it cannot cast
    ("lake", "query", "SELECT sum(CAST(drug_source_value || 'x' AS INT)) FROM omop.drug_exposure", "--json"),
    ("quality", "check", "omop/person", "--json"),
    ("quality", "check", "dcir/er_prs_f", "--json"),
)
"""What an engineer asks: all that they print is looked at."""


@dataclass
class Left:
    """What a hub left behind after its run."""

    settings: Settings
    needles: dict[bytes, str]
    sight: Sight | None = None
    pages: dict[str, bytes] = field(default_factory=dict)
    """Address -> page of the catalogue, every one that a link leads to."""
    said: dict[str, bytes] = field(default_factory=dict)
    """Command -> all that it printed."""
    answers: dict[str, bytes] = field(default_factory=dict)
    """What Airflow's REST interface tells of runs, tasks, questions and XComs."""
    processes: dict[str, bytes] = field(default_factory=dict)
    """Command lines and environments of the hub's processes while it ran."""

    def leaks(self, *places: str) -> list[scan.Leak]:
        """Leaks in these directories or files of the home; there must be something to look at."""
        found = []
        for place in places:
            path = self.settings.root / place
            assert path.exists(), place
            if path.is_file():
                found += scan.in_bytes(path.read_bytes(), self.needles, place)
                continue
            assert any(scan.files(path)), f"{place} is empty"
            found += scan.leaks(path, self.needles)
        return found


def plant(outboxes: Path) -> None:
    """Puts canaries where they are likely to be quoted."""
    nir, name, pseudonym = PLANTED.values()
    claims = DeliveryId("dcir", MONTH, 1).under(outboxes)

    def spoil(rows: Rows) -> None:
        columns = ("EXE_SOI_DTD", "PRS_ACT_QTE", "PRS_NAT_REF", "BEN_SEX_COD", "ORG_AFF_BEN", "PRS_PAI_MNT")
        for at, column in enumerate(columns):
            rows["er_prs_f"][at][column] = (nir, name, pseudonym)[at % 3]
        rows["ir_ben_r"][0]["BEN_NAI_ANN"] = nir
        rows["er_pha_f"][0]["PHA_ACT_QSN"] = name

    rewrite(claims, spoil, lines=(f"{nir};{name};{pseudonym}", f"{name}\x07;" * 12))

    stays = DeliveryId("pmsi_mco", MONTH, 1).under(outboxes)
    sound, manifest = stays.with_name("v3"), json.loads((stays / "manifest.json").read_text("utf-8"))
    files = {f["name"]: (stays / f["name"]).read_bytes() for f in manifest["files"]}
    for folder, version in ((stays.with_name("v2"), 2), (sound, 3)):
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        (folder / "manifest.json").write_text(json.dumps(manifest | {"version": version}), "utf-8")
    # a manifest whose numbers are none, and one whose first file has no header
    (stays / "manifest.json").write_text(
        json.dumps(manifest | {"created_at": nir, "files": [f | {"rows": name} for f in manifest["files"]]}), "utf-8"
    )
    rewrite(stays.with_name("v2"), lambda rows: None)
    first = stays.with_name("v2") / manifest["files"][0]["name"]
    headless = first.read_text("utf-8").splitlines()[1:]
    first.write_text("\n".join([f"{nir};{name};{pseudonym}", *headless]) + "\n", "utf-8")
    declare(stays.with_name("v2"), {f["name"]: f["table"] for f in manifest["files"]}, manifest["stage1_key"])


def watch(settings: Settings) -> Sight:
    """Waits until every delivery is where it should be and a release is described; a steward answers on the way."""
    end = time.monotonic() + SECONDS
    engine, passwords = db.open_engine(settings.database), airflow.passwords(settings)
    base = airflow.address(settings)
    wanted = [{"id": name, "state": state} for name, state in DELIVERIES.items()]
    with AirflowClient(base, "admin", passwords["admin"]) as admin:
        steward = AirflowClient(base, "steward", passwords["steward"])
        watcher = Watcher(settings, engine, admin)
        answered: set[str] = set()
        while True:
            sight = watcher.look()
            for question in steward.questions():
                task = question["task_instance"]
                if (run := task["dag_run_id"]) not in answered:
                    time.sleep(4)  # Airflow fails a task that is answered in its first second
                    steward.answer(task["dag_id"], run, "Approve", "planted by the test")
                    answered.add(run)
            if sight.complete(wanted) or time.monotonic() > end or watcher.stuck():
                assert not sight.wrong(wanted), (sight.wrong(wanted), watcher.failures())
                return sight
            time.sleep(2)


def crawl(start: str) -> dict[str, bytes]:
    """Every page of the catalogue that links lead to from its first one."""
    pages: dict[str, bytes] = {}
    waiting = [start]
    with httpx.Client(timeout=30, trust_env=False, follow_redirects=True) as client:
        while waiting:
            address = waiting.pop()
            if address in pages:
                continue
            answer = client.get(address)
            assert answer.status_code == 200, address
            pages[address] = answer.content
            for link in re.findall(r'href="([^"]+)"', answer.text):
                target = urljoin(str(answer.url), link.replace("&amp;", "&")).partition("#")[0]
                if target.startswith(start):
                    waiting.append(target)
    return pages


def ask_airflow(settings: Settings) -> dict[str, bytes]:
    """Runs, tasks with their rendered fields, questions and XComs, as Airflow tells them."""
    told = {}
    with AirflowClient(airflow.address(settings), "admin", airflow.passwords(settings)["admin"]) as client:
        for run in client.runs():
            for task in client.tasks(run["dag_id"], run["dag_run_id"]):
                where = f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id'].replace('+', '%2B')}"
                entries = client.request("GET", f"{where}/taskInstances/{task['task_id']}/xcomEntries")
                name = f"{run['dag_id']} {run['dag_run_id']} {task['task_id']} {task['map_index']}"
                values = [
                    client.result(run["dag_id"], run["dag_run_id"], task["task_id"])
                    for e in entries["xcom_entries"]
                    if e["key"] == "return_value"
                ]
                told[name] = json.dumps([task, entries, values], default=str).encode()
        told["questions"] = json.dumps(client.request("GET", "/dags/~/dagRuns/~/hitlDetails")).encode()
    return told


def look_at_processes(settings: Settings) -> dict[str, bytes]:
    """Command lines and environments of all processes of this servers."""
    seen = {}
    for sid in servers.sessions(settings):
        for process in [psutil.Process(sid), *psutil.Process(sid).children(recursive=True)]:
            try:
                lines = "\n".join(process.cmdline()), "\n".join(f"{k}={v}" for k, v in process.environ().items())
            except psutil.Error:
                continue
            java = "java" in process.name()
            seen[f"{'spark' if java or sid == spark_pid(settings) else 'other'} {process.pid}"] = "\n".join(
                lines
            ).encode()
    return seen


def spark_pid(settings: Settings) -> int:
    from jobs.spark import server

    return server.running(settings)


def run_command(settings: Settings, *argv: str) -> bytes:
    """All that a command of the hub prints."""
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *argv], env=airflow.hub_environment(settings), cwd=CHECKOUT,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False,
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="session")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """Runs the hub over the canaries, once, and keeps what it left."""
    settings = Settings(
        home=tmp_path_factory.mktemp("canaries"),
        spark_port=free_port(),
        airflow_port=free_port(),
        catalogue_port=free_port(),
        steward_port=free_port(),
        spark_event_log=True,
        spark_memory="1g",
    )
    generate(settings.root, Parameters(persons=400, months=1, with_faults=False))
    plant(settings.outboxes)
    needles = scan.of_texts(canaries(settings.root), "identifier")
    for kind, value in PLANTED.items():
        needles |= scan.of_texts([value], f"planted {kind}")
    servers.prepare(settings)
    found = Left(settings, needles)
    with servers.running(settings, lambda _: None):
        found.sight = watch(settings)
        found.processes = look_at_processes(settings)
        found.answers = ask_airflow(settings)
        found.said = {" ".join(argv): run_command(settings, *argv) for argv in READS}
        for subject in (f"dcir/{MONTH}/v1", "build/1"):
            found.said |= {f"report {subject}": run_command(settings, "quality", "report", subject)}
        found.pages = crawl(f"{settings.catalogue_address}/") | crawl(f"{settings.steward_address}/")
    return found
