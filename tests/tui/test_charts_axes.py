"""Axes: ticks are round numbers, evenly spaced, and every value has a place."""

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tui.charts import axes
from tui.charts.axes import log_labels, log_ticks, scaled, tick_labels

Bounds = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))


@example((166667.0, 458334.0), 5)  # only ticks that are close to each other are two
@given(Bounds, st.integers(5, 80))
def test_ticks_of_values_are_even_and_all_values_have_a_place(
    bounds: tuple[float, float], cells: int
) -> None:
    low, span = bounds
    assume(span > 1e-6 * abs(low))
    axis = axes.values(low, low + span, cells)
    ends = axis.at(np.array([low, low + span]))
    assert -1e-6 < ends[0] < 1.001
    assert ends[0] < ends[1] < cells - 1 + 1e-6
    places = [cell for cell, _ in axis.ticks]
    assert len(places) >= 2
    assert len(set(np.diff(places).tolist())) == 1
    assert 0 <= places[0] < places[-1] < cells


@example(1.5, 2.5, 20)  # every tick falls between two cells
@given(st.floats(0, 1e4), st.floats(1, 1e6), st.integers(20, 240))
def test_ticks_of_epochs_are_even_and_whole_and_the_labels_do_not_touch(
    low: float, span: float, cells: int
) -> None:
    axis = axes.positions(low, low + span, cells)
    assert axis.at(low) == 0
    assert axis.at(low + span) <= cells - 1 + 1e-6
    places, labels = zip(*axis.ticks, strict=True) if axis.ticks else ((), ())
    assert all(label.isdigit() for label in labels)
    gaps = set(np.diff(places).tolist())
    assert len(gaps) <= 1
    assert min(gaps, default=99) > max(map(len, labels), default=0)


@pytest.mark.parametrize(
    ("low", "high", "cells", "expected"),
    [
        (0.0, 2.3, 20, {0: "0.0", 4: "0.5", 8: "1.0", 12: "1.5", 16: "2.0"}),
        (0.09, 2.31, 20, {0: "0.0", 4: "0.5", 8: "1.0", 12: "1.5", 16: "2.0"}),
        (10.0, 98.0, 12, {2: "25", 5: "50", 8: "75", 11: "100"}),
        (96.9, 98.2, 8, {1: "97", 6: "98"}),
        (0.0, 0.0, 5, {0: "0", 2: "5e-13", 4: "1e-12"}),
    ],
)
def test_values_have_these_ticks(
    low: float, high: float, cells: int, expected: dict[int, str]
) -> None:
    assert dict(axes.values(low, high, cells).ticks) == expected


@pytest.mark.parametrize(
    ("low", "high", "cells", "expected"),
    [
        (0, 1, 30, {0: "0", 29: "1"}),
        (0, 45, 60, {0: "0", 13: "10", 26: "20", 39: "30", 52: "40"}),
        (0, 100, 60, {0: "0", 14: "25", 28: "50", 42: "75", 56: "100"}),
        (13.3, 27.9, 60, {7: "15", 27: "20", 47: "25"}),
        (0, 43000, 60, {0: "0", 27: "20000", 54: "40000"}),
    ],
)
def test_positions_have_these_ticks(
    low: float, high: float, cells: int, expected: dict[int, str]
) -> None:
    assert dict(axes.positions(low, high, cells).ticks) == expected


def test_a_cell_and_its_value_belong_together() -> None:
    axis = axes.values(0.0, 9.5, 20)
    assert [float(axis.at(axis.value(cell))) for cell in (0, 7, 19)] == [0, 7, 19]
    log = axes.values(-1.0, 0.5, 20, log=True)
    assert float(log.at(log.value(7))) == pytest.approx(7)
    assert log.value(0) == pytest.approx(0.1)


def test_a_logarithmic_axis_has_no_place_for_zero() -> None:
    axis = axes.values(-2.0, 0.0, 3, log=True)
    places = axis.at(np.array([1, 0.1, 0.01, 0, -1]))
    assert places[:3].tolist() == [2, 1, 0]
    assert np.isnan(places[3:]).all()


def test_logarithms_are_of_positive_finite_numbers_only() -> None:
    assert scaled(np.array([100, 0, -1, math.inf]), log=True).tolist()[0] == 2
    assert np.isnan(scaled(np.array([0, -1, math.inf, math.nan]), log=True)).all()
    assert scaled(np.array([-1, 0]), log=False).tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0.1, 1.0, 5, ["0.1", "0.2", "0.5", "1"]),
        (0.1, 1.0, 3, ["0.1", "0.3", "1"]),
        (0.001, 10.0, 5, ["0.001", "0.01", "0.1", "1", "10"]),
        (1e-8, 1.0, 3, ["1e-08", "1e-05", "0.01"]),
        (2.12, 2.38, 4, ["2.2", "2.3"]),
    ],
)
def test_ticks_of_logarithms_are_round_numbers(
    low: float, high: float, most: int, expected: list[str]
) -> None:
    found = log_ticks(math.log10(low) - 1e-9, math.log10(high) + 1e-9, most)
    assert log_labels(found) == expected


def test_labels_have_as_few_decimals_as_possible() -> None:
    assert tick_labels([0, 2, 4]) == ["0", "2", "4"]
    assert tick_labels([0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert tick_labels([1e-7, 2e-7]) == ["1e-07", "2e-07"]
