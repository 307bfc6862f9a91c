"""The texts of numbers and verdicts, the same in every front end.

The minus sign is "-", so that numbers can be copied; there are no square brackets, which rich's
markup would interpret.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jmlp.results.statistics import MOST_SEEDS, Comparison, Interval
from jmlp.training.records import epoch_text

MISSING = "–"


@dataclass(frozen=True)
class Epochs:
    """Median and range over runs of an epoch, such as the best one.

    A run that reached the limit might have continued, so its epoch is a lower bound.
    """

    median: float
    low: float
    high: float
    text: str  # "45, 34–77", "100 (limit)", "≥ 80, 60–100 (limit)", "9 (limit in 1 of 3)"


def percent(fraction: float) -> str:
    """`92.31`: a fraction in per cent, without the % sign."""
    return f"{100 * fraction:.2f}"


def points(difference: float) -> str:
    """`+0.62`: a difference of fractions in percentage points."""
    text = f"{100 * difference:+.2f}"
    return "0.00" if float(text) == 0 else text


def accuracy_text(interval: Interval | None) -> str:
    """`92.31 ± 0.84` in per cent; `92.31` for one run; a dash for none.

    An interval that would pass 0 or 100 % is cut there and given by its ends: `82.46 (52.27–100)`.
    """
    if interval is None:
        return MISSING
    half = interval.half_width
    if half is None or interval.low is None or interval.high is None:
        return percent(interval.mean)
    if passes_range(interval):
        ends = (percent(max(0.0, interval.low)), percent(min(1.0, interval.high)))
        return f"{percent(interval.mean)} ({'–'.join(ends).replace('100.00', '100')})"
    return f"{percent(interval.mean)} ± {percent(half)}"


def passes_range(interval: Interval) -> bool:
    """Whether the interval of an accuracy would pass 0 or 100 %."""
    if interval.low is None or interval.high is None:
        return False
    return interval.low < 0 or interval.high > 1


def points_range(comparison: Comparison) -> str:
    """`-0.42 to +1.04`: the interval of a difference in points, or a dash."""
    if comparison.low is None or comparison.high is None:
        return MISSING
    return f"{points(comparison.low)} to {points(comparison.high)}"


def p_text(p: float | None) -> str:
    """`0.0312`, `<0.0001`, or a dash."""
    if p is None:
        return MISSING
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def seeds_text(comparison: Comparison) -> str:
    """`about 34 seeds`: the number of seeds that would probably settle the comparison."""
    n = comparison.seeds_to_settle
    return f"over {MOST_SEEDS} seeds" if n is None else f"about {n} seeds"


def margin_text(margin: float) -> str:
    """`±0.5 points`: the smallest difference that matters."""
    return f"±{100 * margin:g} points"


def verdict_text(comparison: Comparison, margin: float) -> str:
    """The verdict, such as `higher`, `within ±0.5 points` or `not settled (about 34 seeds)`."""
    if comparison.verdict == "within":
        return f"within {margin_text(margin)}"
    if comparison.verdict == "not settled":
        return f"not settled ({seeds_text(comparison)})"
    if comparison.verdict == "failures":
        return "not settled (runs failed)"
    return comparison.verdict


def summarise_epochs(epochs: Sequence[tuple[float, bool]]) -> Epochs | None:
    """Median and range of (epoch, whether that is the run's limit); None without runs.

    The median of an even number of runs is the mean of the middle two. If only the upper of them is
    at the limit, the median is marked as a lower bound.
    """
    if not epochs:
        return None
    ordered = sorted(epochs)
    low, high = ordered[0], ordered[-1]
    below, above = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    median = (below[0] + above[0]) / 2
    bound = "≥ " if above[1] and not below[1] else ""
    limit = " (limit)" if below[1] and above[1] else ""
    by_updates = any(isinstance(epoch, float) for epoch, _ in epochs)
    middle = epoch_text(median) if by_updates else f"{median:g}"
    text = f"{bound}{middle}{limit}"
    if low[0] == high[0] and low != high:  # patience ran out at the limit in some runs
        at_limit = sum(is_limit for _, is_limit in ordered)
        text = f"{bound}{middle} (limit in {at_limit} of {len(ordered)})"
    elif low != high:
        text += f", {epoch_text(low[0])}–{epoch_text(high[0])}" + (" (limit)" if high[1] else "")
    return Epochs(median, low[0], high[0], text)
