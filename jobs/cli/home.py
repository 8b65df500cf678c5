"""The hub that a command works on. Opened here alone: the settings and the database cost half a second of imports, for
which help, a refused argument and the shell's completion need not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.hub import Hub
    from jobs.settings import Settings


def settings() -> Settings:
    """The settings of this hub. Raises ``ConfigError``."""
    from jobs.settings import Settings

    return Settings()


def hub(*, reads: bool = False) -> Hub:
    """This hub; ``reads``: the command only reads, and creates and migrates nothing."""
    from jobs.hub import Hub

    return Hub(settings(), reads=reads)
