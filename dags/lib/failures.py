"""From a command's exit code to a named error, and from the error to whether the task is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from jobs.errors import BY_EXIT_CODE, ConflictError, HubError, ServerUnavailable, StorageError


class JobKilled(HubError):
    """The command ended by a signal: memory ran out, or someone stopped it. Trying again may help."""


PREFIX = "hub: "
"""How a command begins the line that says its error: ``hub: <reason>: <what> Next: <step>``."""


def failure(code: int, command: str, line: str = "") -> HubError:
    """The named error of an exit code, in the words of the command's last ``line``."""
    if code < 0 or code in (137, 143):
        return JobKilled(f"`hub {command}` was killed (signal {-code if code < 0 else code - 128}).")
    kind = BY_EXIT_CODE.get(code, HubError)
    if line.startswith(PREFIX):
        reason, _, words = line.removeprefix(PREFIX).partition(": ")
        what, _, following = words.partition(" Next: ")
        return kind(what, reason=reason, next_step=following or None)
    what = (kind.__doc__ or "").split("\n")[0] if kind is not HubError else "The command failed."
    return kind(f"`hub {command}`: exit code {code}. {what}", next_step="read the lines above")


def lines_of(error: HubError) -> list[str]:
    """An error in pieces that are read without scrolling: its name and reason, what happened, the next step."""
    name = type(error).__name__
    first = name if error.reason == name else f"{name}: {error.reason}"
    return [first, str(error.args[0]), *([f"Next: {error.next_step}"] if error.next_step else [])]


@contextmanager
def red_end(log: Any) -> Iterator[None]:
    """Ends the log of a task that fails by an error of the hub with its words in red.

    Airflow logs every exception with its traceback except ``SystemExit``, so the error goes on as one that is both: the
    retry policy and the callbacks still see its class.
    """
    try:
        yield
    except HubError as error:
        for line in lines_of(error):
            log.error(line)
        kind = type(error)
        exit_kind = type(kind.__name__, (kind, SystemExit), {"__module__": kind.__module__})
        ending = exit_kind(error.args[0], reason=error.reason, next_step=error.next_step)
        ending.code = kind.exit_code
        raise ending from None


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
