import math

import pytest

from tui.charts.sparkline import Scale, bar, sparkline

CAP = math.log(10)


def test_eight_values_from_the_lowest_to_the_highest_are_the_eight_blocks() -> None:
    points = list(enumerate(range(8)))
    assert sparkline(points, 8, 7, Scale(0.0, 7.0)) == "▁▂▃▄▅▆▇█"


def test_a_value_above_the_cap_is_marked_as_clipped() -> None:
    scale = Scale.of([2.5, 2.0, 1.0], CAP)
    assert scale == Scale(1.0, CAP)
    assert sparkline([(0, 2.5), (1, 2.0), (2, 1.0)], 3, 2, scale) == "▲▇▁"


def test_a_value_that_is_not_finite_is_a_gap() -> None:
    points = [(0, 1.0), (1, math.nan), (2, math.inf), (3, 0.0)]
    assert sparkline(points, 4, 3, Scale(0.0, 1.0)) == "█  ▁"


def test_gaps_survive_downsampling_and_other_columns_show_means() -> None:
    values = [0.0, 1.0, math.nan, 1.0, 1.0, 1.0]
    assert sparkline(list(enumerate(values)), 3, 5, Scale(0.0, 1.0)) == "▅ █"


def test_a_curve_that_ended_early_leaves_its_columns_empty() -> None:
    assert sparkline([(0, 1.0), (1, 0.0)], 6, 3, Scale(0.0, 1.0)) == "█▁    "


def test_a_few_epochs_have_several_columns_each() -> None:
    points = [(0, 1.0), (1, 0.5), (2, 0.0)]
    assert sparkline(points, 7, 2, Scale(0.0, 1.0)) == "██▅▅▁▁ "
    assert sparkline(points[:2], 7, 2, Scale(0.0, 1.0)) == "██▅▅   "


def test_the_useful_scale_leaves_out_the_steep_beginning() -> None:
    values = [2.0, 1.0, 0.5, 0.4, 0.3, 0.25, 0.22, 0.21, 0.2, 0.2, math.nan]
    assert Scale.useful(values, CAP) == Scale(0.2, 1.0)
    assert Scale.useful([3.0, 3.0], CAP) == Scale(CAP, CAP)
    assert Scale.useful([], CAP) == Scale(CAP, CAP)


def test_logarithmic_scale_puts_the_geometric_mean_in_the_middle() -> None:
    points = [(0, 0.01), (1, 0.1001), (2, 1.0)]
    assert sparkline(points, 3, 2, Scale.of([0.01, 1.0], CAP, log=True)) == "▁▅█"
    assert sparkline(points, 3, 2, Scale.of([0.01, 1.0], CAP)) == "▁▁█"


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_logarithmic_scale_has_no_place_for_what_is_not_positive(value: float) -> None:
    scale = Scale.of([value, 1.0], CAP, log=True)
    assert scale == Scale(1.0, 1.0, log=True)
    assert scale.block(value) == " "


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "    "),
        ([1.0], "▁▁▁▁"),
        ([1.0, 1.0], "▁▁▁▁"),
        ([1e308, -1e308], "▲▲▁▁"),
        ([math.inf, -math.inf, math.nan], "    "),
    ],
)
def test_every_kind_of_curve_is_drawn_in_its_width(values: list[float], text: str) -> None:
    points = list(enumerate(values))
    scale = Scale.of(values, CAP)
    assert sparkline(points, 4, max(0, len(values) - 1), scale) == text


def test_a_million_points_fill_exactly_the_width() -> None:
    points = [(i, 1.0 + i) for i in range(1_000_000)]
    text = sparkline(points, 16, 999_999, Scale(1.0, 1_000_000.0))
    assert text == "▁▁▂▂▃▃▄▄▅▅▆▆▇▇██"


def test_zero_width_is_empty() -> None:
    assert sparkline([(0, 1.0)], 0, 0, Scale(0.0, 1.0)) == ""


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "░░░░"), (0.5, "██░░"), (1, "████"), (7, "████"), (-1, "░░░░")],
)
def test_a_bar_is_as_full_as_its_share(share: float, text: str) -> None:
    assert bar(share, 4) == text
