"""From a command's exit code to a named error, and from the error to whether the task is tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from jobs.errors import BY_EXIT_CODE, ConflictError, HubError, ServerUnavailable, StorageError


class JobKilled(HubError):
    """The command ended by a signal: memory ran out, or someone stopped it. Trying again may help."""


def repeat(line: str, log: Any) -> None:
    """Logs a line that a command said; an error of the hub in red, in pieces that are read without scrolling."""
    if not line.startswith("hub: "):
        log.info("%s", line)
        return
    reason, _, words = line.removeprefix("hub: ").partition(": ")
    what, _, following = words.partition(" Next: ")
    for piece in filter(None, (reason, what, following and f"Next: {following}")):
        log.error("%s", piece)


def failure(code: int, command: str) -> HubError:
    """The named error of an exit code. The log above it has the words; this has none of the data."""
    if code < 0 or code in (137, 143):
        return JobKilled(f"`hub {command}` was killed (signal {-code if code < 0 else code - 128}).")
    kind = BY_EXIT_CODE.get(code, HubError)
    what = (kind.__doc__ or "").split("\n")[0] if kind is not HubError else "The command failed."
    return kind(f"`hub {command}`: exit code {code}. {what}", next_step="read the lines above")


POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(ConflictError, RetryAction.RETRY, timedelta(seconds=10), "another writer was first: try again"),
        RetryRule(ServerUnavailable, RetryAction.RETRY, timedelta(seconds=30), "a server is away: try again"),
        RetryRule(StorageError, RetryAction.RETRY, timedelta(seconds=30), "storage: try again"),
        RetryRule(JobKilled, RetryAction.RETRY, timedelta(seconds=30), "the command was killed: try again"),
        RetryRule(HubError, RetryAction.FAIL, None, "trying again cannot help"),
    ]
)
"""Storage, conflicts and servers are tried again; contracts, keys, quality and faults of the hub never."""
