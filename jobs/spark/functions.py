"""Names under which the Spark server offers the hub's functions that use a key."""

from __future__ import annotations

PSEUDONYM = "hub_pseudonym"
KEY_CHECK = "hub_key_check"
