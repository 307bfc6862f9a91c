"""Cost curves: the mean over the seeds of one configuration, with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.results.statistics import Interval, mean_interval
from jmlp.training.records import CostPoint

FEWEST_FOR_BAND = 3  # seeds; the t-interval of two is so wide that it would hide the curves

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One curve over evaluations; all arrays are (n_evaluations,)."""

    epoch: Floats
    step: Floats  # updates
    mean: Floats  # nats; of an accuracy 0 to 1
    low: Floats  # NaN where fewer than `FEWEST_FOR_BAND` seeds remain
    high: Floats

    def from_step(self, first: int) -> "Curve":
        """The part of the curve from update `first` on."""
        kept = self.step >= first
        return Curve(*(getattr(self, f.name)[kept] for f in fields(self)))


@lru_cache(maxsize=65_536)
def _interval(values: tuple[float, ...]) -> Interval:
    """The interval of a mean; of curves that grow, only the last ones are new."""
    return mean_interval(values)


def mean_curve(runs: Sequence[Sequence[CostPoint]], cost: str) -> Curve:
    """The mean over the runs that reached an epoch, while they are at least half of all runs.

    Args:
        runs: the evaluations of each seed of one configuration.
        cost: the field of `CostPoint`: a cost or an accuracy.

    Non-finite values are ignored.
    """
    values: dict[tuple[float, int], list[float]] = {}
    for run in runs:
        for point in run:
            value = getattr(point, cost)
            if value is not None and math.isfinite(value):
                values.setdefault((point.epoch, point.step), []).append(value)
    rows: list[tuple[Any, ...]] = []
    for (epoch, step), reached in sorted(values.items()):
        if 2 * len(reached) >= len(runs):
            interval = _interval(tuple(reached))
            banded = len(reached) >= FEWEST_FOR_BAND
            band = (interval.low, interval.high) if banded else (None, None)
            rows.append((epoch, step, interval.mean, *band))
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    return Curve(*columns)


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
