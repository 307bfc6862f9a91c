"""Intervals, paired comparisons and verdicts, based on Student's t and on a sequential t.

The results of runs are assumed independent over seeds and roughly normal; where they are known not
to be, a verdict also needs a rank test. Accuracies and their differences are fractions (0 to 1),
not per cent. `scipy.special` only: `scipy.stats` is slow to import.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import chdtri, ndtr, stdtr, stdtrit

FEWEST_PAIRS = 5  # below it a comparison has no interval, no p and no verdict
MOST_SEEDS = 1000  # the limit of `seeds_to_settle`
POWER = 0.8  # the probability with which that many seeds settle a comparison
_QUANTILES = 200  # of chi-squared, for the chance to settle
# The variance, over the alternatives that a sequential comparison is prepared for, of the true mean
# in units of the spread. A larger one gives intervals from fewer pairs, a smaller one narrower ones
# from many. With 4, intervals of 6 to 50 pairs are within 12 % of the narrowest for their number in
# families of 1 to 9, and families of up to 22 have intervals from five pairs.
MIXING_VARIANCE = 4.0
# Equal accuracy differences can differ in the last bits, so a smaller spread counts as 0. It is far
# below the effect of one example in any data set.
_NO_SPREAD = 1e-12
_DECIMALS = 12

Verdict = Literal[
    "higher", "lower", "within", "not settled", "failures", "too few pairs", "no spread"
]
Answer = Literal["supported", "contradicted", "not settled"]


@dataclass(frozen=True)
class Interval:
    """A mean with its t-interval; a single value has only a mean."""

    mean: float
    low: float | None
    high: float | None
    n: int
    std: float | None  # sample standard deviation (n - 1)

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval."""
        return None if self.high is None else self.high - self.mean


@dataclass(frozen=True)
class Comparison:
    """Paired differences between two configurations, and the verdict on them.

    `low`, `high` and `p` are adjusted for the family's size, and hold for any number of pairs if
    the comparison is sequential; they are None if there are too few pairs. `p` is also None if the
    spread is 0.
    """

    n: int  # pairs
    mean: float | None  # None without pairs
    std: float | None
    low: float | None
    high: float | None
    p: float | None
    verdict: Verdict
    seeds_to_settle: int | None  # only for "not settled", where None means more than MOST_SEEDS


def t_cdf(t: float, df: float) -> float:
    """Probability that Student's t with `df` degrees of freedom is at most `t`."""
    return float(stdtr(df, t))


def t_quantile(probability: float, df: float) -> float:
    """The inverse of `t_cdf`: the t at which it is `probability`."""
    return float(stdtrit(df, probability))


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The interval m ± t·s/√n of the mean.

    Args:
        values: one number per seed, at least one.
        confidence: the fraction of such intervals that contain the true mean.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    mean, std = _moments(values)
    n = len(values)
    if std is None:
        return Interval(mean, None, None, n, None)
    half = t_quantile((1 + confidence) / 2, n - 1) * std / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n, std)


def prediction_interval(
    values: Sequence[float], confidence: float = 0.95
) -> tuple[float, float] | None:
    """The interval m ± t·s·√(1 + 1/n) for one further value of the same kind.

    Args:
        values: one number per seed, at least one.
        confidence: the fraction of such intervals that contain the next value.

    Returns:
        Lower and upper bound; None for a single value.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    mean, std = _moments(values)
    n = len(values)
    if std is None:
        return None
    half = t_quantile((1 + confidence) / 2, n - 1) * std * math.sqrt(1 + 1 / n)
    return mean - half, mean + half


def sampling_half_width(accuracy: float, n: int, confidence: float = 0.95) -> float:
    """Half the width of the normal interval of an accuracy measured on `n` independent examples.

    Args:
        accuracy: the fraction of correct examples.
        n: number of examples, at least one.
        confidence: the fraction of such intervals that contain the true accuracy.
    """
    return t_quantile((1 + confidence) / 2, math.inf) * math.sqrt(accuracy * (1 - accuracy) / n)


def failure_bound(n: int, confidence: float = 0.95) -> float:
    """The upper confidence bound of the probability that a run fails, if none of `n` did.

    That is the p with (1 - p)^n = 1 - confidence (Clopper and Pearson 1934), about 3/n at 95 %.

    Args:
        n: number of runs, at least one.
        confidence: the fraction of such bounds that are not below the true probability.
    """
    return float(1 - (1 - confidence) ** (1 / n))


def compare(
    differences: Sequence[float],
    family: int,
    margin: float,
    confidence: float = 0.95,
    *,
    failed: tuple[int, int] = (0, 0),
    bimodal: bool = False,
    sequential: bool = False,
) -> Comparison:
    """Judge paired differences, one per seed, as one of `family` comparisons (Bonferroni).

    The interval takes `t_factor` at the error (1 - confidence) / family, so that all intervals of
    the family hold simultaneously; p = min(1, family·p) follows the same rule, and
    p < 1 - confidence exactly if the interval excludes 0. With no true difference, "higher" or
    "lower" appears in the whole family with a probability of at most 1 - confidence: at a number of
    pairs that was fixed before, or, if `sequential`, ever, however often one looks while pairs are
    added.

    The verdict, in this order:

    - "too few pairs": fewer than `FEWEST_PAIRS`;
    - "within": the interval lies inside ±margin, even if it excludes 0, since such a small
      difference does not count. Pairs that are all exactly equal are also "within";
    - "no spread": the same difference, not 0, in every pair. An estimated spread of
      0 gives no interval and no p, and nothing is concluded;
    - "higher" or "lower": the interval excludes 0;
    - "not settled": anything else, with `seeds_to_settle`.

    A configuration of which some runs failed is not judged by the others, whose accuracies are far
    from normal: in place of a verdict that favours it, or finds the two alike, there is "failures".
    If the accuracies of either have two modes, a verdict against it also needs Wilcoxon's
    signed-rank test, adjusted in the same way; as that is not valid for repeated looks, there is
    none if `sequential`.

    Args:
        differences: one per pair; may be empty.
        family: the number of comparisons made together, including this one; at least 1.
        margin: the smallest difference that matters, at least 0.
        confidence: simultaneous confidence of the family's intervals.
        failed: numbers of runs of the two configurations that diverged or collapsed.
        bimodal: whether the accuracies of one of them have two modes.
        sequential: whether pairs may be added after looking.

    Raises:
        ValueError: a difference is not finite.
    """
    n = len(differences)
    mean, std = _moments(differences) if n else (None, None)
    if n < FEWEST_PAIRS or mean is None or std is None:
        return Comparison(n, mean, std, None, None, None, "too few pairs", None)
    if std == 0:
        if mean == 0:
            equal = _unless_failed("within", failed)
            return Comparison(n, mean, std, mean, mean, None, equal, None)
        return Comparison(n, mean, std, None, None, None, "no spread", None)
    error = std / math.sqrt(n)
    half = t_factor(n, (1 - confidence) / family, sequential=sequential) * error
    low, high = max(-1.0, mean - half), min(1.0, mean + half)  # accuracies differ by 1 at most
    p = min(1.0, family * _p_value(mean / error, n, sequential=sequential))
    verdict: Verdict = "not settled"
    if -margin <= low and high <= margin:
        verdict = "within"
    elif low > 0:
        verdict = "higher"
    elif high < 0:
        verdict = "lower"
    verdict = _unless_failed(verdict, failed)
    if bimodal and verdict in ("higher", "lower"):
        confirmed = not sequential and family * signed_rank_p(differences) < 1 - confidence
        verdict = verdict if confirmed else "failures"
    seeds = None
    if verdict == "not settled":
        seeds = seeds_to_settle(mean, std, family, margin, confidence, sequential=sequential)
    return Comparison(n, mean, std, low, high, p, verdict, seeds)


def t_factor(n: int, alpha: float, *, sequential: bool = False) -> float:
    """The f with which m ± f·s/√n contains the true mean except with a probability of `alpha`.

    For a fixed n, that is the quantile of Student's t. If `sequential`, it is wider, and the
    intervals of *all* n contain the true mean except with that probability: a confidence sequence.
    It contains the means for which the Bayes factor of `_bayes_factor` is below 1/alpha.

    Args:
        n: number of pairs, at least 2.
        alpha: the probability of an error.
        sequential: whether the interval holds for all n simultaneously.

    Returns:
        The factor; infinity if n is too small for any sequential interval.
    """
    if not sequential:
        return t_quantile(1 - alpha / 2, n - 1)
    r = 1 + n * MIXING_VARIANCE
    k = (math.sqrt(r) / alpha) ** (2 / n)
    return math.sqrt((n - 1) * (k - 1) / (1 - k / r)) if k < r else math.inf


def _p_value(t: float, n: int, *, sequential: bool) -> float:
    """The p of a two-sided t statistic of `n` values; if `sequential`, valid at all n at once."""
    if sequential:
        return min(1.0, 1 / _bayes_factor(t, n))
    return 2 * t_cdf(-abs(t), n - 1)


def _bayes_factor(t: float, n: int) -> float:
    """The Bayes factor of a true mean against 0, given the t statistic of `n` normal values.

    In units of the spread, the mean has a normal prior with variance g = `MIXING_VARIANCE`, and the
    spread its invariant prior. With ν = n - 1 and r = 1 + n·g it is

        r^(-1/2) · ((1 + t²/ν) / (1 + t²/(ν·r)))^(n/2)

    (Gönen et al. 2005, The American Statistician 59, eq. 3). Without a true difference it is a
    martingale of mean 1 as n grows, and so it ever reaches 1/α with a probability of at most α
    (Ville's inequality): the sequential t-test (Wang and Ramdas 2024, arXiv:2310.03722, section 4).
    """
    r, u = 1 + n * MIXING_VARIANCE, t * t / (n - 1)
    log = n / 2 * (math.log1p(u) - math.log1p(u / r)) - math.log(r) / 2
    return math.exp(min(log, 700.0))  # e^709 is the largest float


def signed_rank_p(differences: Sequence[float]) -> float:
    """The two-sided p of Wilcoxon's signed-rank test (1945): exact, over all 2^n signs.

    Differences of 0 are left out; equal magnitudes share their mean rank.
    """
    x = np.round(np.asarray(differences, np.float64), _DECIMALS)
    x = x[x != 0]
    _, which, counts = np.unique(np.abs(x), return_inverse=True, return_counts=True)
    doubled = (2 * np.cumsum(counts) - counts + 1)[which]  # ranks are whole or half numbers
    chance = np.zeros(doubled.sum() + 1)  # of each sum of the ranks with a positive sign
    chance[0] = 1
    for rank in doubled:
        chance[rank:] = (chance[rank:] + chance[:-rank]) / 2
        chance[:rank] /= 2
    positive = doubled[x > 0].sum()
    return min(1.0, 2 * float(min(chance[: positive + 1].sum(), chance[positive:].sum())))


def _unless_failed(verdict: Verdict, failed: tuple[int, int]) -> Verdict:
    """The verdict, or "failures" if it favours a configuration with failed runs or finds it equal.

    Args:
        verdict: on the first configuration against the second.
        failed: numbers of failed runs of the first and the second.
    """
    first, second = failed
    held_against = {"higher": first, "lower": second, "within": first + second}
    return "failures" if held_against.get(verdict) else verdict


def seeds_to_settle(
    mean: float,
    std: float,
    family: int,
    margin: float,
    confidence: float = 0.95,
    power: float = POWER,
    *,
    sequential: bool = False,
) -> int | None:
    """The number of pairs that would settle a comparison with a probability of `power`.

    That is the smallest n, from `FEWEST_PAIRS` on, at which `chance_to_settle` is at least `power`,
    if the differences are normal and the present mean and spread are the true ones. In a sequential
    comparison it may well be settled before, at one of the looks.

    Returns:
        The number of pairs; None if it is more than `MOST_SEEDS`.
    """

    def settled(n: int) -> bool:
        chance = chance_to_settle(n, mean, std, family, margin, confidence, sequential=sequential)
        return chance >= power

    numbers = range(FEWEST_PAIRS, MOST_SEEDS + 1)  # the chance rises with every pair
    first = bisect.bisect_left(numbers, True, key=settled)
    return numbers[first] if first < len(numbers) else None


def chance_to_settle(
    n: int,
    mean: float,
    std: float,
    family: int,
    margin: float,
    confidence: float = 0.95,
    *,
    sequential: bool = False,
) -> float:
    """The probability that `compare` settles `n` normal differences of this true mean and spread.

    With half = f·s/√n (`t_factor`), they are settled unless max(0, margin - half) < |m| <= half for
    their mean m and their sample standard deviation s. These are independent: m is normal with the
    deviation std/√n, and (n - 1) s²/std² follows chi-squared with n - 1 degrees of freedom, over
    whose quantiles the probability is averaged.
    """
    factor = t_factor(n, (1 - confidence) / family, sequential=sequential)
    if math.isinf(factor):
        return 0.0
    error = std / math.sqrt(n)
    levels = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    half = factor * error * np.sqrt(chdtri(n - 1, 1 - levels) / (n - 1))
    inner = np.maximum(0.0, margin - half)
    unsettled = (
        ndtr((half - mean) / error)
        - ndtr((inner - mean) / error)
        + ndtr((-inner - mean) / error)
        - ndtr((-half - mean) / error)
    )
    return 1 - float(np.mean(np.where(inner < half, unsettled, 0.0)))


def answer_best(others: Sequence[Verdict]) -> Answer:
    """Whether "X is best" holds, given the verdicts of all other configurations against X."""
    if "higher" in others:
        return "contradicted"
    return "supported" if set(others) == {"lower"} else "not settled"


def answer_not_higher(verdicts: Sequence[Verdict]) -> Answer:
    """Whether "A is not higher than B" holds, given the verdicts of each A against its B."""
    if "higher" in verdicts:
        return "contradicted"
    return "supported" if verdicts and set(verdicts) <= {"lower", "within"} else "not settled"


def _moments(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation, which is None for a single value."""
    x = np.asarray(values, np.float64)
    if not x.size or not np.isfinite(x).all():
        raise ValueError(f"expected at least one value, all finite, got {x.tolist()}")
    if x.size == 1:
        return float(x[0]), None
    # Subtracting a value first makes equal values exact: the mean is that value, the spread 0.
    shifted = x - x[0]
    std = float(shifted.std(ddof=1))
    if std < _NO_SPREAD:
        return float(x[0]), 0.0
    return float(x[0] + shifted.mean()), std
