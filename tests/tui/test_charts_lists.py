"""Lists of named values: rows of a table, and weights with bars."""

import math

import pytest
from rich.cells import cell_len

from tui.charts.lists import (
    Line,
    decimals_of,
    name_width,
    value_lines,
    value_texts,
    value_width,
    weight_lines,
    weight_width,
)


def joined(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def test_a_row_is_its_values_by_name_and_says_what_is_missing() -> None:
    names, texts = ["island", "bill_mm", "mass_g"], value_texts(["Biscoe", None, "3750"])
    widths = name_width(names), value_width(texts)
    assert joined(value_lines(names, texts, widths)) == [
        "island     Biscoe",
        "bill_mm (missing)",
        "mass_g       3750",
    ]


def test_weights_are_bars_on_their_side_of_the_axis_and_signed_numbers() -> None:
    lines = weight_lines(["a", "b = x", "c", "d"], [2.0, -2.0, 0.3, -1.1], 5, 2.0)
    assert joined(lines) == [
        "a         │████ +2.00",
        "b = x ████│     -2.00",
        "c         │▌    +0.30",
        "d       ██│     -1.10",
    ]
    assert [[sign for text, sign in line if text.strip("│ ")] for line in lines] == [
        [0, 1, 0],
        [0, -1, 0],
        [0, 1, 0],
        [0, -1, 0],
    ]


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_has_no_bar(weight: float) -> None:
    assert joined(weight_lines(["a"], [weight], 1, math.nan)) == ["a     │        –"]


@pytest.mark.parametrize(("scale", "decimals"), [(12.0, 1), (1.5, 2), (0.7, 3), (1e4, 0), (0, 2)])
def test_weights_have_three_digits_of_the_largest(scale: float, decimals: int) -> None:
    assert decimals_of(scale) == decimals


@pytest.mark.parametrize("name", ["x" * 40, "三" * 30, "a\nb"])
def test_every_line_is_as_wide_as_said(name: str) -> None:
    width = name_width([name])
    (weight,) = joined(weight_lines([name], [-0.5], width, 0.7))
    assert cell_len(weight) == width + weight_width(0.7)
    (value,) = joined(value_lines([name], [name], (width, value_width([name]))))
    assert cell_len(value) == width + 1 + value_width([name])
