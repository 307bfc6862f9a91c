"""The geometry of line plots: dots, ticks, and where the curves' names go."""

import math

import numpy as np
import pytest

from tui.charts.lines import (
    Dots,
    Floats,
    Series,
    Window,
    band_dots,
    inside,
    line_dots,
    log_labels,
    log_ticks,
    scaled,
    spread,
    tick_labels,
    ticks,
    value_range,
)

NAN = math.nan


def floats(*values: float) -> Floats:
    return np.array(values, np.float64)


def drawn(dots: Dots, width: int, height: int) -> list[str]:
    """Draws dots as lines of text."""
    lines = [["."] * width for _ in range(height)]
    for x, y in dots.tolist():
        lines[y][x] = "#"
    return ["".join(line) for line in lines]


def series(values: Floats, low: Floats | None = None, high: Floats | None = None) -> Series:
    return Series("s", np.arange(len(values), dtype=np.float64), values, low, high, 0)


def test_a_line_goes_through_its_points() -> None:
    assert drawn(line_dots(floats(0, 3, 6), floats(3, 0, 0), (1,)), 7, 4) == [
        "...####",
        "..#....",
        ".#.....",
        "#......",
    ]


def test_a_value_that_is_not_finite_is_a_gap() -> None:
    x, y = floats(0, 2, 4, 6, 8), floats(0, 0, NAN, 0, 0)
    assert drawn(line_dots(x, y, (1,)), 9, 1) == ["###...###"]


def test_a_point_without_neighbours_is_four_dots() -> None:
    assert drawn(line_dots(floats(2), floats(1), (1,)), 5, 4) == [
        ".....",
        "..##.",
        "..##.",
        ".....",
    ]


def test_kinds_of_lines_differ_by_their_dots() -> None:
    x, y = floats(0, 13), floats(0, 0)
    assert drawn(line_dots(x, y, (4, 3)), 14, 1) == ["####...####..."]
    assert drawn(line_dots(x, y, (1, 3)), 14, 1) == ["#...#...#...#."]


def test_a_dash_pattern_continues_across_points() -> None:
    x, y = floats(0, 5, 13), floats(0, 0, 0)
    assert drawn(line_dots(x, y, (4, 3)), 14, 1) == ["####...####..."]


def test_no_points_are_no_dots() -> None:
    assert line_dots(floats(), floats(), (1,)).shape == (0, 2)
    assert line_dots(floats(0, 1), floats(NAN, NAN), (1,)).shape == (0, 2)


def test_a_band_is_a_grid_of_dots_between_its_bounds() -> None:
    low, high = floats(6, 5), floats(0, 1)
    assert drawn(band_dots(floats(0, 6), low, high, 7), 7, 7) == [
        "#......",
        ".......",
        "..#...#",
        ".......",
        "#...#..",
        ".......",
        ".......",
    ]


def test_a_band_is_clipped_to_the_rows_of_the_window() -> None:
    dots = band_dots(floats(0, 0), floats(50, 50), floats(-50, -50), 8)
    assert dots[:, 1].tolist() == [0, 4]


def test_a_band_has_gaps_where_a_bound_is_nan() -> None:
    low, high = floats(9, 9, NAN, 9), floats(0, 0, 0, 0)
    assert set(band_dots(floats(0, 2, 4, 6), low, high, 9)[:, 0].tolist()) == {0, 2}


def test_dots_outside_the_window_are_left_out() -> None:
    dots = np.array([(-1, 0), (0, 0), (3, 2), (4, 2), (3, 3)])
    assert inside(dots, 4, 3).tolist() == [[0, 0], [3, 2]]


def test_the_corners_of_a_window_are_its_first_and_last_dots() -> None:
    window = Window(2.0, 10.0, 1.0, 5.0, 17, 9, log=False)
    assert window.column(floats(2, 6, 10)).tolist() == [0, 8, 16]
    assert window.row(floats(5, 3, 1)).tolist() == [0, 4, 8]


def test_a_logarithmic_window_has_no_place_for_zero() -> None:
    window = Window(0.0, 1.0, -2.0, 0.0, 3, 3, log=True)
    row = window.row(floats(1, 0.1, 0.01, 0, -1))
    assert row[:3].tolist() == [0, 1, 2]
    assert np.isnan(row[3:]).all()


def test_logarithms_are_of_positive_finite_numbers_only() -> None:
    assert scaled(floats(100, 0, -1, math.inf), log=True).tolist()[0] == 2
    assert np.isnan(scaled(floats(0, -1, math.inf, NAN), log=True)).all()
    assert scaled(floats(-1, 0), log=False).tolist() == [-1, 0]


def test_the_range_of_values_covers_the_shown_epochs_with_padding() -> None:
    one = series(floats(100, 2, 1, 50))
    assert value_range([one], 1, 2, False, (-math.inf, math.inf)) == pytest.approx((0.96, 2.04))


def test_a_band_counts_in_the_range_within_its_bounds() -> None:
    one = series(floats(50, 50), floats(-80, 10), floats(180, 90))
    assert value_range([one], 0, 1, False, (0.0, 100.0)) == (-4, 104)


def test_equal_values_have_a_range_around_them() -> None:
    assert value_range([series(floats(2, 2))], 0, 1, False, (-1, 9)) == pytest.approx((1.92, 2.08))


def test_without_values_there_is_a_default_range() -> None:
    assert value_range([], 0, 1, False, (0, 1)) == (0, 1)
    assert value_range([series(floats(NAN))], 0, 1, True, (0, 1)) == (-1, 0)


def test_the_value_at_an_epoch_comes_with_half_its_band() -> None:
    one = series(floats(1, 2, NAN), floats(0.5, 1, NAN), floats(1.5, 3, NAN))
    assert (one.at(0), one.at(1), one.at(2), one.at(7)) == ((1, 0.5), (2, 1), None, None)
    assert math.isnan(series(floats(1)).at(0)[1])  # type: ignore[index]


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 10, 6, ["0", "2", "4", "6", "8", "10"]),
        (0, 10, 3, ["0", "5", "10"]),
        (0.13, 0.52, 5, ["0.2", "0.3", "0.4", "0.5"]),
        (96.9, 98.2, 4, ["97.0", "97.5", "98.0"]),
        (1e-7, 3.2e-7, 4, ["1e-07", "2e-07", "3e-07"]),
        (0, 10, 0, []),
        (3, 3, 5, []),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, most: int, expected: list[str]) -> None:
    assert tick_labels(ticks(low, high, most)) == expected


def test_ticks_of_epochs_are_whole() -> None:
    assert ticks(3, 5, 8, least_step=1.0) == [3, 4, 5]


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0.1, 1.0, 6, ["0.1", "0.2", "0.3", "0.5", "0.7", "1"]),
        (0.1, 1.0, 5, ["0.1", "0.2", "0.5", "1"]),
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


@pytest.mark.parametrize(
    ("rows", "height", "expected"),
    [
        ([5.2, 2.0], 8, [5, 2]),
        ([3.0, 3.0, 3.0], 8, [3, 4, 5]),
        ([7.0, 7.0, 7.0], 8, [5, 6, 7]),
        ([0.4, 0.0, 9.0], 3, [1, 0, 2]),
    ],
)
def test_names_are_near_their_rows_and_never_overlap(
    rows: list[float], height: int, expected: list[int]
) -> None:
    assert spread(rows, height) == expected
