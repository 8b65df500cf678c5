"""How commands print tables: an id is copied from a terminal, so it is never cut."""

from __future__ import annotations

import pytest

from jobs.cli import show

ROWS = [
    {
        "id": "pmsi_mco/2024-03/v12",
        "reason": "a few words that may go on",
        "rows_quarantined": {"code:SOR_MOI": 1},
    },
    {"id": "dcir/2024-03/v1", "reason": None, "rows_quarantined": None},
]


@pytest.mark.parametrize("width", ["20", "40", "80"])
def test_words_stay_whole_in_a_narrow_terminal(
    width: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setattr(show, "is_terminal", lambda: True)
    show.table(ROWS, ("id", "reason", "rows_quarantined"), empty="", as_json=False)
    words = capsys.readouterr().out.split()
    assert {"pmsi_mco/2024-03/v12", "dcir/2024-03/v1", "code:SOR_MOI", "rows_quarantined"} <= set(words)
