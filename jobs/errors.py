"""Every error that the hub raises on purpose, each class with its own exit code.

The exit code is the one channel that carries no data: Airflow maps it to a retry policy, an operator reads
what kind of thing went wrong without needing the logs. Messages say where (delivery, table, column), which rule,
how many, and the next step. They never hold a cell value.
"""

from __future__ import annotations


class HubError(Exception):
    """Base of the hub's own errors. ``next_step`` tells the reader what to do."""

    exit_code = 1

    def __init__(self, message: str, *, reason: str | None = None, next_step: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason or type(self).__name__
        self.next_step = next_step

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} Next: {self.next_step}" if self.next_step else text


class ConfigError(HubError):
    """A setting, an option or the installation is wrong: nothing was read."""

    exit_code = 10


class ContractRefused(HubError):
    """The delivery does not keep its contract: the contributor must send it again."""

    exit_code = 11


class QualityRefused(HubError):
    """The gate found critical failures: the lake is unchanged."""

    exit_code = 12


class QualityErrored(HubError):
    """The gate could not judge: never approvable."""

    exit_code = 13


class StorageError(HubError):
    """Disk, lake or database did not answer: trying again may help."""

    exit_code = 14


class KeyRefused(HubError):
    """A key is missing, wrong, old or swapped: no data was read."""

    exit_code = 15


class ConflictError(HubError):
    """Another writer committed first: trying again helps."""

    exit_code = 16


class Incomplete(HubError):
    """The delivery is not complete yet."""

    exit_code = 17


class ServerUnavailable(HubError):
    """The Spark server, Airflow or the catalogue does not answer: start it, then try again."""

    exit_code = 18


class DisclosureRefused(HubError):
    """The answer would show a person or an identifier."""

    exit_code = 19


class UnexpectedState(HubError):
    """The books do not balance, or the hub contradicts itself: a fault of the hub, please report it."""

    exit_code = 20


class NotReady(HubError):
    """This delivery or build is not ready for the step: the step to run first is named, nothing was changed."""

    exit_code = 21


BY_EXIT_CODE: dict[int, type[HubError]] = {c.exit_code: c for c in HubError.__subclasses__()}
RETRYABLE: tuple[type[HubError], ...] = (StorageError, ConflictError, ServerUnavailable)
