"""Builds the three images without a container engine, then runs what ``compose.yaml`` says in the built trees.

A base made by debootstrap stands in for Debian's image, Debian's PostgreSQL for the official one. A synthetic
contributor delivers; Airflow in the trees must bring it to a release that the catalogue shows.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

from docker.trees import HUB_USER, Failed, Service, Tree, call, read_services

CHECKOUT = Path(__file__).resolve().parents[1]
COMPOSE = CHECKOUT / "docker" / "compose.yaml"
TARGETS = ("catalogue", "spark", "airflow")
BASE = "localhost/hub-verify-base"
BUILDAH = {"BUILDAH_ISOLATION": "chroot", "BUILDAH_FORMAT": "docker", "BUILDAH_LAYERS": "true"}
LEFT_OUT = ("proc", "sys", "dev", "run", "var/cache/apt", "var/lib/apt/lists", "var/log")
NOT_READ = ("doc", "man", "locale")
TOOLS = {"gcc", "cc", "make", "git", "uv", "pip", "pip3", "javac", "curl", "wget"}
PRIVATE = {"hub/lake.key", "hub/landing.pem", "hub/p2.key"}
KEYS = {
    "spark": PRIVATE | {"workers/spark.token", "public/landing.pub.pem", "public/quarantine.pub.pem"},
    "scheduler": {"workers/spark.token", "public/landing.pub.pem", "public/quarantine.pub.pem"},
}
"""Key files that a running service sees; the others see none."""
OPEN_PORTS = {5432, 8000, 8001, 8080}
"""What listens on more than its container's loopback: the database, the catalogue, the stewards' pages, Airflow."""
DATABASE = """
FROM {base}
RUN groupadd --system --gid 999 postgres && useradd --system --uid 999 --gid postgres postgres \\
 && apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql >/dev/null \\
 && install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data \\
 && install -d -o postgres -g postgres -m 3777 /var/run/postgresql
COPY start /usr/local/bin/start
ENV PGDATA=/var/lib/postgresql/data
CMD ["sh", "/usr/local/bin/start"]
"""
START = """set -eu
export PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --no-sync $POSTGRES_INITDB_ARGS
  pg_ctl -D "$PGDATA" -o "-c listen_addresses=" -w start
  for file in /docker-entrypoint-initdb.d/*.sh; do "$file"; done
  pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec postgres -c listen_addresses=*
"""
"""In place of the official image's entrypoint: the same contract, as far as compose.yaml uses it."""


def say(text: str) -> None:
    sys.stderr.write(f"verify: {text}\n")
    sys.stderr.flush()


def check_files() -> None:
    """The linters, as the tests run them."""
    programs = Path(sys.executable).parent
    for tool, argv in {
        "hadolint": ("docker/Dockerfile",),
        "check-jsonschema": ("--builtin-schema", "vendor.compose-spec", "docker/compose.yaml"),
    }.items():
        if not (programs / tool).exists():
            say(f"{tool} is not installed (the group dev has it): not run")
            continue
        call(str(programs / tool), *argv, cwd=CHECKOUT)


def make_base(cache: Path, mirror: list[str]) -> None:
    """A clean Debian as an image, in place of ``debian:bookworm-slim``; kept for the next time."""
    if call("buildah", "images", "--quiet", "--filter", f"reference={BASE}"):
        return
    say("making a base with debootstrap")
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    call("debootstrap", "--variant=minbase", "bookworm", str(cache / "root"), *mirror)
    left_out = (*LEFT_OUT, *(f"usr/share/{d}" for d in NOT_READ))
    without = [f"--exclude=./{d}/*" for d in left_out] + ["--exclude=./etc/resolv.conf", "--exclude=./etc/hostname"]
    call("tar", "-C", str(cache / "root"), "--one-file-system", "--numeric-owner", *without, "-cf",
         str(cache / "base.tar"), ".")  # fmt: skip
    made = call("buildah", "from", "scratch").strip()
    call("buildah", "add", "--quiet", made, str(cache / "base.tar"), "/")
    call("buildah", "config", "--cmd", "bash", "--env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", made)
    call("buildah", "commit", "--quiet", "--rm", made, BASE)
    shutil.rmtree(cache)


def build(base: str, authority: Path | None) -> None:
    """Every target, and the database's stand-in. ``authority``: folder with ca.pem and cacerts of this network."""
    given = [f"--build-arg=BASE_IMAGE={base}"]
    if authority:
        given += [f"--volume={authority}:/mnt:ro", "--build-arg=SSL_CERT_FILE=/mnt/ca.pem",
                  "--build-arg=PIP_CERT=/mnt/ca.pem",
                  "--build-arg=JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/mnt/cacerts"]  # fmt: skip
    for target in TARGETS:
        begin = time.monotonic()
        call("buildah", "bud", "--quiet", *given, "--file", "docker/Dockerfile", "--target", target, "--tag",
             image(target), ".", cwd=CHECKOUT)  # fmt: skip
        say(f"{target} is built ({time.monotonic() - begin:.0f} s, {size(target)} MB)")


def build_database(base: str, work: Path) -> None:
    (work / "start").write_text(START)
    call("buildah", "bud", "--quiet", "--file", "-", "--tag", image("database"), str(work),
         input=DATABASE.format(base=base))  # fmt: skip


def image(target: str) -> str:
    return f"localhost/hub-verify-{target}"


def size(target: str) -> int:
    images = json.loads(call("buildah", "images", "--json", image(target)))
    return int(sum(float(i["size"].split()[0]) * {"MB": 1, "GB": 1000}[i["size"].split()[1]] for i in images))


def enter_a_network_of_its_own() -> None:
    """Goes on as a process that reaches nothing but its own loopback: nothing is fetched at start, no port clashes."""
    again = (sys.executable, "-m", "docker.verify", *sys.argv[1:], "--inside")
    os.execvp("unshare", ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "_", *again])  # noqa: S606


def check_image(tree: Tree) -> None:
    """Not root, no build tools, and the one command answers."""
    who = tree.run("id", "-u").stdout.strip()
    if who != HUB_USER.split(":")[0]:
        raise Failed(f"{tree.service.target} runs as {who}")
    held = set(tree.run("ls", "/usr/bin", "/usr/local/bin", "/opt/venv/bin").stdout.split()) & TOOLS
    if held:
        raise Failed(f"{tree.service.target} holds {', '.join(sorted(held))}")
    say(f"{tree.service.target}: {tree.run('hub', '--version').stdout.strip()}")


def check_keys(tree: Tree) -> None:
    """What keys a running service sees, compared with what it may see."""
    seen = set(tree.run("find", "/var/lib/hub/keys", "-type", "f", "-printf", "%P\n", check=False).stdout.split())
    if seen != KEYS.get(tree.service.name, set()):
        raise Failed(f"{tree.service.name} sees the keys {sorted(seen)}")


def check_listeners() -> None:
    """Only the database and the two web servers listen on more than loopback; Spark does not."""
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            where, state = line.split()[1], line.split()[3]
            address, _, port = where.partition(":")
            if state == "0A" and not address.endswith(("0100007F", "01000000")):
                listening.add(int(port, 16))
    if listening - OPEN_PORTS:
        raise Failed(f"ports {sorted(listening - OPEN_PORTS)} listen on more than loopback")
    with socket.create_connection(("127.0.0.1", 15002), timeout=5):
        pass


def check_nothing_written(trees: list[Tree], since: float) -> None:
    """A read-only root would do: nobody wrote outside the mounts."""
    for tree in (t for t in trees if t.service.target in TARGETS):
        written = call("find", str(tree.root), "-xdev", "-type", "f", "-newermt", f"@{since}", "-not", "-path",
                        f"{tree.root}/etc/*", "-size", "+0")  # fmt: skip
        if written:
            raise Failed(f"{tree.service.name} wrote outside its volumes: {written.split()[:5]}")


def check_encrypted(volumes: Path) -> int:
    """Number of Parquet files in lake, landing and quarantine; each begins with PARE."""
    files = [f for v in ("lake", "staging", "landing", "quarantine") for f in (volumes / v).rglob("*.parquet")]
    clear = [f for f in files if f.read_bytes()[:4] != b"PARE"]
    if clear or not files:
        raise Failed(f"{len(clear)} of {len(files)} Parquet files are in clear")
    return len(files)


def until(what: str, seconds: float, ask: Callable[[], bool], trees: list[Tree]) -> None:
    """Waits until ``ask`` says yes. Raises ``Failed`` when it takes too long or a service ended meanwhile."""
    begin = time.monotonic()
    while not ask():
        ended = [t for t in trees if not t.service.once and t.process and t.process.poll() is not None]
        if ended:
            raise Failed(f"{ended[0].service.name} ended:\n{ended[0].words()}")
        if time.monotonic() - begin > seconds:
            raise Failed(f"{what}: not after {seconds:.0f} s")
        time.sleep(3)
    say(f"{what} ({time.monotonic() - begin:.0f} s)")


def released() -> bool:
    with urlopen("http://127.0.0.1:8000/healthz", timeout=10) as answer:
        return bool(json.load(answer)["release"])


def deliver(services: list[Service], trees: dict[str, Tree], grow: Callable[[Service], Tree]) -> None:
    """A synthetic contributor makes its key and delivers; the hub is told the key's check value, then takes all in."""
    contributor = grow(next(s for s in services if s.name == "contributor"))
    contributor.run("hub", "key", "init", "--keeper", "contributors")
    registered = json.loads(contributor.run("hub", "key", "list", "--json").stdout.splitlines()[-1])
    check = next(k["check_value"] for k in registered if k["purpose"] == "stage1")
    trees["keys"].run("hub", "key", "register", "--purpose", "stage1", "--key-id", "stage1-try", "--check-value", check)
    contributor.start()
    contributor.wait(240)
    running = list(trees.values())
    until("the deliveries are in a release that the catalogue shows", 480, released, running)


def run(work: Path, stack: ExitStack) -> None:
    """Starts every service in its order, then asks each what the compose file promises."""
    services = read_services(COMPOSE)
    names = [s.name for s in services]
    since = time.time()

    def grow(service: Service) -> Tree:
        tree = Tree(service, image(service.target), work, COMPOSE.parent, names)
        stack.callback(tree.end)
        return tree

    trees: dict[str, Tree] = {}
    seen: set[str] = set()
    for service in services:
        tree = trees[service.name] = grow(service)
        if service.target in TARGETS and service.target not in seen:
            check_image(tree)
            seen.add(service.target)
        begin = time.monotonic()
        tree.start()
        tree.wait(240)
        say(f"{service.name} {'is done' if service.once else 'is healthy'} ({time.monotonic() - begin:.0f} s)")
    running = [t for t in trees.values() if not t.service.once]
    for tree in running:
        check_keys(tree)
    check_listeners()
    for name in ("secrets", "keys", "airflow-database"):  # a second start changes nothing
        trees[name].run(*trees[name].command)
    deliver(read_services(COMPOSE, "try"), trees, grow)
    say(f"{check_encrypted(work / 'volumes')} Parquet files, all encrypted")
    check_nothing_written(running, since)


def main() -> int:
    """0 when everything held, 1 with what did not."""
    parser = argparse.ArgumentParser(prog="docker/verify", description=__doc__)
    parser.add_argument("--base", default=BASE, help="image to build on; made with debootstrap when left out")
    parser.add_argument("--mirror", nargs=1, default=[], help="Debian mirror of debootstrap")
    parser.add_argument("--authority", type=Path, help="folder with the network's ca.pem and cacerts (Java)")
    parser.add_argument("--work", type=Path, default=CHECKOUT / ".cache" / "verify", help="folder for volumes and logs")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.update(BUILDAH)
    try:
        if not given.inside:
            check_files()
            if given.base == BASE:
                make_base(given.work / "base", given.mirror)
            shutil.rmtree(given.work, ignore_errors=True)
            given.work.mkdir(parents=True)
            build(given.base, given.authority)
            build_database(given.base, given.work)
            enter_a_network_of_its_own()
        with ExitStack() as stack:
            run(given.work, stack)
    except Failed as failure:
        say(f"FAILED: {failure}")
        return 1
    say("everything held")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
