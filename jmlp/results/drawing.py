"""Curves to be drawn: what a screen shows, as plain records that another process can read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A curve; a value that is not finite is a gap."""

    name: str
    style: int  # index of its colour and dashes
    x: tuple[float, ...]
    values: tuple[float, ...]
    low: tuple[float, ...] | None  # of the band
    high: tuple[float, ...] | None


@dataclass(frozen=True)
class Panel:
    """Curves on common axes, and the part of the x axis that is drawn."""

    title: str  # the name and unit of the values
    x_title: str
    lines: tuple[Line, ...]
    left: float
    right: float
    log: bool  # whether the scale of the values is logarithmic
    bounds: tuple[float, float]  # the lowest and highest possible value
    marks: tuple[tuple[float, str], ...]  # labelled positions on the x axis


@dataclass(frozen=True)
class Drawing:
    """A picture: panels below each other."""

    title: str
    panels: tuple[Panel, ...]


def drawn_range(values: Floats, low_edges: Floats, log: bool) -> tuple[float, float] | None:
    """The lowest and the highest value that must have room in a plot; None if there are none.

    On a logarithmic axis, the lower edge of a band does not count where it is below half of all
    values: an interval that reaches close to 0 would leave no room for the curves.

    Args:
        values: (n,) those of the curves and of the upper edges of their bands.
        low_edges: (m,) the lower edges.
        log: whether the axis is logarithmic, so that only positive numbers have a place on it.
    """
    values, low_edges = (
        numbers[np.isfinite(numbers) & ((numbers > 0) | (not log))]
        for numbers in (values, low_edges)
    )
    if not values.size:
        return None
    low = float(values.min())
    if log:
        low_edges = low_edges[low_edges >= low / 2]
    return min(low, float(low_edges.min(initial=low))), float(values.max())
