"""Confusion matrices as lines of text."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NONE = "·"
CORNER, PRECISION = "true", "precision %"


def matrix_lines(counts: NDArray[np.int64], room: int) -> list[str]:
    """Draws a confusion matrix, with the diagonal in brackets and `·` for zero.

    Args:
        counts: (true classes, predicted classes).
        room: columns of the terminal. If it suffices, a column with each class's recall and a line
            with each class's precision are added.

    Returns:
        A header of predicted classes, then a line per true class; all as wide as they need to be.
    """
    n = len(counts)
    width = max(len(str(int(counts.max(initial=0)))), len(str(n - 1)), 3)
    wide = len(PRECISION) + n * (max(width, 4) + 1) + 10 <= room
    width = max(width, 4) if wide else width
    label = max(len(PRECISION) if wide else len(CORNER), len(str(n - 1)))
    lines = [CORNER.rjust(label) + " " + "".join(f"{j:>{width}} " for j in range(n))]
    for i, row in enumerate(counts):
        line = f"{i:>{label}}" + ("[" if i == 0 else " ")
        for j, count in enumerate(row):
            after = "]" if i == j else "[" if i == j + 1 else " "
            line += (str(count) if count or i == j else NONE).rjust(width) + after
        lines.append(line)
    if wide:
        lines[0] += " recall %"
        for i in range(n):
            lines[i + 1] += percent(int(counts[i, i]), int(counts[i].sum())).rjust(9)
        precision = [percent(int(counts[j, j]), int(counts[:, j].sum())) for j in range(n)]
        lines.append(PRECISION + " " + "".join(f"{text:>{width}} " for text in precision))
    return [line.rstrip() for line in lines]


def percent(part: int, whole: int) -> str:
    """Formats a percentage with one decimal; a dash if `whole` is 0."""
    return f"{100 * part / whole:.1f}" if whole else "–"


def confusions(counts: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Lists confusions as true class, predicted class and count, the most frequent first."""
    pairs = [(int(i), int(j), int(counts[i, j])) for i, j in np.argwhere(counts) if i != j]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))


def confusion_lines(pairs: Sequence[tuple[int, int, int]], n_classes: int) -> list[str]:
    """Formats confusions as `4 taken for 9  12×`."""
    label = len(str(n_classes - 1))
    width = max((len(str(count)) for _, _, count in pairs), default=1)
    return [f"{i:>{label}} taken for {j:>{label}}  {n:>{width}}×" for i, j, n in pairs]
