"""What a pull can tell of copies and orphans: never that there are none where there may be one."""

from __future__ import annotations

import pytest

from jobs.rows import doubts
from jobs.rows.doubts import COPIES, ORPHANS, Doubts
from tests.unit.typing_kit import DETAILS, column, contract, typed

LINES = contract(column("ORD", type="integer", required=True), column("ACT", values=["C"]), table="line", key=["ORD"])
NOTES = contract(column("TEXT"), table="note")
TABLES = {"line": LINES, "detail": DETAILS, "note": NOTES}

Rows = list[tuple[str, str]]


def kinds(lines: Rows, details: Rows, *, blocks: int = 1) -> dict[str, list[str]]:
    """Details may pass before the lines that they detail."""
    seen = Doubts(TABLES)
    for name, rows in (("detail", details), ("line", lines), ("note", [("x",)] * 3)):
        for at in range(blocks):
            seen.see(name, typed(TABLES[name], rows[at::blocks]).rows)
    return seen.kinds()


SOUND: Rows = [("1", "C"), ("2", "C"), ("3", "C")]
THEIRS: Rows = [("1", "1"), ("1", "2"), ("3", "1")]


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize(
    ("lines", "details", "found"),
    [
        (SOUND, THEIRS, {}),
        ([], [], {}),
        ([*SOUND, ("1", "C")], THEIRS, {"line": [COPIES], "detail": [ORPHANS]}),
        (SOUND, [*THEIRS, ("3", "1")], {"detail": [COPIES]}),
        (SOUND, [*THEIRS, ("9", "1")], {"detail": [ORPHANS]}),
        # the line that is detailed breaks the contract
        ([*SOUND, ("4", "X")], [*THEIRS, ("4", "1")], {"detail": [ORPHANS]}),
        ([*SOUND, ("4", "X")], THEIRS, {}),
        ([*SOUND, ("4", "X"), ("4", "X")], THEIRS, {"line": [COPIES], "detail": [ORPHANS]}),
        (SOUND, [*THEIRS, ("9", "1"), ("9", "1")], {"detail": [COPIES, ORPHANS]}),
    ],
)
def test_a_table_is_doubted_when_only_other_rows_explain_one_of_its(
    lines: Rows, details: Rows, found: dict[str, list[str]], blocks: int
) -> None:
    assert kinds(lines, details, blocks=blocks) == found


def test_of_more_rows_than_are_remembered_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "MOST", 3)
    assert kinds(SOUND, THEIRS) == {}
    assert kinds([*SOUND, ("4", "C")], THEIRS) == {"line": [COPIES], "detail": [ORPHANS]}
    assert kinds(SOUND, [*THEIRS, ("3", "2")]) == {"detail": [COPIES, ORPHANS]}
