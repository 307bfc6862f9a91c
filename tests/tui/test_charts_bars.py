"""Bar charts over the snapshots."""

import math

from tui.charts.bars import bar_rows, cell_width, epoch_row, pointer_row, scale_of, share_rows


def test_bars_stand_below_their_epochs() -> None:
    values = [1e-1, 1e-2, 1e-3, 1e-4]
    assert epoch_row([0, 1, 8, 13], 4) == "   0   1   8  13"
    assert bar_rows(values, scale_of(values), 4) == [" ███ ▆▆▆ ▃▃▃ ▁▁▁"]
    assert pointer_row(4, 2, 4) == "           ▼"


def test_a_value_that_is_nan_or_zero_has_no_bar() -> None:
    values = [1e-1, math.nan, 1e-2, 0.0]
    assert bar_rows(values, scale_of(values), 3) == [" ██    ▁▁   "]


def test_share_bars_range_from_empty_to_full() -> None:
    assert share_rows([0.0, 0.01, 0.5, 1.0], 3) == ["    ▁▁ ▅▅ ██"]


def test_bars_of_several_rows_stand_on_the_lowest() -> None:
    values = [1e-1, 1e-2, 1e-3, 1e-4, math.nan]
    assert bar_rows(values, scale_of(values), 3, height=2) == [
        " ▇▇ ▃▃         ",
        " ██ ██ ▅▅ ▁▁   ",
    ]
    assert share_rows([0.0, 0.5, 1.0], 2, height=3) == ["     ▇", "   ▄ █", "   █ █"]


def test_an_epoch_that_does_not_fit_its_cell_is_left_out() -> None:
    assert epoch_row([0, 89, 100], 3) == "  0 89   "


def test_cells_share_the_room() -> None:
    assert [cell_width(n, 50) for n in (0, 5, 12, 40)] == [10, 10, 4, 2]
