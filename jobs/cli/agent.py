"""``hub agent``: what a contributor runs on its own premises, with its own key; here with the folders of a hub."""

from __future__ import annotations

from jobs.contributors.agent.app import Places, to_app
from jobs.settings import Settings


def _places(source: str) -> Places:
    settings = Settings()
    return Places(
        inbox=settings.root / "agents" / source / "inbox",
        outbox=settings.outbox.get(source, settings.outboxes),
        key=settings.keys / "contributors" / "p1.key",
    )


app = to_app(_places)
