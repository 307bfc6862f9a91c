"""The strip of a drawing as lines of text."""

import numpy as np
import pytest

from jmlp.inspection.answers import Column
from tui.charts.strip import strip

NAN = float("nan")


def column(epoch: float | None, *shares: float, n: int = 1, best: bool = False) -> Column:
    """A column whose first class is the answer of all but one of `n` runs."""
    counts = np.zeros(len(shares), np.int64)
    if np.isfinite(shares).all():
        order = np.argsort(shares)[::-1]
        counts[order[0]], counts[order[1]] = n - (n > 1), int(n > 1)
    return Column(epoch, best, np.array(shares), counts)


ONE = [column(0, 0.2, 0.3, 0.5), column(1, 0.1, 0.9, 0.0), column(2.5, 0.0, 1.0, 0.0, best=True)]
ALL = [column(0, 0.2, 0.3, 0.5, n=10), column(None, 0.05, 0.9, 0.05, n=10, best=True)]


def test_a_run_has_shades_and_the_probabilities_of_the_chosen_snapshot() -> None:
    assert strip(ONE, ["a", "b", "c"], 40, chosen=1).texts == [
        "                  ▼",
        "            0     1 2.50*",
        "     a  ░░░░░              10.0 % ▌",
        "     b  ░░░░░ █████ █████  90.0 % █████▌",
        "     c  ▒▒▒▒▒               0.0 %",
        "answer      c     b     b",
    ]


def test_several_seeds_are_counted() -> None:
    assert strip(ALL, ["a", "b", "c"], 30, chosen=1).texts == [
        "                ▼",
        "           0 best",
        "     a  ░░          5.0 %",
        "     b  ░░ 1 ██ 9  90.0 % ███▌",
        "     c  ▒▒ 9    1   5.0 %",
        "answer     c    b",
    ]


def test_with_numbers_each_cell_has_its_share_and_a_line_has_the_seeds() -> None:
    assert strip(ALL, ["a", "b", "c"], 30, numbers=True).texts == [
        "            0  best",
        "     a  ░░ 20     5",
        "     b  ░░ 30 ██ 90",
        "     c  ▒▒ 50     5",
        "answer      c     b",
        " seeds   9/10  9/10",
    ]


def test_columns_without_room_are_left_out_around_the_chosen_one() -> None:
    many = [column(epoch, 0.2, 0.8) for epoch in range(20)]
    found = strip(many, ["a", "b"], 30, chosen=10)
    assert (found.first, found.n) == (8, 5)
    assert found.texts[0].split() == ["‹", "▼", "›"]
    assert found.texts[1].split() == ["8", "9", "10", "11", "12"]
    assert [found.at(found.start + k * found.cell) for k in range(6)] == [8, 9, 10, 11, 12, None]
    assert found.at(found.start - 1) is None
    assert strip(many, ["a", "b"], 30, chosen=0).texts[1].split() == ["0", "1", "2", "3", "4"]
    assert strip(many, ["a", "b"], 30, chosen=19).texts[1].split()[-1] == "19"
    assert strip(many, ["a", "b"], 30, first=18).texts[0].split() == ["18", "19"]


def test_of_many_classes_the_most_probable_ones_are_drawn() -> None:
    p = np.full(50, 0.005)
    p[[7, 30]] = 0.5, 0.26
    found = strip([column(0, *p)], [str(k) for k in range(50)], 40, rows=4).texts
    assert [line.split()[0] for line in found[1:-1]] == ["0", "7", "30", "47"]
    assert found[-2] == "47 more classes, none above 0.5 %"


def test_an_output_that_is_not_finite_has_no_shade() -> None:
    found = strip([column(0, 0.2, 0.8), column(1, NAN, NAN)], ["a", "b"], 40, chosen=1).texts
    assert found[2].split() == ["a", "░░", "–", "–"]
    assert found[-1].split() == ["answer", "b", "–"]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("columns", [ONE, ALL])
def test_lines_are_never_wider_than_the_terminal(columns: list[Column], width: int) -> None:
    texts = strip(columns, ["a", "b", "ankle boot"], width, chosen=0).texts
    assert max(map(len, texts)) <= max(width, 30)
