"""The registry of keys: which key, by its check value, made what is in the hub. Keys themselves are files."""

from __future__ import annotations

from sqlalchemy import Engine, func, select

from catalogue.db.engine import now, one_at_a_time, reading, writing
from catalogue.db.models import RegisteredKey
from jobs.errors import KeyRefused


def register_key(engine: Engine, key_id: str, purpose: str, check_value: str) -> None:
    """Register a key; from then on it is the key of its purpose. The same again changes nothing.

    Raises ``KeyRefused`` when the id is registered with another purpose or check value.
    """
    with writing(engine) as session:
        one_at_a_time(session, RegisteredKey.__tablename__)
        known = session.get(RegisteredKey, key_id)
        if known and (known.purpose, known.check_value) == (purpose, check_value):
            return
        if known:
            raise KeyRefused(
                f"Key {key_id} is registered with another check value.",
                reason="key_changed",
                next_step="put the right key file back, or register the new key under a new id",
            )
        position = (session.scalar(select(func.max(RegisteredKey.position))) or 0) + 1
        session.add(
            RegisteredKey(
                key_id=key_id, purpose=purpose, check_value=check_value, position=position, registered_at=now()
            )
        )


def key_check(engine: Engine, purpose: str) -> str | None:
    """Check value of the key in use for a purpose, or None when none is registered."""
    query = (
        select(RegisteredKey.check_value)
        .where(RegisteredKey.purpose == purpose)
        .order_by(RegisteredKey.position.desc())
        .limit(1)
    )
    with reading(engine) as session:
        return session.scalar(query)


def list_keys(engine: Engine) -> list[dict[str, object]]:
    """Registered keys in order: ``key_id, purpose, check_value, registered_at``."""
    with reading(engine) as session:
        return [
            {name: getattr(k, name) for name in ("key_id", "purpose", "check_value", "registered_at")}
            for k in session.scalars(select(RegisteredKey).order_by(RegisteredKey.position))
        ]
