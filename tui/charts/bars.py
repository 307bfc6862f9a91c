"""Bar charts of values over the snapshots, one bar per snapshot."""

import math
from collections.abc import Sequence

from jmlp.training.records import epoch_text
from tui.charts.sparkline import Scale
from tui.text import fit


def scale_of(values: Sequence[float]) -> Scale:
    """Returns a logarithmic scale for all bars of a chart."""
    return Scale.of(values, math.inf, log=True)


def epoch_row(epochs: Sequence[float], cell: int) -> str:
    """Right-aligns each epoch in its cell; epochs that do not fit are left out."""
    texts = map(epoch_text, epochs)
    return "".join(fit(text if len(text) < cell else "", cell, "right") for text in texts)


def bar_row(values: Sequence[float], scale: Scale, cell: int) -> str:
    """Draws a bar for each value, which fills its cell except for one column at the left."""
    return "".join(fit(scale.block(value) * (cell - 1), cell, "right") for value in values)


def share_row(shares: Sequence[float], cell: int) -> str:
    """Draws bars of shares from 0 to 1; no bar at 0."""
    scale = Scale(0.0, 1.0)
    return "".join(
        fit((scale.block(share) if share > 0 else "") * (cell - 1), cell, "right")
        for share in shares
    )


def pointer_row(n: int, shown: int, cell: int) -> str:
    """Draws a pointer above the bar of the snapshot that is shown."""
    return "".join(fit("▼" if i == shown else "", cell, "right") for i in range(n)).rstrip()


def cell_width(n: int, room: int, most: int = 5) -> int:
    """Returns the width of each of `n` bars."""
    return max(2, min(most, room // max(1, n)))
