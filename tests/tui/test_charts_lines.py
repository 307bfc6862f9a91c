"""The geometry of line plots: curves as dots, the range of values, and where names go."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.charts.axes import Floats
from tui.charts.canvas import Dots
from tui.charts.lines import Series, line_dots, spread, value_range

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
    assert drawn(line_dots(floats(0, 3, 6), floats(3, 0, 0)), 7, 4) == [
        "...####",
        "..#....",
        ".#.....",
        "#......",
    ]


def test_a_value_that_is_not_finite_is_a_gap() -> None:
    x, y = floats(0, 2, 4, 6, 8), floats(0, 0, NAN, 0, 0)
    assert drawn(line_dots(x, y), 9, 1) == ["###...###"]


def test_a_point_without_neighbours_is_four_dots() -> None:
    assert drawn(line_dots(floats(2), floats(1)), 5, 4) == [
        ".....",
        "..##.",
        "..##.",
        ".....",
    ]


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(-30, 30)), min_size=2, max_size=8))
def test_a_line_is_connected(steps: list[tuple[float, float]]) -> None:
    x, y = (np.cumsum(part) for part in zip(*steps, strict=True))
    dots = line_dots(x, y)
    reached, left = [dots[0]], dots[1:]
    while reached:
        near = np.abs(left - reached.pop()).max(axis=1) <= 1
        reached.extend(left[near])
        left = left[~near]
    assert not len(left)


def test_no_points_are_no_dots() -> None:
    assert line_dots(floats(), floats()).shape == (0, 2)
    assert line_dots(floats(0, 1), floats(NAN, NAN)).shape == (0, 2)


def test_the_range_of_values_covers_the_shown_epochs_with_padding() -> None:
    one = series(floats(100, 2, 1, 50))
    assert value_range([one], 1, 2, False, (-math.inf, math.inf)) == pytest.approx((0.98, 2.02))


def test_a_band_counts_in_the_range_within_its_bounds() -> None:
    one = series(floats(50, 50), floats(-80, 10), floats(180, 90))
    assert value_range([one], 0, 1, False, (0.0, 100.0)) == (-2, 102)


def test_an_interval_close_to_zero_takes_no_room_from_a_logarithmic_plot() -> None:
    one = series(floats(1, 0.5), floats(0.4, 0.0001), floats(2, 1))
    assert value_range([one], 0, 1, True, (0.0, math.inf)) == pytest.approx(
        (math.log10(0.4) - 0.02 * math.log10(5), math.log10(2) + 0.02 * math.log10(5))
    )


def test_equal_values_have_a_range_around_them() -> None:
    assert value_range([series(floats(2, 2))], 0, 1, False, (-1, 9)) == pytest.approx((1.96, 2.04))


def test_without_values_there_is_a_default_range() -> None:
    assert value_range([], 0, 1, False, (0, 1)) == (0, 1)
    assert value_range([series(floats(NAN))], 0, 1, True, (0, 1)) == (-1, 0)


def test_the_value_at_an_epoch_comes_with_half_its_band() -> None:
    one = series(floats(1, 2, NAN), floats(0.5, 1, NAN), floats(1.5, 3, NAN))
    assert (one.at(0), one.at(1), one.at(2), one.at(7)) == ((1, 0.5), (2, 1), None, None)
    assert math.isnan(series(floats(1)).at(0)[1])  # type: ignore[index]


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
