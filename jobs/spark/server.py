"""The one warm Spark server of a hub: a Spark Connect server that alone holds the keys.

It listens on loopback with a token, read from a file that its clients share. Its environment names the directory of the
hub's keys; nothing else in the hub's processes does. On a cluster ``HUB_SPARK_REMOTE`` names that cluster's server, and
this module is not used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from jobs.errors import ConfigError, KeyRefused, ServerUnavailable
from jobs.settings import Settings
from jobs.spark import jars

START_SECONDS = 90
CODE = Path(__file__).resolve().parents[2]
MAIN = "hub.Server"
"""Reads the token from its file, then is Spark's own Connect server."""


def token_file(settings: Settings) -> Path:
    """The token's file: the server's and its clients', apart from the server's keys."""
    return settings.keys / "workers" / "spark.token"


def token(settings: Settings) -> str:
    """The server's token, from its file. Raises ``KeyRefused`` when it cannot be read."""
    try:
        return token_file(settings).read_text("ascii").strip()
    except OSError as error:
        raise KeyRefused("The Spark server's token cannot be read.", next_step="run `hub key init`") from error


def configuration(settings: Settings) -> dict[str, str]:
    """Everything that the server is started with, except the token."""
    classpath = ":".join(str(j) for j in [*jars.delta_jars(settings.cache), jars.hub_jar(settings.cache)])
    work = settings.run / "spark"
    conf = {
        "spark.master": "local[*]",
        "spark.app.name": "healthhub",
        "spark.driver.memory": settings.spark_memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraClassPath": classpath,
        # the methods that Spark generates for a table of fifty columns are larger than Java compiles by default
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:+UseParallelGC -XX:-DontCompileHugeMethods "
        f"-XX:ReservedCodeCacheSize=512m -Dderby.system.home={work}",
        # one table takes dozens of generated classes: with the hundred that Spark keeps, none is there a table later
        "spark.sql.codegen.cache.maxEntries": "2000",
        "spark.connect.grpc.binding.address": settings.host,
        "spark.connect.grpc.binding.port": str(settings.spark_port),
        "spark.connect.grpc.maxInboundMessageSize": str(64 * 1024 * 1024),
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": str(work / "warehouse"),
        "spark.local.dir": str(work / "local"),
        "spark.sql.shuffle.partitions": "4",
        # inferring filters from a hundred reason codes takes minutes of planning, for filters that prune nothing here
        "spark.sql.constraintPropagation.enabled": "false",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.databricks.delta.properties.defaults.dataSkippingNumIndexedCols": "0",
        "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
        # shuffle and spill hold rows: encrypted with a key of this process
        "spark.io.encryption.enabled": "true",
        # every Parquet file that holds rows is encrypted with the lake's key; of a log, no part is
        "spark.hadoop.parquet.crypto.factory.class": "hub.LogInClear",
        "spark.hadoop.parquet.encryption.kms.client.class": "hub.KeyProvider",
        "spark.hadoop.parquet.encryption.uniform.key": "lake",
        "spark.sql.parquet.compression.codec": "zstd",
        # no mark of success beside the files that wait below a table's root
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        "spark.python.daemon.module": "jobs.tasks.daemon",
        "spark.redaction.regex": "(?i)secret|password|passwd|token|access[.]?key|kek|salt|pad",
        "spark.log.level": "ERROR",
    }
    if settings.spark_event_log:
        # in plain text: who reads it to profile, or looks for what must not be in it, needs no tool
        conf |= {"spark.eventLog.enabled": "true", "spark.eventLog.compress": "false"}
        conf["spark.eventLog.dir"] = (settings.logs / "spark-events").as_uri()
    return conf


def start(settings: Settings, conf: Mapping[str, str] | None = None) -> int:
    """Starts the server in its own session and returns its process id; does nothing when it runs already.

    ``conf``: instead of ``configuration``, for measurements only: what does not encrypt fails the start-up self-test.
    """
    if settings.spark_remote or (pid := running(settings)):
        return 0 if settings.spark_remote else pid
    _refuse_used_port(settings)
    token(settings)  # refuses here, where it can be said, rather than in the server's log
    # a server that was killed left its shuffle files
    shutil.rmtree(settings.run / "spark" / "local", ignore_errors=True)
    for folder in (settings.run / "spark" / "local", settings.logs / "spark-events"):
        folder.mkdir(parents=True, exist_ok=True)
    conf = configuration(settings) if conf is None else conf
    properties = settings.run / "spark" / "spark.conf"
    properties.write_text("".join(f"{k} {v}\n" for k, v in conf.items()))
    home = jars.spark_home()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_"))}
    environment |= {
        "SPARK_HOME": str(home),
        # what its tasks run: this Python and this code
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(CODE),
        # workers are forked: no library may have started a thread before
        "OPENBLAS_NUM_THREADS": "1",
        "HUB_KEYS": str(settings.keys / "hub"),
        "HUB_PUBLIC_KEYS": str(settings.keys / "public"),
        "HUB_WORKER_KEYS": str(token_file(settings).parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TZ": "UTC",
    }
    log = (settings.logs / "spark.log").open("ab")
    process = subprocess.Popen(
        ["bash", str(home / "bin" / "spark-submit"), "--properties-file", str(properties), "--class", MAIN,
         "spark-internal"],
        env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        cwd=settings.run / "spark",
    )  # fmt: skip
    (settings.run / "spark.pid").write_text(str(process.pid))
    return process.pid


def _refuse_used_port(settings: Settings) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.spark_port))
        except OSError as error:
            raise ConfigError(
                f"Port {settings.spark_port} is in use.", next_step="stop what uses it, or set HUB_SPARK_PORT"
            ) from error


def running(settings: Settings) -> int:
    """Process id of this hub's server, 0 when it does not run."""
    try:
        pid = int((settings.run / "spark.pid").read_text())
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return 0
    return 0 if state == "Z" else pid


def mark_proved(settings: Settings) -> None:
    """Notes that the running server was seen to encrypt what it writes."""
    (settings.run / "spark.proved").write_text(str(running(settings)))


def proved(settings: Settings) -> bool:
    """Whether that was noted of the server that runs now."""
    try:
        return int((settings.run / "spark.proved").read_text()) == running(settings) != 0
    except (OSError, ValueError):
        return False


def ready(settings: Settings) -> bool:
    """Whether something listens on the server's port."""
    try:
        with socket.create_connection((settings.host, settings.spark_port), timeout=1):
            return True
    except OSError:
        return False


def wait(settings: Settings, seconds: float = START_SECONDS, asked: threading.Event | None = None) -> None:
    """Waits until the server listens, or is asked to end. Raises ``ServerUnavailable`` with where its log is."""
    end = time.monotonic() + seconds
    while not ready(settings) and not (asked and asked.is_set()):
        if time.monotonic() > end or not (settings.spark_remote or running(settings)):
            raise ServerUnavailable("The Spark server did not start.", next_step=f"read {settings.logs / 'spark.log'}")
        time.sleep(0.3)


def serve(settings: Settings, prove: Callable[[], None], every: float = 0.5) -> int:
    """Runs the server in the foreground until it ends or this process gets TERM or INT; its exit status, 0 when asked.

    ``prove`` is called once the server listens; what it raises stops the server. Raises ``ConfigError`` when a server
    of this hub runs already.
    """
    if running(settings):
        raise ConfigError("The Spark server runs already.", next_step="run `hub spark stop`, then try again")
    asked = threading.Event()
    before = {s: signal.signal(s, lambda *_: asked.set()) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        pid = start(settings)
        wait(settings, asked=asked)
        if not asked.is_set():
            prove()
        while running(settings) and not asked.wait(every):
            pass
        return 0 if asked.is_set() else _exit_status(pid)
    finally:
        stop(settings)
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_status(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) or 1  # it ends by itself only when something is wrong
    except ChildProcessError:
        return 1


def stop(settings: Settings, seconds: float = 20) -> None:
    """Stops the server: TERM to its process group, KILL when it does not end in time."""
    pid = running(settings)
    if pid:
        for sign, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(pid, sign)
            except ProcessLookupError:
                break
            end = time.monotonic() + patience
            while running(settings) and time.monotonic() < end:
                _reap(pid)
                time.sleep(0.1)
            if not running(settings):
                break
        end = time.monotonic() + 5.0
        while ready(settings) and time.monotonic() < end:  # its last threads hold the port a moment longer
            time.sleep(0.1)
    (settings.run / "spark.pid").unlink(missing_ok=True)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
