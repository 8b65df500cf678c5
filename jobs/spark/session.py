"""The only place that makes a SparkSession, and that lets a Spark error out: without the data that it quotes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs.errors import ConfigError, ConflictError, HubError, KeyRefused, ServerUnavailable, StorageError
from jobs.settings import Settings
from jobs.spark import server
from jobs.spark.functions import KEY_CHECK

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RETRIES = 5
CONFLICTS = ("DELTA_CONCURRENT", "DELTA_METADATA_CHANGED", "DELTA_PROTOCOL_CHANGED")
KEY_MARK = re.compile(r"HUB_KEY_[A-Z]+: [A-Za-z0-9 _.,-]+|GCM tag check failed|No keys available")
CODE_MARK = "HUB_CODE_OTHER"
CLASS_MARK = re.compile(r"\[([A-Z][A-Z0-9_.]+)\]")


def connect(settings: Settings) -> SparkSession:
    """A session on the hub's Spark server. Raises ``ServerUnavailable`` or ``KeyRefused`` before any data is read."""
    if not settings.spark_remote and not server.ready(settings):
        raise ServerUnavailable("The Spark server does not answer.", next_step="run `hub spark start`, then try again")
    return open_session(address(settings))


def open_session(remote: str) -> SparkSession:
    """A session on the server at this address, with the hub's function registered."""
    from pyspark.logger import PySparkLogger
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.types import StringType

    for quoting in ("DataFrameQueryContextLogger", "SQLQueryContextLogger"):  # they log the data that an error quotes
        PySparkLogger.getLogger(quoting).setLevel(logging.CRITICAL + 1)
    with safely("connect"):
        spark = SparkSession.builder.remote(remote).create()
        # a server that died is reported in seconds (the default waits ten minutes): the task that asked is tried again
        spark.client.set_retry_policies([DefaultPolicy(max_retries=RETRIES, max_backoff=2000)])
        spark.udf.registerJavaFunction(KEY_CHECK, "hub.KeyCheck", StringType())
    return spark


def address(settings: Settings) -> str:
    """The server's address with the token from its file: never logged. Raises ``ConfigError``, ``KeyRefused``."""
    # a client sends a token without TLS to "localhost" only, by that very name; to any other name it asks for TLS
    remote = settings.spark_remote or f"sc://localhost:{settings.spark_port}"
    if "token=" in remote:
        raise ConfigError(
            "HUB_SPARK_REMOTE holds a token: every process of the hub could read it.",
            next_step=f"leave it out; it is read from {server.token_file(settings)}",
        )
    where, _, options = remote.rstrip("/;").partition("/;")
    return f"{where}/;" + ";".join(o for o in (options, f"token={server.token(settings)}") if o)


@contextmanager
def safely(step: str) -> Iterator[None]:
    """Turns a Spark or gRPC error into a ``HubError`` that holds its class only: Spark quotes data in messages."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        raise translated(error, step) from None


def translated(error: Exception, step: str) -> HubError:
    """The hub's error for one of Spark's. Only a condition name, an SQLSTATE and our own key messages are kept."""
    text = str(error)
    condition = ""
    if hasattr(error, "getCondition"):
        condition = error.getCondition() or ""
    if not condition and (named := CLASS_MARK.search(text)):
        condition = named.group(1)
    if mark := KEY_MARK.search(text):
        said = mark.group(0)
        return KeyRefused(f"Spark refused at {step}: {said}.", next_step="check the key files and the key registry")
    if CODE_MARK in text:
        return ServerUnavailable(
            f"The Spark server refused at {step}: it was started with other code than this.",
            reason="code_other",
            next_step="run `hub spark stop`, then `hub spark start`",
        )
    if any(c in text for c in CONFLICTS):
        return ConflictError(f"Another writer committed first at {step} ({condition}).", next_step="try again")
    name = type(error).__name__
    if "UNAVAILABLE" in text or "RpcError" in name or "Retries" in name or "UNAUTHENTICATED" in text:
        what = "UNAUTHENTICATED" if "nauthenticated" in text or "UNAUTHENTICATED" in text else "UNAVAILABLE"
        return ServerUnavailable(
            f"The Spark server went away at {step} ({what}).", next_step="run `hub spark start`, then try again"
        )
    return StorageError(
        f"Spark failed at {step} ({condition or name}).", next_step="read the Spark server's log, then try again"
    )
