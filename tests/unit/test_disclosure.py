"""Disclosure control, with an attacker who solves for the hidden cells (linear programming)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.disclosure import control as d
from schemas.loader import Column
from schemas.text import Text

TEXT = Text(fr="x", en="x")


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, None), (1, None), (10, None), (11, 15), (12, 15), (17, 15), (18, 20), (1002, 1000), (1003, 1005)],
)
def test_small_counts_are_hidden_and_the_others_rounded(count: int, shown: int | None) -> None:
    assert d.to_shown(count) == shown


@given(st.integers(11, 10**9))
def test_a_shown_count_is_near_the_truth_and_never_small(count: int) -> None:
    shown = d.to_shown(count)
    assert shown is not None
    assert shown >= 15
    assert shown % 5 == 0
    assert abs(shown - count) <= (4 if shown == 15 else 2)


@pytest.mark.parametrize(
    ("part", "whole", "share"), [(0, 0, 0), (0, 9, 0), (9, 9, 100), (1, 1000, 1), (999, 1000, 99), (1, 3, 33)]
)
def test_a_share_says_none_or_all_only_when_it_is_so(part: int, whole: int, share: int) -> None:
    assert d.to_share(part, whole) == share


@given(st.integers(11, 400), st.integers(11, 400))
def test_two_months_do_not_show_a_small_group(before: int, after: int) -> None:
    old, new = d.to_shown(before), d.to_shown(after)
    assert old is not None
    assert new is not None
    if d.is_refreshed(new, old) and new != old:
        assert abs(after - before) >= 11


def test_a_first_figure_is_shown() -> None:
    assert d.is_refreshed(15, None)


@pytest.mark.parametrize(
    ("column", "coded"),
    [
        (Column(name="BEN_SEX_COD", values=("1", "2"), meaning=TEXT), True),
        (Column(name="gender_concept_id", meaning=TEXT), True),
        (Column(name="note", meaning=TEXT), False),
        (Column(name="code", values=("1",), identifying=True, meaning=TEXT), False),
        (Column(name="code", values=("1",), keep=False, meaning=TEXT), False),
        (Column(name="provider_concept_id", pseudonym="practitioner", meaning=TEXT), False),
    ],
)
def test_only_coded_variables_are_counted_by_value(column: Column, coded: bool) -> None:
    assert d.is_coded(column) is coded


@pytest.mark.parametrize(
    ("cells", "hidden"),
    [
        ({}, ""),
        ({"a": 11, "b": 500}, ""),
        ({"a": 3, "b": 40, "c": 500}, "ab"),
        ({"a": 3, "b": 4, "c": 40, "d": 500}, "abc"),
        ({"a": 5, "b": 6, "c": 40}, "ab"),
        ({"a": 0, "b": 5, "c": 40, "d": 50}, "abc"),
        ({"a": 0, "b": 40, "c": 50, "d": 60}, "abc"),
        ({"a": 3, "b": 4}, "ab"),
    ],
)
def test_a_line_hides_the_next_smallest_too(cells: dict[str, int], hidden: str) -> None:
    assert d.hidden_in_line(cells) == set(hidden)


@given(st.dictionaries(st.integers(0, 30), st.integers(1, 60), max_size=12))
def test_no_hidden_cell_of_a_line_can_be_worked_out(cells: dict[int, int]) -> None:
    hidden = d.hidden_in_line(cells)
    assert {k for k, n in cells.items() if n < 11} <= hidden
    held = sum(cells[k] for k in hidden)
    if hidden and sum(cells.values()) >= 11:  # else the total is not shown either
        assert len(hidden) >= 2
        assert held >= 11  # with the total known, each hidden cell is anything from 0 to at least 11


def ranges(cells: d.Cells, grid: d.Grid) -> dict[d.Cell, tuple[float, float]]:
    """What an attacker finds for each hidden small cell, who knows the total, every row and column total that is not
    hidden, and the true value of every shown cell."""
    from scipy.optimize import linprog  # type: ignore[import-untyped]

    hidden = [k for k in cells if k not in grid.shown]
    names: list[object] = [
        *hidden,
        *(("row", r) for r in sorted(grid.hidden_rows, key=str)),
        *(("column", c) for c in sorted(grid.hidden_columns, key=str)),
    ]
    at = {name: i for i, name in enumerate(names)}
    equations: list[Any] = []
    rights: list[float] = []
    for axis, word in enumerate(("row", "column")):
        hidden_lines = grid.hidden_rows if axis == 0 else grid.hidden_columns
        totals = {line: sum(n for k, n in cells.items() if k[axis] == line) for line in {k[axis] for k in cells}}
        line: Hashable
        for line, total in totals.items():
            row = np.zeros(len(names))
            for k in hidden:
                if k[axis] == line:
                    row[at[k]] = 1
            right = -sum(n for k, n in cells.items() if k[axis] == line and k in grid.shown)
            if line in hidden_lines:
                row[at[word, line]] = -1
            else:
                right += total
            equations.append(row)
            rights.append(right)
        row = np.zeros(len(names))
        for line in hidden_lines:
            row[at[word, line]] = 1
        equations.append(row)
        rights.append(sum(totals[line] for line in totals if line in hidden_lines))
    found = {}
    for k in hidden:
        if cells[k] < 11:
            c = np.zeros(len(names))
            c[at[k]] = 1
            low = linprog(c, A_eq=np.array(equations), b_eq=rights, method="highs")
            high = linprog(-c, A_eq=np.array(equations), b_eq=rights, method="highs")
            found[k] = (low.fun, -high.fun if high.status == 0 else float("inf"))
    return found


grids = st.integers(1, 4).flatmap(
    lambda rows: st.integers(2, 4).flatmap(
        lambda columns: st.lists(
            st.one_of(st.integers(0, 14), st.integers(0, 80)), min_size=rows * columns, max_size=rows * columns
        ).map(lambda ns: {(i // columns, i % columns): n for i, n in enumerate(ns)})
    )
)


@settings(max_examples=120, deadline=None)
@given(grids)
# two hidden blocks joined by one cell: every row and column has two hidden cells, the joint is still exact
@example(
    {
        **{(r, c): 100 for r in range(4) for c in range(4)},
        **{(0, 0): 6, (0, 1): 7, (1, 0): 8, (1, 1): 9, (2, 2): 6, (2, 3): 7, (3, 2): 8, (3, 3): 9, (1, 2): 4},
    }
)
def test_no_hidden_cell_of_a_grid_can_be_worked_out(cells: dict[tuple[int, int], int]) -> None:
    grid = d.to_grid(cells)
    assert not {k for k, n in cells.items() if n < 11 and k in grid.shown}
    if sum(cells.values()) < 11:
        assert not grid.shown
        return
    for low, high in ranges({(r, c): n for (r, c), n in cells.items()}, grid).values():
        assert low < 0.001
        assert high > 9.999


def test_totals_of_a_grid_are_sums_of_what_is_shown() -> None:
    cells = {("f", 1950): 52, ("f", 1960): 33, ("m", 1950): 48, ("m", 1960): 21}
    grid = d.to_grid(cells)
    assert grid.shown == {("f", 1950): 50, ("f", 1960): 35, ("m", 1950): 50, ("m", 1960): 20}
    assert grid.row_totals == {"f": 85, "m": 70}
    assert grid.column_totals == {1950: 100, 1960: 55}
    assert not grid.hidden_rows
    assert not grid.hidden_columns


def test_a_grid_hides_more_than_the_small_cell() -> None:
    cells = {("f", 1): 4, ("f", 2): 50, ("f", 3): 60, ("m", 1): 70, ("m", 2): 80, ("m", 3): 90}
    grid = d.to_grid(cells)
    assert set(grid.shown) == {("f", 3), ("m", 3)}
