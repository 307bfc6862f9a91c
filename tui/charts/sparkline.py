"""Sparklines, curves in one line of text: `▲█▆▄▃▂▂▁▁`.

`▲` marks values above the scale; values that are not finite are gaps.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BLOCKS = "▁▂▃▄▅▆▇█"
CLIPPED = "▲"
GAP = " "
USEFUL = 0.8  # the share of the values that a scale should show

Point = tuple[float, float]  # epoch, value


@dataclass(frozen=True)
class Scale:
    """The values of the lowest and the highest block; higher values are clipped."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, values: Iterable[float], cap: float, *, log: bool = False) -> "Scale":
        """Returns a scale for these values up to `cap`; for `log`, of the positive ones."""
        finite = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
        high = min(cap, max(finite, default=cap))
        return cls(min(high, min(finite, default=high)), high, log)

    @classmethod
    def useful(cls, values: Sequence[float], cap: float, *, log: bool = False) -> "Scale":
        """Returns a scale for most of these values: the highest fifth may be above it.

        Costs fall steeply at first: a scale for all of them would show the rest as a flat line.
        """
        finite = sorted(v for v in values if math.isfinite(v))
        if finite:
            cap = min(cap, finite[math.ceil(USEFUL * (len(finite) - 1))])
        return cls.of(values, cap, log=log)

    def block(self, value: float) -> str:
        """Returns the character of one value."""
        level = self.level(value, len(BLOCKS))
        return CLIPPED if value > self.high else BLOCKS[level - 1] if level else GAP

    def level(self, value: float, n: int) -> int:
        """Returns the level of a value among `n`, from 1; 0 for one that is not finite.

        On a logarithmic scale, it is 0 for values that are not positive, too.
        """
        if not math.isfinite(value) or (self.log and value <= 0):
            return 0
        low, high, at = self.low, self.high, min(value, self.high)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        share = (at - low) / (high - low) if high > low else 0.0
        return 1 + max(0, min(n - 1, math.floor(share * n)))


def sparkline(points: Sequence[Point], width: int, last_epoch: float, scale: Scale) -> str:
    """Draws a curve in `width` columns.

    Args:
        points: in order of epochs.
        width: columns of the terminal.
        last_epoch: the last epoch of all curves that are drawn alike. Each epoch has as many
            columns as fit for all of them; if there are too few, several epochs share one.
        scale: shared by these curves too.

    Returns:
        Exactly `width` characters. A column shows the mean of its values, or a gap if one of them
        is not finite.
    """
    columns: list[list[float]] = [[] for _ in range(width)]
    for epoch, value in points:
        wide = width // (last_epoch + 1)
        first = math.floor(epoch * wide if wide else epoch * width / (last_epoch + 1))
        for column in range(first, min(width, first + max(1, math.floor(wide)))):
            columns[column].append(value)
    return "".join(_column(values, scale) for values in columns)


def _column(values: Sequence[float], scale: Scale) -> str:
    if not values:
        return GAP
    return scale.block(math.fsum(v / len(values) for v in values) if _finite(values) else math.nan)


def _finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))


def bar(share: float, width: int) -> str:
    """Draws a progress bar: `████░░░░`."""
    full = round(max(0.0, min(1.0, share)) * width)
    return "█" * full + "░" * (width - full)
