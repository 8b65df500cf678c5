"""What holds for every manifest: it is taken or its own delivery is refused, and the one beside it is announced."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogue import db
from jobs.delivery import DeliveryId
from jobs.errors import ContractRefused, Incomplete, KeyRefused
from jobs.hub import Hub
from jobs.settings import Settings
from jobs.steps.receive import announce, receive
from tests.unit.intake_kit import send, shared_keys

ODD = DeliveryId("dcir", "2024-01", 1)
SOUND = DeliveryId("dcir", "2024-02", 1)
TEXT = st.text(st.characters(), max_size=12)  # half characters and zero bytes are among them
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
PLACES = st.sampled_from(
    [
        *[(key,) for key in ("contract", "contract_version", "source", "period", "version", "created_at", "files")],
        ("stage1_key",),
        *[("files", 0, key) for key in ("table", "name", "rows", "bytes", "sha256")],
        ("files", 1),
        ("more",),
        ("files", 0, "more"),
    ]
)
EDITS = st.lists(st.tuples(PLACES, ANY), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def sound_manifest() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as root:
        yield json.loads((send(Path(root), ODD) / "manifest.json").read_bytes())


def edited(manifest: dict[str, Any], edits: list[tuple[tuple[Any, ...], Any]]) -> bytes:
    made = json.loads(json.dumps(manifest))
    for place, value in edits:
        inner: Any = made
        try:
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] = value
        except (TypeError, IndexError, KeyError):
            continue  # an edit before this one took its place away
    return json.dumps(made).encode()


@cache
def fresh_database() -> bytes:
    """A hub's database with its schema and its stage-1 key."""
    with tempfile.TemporaryDirectory() as home:
        hub = Hub(Settings(home=Path(home)))
        db.register_key(hub.engine, "p1", "stage1", "0123456789abcdef")
        hub.engine.dispose()
        return (Path(home) / "hub.db").read_bytes()


def take_in(raw: bytes) -> None:
    """Announces and pulls a delivery with this manifest and a sound one beside it."""
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "keys").symlink_to(shared_keys())
        (Path(home) / "hub.db").write_bytes(fresh_database())
        hub = Hub(Settings(home=Path(home)))
        (send(hub.settings.outboxes, ODD) / "manifest.json").write_bytes(raw)
        send(hub.settings.outboxes, SOUND, rows={"er_prs_f": 3})
        assert {"source": "dcir", "period": "2024-02", "version": 1} in announce(hub)
        known = db.get_delivery(hub.engine, ODD)
        assert known and known["state"] in ("announced", "incomplete")
        outcome = {"pulled"}
        try:
            receive(hub, ODD)
        except (ContractRefused, KeyRefused, Incomplete):
            outcome = {"incomplete", "rejected"}
        assert db.delivery_state(hub.engine, ODD) in outcome
        hub.engine.dispose()


SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(EDITS)
def test_an_edited_manifest_is_no_fault_of_the_hub(sound_manifest: dict[str, Any], edits: Any) -> None:
    take_in(edited(sound_manifest, edits))


@SLOW
@given(st.binary(max_size=60) | ANY.map(lambda v: json.dumps(v).encode()))
def test_anything_in_place_of_a_manifest_is_no_fault_of_the_hub(raw: bytes) -> None:
    take_in(raw)
