"""Whole plots as exact strings: axes, bands, curves with their marks and names, the cursor."""

import math

import numpy as np
import pytest

from tui.charts.figure import Figure, Look, Mark, Shown, draw
from tui.charts.glyphs import ASCII, BRAILLE, HALF_BLOCKS
from tui.charts.lines import Series

MONO = Look(BRAILLE, colours=False)


def made(
    name: str, *values: float, mark: str = "", style: int = 0, half: float | None = None
) -> Series:
    known = np.array(values, np.float64)
    low, high = (None, None) if half is None else (known - half, known + half)
    return Series(name, np.arange(len(known), dtype=np.float64), known, low, high, style, mark)


def drawn(
    *series: Series, width: int = 40, height: int = 9, look: Look = MONO, **shown: object
) -> Figure:
    last = max((one.x[-1] for one in series if len(one.x)), default=1.0)
    window = Shown(**{"left": 0.0, "right": float(last), **shown})  # type: ignore[arg-type]
    figure = draw(series, width, height, window, look)
    assert figure is not None
    return figure


def test_a_curve_is_connected_between_axes_with_even_ticks() -> None:
    assert drawn(made("", 4, 1, 0.5, 0.25, 0)).canvas.text() == [
        "  │",
        "4 ┤⠠⢄",
        "  │  ⠉⠢⢄",
        "2 ┤     ⠉⠢⢄",
        "  │        ⠉⠢⠤⠤⠤⠤⣀⣀⣀⣀⡀",
        "0 ┤                  ⠈⠉⠉⠉⠉⠉⠉⠉⠉⠑⠒⠒⠒⠒⠒⠒⠒⠒⠢",
        "  │",
        "  └┬─────────────────┬─────────────────┬",
        "   0                 2                 4",
    ]


def test_two_curves_have_marks_and_names() -> None:
    validation = made("validation", 4, 2, 1.5, 1.2, 1.1, mark="v")
    training = made("training", 4, 1.5, 0.8, 0.4, 0.2, mark="t", style=1)
    assert drawn(validation, training, width=61).canvas.text() == [
        " 5.0 ┤",
        "     │⠠⣀",
        "     │  ⠙⠲⢤⣄⡀",
        " 2.5 ┤     ⠈v⠵⣢⢄⣀",
        "     │         ⠑⠢⠭⣉⣉⣒⠒⠒⠒⠤⠤⠤⠤⠤⣀⣀⣀⣀⣀⣀⣀⡀",
        "     │               ⠉⠉⠉t⠒⠒⠤⠤⠤⠤⠤⢄⣀⣀⣀v⣉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉  validation",
        " 0.0 ┤                                ⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉t  training",
        "     └┬────────────────────┬────────────────────┬─",
        "      0                    2                    4",
    ]


@pytest.mark.parametrize("width", [48, 100])
def test_plots_of_costs_and_accuracies_have_their_epochs_below_each_other(width: int) -> None:
    costs, accuracies = made("", 2.3, 1, 0.3), made("", 10, 80, 98)
    (*_, below), (*_, above) = (
        drawn(one, width=width).canvas.text() for one in (costs, accuracies)
    )
    assert below == above


def test_the_same_plot_in_half_blocks_and_in_ascii() -> None:
    assert drawn(made("", 4, 1, 0.5, 0.25, 0), look=Look(HALF_BLOCKS, False)).canvas.text() == [
        "  │",
        "4 ┤▄▄",
        "  │  ▀▄▄",
        "2 ┤     ▀▄▄",
        "  │        ▀▄▄▄▄▄▄▄▄▄",
        "0 ┤                  ▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▄",
        "  │",
        "  └┬─────────────────┬─────────────────┬",
        "   0                 2                 4",
    ]
    assert drawn(made("", 4, 1, 0.5, 0.25, 0), look=Look(ASCII, False)).canvas.text() == [
        "  │",
        "4 ┤..",
        "  │  '..",
        "2 ┤     '..",
        "  │        '.........",
        "0 ┤                  ''''''''''''''''''.",
        "  │",
        "  └┬─────────────────┬─────────────────┬",
        "   0                 2                 4",
    ]


def test_a_band_is_filled_where_there_are_colours_and_a_halftone_elsewhere() -> None:
    one = made("", 3, 2, 2, 2, 2, half=1)
    assert drawn(one).canvas.text() == [
        "  │",
        "4 ┤",
        "  │⢀⠐⠂⠐⠂⠐",
        "  │⠐⠉⠑⠒⠤⣀⡀⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐",
        "2 ┤⠂⠐⠂⠐⠂⠐⠈⠉⠒⠢⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤",
        "  │      ⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐",
        "  │",
        "  └┬─────────────────┬─────────────────┬",
        "   0                 2                 4",
    ]
    assert drawn(one, look=Look()).canvas.text() == [
        "  │",
        "4 ┤▄▃▁┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈",
        "  │⢀   ▇▅▄▃▁",
        "  │ ⠉⠑⠒⠤⣀⡀",
        "2 ┤▄▃▁┈┈┈⠈⠉⠒⠢⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤",
        "  │    ▇▅▄▃▁",
        "  │",
        "  └┬─────────────────┬─────────────────┬",
        "   0                 2                 4",
    ]


def test_a_cursor_and_marks_stand_at_their_positions() -> None:
    figure = drawn(made("", 4, 3, 2, 1, 0), marks=[Mark(1.0, "best")], cursor=3.0)
    assert figure.canvas.text() == [
        "  │         ┊                 │",
        "4 ┤⠠⠤⠤⣀⣀    ┊                 │",
        "  │     ⠉⠉⠑⠒⠢⠤⠤⣀⣀             │",
        "2 ┤         ┊    ⠉⠉⠑⠒⠢⠤⠤⣀⣀    │",
        "  │         ┊             ⠉⠉⠑⠒●⠤⠤⣀⣀",
        "0 ┤         ┊                 │    ⠉⠉⠑⠒⠢",
        "  │         ┊                 │",
        "  └┬─────────────────┬─────────────────┬",
        "   0                 2                 4",
    ]


def test_a_logarithmic_plot_does_not_plunge_where_a_band_reaches_below_zero() -> None:
    one = made("", 2, 1, 0.5, 0.25, half=0.4)
    figure = drawn(one, log=True)
    assert figure.cut
    assert figure.canvas.text() == [
        "    │",
        "  2 ┤⠈⠉⠒⠢⠤⣀⡀",
        "  1 ┤    ⠂⠐⠈⠉⠒⠢⠤⣀⡀⠐⠂⠐",
        "    │        ⠐⠂⠐⠂⠈⠉⠒⠒⠤⢄⣀⠂⠐⠂⠐⠂⠐⠂⠐",
        "0.5 ┤            ⠂⠐⠂⠐⠂⠐⠂⠉⠑⠒⠤⢄⣀⠐⠂⠐⠂⠐⠂⠐⠂⠐",
        "    │               ⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠉⠑⠒⠤⠤⣀⡀⠐⠂",
        "    │                 ⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠐⠂⠈⠉⠒",
        "    └┬──────────┬──────────┬──────────┬─",
        "     0          1          2          3",
    ]
    assert not drawn(one).cut


def test_a_gap_is_where_a_value_is_not_finite() -> None:
    assert drawn(made("", 0, 1, math.nan, 1, 0)).canvas.text() == [
        "    │",
        "1.0 ┤        ⡠⠄                ⠤⡀",
        "    │      ⡠⠊                   ⠈⠢⡀",
        "0.5 ┤    ⡠⠊                       ⠈⠢⡀",
        "    │  ⡠⠊                           ⠈⠢⡀",
        "0.0 ┤⠠⠊                               ⠈⠢",
        "    │",
        "    └┬────────────────┬────────────────┬",
        "     0                2                4",
    ]


def test_the_axes_are_there_from_the_first_evaluation_on() -> None:
    assert drawn(made("", 2.3), right=1.0).canvas.text() == [
        "2.35 ┤",
        "     │",
        "     │",
        "2.30 ┤⢠⡄",
        "     │",
        "     │",
        "2.25 ┤",
        "     └┬────────────────────────────────┬",
        "      0                                1",
    ]
    assert drawn(made(""), right=1.0).canvas.text() == [
        "1.0 ┤",
        "    │",
        "    │",
        "0.5 ┤",
        "    │",
        "    │",
        "0.0 ┤",
        "    └┬─────────────────────────────────┬",
        "     0                                 1",
    ]


def test_the_emphasised_curve_is_on_top_and_its_band_alone_is_shown() -> None:
    first = made("A", 1, 1, 1, mark="A", half=0.2)
    second = made("B", 1, 1, 2, mark="B", style=1, half=0.2)
    found = []
    for focus in (0, 1, None):
        figure = drawn(first, second, look=Look(), focus=focus)
        runs = [run for row in figure.canvas.rows() for run in row]
        fills = {run.fill for run in runs} - {None}
        found.append((fills, {run.ink for run in runs if run.ink and "-" in run.ink}))
    assert found == [
        ({"band-0"}, {"band-0", "line-0", "faint-1"}),
        ({"band-1"}, {"band-1", "line-1", "faint-0"}),
        (
            {"band-0", "band-1", "band-0+band-1"},
            {"band-0", "band-1", "band-0+band-1", "line-0", "line-1"},
        ),
    ]


def test_there_is_no_plot_without_room() -> None:
    assert draw([], 23, 9, Shown(0.0, 1.0)) is None
    assert draw([], 24, 4, Shown(0.0, 1.0)) is None


@pytest.mark.parametrize("width", range(24, 80, 7))
@pytest.mark.parametrize("height", range(5, 20, 3))
def test_a_plot_is_exactly_as_large_as_its_canvas(width: int, height: int) -> None:
    figure = drawn(made("one", 3, 1, 0.4, half=0.1), width=width, height=height)
    assert figure.left + figure.width <= width
    assert figure.height + 2 == height
    assert all(sum(len(run.text) for run in row) == width for row in figure.canvas.rows())
    assert len(list(figure.canvas.rows())) == height


def test_positions_are_found_again_from_cells() -> None:
    figure = drawn(made("", 0, 1, 2, 3, 4))
    for x in (0.0, 1.0, 4.0):
        found = figure.position(figure.column(x), 3)
        assert found is not None
        assert abs(found - x) <= figure.x.per_cell / 2
    assert figure.position(figure.left - 1, 3) is None
    assert figure.position(figure.left, figure.height) is None
