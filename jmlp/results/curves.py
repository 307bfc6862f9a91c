"""Cost curves: the mean over the seeds of one configuration, with its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.results.statistics import mean_interval
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
            interval = mean_interval(reached)
            banded = len(reached) >= FEWEST_FOR_BAND
            band = (interval.low, interval.high) if banded else (None, None)
            rows.append((epoch, step, interval.mean, *band))
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    return Curve(*columns)
