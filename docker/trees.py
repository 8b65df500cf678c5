"""What the compose file says of each service, and how it is run in a built tree: buildah with chroot isolation.

Imitated: command, user, environment, mounts with their read-only flags, tmpfs with its options, capabilities, health
checks, the order of starting. Not imitated: separate networks, a read-only root, restarts, limits of memory.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

HUB_USER = "10001:0"
DEFAULT = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


@dataclass(frozen=True)
class Service:
    """One service. ``target`` is the built image; ``mounts`` are (source, path, read-only)."""

    name: str
    target: str
    command: tuple[str, ...]
    user: str
    environment: Mapping[str, str]
    mounts: tuple[tuple[str, str, bool], ...]
    tmpfs: tuple[tuple[str, str], ...]
    health: tuple[str, ...]
    once: bool
    after: tuple[str, ...] = field(default=())


def read_services(path: Path, profile: str | None = None) -> list[Service]:
    """The services of a compose file, each after those that it waits for; variables have their default values."""
    text = DEFAULT.sub(lambda default: default.group(1), path.read_text("utf-8"))
    said: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    chosen = {n: s for n, s in said.items() if profile in s.get("profiles", [profile])}
    order = TopologicalSorter({n: s.get("depends_on", {}) for n, s in chosen.items()}).static_order()
    return [_service(name, chosen[name]) for name in order]


def _service(name: str, said: Mapping[str, Any]) -> Service:
    check = said.get("healthcheck", {})
    mounts = ((*v.split(":"), "")[:3] for v in said.get("volumes", []))
    tmpfs = (t.partition(":") for t in said.get("tmpfs", []))
    return Service(
        name=name,
        target=said.get("build", {}).get("target", name),
        command=tuple(said.get("command", ())),
        user=said.get("user", HUB_USER),
        environment={k: str(v) for k, v in said.get("environment", {}).items()},
        mounts=tuple((source, where, mode == "ro") for source, where, mode in mounts),
        tmpfs=tuple((where, options) for where, _, options in tmpfs),
        health=() if check.get("disable") else tuple(check.get("test", ["CMD"])[1:]) or ("image",),
        once=said.get("restart") == "no",
        after=tuple(said.get("depends_on", {})),
    )


class Tree:
    """A working container of one service. ``volumes``: the folder that holds a folder per named volume."""

    def __init__(self, service: Service, image: str, work: Path, beside: Path, names: list[str]) -> None:
        self.service, self.work = service, work
        self.id = f"hub-verify-{service.name}"
        self.process: subprocess.Popen[bytes] | None = None
        self.mounted: list[Path] = []
        hosts = [f"--add-host={name}:127.0.0.1" for name in names]
        subprocess.run(["buildah", "rm", self.id], capture_output=True, check=False)  # what a killed run left
        call("buildah", "from", "--quiet", "--name", self.id, *hosts, image)
        config = json.loads(call("buildah", "inspect", self.id))["Docker"]["config"]
        self.command = service.command or (*(config.get("Entrypoint") or []), *(config.get("Cmd") or []))
        image_health = tuple((config.get("Healthcheck") or {"Test": ["NONE"]})["Test"][1:])
        self.health = image_health if service.health == ("image",) else service.health
        sets = [f"--env={k}={v}" for k, v in service.environment.items()]
        call("buildah", "config", "--user", service.user, *sets, self.id)
        self.root = Path(call("buildah", "mount", self.id).strip())
        mode = {True: "ro", False: "rw"}
        self.options = [f"--volume={self._source(s, w, beside)}:{w}:{mode[ro]}" for s, w, ro in service.mounts]
        self.options += [f"--volume={self._tmpfs(where, options)}:{where}" for where, options in service.tmpfs]
        self.options.sort(key=lambda o: len(o.split(":")[1]))

    def _source(self, source: str, where: str, beside: Path) -> Path:
        if source.startswith("."):
            return (beside / source).resolve()
        folder = self.work / "volumes" / source
        if not folder.exists():  # an engine gives an empty volume the owner and mode of the image's folder
            folder.mkdir(parents=True)
            model = self.root / where.lstrip("/")
            if model.exists():
                owner = model.stat()
                os.chown(folder, owner.st_uid, owner.st_gid)
                folder.chmod(owner.st_mode & 0o7777)
        return folder

    def _tmpfs(self, where: str, options: str) -> Path:
        folder = self.work / "tmpfs" / self.service.name / where.lstrip("/").replace("/", "-")
        folder.mkdir(parents=True)
        call("mount", "-t", "tmpfs", "-o", ",".join(["nosuid,nodev", *(["noexec"] if "exec" not in options else []),
             options]), "tmpfs", str(folder))  # fmt: skip
        self.mounted.append(folder)
        return folder

    def argv(self, *command: str) -> list[str]:
        """The command line that runs a command in the tree as the service would."""
        alone = ("--hostname", "localhost", "--cap-drop", "all")
        return ["buildah", "run", *alone, *self.options, self.id, "--", *command]

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end. Raises ``Failed`` with its last words, unless told not to."""
        done = subprocess.run(self.argv(*command), capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise Failed(f"{self.service.name}: {' '.join(command)[:80]}: {(done.stdout + done.stderr)[-2000:]}")
        return done

    def start(self) -> None:
        """Starts the service's own command."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.argv(*self.command), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    @property
    def log(self) -> Path:
        return self.work / f"{self.service.name}.log"

    def wait(self, seconds: float) -> None:
        """Waits until the service is healthy, or has ended well when it runs once. Raises ``Failed``."""
        if self.process is None:
            raise Failed(f"{self.service.name} was not started")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            code = self.process.poll()
            if self.service.once and code == 0:
                return
            if code is not None:
                raise Failed(f"{self.service.name} ended with {code}:\n{self.words()}")
            if not self.service.once and (not self.health or not self.run(*self.health, check=False).returncode):
                return
            time.sleep(1)
        raise Failed(f"{self.service.name} is not healthy after {seconds:.0f} s:\n{self.words()}")

    def words(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text("utf-8", errors="replace").splitlines()[-20:])

    def inside(self) -> list[int]:
        """Processes that run in this tree."""
        processes = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "root").samefile(self.root):
                    processes.append(int(entry.name))
            except OSError:
                continue
        return processes

    def end(self, seconds: float = 40) -> None:
        """Asks every process to end, then ends it; removes the tree."""
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
            for pid in self.inside():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
            until = time.monotonic() + patience
            while self.inside() and time.monotonic() < until:
                time.sleep(0.3)
        if self.process:
            self.process.wait(10)
        for folder in self.mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
        subprocess.run(["buildah", "rm", self.id], capture_output=True, check=False)


class Failed(Exception):
    """What was to be proved is not so."""


def call(*command: str, **options: Any) -> str:
    """Standard output of a command. Raises ``Failed`` with what it said."""
    done: subprocess.CompletedProcess[str] = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise Failed(f"{' '.join(command)[:120]}: {done.stderr[-2000:]}")
    return done.stdout
