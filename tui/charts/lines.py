"""The geometry of line plots: curves as dots, the range of values, and where names and marks go."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_letters
from typing import Literal

import numpy as np

from jmlp.results.curves import drawn_range
from tui.charts.axes import Floats
from tui.charts.canvas import Dots

XUnit = Literal["epoch", "update"]

PADDING = 0.02  # above and below, as a share of the span of values


@dataclass(frozen=True, eq=False)
class Series:
    """One curve; values that are not finite are gaps."""

    name: str
    x: Floats  # (n,), ascending: epochs or updates
    values: Floats  # (n,)
    low: Floats | None  # (n,), of the band; NaN where there is none
    high: Floats | None
    style: int  # index of its colour
    mark: str = ""  # a letter on the curve, which tells it from others without colour

    def at(self, x: float) -> tuple[float, float] | None:
        """Returns the value at `x` and half its band's width; None if there is no value."""
        found = np.flatnonzero(self.x == x)
        if not found.size or not math.isfinite(self.values[found[0]]):
            return None
        value = float(self.values[found[0]])
        return value, math.nan if self.high is None else float(self.high[found[0]]) - value


def letter(index: int) -> str:
    """Returns the mark of one of many curves: A to Z, then a to z."""
    return ascii_letters.swapcase()[index % len(ascii_letters)]


def value_range(
    series: Sequence[Series], left: float, right: float, log: bool, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Returns the range of values between two positions, with some padding.

    Args:
        series: the curves; their bands are clipped to `bounds`.
        left: the first position that is shown.
        right: the last one.
        log: whether to return decimal logarithms.
        bounds: the lowest and highest possible value, such as 0 and 100 for per cent.
    """
    found, low_edges = [np.empty(0)], [np.empty(0)]
    for one in series:
        seen = (one.x >= left) & (one.x <= right)
        found.append(one.values[seen])
        if one.high is not None:
            found.append(np.clip(one.high[seen], *bounds))
        if one.low is not None:
            low_edges.append(np.clip(one.low[seen], *bounds))
    drawn = drawn_range(np.concatenate(found), np.concatenate(low_edges), log)
    if drawn is None:
        return (-1.0, 0.0) if log else (0.0, 1.0)
    low, high = map(math.log10, drawn) if log else drawn
    room = (high - low) * PADDING or max(abs(high) * PADDING, 1e-6)
    return low - room, high + room


def line_dots(x: Floats, y: Floats) -> Dots:
    """Draws a line through points, with a gap at each NaN.

    Args:
        x: (n,) columns.
        y: (n,) rows.

    Returns:
        The dots. An isolated point is a square of four dots, since a single dot is overlooked.
    """
    pieces = []
    known = np.isfinite(x) & np.isfinite(y)
    starts = np.flatnonzero(known & ~np.concatenate([[False], known[:-1]]))
    ends = np.flatnonzero(known & ~np.concatenate([known[1:], [False]]))
    for start, end in zip(starts, ends + 1, strict=True):
        if end - start == 1:
            corner = _nearest(np.array([x[start], y[start]]))
            pieces.append(corner + np.array([(0, 0), (1, 0), (0, 1), (1, 1)]))
            continue
        # One dot per step along the longer axis leaves no holes.
        steps = np.maximum(np.abs(np.diff(x[start:end])), np.abs(np.diff(y[start:end])))
        walked = np.concatenate([[0.0], np.cumsum(steps)])
        at = np.arange(math.ceil(walked[-1]) + 1)
        piece = [np.interp(at, walked, part[start:end]) for part in (x, y)]
        pieces.append(_nearest(np.stack(piece, axis=1)))
    if not pieces:
        return np.empty((0, 2), np.int64)
    return np.concatenate(pieces).astype(np.int64)


def _nearest(positions: Floats) -> Floats:
    """Rounds halves up: to even numbers, as `rint` does, neighbours could be two dots apart."""
    return np.floor(positions + 0.5)


def spread(rows: Sequence[float], height: int) -> list[int]:
    """Assigns each name a row of its own, close to the row where it belongs.

    Args:
        rows: the preferred rows, in any order.
        height: the number of rows, at least as many as names.
    """
    order = sorted(range(len(rows)), key=lambda i: rows[i])
    placed: list[int] = []
    for rank, i in enumerate(order):
        earliest = placed[-1] + 1 if placed else 0
        latest = height - (len(order) - rank)
        placed.append(min(max(earliest, round(rows[i])), latest))
    answer = [0] * len(rows)
    for i, row in zip(order, placed, strict=True):
        answer[i] = row
    return answer
