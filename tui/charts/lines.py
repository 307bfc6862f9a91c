"""The geometry of line plots: curves and bands as dots, ticks, and where the curves' names go."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
XUnit = Literal["epoch", "update"]
Dots = NDArray[np.int64]  # (n, 2): column and row, from the top left

# Dash patterns that tell lines apart without colour: a sample, and how many dots are on, off, ...
KINDS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("───", (1,)),
    ("╌╌╌", (4, 3)),
    ("···", (1, 3)),
    ("─·─", (6, 3, 1, 3)),
)
PADDING = 0.04  # above and below, as a share of the span of values


@dataclass(frozen=True, eq=False)
class Series:
    """One curve; values that are not finite are gaps."""

    name: str
    x: Floats  # (n,), ascending: epochs or updates
    values: Floats  # (n,)
    low: Floats | None  # (n,), of the band; NaN where there is none
    high: Floats | None
    style: int  # index of its colour and dash pattern

    def at(self, x: float) -> tuple[float, float] | None:
        """Returns the value at `x` and half its band's width; None if there is no value."""
        found = np.flatnonzero(self.x == x)
        if not found.size or not math.isfinite(self.values[found[0]]):
            return None
        value = float(self.values[found[0]])
        return value, math.nan if self.high is None else float(self.high[found[0]]) - value


@dataclass(frozen=True)
class Window:
    """The part of the plane that is shown, and its size in dots."""

    left: float  # epochs or updates
    right: float
    bottom: float  # value, or its decimal logarithm if `log`
    top: float
    width: int  # dots
    height: int
    log: bool

    def column(self, x: Floats) -> Floats:
        """Converts positions on the x axis to dots from the left edge."""
        return (x - self.left) / (self.right - self.left) * (self.width - 1)

    def row(self, values: Floats) -> Floats:
        """Converts values to dots from the top edge; NaN where they cannot be drawn."""
        return (self.top - scaled(values, self.log)) / (self.top - self.bottom) * (self.height - 1)


def scaled(values: Floats, log: bool) -> Floats:
    """Takes the decimal logarithm if `log`; NaN where the result is not finite."""
    values = np.asarray(values, np.float64)
    known = np.isfinite(values) & ((values > 0) | (not log))
    kept = np.where(known, values, np.nan if not log else 1.0)
    return np.where(known, np.log10(kept) if log else kept, np.nan)


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
    found: list[Floats] = []
    for one in series:
        seen = (one.x >= left) & (one.x <= right)
        parts = [one.values] + [np.clip(b, *bounds) for b in (one.low, one.high) if b is not None]
        found.extend(scaled(part[seen], log) for part in parts)
    values = np.concatenate(found) if found else np.empty(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return (-1.0, 0.0) if log else (0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    room = (high - low) * PADDING or max(abs(high) * PADDING, 1e-6)
    return low - room, high + room


def line_dots(x: Floats, y: Floats, pattern: Sequence[int]) -> Dots:
    """Draws a line through points, with a gap at each NaN.

    Args:
        x: (n,) columns.
        y: (n,) rows.
        pattern: how many dots are on, off, on, off ..., repeated along the line.

    Returns:
        Each dot once. An isolated point is a square of four dots, since a single dot is overlooked.
    """
    pieces = []
    known = np.isfinite(x) & np.isfinite(y)
    starts = np.flatnonzero(known & ~np.concatenate([[False], known[:-1]]))
    ends = np.flatnonzero(known & ~np.concatenate([known[1:], [False]]))
    on = np.repeat(np.arange(len(pattern)) % 2 == 0, pattern)
    for start, end in zip(starts, ends + 1, strict=True):
        if end - start == 1:
            corner = np.rint([x[start], y[start]])
            pieces.append(corner + np.array([(0, 0), (1, 0), (0, 1), (1, 1)]))
            continue
        # One dot per step along the longer axis leaves no holes.
        steps = np.maximum(np.abs(np.diff(x[start:end])), np.abs(np.diff(y[start:end])))
        walked = np.concatenate([[0.0], np.cumsum(steps)])
        at = np.arange(math.ceil(walked[-1]) + 1)
        kept = at[on[at % len(on)]]
        piece = [np.interp(kept, walked, part[start:end]) for part in (x, y)]
        pieces.append(np.rint(np.stack(piece, axis=1)))
    if not pieces:
        return np.empty((0, 2), np.int64)
    return np.unique(np.concatenate(pieces).astype(np.int64), axis=0)


def band_dots(x: Floats, low: Floats, high: Floats, height: int) -> Dots:
    """Fills the area between two lines with a halftone of one dot per cell.

    Args:
        x: (n,) columns.
        low: (n,) rows of the lower bound, which are larger numbers than `high`.
        high: (n,) rows of the upper bound.
        height: rows of the window, to which the area is clipped.
    """
    dots: list[tuple[int, int]] = []
    known = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
    for i in np.flatnonzero(known[1:] & known[:-1]):
        first, last = math.ceil(x[i]), math.floor(x[i + 1])
        for column in range(first + first % 2, last + 1, 2):
            top = max(0.0, float(np.interp(column, x[i : i + 2], high[i : i + 2])))
            bottom = min(height - 1.0, float(np.interp(column, x[i : i + 2], low[i : i + 2])))
            offset = column % 4  # stagger adjacent columns by half a cell
            start = math.ceil((top - offset) / 4) * 4 + offset
            rows = range(start, math.floor(bottom) + 1, 4)
            dots.extend((column, row) for row in rows)
    return np.array(sorted(set(dots)), np.int64).reshape(-1, 2)


def inside(dots: Dots, width: int, height: int) -> Dots:
    """Returns the dots that lie in the window."""
    x, y = dots[:, 0], dots[:, 1]
    return dots[(x >= 0) & (x < width) & (y >= 0) & (y < height)]


def ticks(low: float, high: float, most: int, least_step: float = 0.0) -> list[float]:
    """Returns at most `most` round numbers between two bounds, in steps of 1, 2 or 5 × 10ⁿ."""
    span = high - low
    if most < 1 or not span > 0 or not math.isfinite(span):
        return []
    power = 10.0 ** math.floor(math.log10(span / most))
    # Steps such as 0.1 are inexact; the tolerance of 1e-9 and rounding to 12 digits absorb that.
    for step in (factor * power for factor in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if step >= least_step and last - first + 1 <= most:
            return [round(i * step, 12) for i in range(first, last + 1)]
    return []


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Returns at most `most` round numbers between two decimal logarithms, as logarithms."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    for digits in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [d + math.log10(digit) for d in decades for digit in digits]
        found = [t for t in found if low <= t <= high]
        if len(found) <= most:
            break
    else:
        found = found[:: math.ceil(len(found) / most)]
    if len(found) < 2:  # less than a decade: use linear ticks
        found = [math.log10(t) for t in ticks(10.0**low, 10.0**high, most) if t > 0]
    return found


def tick_labels(values: Sequence[float]) -> list[str]:
    """Formats numbers with the fewest decimals that show all of them exactly."""
    for decimals in range(7):
        texts = [f"{value:.{decimals}f}" for value in values]
        exact = all(abs(float(t) - v) < 1e-9 for t, v in zip(texts, values, strict=True))
        if exact and len(set(texts)) == len(values):
            return texts
    return [f"{value:.2g}" for value in values]


def log_labels(values: Sequence[float]) -> list[str]:
    """Formats the numbers of which these are the decimal logarithms."""
    return [f"{10.0**value:.4g}" for value in values]


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
