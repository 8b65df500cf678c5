"""Stable ids: hashes of natural keys, so that a rerun or a correction changes no id of an unchanged event.

An id is 63 bits of xxhash64. Expected collisions among n ids are n²/2^64: 0.05 at 10^9 events. They are seen, not
supposed away: events and persons are grouped by their full keys (256 bits) and never by an id, so two keys with one id
stay two rows, and the rule "id is unique" of the gate refuses the release until the pair is settled.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

POSITIVE = 0x7FFF_FFFF_FFFF_FFFF
SEPARATOR, MISSING = "\x1f", "\x00"


def natural_key(person_key: Column, *parts: Column) -> Column:
    """64 hexadecimal characters that stand for one row of a source; NULL parts count.

    The person's keyed pseudonym is always a part: without the hub's key nobody can list facility numbers and stay
    numbers until one fits. Never give a timestamp: its text depends on the session's time zone.
    """
    texts = [F.hex(person_key), *(p.cast("string") for p in parts)]
    return F.sha2(F.concat_ws(SEPARATOR, *[F.coalesce(t, F.lit(MISSING)) for t in texts]), 256)


def to_id(*parts: Column) -> Column:
    """A BIGINT >= 0 from parts that are never NULL."""
    return F.xxhash64(*parts).bitwiseAND(F.lit(POSITIVE))


def person_id(person_key: Column) -> Column:
    """``person_id`` of a person: the same in all sources."""
    return to_id(F.lit("person"), F.hex(person_key))


def event_id(kind: Column, source: Column, key: Column, rank: Column) -> Column:
    """Id of an event. ``rank``: which of the targets of a code with several concepts (0 for the first or only one).

    The kind that the source means takes part, not the table: a new map moves an event without changing its id.
    """
    return to_id(kind, source, key, rank.cast("int"))


def visit_id(source: Column, visit_key: Column) -> Column:
    """``visit_occurrence_id`` of a visit; NULL without visit."""
    return F.when(visit_key.isNotNull(), event_id(F.lit("visit"), source, visit_key, F.lit(0)))
