"""Every reason for which the door refuses a delivery has its words on the pages, in both languages."""

from __future__ import annotations

import ast
from pathlib import Path

from catalogue.web.words import LANGS, reason

INTAKE = Path(__file__).resolve().parents[2] / "jobs" / "intake"
REFUSING = {"refuse": 0, "_refuse": 1}
"""Functions that refuse, and which of their arguments is the reason."""
NOT_SHOWN = {"already_pulling", "bad_delivery_id", "not_encrypted", "key_missing", "key_other", "seal_damaged"}
"""Reasons of errors that are no event of a delivery."""


def reasons() -> set[str]:
    found: set[object] = set()
    for path in INTAKE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                given = [k.value for k in node.keywords if k.arg == "reason"]
                given += node.args[REFUSING[name] : REFUSING[name] + 1] if name in REFUSING else []
                found |= {c.value for v in given for c in ast.walk(v) if isinstance(c, ast.Constant)}
    return {r for r in found if isinstance(r, str)} | {"compressed", "other_form"}


def test_every_refusal_has_its_words() -> None:
    assert {"bad_name", "missing_column", "unclosed_quote", "manifest_unreadable"} <= reasons()
    assert [(r, lang) for r in sorted(reasons() - NOT_SHOWN) for lang in LANGS if not reason(lang, r)] == []
