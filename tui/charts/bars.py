"""Bar charts of values over the snapshots, one bar per snapshot."""

import math
from collections.abc import Sequence

from jmlp.training.records import epoch_text
from tui.charts.sparkline import BLOCKS, Scale
from tui.text import fit


def scale_of(values: Sequence[float]) -> Scale:
    """Returns a logarithmic scale for all bars of a chart."""
    return Scale.of(values, math.inf, log=True)


def epoch_row(epochs: Sequence[float], cell: int) -> str:
    """Right-aligns each epoch in its cell; epochs that do not fit are left out."""
    texts = map(epoch_text, epochs)
    return "".join(fit(text if len(text) < cell else "", cell, "right") for text in texts)


def bar_rows(values: Sequence[float], scale: Scale, cell: int, height: int = 1) -> list[str]:
    """Draws a bar for each value, which fills its cell except for one column at the left.

    Args:
        values: from left to right; one that has no place on the scale has no bar.
        scale: of the heights.
        cell: columns of each bar, with the gap before it.
        height: rows of the highest bar.
    """
    n_levels = 8 * height - (height > 1)  # an eighth is left above, so that charts do not touch
    levels = [scale.level(value, n_levels) for value in values]
    return [
        "".join(fit(_block(level - below) * (cell - 1), cell, "right") for level in levels)
        for below in range(8 * (height - 1), -1, -8)
    ]


def _block(eighths: int) -> str:
    return BLOCKS[min(eighths, len(BLOCKS)) - 1] if eighths > 0 else " "


def share_rows(shares: Sequence[float], cell: int, height: int = 1) -> list[str]:
    """Draws bars of shares from 0 to 1; no bar at 0."""
    values = [share if share > 0 else math.nan for share in shares]
    return bar_rows(values, Scale(0.0, 1.0), cell, height)


def pointer_row(n: int, shown: int, cell: int) -> str:
    """Draws a pointer above the bar of the snapshot that is shown."""
    return "".join(fit("▼" if i == shown else "", cell, "right") for i in range(n)).rstrip()


def cell_width(n: int, room: int, most: int = 10) -> int:
    """Returns the width of each of `n` bars."""
    return max(2, min(most, room // max(1, n)))
