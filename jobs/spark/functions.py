"""Names under which the Spark server offers the hub's functions that use a key."""

from __future__ import annotations

KEY_CHECK = "hub_key_check"
