"""Axes whose ticks are evenly spaced in cells of the terminal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FACTORS = (1.0, 2.0, 2.5, 5.0)  # of the steps between ticks, times a power of ten
IDEAL_GAPS = 16, 4  # columns and rows from one tick to the next


@dataclass(frozen=True)
class Axis:
    """Maps values to cells: to 0 at the centre of the first cell, 1 at that of the second, ..."""

    start: float  # at cell 0; for a logarithmic axis, its decimal logarithm
    per_cell: float
    cells: int
    ticks: tuple[tuple[int, str], ...]  # cells and labels
    log: bool = False

    def at(self, values: Floats | float) -> Floats:
        """Converts values to cells; NaN where a value cannot be drawn."""
        return (scaled(np.asarray(values, np.float64), self.log) - self.start) / self.per_cell

    def value(self, cell: float) -> float:
        """Converts a cell to its value."""
        value = self.start + cell * self.per_cell
        return 10.0**value if self.log else value


def scaled(values: Floats, log: bool) -> Floats:
    """Takes the decimal logarithm if `log`; NaN where the result is not finite."""
    values = np.asarray(values, np.float64)
    known = np.isfinite(values) & ((values > 0) | (not log))
    kept = np.where(known, values, np.nan if not log else 1.0)
    return np.where(known, np.log10(kept) if log else kept, np.nan)


def positions(low: float, high: float, cells: int) -> Axis:
    """Returns a horizontal axis that begins at `low`, for epochs or updates.

    Args:
        low: the position of the first cell.
        high: the last position that must have room.
        cells: the number of columns, at least 2.
    """
    span, best, best_score = max(high - low, 1e-9), None, -math.inf
    for step in _steps(span, cells):
        if step < 1 or not step.is_integer():
            continue  # there is nothing to read between two updates, and epochs are counted
        gap = math.floor(step * (cells - 1) / span)  # columns from one tick to the next
        if gap < 1:
            continue
        per_cell = step / gap
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        values = [i * step for i in range(first, last + 1)]
        labels = tick_labels(values)
        if len(values) < 2 or max(map(len, labels)) + 2 > gap:
            continue
        score = _score(span / (per_cell * (cells - 1)), gap / IDEAL_GAPS[0], len(values))
        if score > best_score:
            # `round` would take halves to the even neighbour: gaps would differ by two cells.
            places = (math.floor((value - low) / per_cell + 0.5 + 1e-9) for value in values)
            best_score = score
            best = Axis(low, per_cell, cells, tuple(zip(places, labels, strict=True)))
    return best or Axis(low, span / (cells - 1), cells, ())


def values(low: float, high: float, cells: int, *, log: bool = False) -> Axis:
    """Returns a vertical axis for values, counted from the bottom.

    Args:
        low: the lowest value that must have room; for a logarithmic axis, its logarithm.
        high: the highest one, likewise.
        cells: the number of rows, at least 2.
        log: whether the axis is logarithmic.
    """
    if log:
        per_cell = max(high - low, 1e-9) / (cells - 1)
        found = log_ticks(low, high, max(2, cells // 2))
        places = [round((tick - low) / per_cell) for tick in found]
        return Axis(low, per_cell, cells, tuple(zip(places, log_labels(found), strict=True)), True)
    span, best, best_score = max(high - low, 1e-12), None, -math.inf
    for step in _steps(span, cells):
        most = math.floor(step * (cells - 1) / span)  # rows from one tick to the next
        for gap in range(min(most, cells - 1), 1, -1):  # the axis begins up to a row below `low`
            per_cell, base = step / gap, math.floor(low / step + 1e-9)
            offset = math.floor((low - base * step) / per_cell + 1e-9)
            start = base * step + offset * per_cell
            if start + (cells - 1) * per_cell < high - 1e-9 * span:
                continue
            first = 1 if offset else 0
            n_ticks = (cells - 1 + offset) // gap + 1 - first
            if n_ticks < 2:
                continue
            score = _score(span / (per_cell * (cells - 1)), gap / IDEAL_GAPS[1], n_ticks)
            if score > best_score:
                counts = range(first, first + n_ticks)
                labels = tick_labels([(base + i) * step for i in counts])
                places = [i * gap - offset for i in counts]
                best_score = score
                best = Axis(start, per_cell, cells, tuple(zip(places, labels, strict=True)))
            break
    return best or Axis(low, span / (cells - 1), cells, ())


def fitted(low: float, high: float, cells: int, *, upright: bool = False) -> Axis:
    """Returns an axis with given ends, whose ticks are at the cells nearest to round numbers.

    Args:
        low: the value at the outer edge of the first cell.
        high: at that of the last one.
        cells: the number of cells, at least 2.
        upright: whether the axis is vertical, so that labels do not lie beside each other.
    """
    per_cell = (high - low) / cells
    start, best_score = low + per_cell / 2, math.inf
    best: tuple[tuple[int, str], ...] = ()
    for step in _steps(high - low, cells):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        found = [i * step for i in range(first, last + 1)]
        labels, gap = tick_labels(found), step / per_cell
        least = 2.0 if upright else max(map(len, labels), default=0) + 2.0
        score = abs(math.log2(gap / IDEAL_GAPS[upright]))
        if len(found) >= 2 and gap >= least and score < best_score:
            places = (min(cells - 1, max(0, round((v - start) / per_cell))) for v in found)
            best, best_score = tuple(zip(places, labels, strict=True)), score
    return Axis(start, per_cell, cells, best)


def _steps(span: float, cells: int) -> list[float]:
    """Returns round steps from that of one cell to that of the whole axis."""
    lowest = math.floor(math.log10(span / cells))
    return [
        round(factor * 10.0**power, 12) if power > -12 else factor * 10.0**power
        for power in range(lowest, lowest + math.ceil(math.log10(cells)) + 3)
        for factor in FACTORS
    ]


def _score(used: float, gap: float, n_ticks: int) -> float:
    """Rates an axis: values should use most of it, and ticks should be neither few nor dense.

    Args:
        used: the share of the axis between the lowest and the highest value.
        gap: the gap between two ticks, as a multiple of the ideal one.
        n_ticks: the number of ticks.
    """
    return used - 0.08 * abs(math.log2(gap)) - (0.2 if n_ticks < 3 else 0.0)


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Returns at most `most` round numbers between two decimal logarithms, as logarithms."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [d + math.log10(digit) for d in decades for digit in digits]
        found = [t for t in found if low <= t <= high]
        if len(found) <= most:
            break
    else:
        found = found[:: math.ceil(len(found) / most)]
    if len(found) < 2:  # less than a decade: use linear ticks
        found = [math.log10(t) for t in _round_numbers(10.0**low, 10.0**high, most)]
    return found


def _round_numbers(low: float, high: float, most: int) -> list[float]:
    """Returns at most `most` positive numbers between two bounds, in steps of 1, 2 or 5 × 10ⁿ."""
    for step in _steps(high - low, max(2, most)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [round(i * step, 12) for i in range(max(1, first), last + 1)]
    return []


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
