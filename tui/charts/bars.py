"""Values over the snapshots as bars, one a snapshot, below the snapshots' epochs."""

import math
from collections.abc import Sequence

from tui.charts.sparkline import Scale
from tui.text import fit


def scale_of(values: Sequence[float]) -> Scale:
    """One scale for all bars of a chart; logarithmic, as such values span powers of ten."""
    return Scale.of(values, math.inf, log=True)


def epoch_row(epochs: Sequence[int], cell: int) -> str:
    """Epochs, each right-aligned in its cell; those that do not fit are left out."""
    return "".join(
        fit(str(epoch) if len(str(epoch)) < cell else "", cell, "right") for epoch in epochs
    )


def bar_row(values: Sequence[float], scale: Scale, cell: int) -> str:
    """A bar for each value, at the right of its cell, one column of space before it at least."""
    return "".join(fit(scale.block(value) * (cell - 1), cell, "right") for value in values)


def share_row(shares: Sequence[float], cell: int) -> str:
    """Bars of shares from 0 to 1; nothing at 0."""
    scale = Scale(0.0, 1.0)
    return "".join(
        fit((scale.block(share) if share > 0 else "") * (cell - 1), cell, "right")
        for share in shares
    )


def pointer_row(n: int, shown: int, cell: int) -> str:
    """A sign above the bar of the snapshot that is shown."""
    return "".join(fit("▼" if i == shown else "", cell, "right") for i in range(n)).rstrip()


def cell_width(n: int, room: int, most: int = 5) -> int:
    """Columns for each of `n` bars."""
    return max(2, min(most, room // max(1, n)))
