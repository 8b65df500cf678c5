"""The name of one delivery: ``<source>/<period>/v<n>``, as in ``dcir/2024-03/v1``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import ConfigError

PERIOD = r"(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])"
"""Pattern of a month, ``YYYY-MM``."""
_SOURCE = re.compile(r"[a-z][a-z0-9_]{0,30}", re.ASCII)
_VERSION = re.compile(r"v([1-9][0-9]{0,4})", re.ASCII)


@dataclass(frozen=True, order=True)
class DeliveryId:
    """One version of what one source sends for one month. Ordered by source, period, version."""

    source: str
    period: str
    """Month, ``YYYY-MM``."""
    version: int

    def __post_init__(self) -> None:
        if not (_SOURCE.fullmatch(self.source) and re.fullmatch(PERIOD, self.period) and 1 <= self.version <= 99_999):
            raise ConfigError(
                "This is not the name of a delivery.",
                reason="bad_delivery_id",
                next_step="Write it as <source>/<YYYY-MM>/v<n>, for example dcir/2024-03/v1.",
            )

    @classmethod
    def parse(cls, text: str) -> DeliveryId:
        """Reads ``dcir/2024-03/v1``. Raises ``ConfigError`` for anything else."""
        source, _, rest = text.partition("/")
        period, _, version = rest.partition("/")
        number = _VERSION.fullmatch(version)
        return cls(source, period, int(number.group(1)) if number else 0)

    def __str__(self) -> str:
        return "/".join(self.parts)

    @property
    def parts(self) -> tuple[str, str, str]:
        """The three folder names, outermost first."""
        return self.source, self.period, f"v{self.version}"

    def under(self, root: Path) -> Path:
        """This delivery's folder below ``root`` (an outbox, landing, quarantine, staging)."""
        return root.joinpath(*self.parts)
