"""The pages' own words: ``texts.toml``, and the language that a reader wants."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from schemas.text import LANGS, Lang, typographic

TEXTS = Path(__file__).resolve().parent / "texts.toml"


@cache
def texts() -> dict[str, dict[str, str]]:
    """``{"home.lead": {"fr": ..., "en": ...}}``."""
    with TEXTS.open("rb") as file:
        groups = tomllib.load(file)
    return {
        f"{group}.{key}": {**text, "fr": typographic(text["fr"])}
        for group, keys in groups.items()
        for key, text in keys.items()
    }


def say(lang: Lang, key: str, **values: object) -> str:
    """The text of a key in a language. Raises ``KeyError`` for an unknown key."""
    text = texts()[key][lang]
    return text.format(**values) if values else text


def reason(lang: Lang, code: str) -> str:
    """What a reason code says in words: the whole of it (``identity:nir_form``) where it has its own, else up to its
    colon (``unparsable:EXE_SOI_DTD``); empty when it has none."""
    text = texts().get(f"reason.{code}") or texts().get(f"reason.{code.partition(':')[0]}")
    return text[lang] if text else ""


def reasons() -> list[str]:
    """Reason codes that have words."""
    return [key.partition(".")[2] for key in texts() if key.startswith("reason.")]


def best_language(accept: str) -> Lang:
    """The language that a browser accepts most (``Accept-Language``); French when it names neither."""
    best: Lang = "fr"
    weight = 0.0
    for part in accept.split(","):
        tag, _, quality = part.strip().partition(";q=")
        try:
            q = float(quality) if quality else 1.0
        except ValueError:
            continue
        for lang in LANGS:
            if tag.split("-")[0].lower() == lang and q > weight:
                best, weight = lang, q
    return best
