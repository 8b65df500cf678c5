"""The rooms of the code as ``rooms.toml`` lists them: as objects, as a page, as a picture."""

from __future__ import annotations

import textwrap
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

from pydantic import BaseModel, ConfigDict

Layer = Literal["data", "ground", "pure", "storage", "steps", "contributors", "doors", "beside"]
LAYERS: dict[Layer, str] = {
    "beside": "beside the product",
    "doors": "who asks",
    "contributors": "the contributors' side",
    "steps": "the steps",
    "storage": "what reads and writes",
    "pure": "what only computes",
    "ground": "the ground",
    "data": "contracts and rules as data",
}
"""From the top down, as they are drawn."""
WIDTH, LEFT, GAP, HIGH = 1180, 170, 12, 74


class Room(BaseModel):
    """One room: what it holds, which rooms and which libraries it may import."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    layer: Layer
    holds: str
    may: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


@cache
def rooms() -> dict[str, Room]:
    """Every room by its name, from the ground up."""
    listed = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["room"]
    return {r["name"]: Room.model_validate(r) for r in listed}


def page() -> str:
    """The rooms as a page of the reference."""
    lines = [
        "# Rooms",
        "",
        "![The rooms of the code in layers: arrows of imports go down only](../pictures/rooms.svg)",
        "",
        "Imports go down only, and only where this list allows them. A test holds every module to it.",
        "",
        "| room | holds | may import | libraries |",
        "|---|---|---|---|",
    ]
    for room in reversed(rooms().values()):
        may, libraries = (", ".join(f"`{n}`" for n in names) for names in (room.may, room.libraries))
        lines.append(f"| `{room.name}` | {room.holds} | {may} | {libraries} |")
    return "\n".join(lines) + "\n"


def picture() -> str:
    """The rooms as a picture in SVG: one row a layer."""
    parts, top = [], 70
    for layer, title in LAYERS.items():
        inside = [r for r in rooms().values() if r.layer == layer]
        wide = (WIDTH - LEFT - 20 - GAP * (len(inside) - 1)) / len(inside)
        parts.append(f'<text class="h" x="16" y="{top + 28}">{_lines(title, 18, 16, top + 28)}</text>')
        for n, room in enumerate(inside):
            x = LEFT + n * (wide + GAP)
            parts.append(f'<rect class="{layer}" x="{x:.0f}" y="{top}" width="{wide:.0f}" height="{HIGH}" rx="5"/>')
            name = room.name.removeprefix("jobs.")
            fits = max(12, int(wide / 6.6))
            parts.append(f'<text class="n" x="{x + 9:.0f}" y="{top + 22}">{_lines(name, fits, x + 9, top + 22)}</text>')
            down = 15 * (len(textwrap.wrap(name, fits)) - 1)
            words = _lines(room.holds, fits, x + 9, top + 40 + down)
            parts.append(f'<text class="s" x="{x + 9:.0f}" y="{top + 40 + down}">{words}</text>')
        top += HIGH + GAP
    return "\n".join([*_head(top + 8), *parts, "</svg>"]) + "\n"


def _head(height: int) -> list[str]:
    colours = "ground{fill:#f4f6f8} data{fill:#eef3ea} pure{fill:#e8f1f2} storage{fill:#e6ecf7} steps{fill:#fff7e6}"
    colours += " contributors{fill:#f3e9f4} doors{fill:#fdeeee} beside{fill:#f6f6f0}"
    style = " ".join(f".{c}" for c in colours.split(" "))
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif"'
        ' font-size="13" role="img" aria-labelledby="t d">',
        '<title id="t">The rooms of the code</title>',
        '<desc id="d">Layers from the top: '
        + escape("; ".join(f"{title}: {', '.join(_names(layer))}" for layer, title in LAYERS.items()))
        + ".</desc>",
        f"<style>rect{{stroke:#8794a1}} {style} .h{{font-weight:600}} .n{{font-weight:600}}"
        " .s{font-size:11px;fill:#3d4852} text{fill:#1c1f23}</style>",
        f'<rect x="0" y="0" width="{WIDTH}" height="{height}" style="fill:#ffffff;stroke:none"/>',
        '<text x="16" y="34" font-size="18" font-weight="600">The rooms of the code: imports go down only</text>',
        '<text class="s" x="16" y="54">names without a first word stand in jobs/</text>',
    ]


def _names(layer: Layer) -> list[str]:
    return [r.name for r in rooms().values() if r.layer == layer]


def _lines(text: str, fits: int, x: float, y: float) -> str:
    """A text in lines of at most so many characters."""
    lines = textwrap.wrap(text, fits, break_on_hyphens=False)
    return "".join(f'<tspan x="{x:.0f}" y="{y + 13 * n:.0f}">{escape(line)}</tspan>' for n, line in enumerate(lines))
