"""What the pull finds of rows that only others tell against, on tables that a steward can read."""

from __future__ import annotations

import pytest

from jobs.rows import noted
from jobs.rows.noted import Seen
from tests.unit.typing_kit import DETAILS, column, contract, typed

LINES = contract(
    column("ORD", type="integer", required=True), column("ACT", values=["C", "V"]), column("NOTE", keep=False),
    table="line", key=["ORD"],
)  # fmt: skip
OTHERS = contract(column("TEXT"), table="other")
TABLES = {"line": LINES, "detail": DETAILS, "other": OTHERS}

COPIES = [("1", "C", "x"), ("1", "C", "y")]

Place = tuple[str, str, int]
Rows = list[tuple[str, ...]]


def seen(files: dict[str, dict[str, Rows]], blocks: int = 1) -> Seen:
    """A delivery by table and file. Details may pass before the lines that they detail."""
    made = Seen(TABLES)
    for name in sorted(files):
        for file, rows in files[name].items():
            landed = typed(TABLES[name], rows).rows
            for at in range(blocks):
                begin, end = (n * len(rows) // blocks for n in (at, at + 1))
                made.see(name, file, landed[begin:end])
    return made


def found(made: Seen) -> dict[Place, tuple[str, str | None, str | None]]:
    rows = made.ended()[0].to_pylist()
    return {(r["_table"], r["_file"], r["_row"]): (r["_status"], r["_reason"], r["_said"]) for r in rows}


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_copies_and_conflicts_are_told_apart_over_all_files(blocks: int) -> None:
    """A copy may differ in what does not reach the lake. Of equal rows the first by file and number stays."""
    made = seen(
        {
            "line": {
                "b.csv": [("1", "C", ""), ("2", "C", ""), ("9", "C", "")],
                "a.csv": [
                    ("1", "C", "x"),
                    ("1", "C", "y"),
                    ("2", "V", ""),
                    ("3", "X", ""),
                    ("3", "X", ""),
                    ("4", "X", ""),
                ],
            }
        },
        blocks,
    )
    assert found(made) == {
        ("line", "a.csv", 2): ("duplicate", None, None),
        ("line", "b.csv", 1): ("duplicate", None, None),
        ("line", "a.csv", 3): ("quarantined", "conflict", None),
        ("line", "b.csv", 2): ("quarantined", "conflict", None),
        ("line", "a.csv", 5): ("duplicate", None, "code:ACT"),
    }
    assert made.ended()[1] == {
        "line": {
            ("a.csv", "duplicate", None): 2,
            ("b.csv", "duplicate", None): 1,
            ("a.csv", "quarantined", "conflict"): 1,
            ("b.csv", "quarantined", "conflict"): 1,
            ("a.csv", "quarantined", "code:ACT"): 2,
        },
        "detail": {},
        "other": {},
    }


def test_details_of_rows_that_do_not_go_on_are_orphans() -> None:
    lines = [("1", "C", ""), ("2", "C", ""), ("2", "V", ""), ("3", "X", ""), ("4", "C", ""), ("4", "C", "")]
    details = [("1", "1"), ("2", "1"), ("3", "1"), ("4", "1"), ("5", "1"), ("5", "1"), ("6", "x"), ("4", "1")]
    made = seen({"line": {"l.csv": lines}, "detail": {"d.csv": details}})
    orphan = ("quarantined", "orphan", None)
    assert {place[2]: end for place, end in found(made).items() if place[0] == "detail"} == {
        2: orphan,  # its line contradicts another
        3: orphan,  # its line breaks the contract
        5: orphan,  # it has none
        6: ("duplicate", None, None),
        8: ("duplicate", None, None),  # its line has a copy, and stays
    }
    assert made.ended()[1]["detail"] == {
        ("d.csv", "quarantined", "orphan"): 3,
        ("d.csv", "duplicate", None): 2,
        ("d.csv", "quarantined", "unparsable:NUM"): 1,
    }


def test_a_table_without_key_and_parent_has_none_and_one_without_rows_neither() -> None:
    made = seen({"other": {"o.csv": [("x",), ("x",)]}, "line": {"l.csv": []}, "detail": {}})
    assert found(made) == {}
    assert made.ended()[1] == {"line": {}, "detail": {}, "other": {}}


def test_of_more_rows_than_are_remembered_nothing_is_said_nor_of_their_details(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noted, "MOST", 3)
    lines, details = [(str(n), "C", "") for n in range(4)], [("7", "1")]
    made = seen({"line": {"l.csv": lines[:3]}, "detail": {"d.csv": details}})
    assert made.unknown == []
    assert list(found(made)) == [("detail", "d.csv", 1)]
    made = seen({"line": {"l.csv": lines}, "detail": {"d.csv": details}, "other": {"o.csv": [("x",)]}}, blocks=2)
    assert made.unknown == ["line", "detail"]
    assert found(made) == {}
    assert list(made.ended()[1]) == ["other"]
