"""The images' recipe and the compose file, read as text and data: what builds and runs is `docker/verify`'s to show."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url

from docker.trees import read_services
from docker.verify import KEYS, TARGETS
from jobs.settings import CHECKOUT
from jobs.spark import jars

DOCKER = CHECKOUT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONCE = {name for name, s in SERVICES.items() if s.get("restart") == "no"}
LASTING = set(SERVICES) - ONCE


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / name
    if not program.exists():
        pytest.skip(f"{name} is not installed: it comes with the group dev")
    return subprocess.run([program, *arguments], capture_output=True, text=True)


def mounts(service: str) -> dict[str, tuple[str, bool]]:
    """Volume -> (path, read-only)."""
    found = {}
    for text in SERVICES[service].get("volumes", []):
        plain = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)
        source, where, *mode = plain.split(":")
        found[source] = (where, mode == ["ro"])
    return found


def who_mounts(volume: str) -> set[str]:
    return {name for name in SERVICES if volume in mounts(name)}


# ---- the recipe


def test_the_dockerfile_is_clean() -> None:
    done = tool("hadolint", "--no-color", DOCKER / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_linter_finds_a_fault(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text(DOCKERFILE.replace(" --no-install-recommends", ""))
    assert "DL3015" in tool("hadolint", "--no-color", bad).stdout


def stages() -> dict[str, tuple[str, str]]:
    """Stage -> (what it is made from, its text)."""
    parts = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    return {parts[i + 1]: (parts[i], parts[i + 2]) for i in range(1, len(parts), 3)}


def test_final_stages_run_as_the_hubs_user_and_come_from_no_stage_with_build_tools() -> None:
    found = stages()
    for target in TARGETS:
        parent, text = found[target]
        while parent in found:
            assert parent in ("base", "jre"), f"{target} is made from {parent}"
            parent = found[parent][0]
        assert re.findall(r"^USER (.*)$", text, flags=re.MULTILINE) == ["10001:0"], target
        assert "ARG " not in text
        assert "RUN " not in text


def test_versions_and_sums_stand_in_one_place() -> None:
    script = (CHECKOUT / "hub").read_text("utf-8")
    pinned = re.findall(r"^uv_version=(\S+)$", script, flags=re.MULTILINE)
    assert pinned == re.findall(r"^ARG UV_VERSION=(\S+)$", DOCKERFILE, flags=re.MULTILINE)
    everything = "\n".join(p.read_text("utf-8") for p in DOCKER.iterdir() if p.is_file())
    for name, checksum in jars.DELTA.items():
        assert name not in everything
        assert checksum not in everything
    _, text = stages()["jars"]
    assert "jars.delta_jars(to)" in text
    assert "COPY jobs/spark /src/jobs/spark" in text
    assert "--frozen" in DOCKERFILE
    assert DOCKERFILE.count("uv export") == DOCKERFILE.count("--require-hashes") == len(TARGETS)


def test_each_target_installs_its_own_extra() -> None:
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(TARGETS) <= extras.keys()
    for target in TARGETS:
        _, text = stages()[f"deps-{target}"]
        assert re.findall(r"--extra (\S+)", text) == [target]


def test_only_what_is_named_goes_into_a_build() -> None:
    lines = [x for x in (CHECKOUT / ".dockerignore").read_text("utf-8").splitlines() if x and not x.startswith("#")]
    assert lines[0] == "*"
    allowed = {x[1:] for x in lines if x.startswith("!")}
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from).*$", DOCKERFILE, flags=re.MULTILINE)]
    assert {source.split("/")[0] for sources in copied for source in sources} == allowed
    assert not allowed & {"docker", "tests", ".hub", ".cache", ".git", ".venv"}


# ---- the compose file


def test_the_compose_file_is_valid() -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DOCKER / "compose.yaml")
    assert done.returncode == 0, done.stdout


def test_the_schema_finds_a_misspelt_key(tmp_path: Path) -> None:
    bad = tmp_path / "compose.yaml"
    bad.write_text((DOCKER / "compose.yaml").read_text("utf-8").replace("network_mode: none", "netwrk_mode: none"))
    assert tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", bad).returncode == 1


def test_every_name_is_there() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        assert set(service.get("networks", [])) <= set(COMPOSE["networks"]), name
        for volume in mounts(name):
            assert volume in COMPOSE["volumes"] or (DOCKER / volume).is_file(), f"{name}: {volume}"
        if target := service.get("build", {}).get("target"):
            assert target in TARGETS
            assert "network_mode" in service or "networks" in service, f"{name} would join the default network"
        if (mode := service.get("network_mode", "none")) != "none":
            assert mode.removeprefix("service:") in SERVICES
    assert set(COMPOSE["volumes"]) == {v for s in SERVICES for v in mounts(s) if not v.startswith(".")}


def test_a_service_waits_for_those_that_last_to_be_healthy_and_for_the_others_to_end() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            if other == "loopback":  # it only sleeps
                wanted = "service_started"
            assert how["condition"] == wanted, f"{name} on {other}"


def test_only_the_web_servers_publish_a_port_and_on_loopback() -> None:
    ports = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    # exact counts without a sign-in: no variable may publish them elsewhere
    assert ports.pop("steward") == ["127.0.0.1:${HUB_STEWARD_PORT:-8001}:8001"]
    assert set(SERVICES["steward"]["networks"]) == {"inside", "stewards"}
    assert [name for name, s in SERVICES.items() if "stewards" in s.get("networks", [])] == ["steward"]
    assert set(ports) == {"airflow", "catalogue"}
    assert all(len(p) == 1 and p[0].startswith("${HUB_BIND:-127.0.0.1}:") for p in ports.values())
    assert {name for name, s in SERVICES.items() if "web" in s.get("networks", [])} == set(ports)
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_spark_is_reached_by_the_scheduler_alone() -> None:
    shared = {name for name, s in SERVICES.items() if s.get("network_mode") == "service:loopback"}
    assert shared == {"spark", "scheduler"}
    assert "HUB_HOST" not in SERVICES["spark"]["environment"]  # loopback, by default


def test_private_keys_are_mounted_by_the_spark_server_alone() -> None:
    assert who_mounts("keys-hub") & LASTING == {"spark"}
    assert who_mounts("keys-workers") & LASTING == {"spark", "scheduler"}
    assert who_mounts("keys-public") & LASTING == {"spark", "scheduler"}
    assert who_mounts("keys-steward") == {"keys"}
    assert who_mounts("contributor") == {"contributor"}
    assert set(KEYS) == {"spark", "scheduler"}
    for volume in ("keys-hub", "keys-workers", "keys-public"):
        assert {name for name in who_mounts(volume) if not mounts(name)[volume][1]} == {"keys"}
    # no other volume lies over or above the keys
    places = {where for name in LASTING for volume, (where, _) in mounts(name).items() if not volume.startswith("keys")}
    assert not [p for p in places if "/var/lib/hub/keys".startswith(p.rstrip("/"))]


def test_contributors_keys_are_never_made_by_the_hub() -> None:
    command = SERVICES["keys"]["command"]
    assert command[:3] == ["hub", "key", "init"]
    assert [command[i + 1] for i, word in enumerate(command) if word == "--keeper"] == ["hub", "steward"]
    assert "contributor" not in {o for s in SERVICES.values() for o in s.get("depends_on", {})}
    assert SERVICES["contributor"]["profiles"] == ["try"]


def test_passwords_are_read_from_files_that_only_their_users_mount() -> None:
    assert who_mounts("secrets-database") == {"secrets", "database"}
    assert who_mounts("secrets-hub") == {"secrets", "keys", "scheduler", "triggerer", "catalogue", "steward"}
    airflows = {"airflow", "scheduler", "dag-processor", "triggerer"}
    assert who_mounts("secrets-airflow") == {"secrets", "airflow-database", *airflows}
    assert who_mounts("airflow") == {"airflow-database", *airflows}
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if "://" in str(value) and key.endswith("DATABASE_URL"):
                url = make_url(value)
                assert url.password is None, f"{name}: {key}"
                assert str(url.query["passfile"]).startswith("/var/lib/hub/secrets/")
            assert not re.search(r"(?i)secret|password(?!_file)|token", key), f"{name}: {key}"


def test_nothing_runs_with_more_rights_than_it_needs() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("read_only") or name == "database", name
        assert "privileged" not in service
        assert "build" in service or service["user"].split(":")[0] != "0", name
        assert not any("docker.sock" in v for v in service.get("volumes", []))


def test_every_server_has_a_health_check() -> None:
    for name in LASTING - {"loopback"}:
        check = SERVICES[name].get("healthcheck")
        image = stages().get(SERVICES[name].get("build", {}).get("target", ""), ("", ""))[1]
        assert check or "HEALTHCHECK" in image, name


def test_services_start_after_what_they_wait_for() -> None:
    order = [s.name for s in read_services(DOCKER / "compose.yaml")]
    assert set(order) == set(SERVICES) - {"contributor"}
    for name in order:
        assert all(order.index(other) < order.index(name) for other in SERVICES[name].get("depends_on", {}))
    assert "contributor" in [s.name for s in read_services(DOCKER / "compose.yaml", "try")]


# ---- the first start's passwords


def make_secrets(home: Path) -> dict[str, str]:
    subprocess.run([DOCKER / "secrets.sh"], env={**os.environ, "HUB_HOME": str(home)}, check=True)
    root = home / "secrets"
    return {str(p.relative_to(root)): p.read_text() for p in sorted(root.rglob("*")) if p.is_file()}


def test_passwords_are_made_once_and_their_readers_files_agree(tmp_path: Path) -> None:
    for folder in ("database", "hub", "airflow"):
        (tmp_path / "secrets" / folder).mkdir(parents=True)
    first = make_secrets(tmp_path)
    assert set(first) == {"database/postgres", "database/hub", "database/airflow", "hub/pass", "airflow/pass"}
    assert make_secrets(tmp_path) == first
    words = {first[f"database/{user}"] for user in ("postgres", "hub", "airflow")}
    assert len(words) == 3
    assert all(re.fullmatch("[0-9a-f]{48}", word) for word in words)
    for user in ("hub", "airflow"):
        assert first[f"{user}/pass"] == f"database:5432:{user}:{user}:{first[f'database/{user}']}\n"
        # libpq reads no password file that its group may read
        assert stat.S_IMODE((tmp_path / "secrets" / user / "pass").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets" / "database" / "hub").stat().st_mode) == 0o440
