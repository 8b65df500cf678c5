"""How the demo shows itself: a live table on a terminal, plain lines elsewhere, the books at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from jobs.serve.watch import Sight

STYLES = {"published": "green", "duplicate": "green", "superseded": "green", "rejected": "red", "waiting": "yellow"}
Record = dict[str, Any]


class Display:
    """Everything is written to standard error; scripts read the hub's own ``--json`` verbs."""

    def __init__(self, *, live: bool | None = None) -> None:
        self.console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 160)
        self.begin = time.monotonic()
        self._live = Live(console=self.console, refresh_per_second=2, transient=True) if self._wants(live) else None
        self._said: dict[str, str] = {}

    @staticmethod
    def _wants(live: bool | None) -> bool:
        return sys.stderr.isatty() if live is None else live

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.rest()

    def rest(self) -> None:
        """Takes the live table away."""
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """One line with the time since the start."""
        self.console.print(f"[dim]{self.elapsed:>5.0f} s[/dim]  {text}" if text else "")

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.begin

    def show(self, sight: Sight) -> None:
        """The present: the whole table on a terminal, only what is new elsewhere."""
        if self._live:
            self._live.start()
            self._live.update(self._progress(sight))
            return
        for key, text in self._lines(sight).items():
            if self._said.get(key) != text:
                self.say(f"{key} {text}")
        self._said = self._lines(sight)

    def _lines(self, sight: Sight) -> dict[str, str]:
        lines = {}
        for d in sight.deliveries:
            why, doing = d["reason"], sight.doing(d, ("running", "up_for_retry"))
            lines[str(d["id"])] = f"{d['state']}{f' ({why})' if why else ''}{f'; {doing}' if doing else ''}"
        build = [t["task_id"] for t in sight.tasks if t["dag_id"] == "build_omop" and t["state"] == "running"]
        lines |= dict.fromkeys(sight.questions, "(a steward is asked)")
        return lines | {"build_omop": " ".join(build) or "is idle", "release": str(sight.release or "none")}

    def _progress(self, sight: Sight) -> Group:
        table = Table("delivery", "state", "Airflow now", "rows in", "published", box=None, header_style="bold")
        for d in sight.deliveries:
            state = Text(str(d["state"]), style=STYLES.get(str(d["state"]), ""))
            table.add_row(d["id"], state, sight.doing(d), f"{d['rows_in']:,}", f"{d['rows_published']:,}")
        building = [f"{t['task_id']} {t['state']}" for t in sight.tasks if t["dag_id"] == "build_omop"]
        foot = (
            f"{self.elapsed:.0f} s   release {sight.release or 'none'}   build_omop: {', '.join(building) or 'is idle'}"
        )
        asked = [Text(f"asked: {q}", style="yellow") for q in sight.questions]
        return Group(table, *asked, Text(foot, style="dim"))

    def books(self, sight: Sight, expected: list[Record], verdicts: Mapping[str, str]) -> None:
        """Per delivery: rows in = published + quarantined + duplicates, of those published how many reversals settled,
        verdict, as expected or not."""
        self.rest()
        wanted = {e["id"]: e["state"] for e in expected}
        names = (
            "delivery",
            "state",
            "verdict",
            "rows in",
            "published",
            "quarantined",
            "duplicates",
            "of published settled",
            "why",
            "",
        )
        table = Table(*names, box=None, header_style="bold")
        for d in sight.deliveries:
            bad = "; ".join(f"{n:,} {reason}" for reason, n in d["rows_quarantined"].items())
            lost = sum(d["rows_quarantined"].values())
            right = wanted.get(d["id"], d["state"]) == d["state"]
            numbers = (d["rows_in"], d["rows_published"], lost, d["rows_duplicate"])
            table.add_row(
                d["id"],
                Text(str(d["state"]), style=STYLES.get(str(d["state"]), "")),
                verdicts.get(str(d["id"]), ""),
                *(f"{n:,}" for n in numbers),
                "" if d["rows_settled"] is None else f"{d['rows_settled']:,}",
                bad or str(d["reason"] or ""),
                "as expected" if right else Text(f"should be {wanted[d['id']]}", style="bold red"),
            )
        self.console.print(table)
