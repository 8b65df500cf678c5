"""Which contracts there are, from their files alone: nothing is read or validated."""

from __future__ import annotations

from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent


class InvalidContract(ValueError):
    """A contract is no TOML, or says what no contract says. Names the file, the place in it, and what is wrong."""


@cache
def source_names() -> tuple[str, ...]:
    """Names of the sources that have a contract, sorted."""
    return tuple(sorted(p.parent.name for p in (HERE / "sources").glob("*/source.toml")))


@cache
def omop_names() -> tuple[str, ...]:
    """OMOP tables that the hub makes, sorted."""
    return tuple(sorted(p.stem for p in (HERE / "omop").glob("*.toml")))
