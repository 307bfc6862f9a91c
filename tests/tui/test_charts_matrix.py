"""Confusion matrices as lines of text."""

import numpy as np

from tui.charts.matrix import confusion_lines, confusions, matrix_lines, percent

COUNTS = np.array([[98, 2, 0], [0, 1180, 20], [5, 0, 0]])


def test_counts_are_right_aligned_and_the_diagonal_is_in_brackets() -> None:
    assert matrix_lines(COUNTS, 80) == [
        "       true    0    1    2  recall %",
        "          0[  98]   2    ·      98.0",
        "          1    ·[1180]  20      98.3",
        "          2    5    ·[   0]      0.0",
        "precision % 95.1 99.8  0.0",
    ]


def test_without_room_only_counts_are_shown() -> None:
    assert matrix_lines(COUNTS[[0, 0, 2]] % 100, 30) == [
        "true   0   1   2",
        "   0[ 98]  2   ·",
        "   1  98[  2]  ·",
        "   2   5   ·[  0]",
    ]


def test_ten_classes_of_mnist_fit_in_80_and_in_60_columns() -> None:
    counts = np.full((10, 10), 1135)
    assert max(map(len, matrix_lines(counts, 77))) <= 77
    assert max(map(len, matrix_lines(counts, 57))) <= 57


def test_confusions_are_listed_most_frequent_first() -> None:
    assert confusions(COUNTS) == [(1, 2, 20), (2, 0, 5), (0, 1, 2)]
    assert confusion_lines(confusions(COUNTS), [str(k) for k in range(11)]) == [
        " 1 taken for  2  20×",
        " 2 taken for  0   5×",
        " 0 taken for  1   2×",
    ]


def test_a_share_of_nothing_is_a_dash() -> None:
    assert (percent(1, 3), percent(0, 0)) == ("33.3", "–")
