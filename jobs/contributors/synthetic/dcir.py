"""Claims: from reimbursed lines to the five files of one flow month (ER_PRS_F, ER_PHA_F, ER_CAM_F, IR_BEN_R, IR_PHA_R).

A line reaches the insurance days or weeks after the care (FLX_TRT_DTD) and is made available on the first of the next
month (FLX_DIS_DTD, the period of the delivery). One line in a hundred is cancelled by a line of negative quantity in
the same flow, some of them followed by a correction; each of these lines has its own details.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from jobs.contributors.synthetic import dcir_tables, text
from jobs.contributors.synthetic.calendar import first_day, month_of
from jobs.contributors.synthetic.care import Care
from jobs.contributors.synthetic.codes import Universe
from jobs.contributors.synthetic.population import Population, stream

LOOK_BACK = 6
"""Months of care before a flow that can still reach it: refills of 70 days and the longest delay."""
LONGEST_DELAY = 75
CANCELLED = 0.012
COPIES = 0.0008
KEEP, CANCEL, CORRECT, REDO = 0, 1, 2, 3
"""What a line is: an act, a cancellation, a correction at another price, the same act sent again."""

Bucket = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


class Claims:
    """Holds lines until their flow is complete: ``add`` each month's care in order, then ``flow`` the next month."""

    def __init__(self, population: Population, universe: Universe) -> None:
        self.population, self.universe = population, universe
        self.waiting: dict[int, list[Bucket]] = {}
        self.lines = 0

    def add(self, care: Care, month: int) -> None:
        """Sorts the care that began in ``month`` into the flows that it will reach."""
        rng = stream(self.population.seed, "delay", month)
        lines = care.lines
        delay = np.minimum(1 + rng.gamma(1.3, 9.0, len(lines)).astype(np.int64), LONGEST_DELAY)
        lines = lines.assign(line=np.arange(len(lines)) + self.lines, treated=lines["day"] + lines["nights"] + delay)
        flow = month_of(lines["treated"].to_numpy()) + 1
        drugs = care.drugs.assign(line=care.drugs["line"] + self.lines)
        acts = care.acts.assign(line=care.acts["line"] + self.lines)
        self.lines += len(lines)
        for number in np.unique(flow):
            chosen = lines[(flow == number) & lines["alive"].to_numpy()]
            ids = chosen["line"].to_numpy()
            part = (chosen, drugs[np.isin(drugs["line"], ids)], acts[np.isin(acts["line"], ids)])
            self.waiting.setdefault(int(number), []).append(part)

    def flow(self, month: int) -> dict[str, pd.DataFrame]:
        """The tables of one flow month, in load order, as text with tags."""
        parts = self.waiting.pop(month, [])
        for old in [m for m in self.waiting if m < month]:
            del self.waiting[old]
        rng = stream(self.population.seed, "flow", month)
        lines = pd.concat([p[0] for p in parts], ignore_index=True)
        drugs, acts = (pd.concat([p[i] for p in parts], ignore_index=True) for i in (1, 2))
        lines = lines.assign(step=KEEP, sign=1, tag="kept")
        lines, drugs, acts = _regularise(rng, lines, drugs, acts, month)
        lines = lines.sort_values(["treated", "person", "line", "step"], kind="stable", ignore_index=True)
        lines = _numbered(lines)
        prs = dcir_tables.er_prs_f(self.population, lines, month)
        parents = prs.set_index(lines["line"].to_numpy())
        tables = {
            "ir_pha_r": dcir_tables.ir_pha_r(self.universe, drugs),
            "ir_ben_r": dcir_tables.ir_ben_r(self.population, lines, month),
            "er_prs_f": prs,
            "er_pha_f": dcir_tables.er_pha_f(self.universe, parents, drugs),
            "er_cam_f": dcir_tables.er_cam_f(self.universe, parents, acts),
        }
        for name, share in (("er_prs_f", COPIES), ("er_pha_f", COPIES / 2)):
            tables[name] = text.with_copies(rng, tables[name], share)
        return tables


def _regularise(
    rng: np.random.Generator, lines: pd.DataFrame, drugs: pd.DataFrame, acts: pd.DataFrame, month: int
) -> Bucket:
    """Adds cancellations and corrections with their details, and tags what a settlement leaves out."""
    act = (lines["surcharge"].to_numpy() == 0) & (lines["sent_qualifier"].to_numpy() == 0)
    chosen = lines[act & (rng.random(len(lines)) < CANCELLED)]
    draw = rng.random(len(chosen))
    later = np.minimum(chosen["treated"].to_numpy() + rng.integers(0, 8, len(chosen)), first_day(month) - 1)
    start = int(lines["line"].max()) + 1 if len(lines) else 0
    extra = []
    for step, which in ((CANCEL, draw >= 0), (CORRECT, draw < 0.3), (REDO, (draw >= 0.3) & (draw < 0.5))):
        new = chosen[which].assign(step=step, treated=later[which], origin=chosen["line"].to_numpy()[which])
        new["sign"] = -1 if step == CANCEL else 1
        new["price"] = new["price"] + (150 if step == CORRECT else 0)
        new["rate"] = 100 if step == REDO else new["rate"]
        new["tag"] = "settled" if step == CANCEL else "kept"
        new["line"] = np.arange(len(new)) + start
        start += len(new)
        extra.append(new)
    lines = lines.assign(tag=np.where(lines["line"].isin(chosen["line"]), "settled", "kept"), origin=lines["line"])
    added = pd.concat(extra, ignore_index=True)
    links = added[["line", "origin", "sign"]].rename(columns={"line": "new"})

    def details(table: pd.DataFrame) -> pd.DataFrame:
        copies = table.merge(links, left_on="line", right_on="origin").sort_values("new", kind="stable")
        copies = copies.assign(line=copies["new"]).drop(columns=["new", "origin"])
        return pd.concat([table.assign(sign=1), copies], ignore_index=True)

    return pd.concat([lines, added], ignore_index=True), details(drugs), details(acts)


def _numbered(lines: pd.DataFrame) -> pd.DataFrame:
    """Statement number (one per person, performer, day of processing) and order within the statement."""
    group = lines.groupby(["person", "performer", "day", "treated", "step"], sort=False)
    return lines.assign(statement=group.ngroup() + 1, order=group.cumcount() + 1)
