"""Confusion matrices as lines of text."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NONE = "·"
LONGEST_NAME = 12  # characters of the name of a class
CORNER, PRECISION = "true", "precision %"


def matrix_lines(counts: NDArray[np.int64], room: int, names: Sequence[str] = ()) -> list[str]:
    """Draws a confusion matrix, with the diagonal in brackets and `·` for zero.

    Args:
        counts: (true classes, predicted classes).
        room: columns of the terminal. If it suffices, a column with each class's recall and a line
            with each class's precision are added.
        names: of the classes; none: they are called 0, 1, 2 …

    Returns:
        A header of predicted classes, then a line per true class; all as wide as they need to be.
    """
    n = len(counts)
    names = shortened(names or [str(k) for k in range(n)])
    longest = max(map(len, names))
    width = max(len(str(int(counts.max(initial=0)))), longest, 3)
    wide = len(PRECISION) + n * (max(width, 4) + 1) + 10 <= room
    width = max(width, 4) if wide else width
    label = max(len(PRECISION) if wide else len(CORNER), longest)
    lines = [CORNER.rjust(label) + " " + "".join(f"{name:>{width}} " for name in names)]
    for i, row in enumerate(counts):
        line = f"{names[i]:>{label}}" + ("[" if i == 0 else " ")
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


def shortened(names: Sequence[str]) -> list[str]:
    """Names of classes, cut to `LONGEST_NAME` characters."""
    printable = [name if name.isprintable() else repr(name)[1:-1] for name in names]
    return [n if len(n) <= LONGEST_NAME else n[: LONGEST_NAME - 1] + "…" for n in printable]


def confusion_lines(pairs: Sequence[tuple[int, int, int]], names: Sequence[str]) -> list[str]:
    """Formats confusions as `4 taken for 9  12×`, given the names of all classes."""
    names = shortened(names)
    label = max(map(len, names))
    width = max((len(str(count)) for _, _, count in pairs), default=1)
    return [
        f"{names[i]:>{label}} taken for {names[j]:>{label}}  {n:>{width}}×" for i, j, n in pairs
    ]
