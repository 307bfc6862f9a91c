"""Statistics: hand-computed numbers, scipy.stats as the oracle, and simulation."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate
from scipy import stats as oracle

from jmlp.results.statistics import (
    FEWEST_PAIRS,
    MIXING_VARIANCE,
    MOST_SEEDS,
    Verdict,
    answer_best,
    answer_not_higher,
    chance_to_settle,
    compare,
    failure_bound,
    mean_interval,
    prediction_interval,
    seeds_to_settle,
    signed_rank_p,
    t_cdf,
    t_factor,
    t_quantile,
)

SIMULATION = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "simulate_verdicts.py"))


def spread(mean: float, std: float, n: int) -> list[float]:
    """Values with exactly this mean and sample standard deviation."""
    x = np.arange(n) - (n - 1) / 2
    return list(mean + std * x / x.std(ddof=1))


@pytest.mark.parametrize("df", [1, 2, 4, 9, 30, 1000])
@pytest.mark.parametrize("probability", [0.0001, 0.025, 0.5, 0.975, 1 - 0.05 / 18])
def test_t_agrees_with_scipy_stats(df: int, probability: float) -> None:
    expected = oracle.t.ppf(probability, df)
    assert t_quantile(probability, df) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert t_cdf(expected, df) == pytest.approx(probability, rel=1e-9)


def test_mean_interval_of_three_values_is_hand_computed() -> None:
    interval = mean_interval([0.90, 0.92, 0.94])  # s = 0.02, t = 4.302653
    assert interval.n == 3
    assert (interval.mean, interval.std) == pytest.approx((0.92, 0.02))
    assert interval.half_width == pytest.approx(4.302653 * 0.02 / math.sqrt(3), rel=1e-6)
    assert interval.low == pytest.approx(0.8703172, abs=1e-6)
    assert interval.high == pytest.approx(0.9696828, abs=1e-6)


def test_prediction_interval_of_three_values_is_hand_computed() -> None:
    half = 4.302653 * 0.02 * math.sqrt(4 / 3)
    assert prediction_interval([0.90, 0.92, 0.94]) == pytest.approx((0.92 - half, 0.92 + half))


def test_one_value_has_a_mean_and_no_interval() -> None:
    interval = mean_interval([0.9])
    assert (interval.mean, interval.low, interval.high, interval.half_width) == (0.9, *[None] * 3)
    assert prediction_interval([0.9]) is None


def test_equal_values_have_no_spread_at_all() -> None:
    interval = mean_interval([0.1135] * 7)
    assert (interval.mean, interval.std, interval.half_width) == (0.1135, 0.0, 0.0)


@pytest.mark.parametrize("values", [[], [0.9, math.nan], [math.inf, 0.9]])
def test_nothing_and_numbers_that_are_not_finite_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="expected at least one value, all finite, got"):
        mean_interval(values)


def test_comparison_of_five_pairs_is_hand_computed() -> None:
    # m = 0.03, s/√5 = 0.00707107; two comparisons: t at 1 - 0.05/4 with 4 degrees is 3.495406
    c = compare([0.01, 0.02, 0.03, 0.04, 0.05], family=2, margin=0.005)
    assert (c.n, c.verdict, c.seeds_to_settle) == (5, "higher", None)
    assert (c.mean, c.low, c.high) == pytest.approx((0.03, 0.0052838, 0.0547162), abs=1e-6)
    assert c.p == pytest.approx(2 * 0.0132356, abs=1e-6)


def test_a_single_comparison_is_the_paired_t_test_of_scipy() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.91, 0.01, 8), rng.normal(0.90, 0.01, 8)
    test = oracle.ttest_rel(a, b)
    expected = test.confidence_interval()
    c = compare((a - b).tolist(), family=1, margin=0.0)
    assert (c.low, c.high, c.p) == pytest.approx((expected.low, expected.high, test.pvalue))


def test_p_below_5_percent_says_exactly_that_the_interval_leaves_out_0() -> None:
    rng = np.random.default_rng(2)
    for _ in range(300):
        family, n = int(rng.integers(1, 12)), int(rng.integers(5, 12))
        c = compare(rng.normal(0.01, 0.01, n).tolist(), family, margin=0.0)
        assert c.p is not None
        assert c.low is not None
        assert c.high is not None
        assert (c.p < 0.05) == (c.low > 0 or c.high < 0) == (c.verdict in {"higher", "lower"})


def test_p_never_exceeds_1() -> None:
    assert compare(spread(0.0001, 0.01, 6), family=9, margin=0.0).p == 1.0


@pytest.mark.parametrize(
    ("mean", "std", "verdict"),
    [
        (0.02, 0.002, "higher"),
        (-0.02, 0.002, "lower"),
        (0.0, 0.001, "within"),
        (0.003, 0.0005, "within"),  # leaves out 0 as well: a difference this small counts as none
        (0.006, 0.0005, "higher"),
        (0.006, 0.02, "not settled"),
    ],
)
def test_verdicts_follow_from_the_interval(mean: float, std: float, verdict: Verdict) -> None:
    assert compare(spread(mean, std, 6), family=1, margin=0.005).verdict == verdict


def test_four_pairs_are_too_few_for_any_verdict() -> None:
    c = compare([0.05, 0.06, 0.07, 0.08], family=1, margin=0.005)
    assert (c.n, c.verdict) == (4, "too few pairs")
    assert c.mean == pytest.approx(0.065)
    assert (c.low, c.high, c.p, c.seeds_to_settle) == (None, None, None, None)


def test_no_pair_has_no_mean() -> None:
    c = compare([], family=1, margin=0.005)
    assert (c.n, c.mean, c.std, c.verdict) == (0, None, None, "too few pairs")


def test_pairs_that_are_all_equal_are_within_the_margin_without_a_p() -> None:
    c = compare([0.0] * 5, family=3, margin=0.005)
    assert (c.low, c.high, c.p, c.verdict) == (0.0, 0.0, None, "within")


def test_one_difference_in_every_pair_gives_no_interval_and_no_verdict() -> None:
    accuracies = [0.13, 0.37, 0.52, 0.91, 0.98]
    c = compare([a - (a - 0.01) for a in accuracies], family=3, margin=0.005)
    assert c.verdict == "no spread"
    assert c.mean == pytest.approx(0.01)
    assert (c.low, c.high, c.p) == (None, None, None)


def test_without_a_margin_the_chance_to_settle_is_the_power_of_the_paired_t_test() -> None:
    for n, mean, family in ((5, 0.01, 1), (10, 0.008, 7), (27, -0.004, 1), (200, 0.002, 9)):
        critical = oracle.t.ppf(1 - 0.05 / (2 * family), n - 1)
        shift = mean / (0.01 / math.sqrt(n))
        expected = oracle.nct.sf(critical, n - 1, shift) + oracle.nct.cdf(-critical, n - 1, shift)
        assert chance_to_settle(n, mean, 0.01, family, 0.0) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(
    ("mean", "family", "n"),
    [(0.0, 1, 30), (0.0, 7, 60), (0.004, 1, 30), (-0.003, 7, 200), (0.012, 7, 12), (0.007, 3, 30)],
)
def test_the_chance_to_settle_is_the_share_of_settled_simulations(
    mean: float, family: int, n: int
) -> None:
    rng = np.random.default_rng(5)
    n_trials = 4000
    verdicts = [
        compare(rng.normal(mean, 0.01, n).tolist(), family, 0.005).verdict for _ in range(n_trials)
    ]
    share = sum(verdict != "not settled" for verdict in verdicts) / n_trials
    expected = chance_to_settle(n, mean, 0.01, family, 0.005)
    assert share == pytest.approx(expected, abs=allowance(expected, n_trials) + 2e-3)


@pytest.mark.parametrize("mean", [0.0, 0.001, -0.003, 0.012])
@pytest.mark.parametrize("family", [1, 7])
def test_seeds_to_settle_is_the_first_number_with_a_chance_of_80_percent(
    mean: float, family: int
) -> None:
    n = seeds_to_settle(mean, 0.01, family, margin=0.005)
    assert n is not None
    assert chance_to_settle(n, mean, 0.01, family, 0.005) >= 0.8
    assert n == FEWEST_PAIRS or chance_to_settle(n - 1, mean, 0.01, family, 0.005) < 0.8
    assert seeds_to_settle(mean, 0.01, family, 0.005, power=0.5) <= n  # type: ignore[operator]


def test_seeds_to_settle_gives_up_at_its_bound() -> None:
    c = compare(spread(0.001, 0.2, 5), family=7, margin=0.005)
    assert (c.verdict, c.seeds_to_settle) == ("not settled", None)
    half = oracle.t.ppf(1 - 0.05 / 14, MOST_SEEDS - 1) * 0.2 / math.sqrt(MOST_SEEDS)
    assert half > 0.004


@pytest.mark.parametrize(
    ("verdicts", "best", "not_higher"),
    [
        (["lower", "lower"], "supported", "supported"),
        (["lower", "within"], "not settled", "supported"),
        (["lower", "higher"], "contradicted", "contradicted"),
        (["too few pairs", "higher"], "contradicted", "contradicted"),
        (["lower", "not settled"], "not settled", "not settled"),
        (["lower", "too few pairs"], "not settled", "not settled"),
        (["lower", "no spread"], "not settled", "not settled"),
        ([], "not settled", "not settled"),
    ],
)
def test_claims_are_answered_by_the_verdicts(
    verdicts: list[Verdict], best: str, not_higher: str
) -> None:
    assert (answer_best(verdicts), answer_not_higher(verdicts)) == (best, not_higher)


def test_a_difference_of_accuracies_never_has_an_interval_past_100_points() -> None:
    c = compare([-0.9, 0.0, 0.9, 0.9, 0.9], family=9, margin=0.0)
    assert (c.low, c.high) == (-1.0, 1.0)


# ---- runs that fail, and accuracies with two modes


@pytest.mark.parametrize("n", [1, 5, 10, 200])
def test_the_failure_bound_is_the_exact_binomial_bound_of_no_failure(n: int) -> None:
    test = oracle.binomtest(0, n, alternative="less")
    assert failure_bound(n) == pytest.approx(test.proportion_ci(0.95, "exact").high)


@pytest.mark.parametrize("n", [1, 5, 9, 40])
def test_the_signed_rank_test_without_ties_is_that_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        x = rng.normal(0.5, 1.0, n).tolist()
        assert signed_rank_p(x) == pytest.approx(oracle.wilcoxon(x, method="exact").pvalue)


def test_the_signed_rank_test_with_ties_and_zeros_counts_every_choice_of_signs() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        x = rng.integers(-4, 7, 9) / 100  # hundredths
        every = oracle.PermutationMethod(n_resamples=1000)  # more than there are
        expected = oracle.wilcoxon(x[x != 0], method=every).pvalue
        assert signed_rank_p(x.tolist()) == pytest.approx(min(1.0, expected))


def test_equal_magnitudes_tie_whatever_their_last_bits() -> None:
    x = [0.93 - 0.92, 0.92 - 0.91, 0.90 - 0.91, 0.1 + 0.2 - 0.29]
    assert len({abs(value) for value in x}) > 1
    assert signed_rank_p(x) == signed_rank_p([0.01, 0.01, -0.01, 0.01]) == pytest.approx(0.625)


def test_pairs_that_are_all_equal_have_no_rank_and_no_evidence() -> None:
    assert signed_rank_p([0.0, 0.0]) == 1.0


def test_against_a_configuration_with_two_modes_a_verdict_also_needs_the_ranks() -> None:
    mostly = [-0.8, -0.79, -0.78, -0.81, -0.8, -0.79, -0.8, -0.82, -0.01]
    assert signed_rank_p(mostly) < 0.05 < 20 * signed_rank_p(mostly)
    # Five pairs can never reach 5 %: of 32 choices of signs, two are as extreme as the observed.
    for differences, family, with_ranks in (
        (mostly, 1, "lower"),
        (mostly, 20, "failures"),
        (mostly[:5], 1, "failures"),
    ):
        by_t = compare(differences, family, 0.005, failed=(8, 0))
        both = compare(differences, family, 0.005, failed=(8, 0), bimodal=True)
        assert (by_t.verdict, both.verdict) == ("lower", with_ranks)


def test_ranks_are_no_evidence_for_those_who_look_repeatedly() -> None:
    x = spread(-0.8, 0.001, 12)
    plain = compare(x, 1, 0.005, failed=(3, 0), sequential=True)
    two_modes = compare(x, 1, 0.005, failed=(3, 0), bimodal=True, sequential=True)
    assert (plain.verdict, two_modes.verdict) == ("lower", "failures")


# ---- sequential comparisons


@pytest.mark.parametrize(("t", "n"), [(0.3, 5), (2.0, 5), (4.0, 8), (3.0, 30), (-6.0, 12)])
def test_the_sequential_p_is_one_over_the_integrated_likelihood_ratio(t: float, n: int) -> None:
    # The t statistic of a true mean of d spreads is noncentral t; d has a normal prior.
    def weighted(d: float) -> float:
        prior = oracle.norm.pdf(d, scale=math.sqrt(MIXING_VARIANCE))
        return float(prior * oracle.nct.pdf(t, n - 1, d * math.sqrt(n)))

    alternative = integrate.quad(weighted, -12, 12, points=[t / math.sqrt(n)], limit=200)[0]
    ratio = alternative / oracle.t.pdf(t, n - 1)
    c = compare(spread(t * 0.01 / math.sqrt(n), 0.01, n), 1, 0.0, sequential=True)
    assert c.p == pytest.approx(min(1.0, 1 / ratio), rel=1e-4)


def test_a_sequential_p_below_5_percent_says_exactly_that_the_interval_leaves_out_0() -> None:
    rng = np.random.default_rng(2)
    seen = set()
    for _ in range(300):
        family, n = int(rng.integers(1, 12)), int(rng.integers(5, 25))
        c = compare(rng.normal(0.01, 0.01, n).tolist(), family, margin=0.0, sequential=True)
        assert c.p is not None
        assert c.low is not None
        assert c.high is not None
        assert (c.p < 0.05) == (c.low > 0 or c.high < 0) == (c.verdict == "higher")
        seen.add(c.verdict)
    assert seen == {"higher", "not settled"}


@pytest.mark.parametrize("family", [1, 3, 9])
def test_the_price_of_looking_is_at_most_twice_the_width_except_with_five_pairs(
    family: int,
) -> None:
    ratios = {
        n: t_factor(n, 0.05 / family, sequential=True) / t_factor(n, 0.05 / family)
        for n in (5, 6, 7, 8, 10, 20, 50, 100, 1000)
    }
    assert 1.9 < ratios.pop(5) < 2.5
    assert all(1.4 < ratio < 2 for ratio in ratios.values())


def test_with_too_few_pairs_for_a_sequential_interval_nothing_is_settled() -> None:
    assert t_factor(5, 0.05 / 2000, sequential=True) == math.inf
    c = compare(spread(0.05, 0.001, 5), family=2000, margin=0.005, sequential=True)
    assert (c.low, c.high, c.verdict) == (-1.0, 1.0, "not settled")
    assert c.seeds_to_settle is not None
    assert c.seeds_to_settle > 5


def test_the_chance_to_settle_of_one_sequential_look_is_the_share_of_simulations() -> None:
    rng = np.random.default_rng(6)
    rows = rng.normal(0.008, 0.01, (3000, 20))
    verdicts = [compare(row.tolist(), 3, 0.002, sequential=True).verdict for row in rows]
    share = sum(verdict != "not settled" for verdict in verdicts) / len(rows)
    expected = chance_to_settle(20, 0.008, 0.01, 3, 0.002, sequential=True)
    assert share == pytest.approx(expected, abs=allowance(expected, len(rows)) + 2e-3)


# ---- simulation: shares are allowed three standard errors of the simulation itself


def allowance(share: float, n: int) -> float:
    return 3 * math.sqrt(share * (1 - share) / n)


@pytest.mark.parametrize("n_seeds", [5, 12])
def test_with_no_true_difference_at_most_5_percent_of_tables_say_higher_or_lower(
    n_seeds: int,
) -> None:
    n_tables, n_arms = 1500, 8
    rng = np.random.default_rng(n_seeds)
    seed_effect = rng.normal(0, 0.01, (n_tables, 1, n_seeds))
    accuracies = 0.92 + seed_effect + rng.normal(0, 0.01, (n_tables, n_arms, n_seeds))
    differences = accuracies[:, 1:] - accuracies[:, :1]
    wrong = sum(
        any(compare(row, n_arms - 1, margin=0.0).verdict in {"higher", "lower"} for row in table)
        for table in differences
    )
    assert wrong / n_tables <= 0.05 + allowance(0.05, n_tables)
    assert wrong / n_tables >= 0.02  # nor does it reach that by never saying anything


def test_a_lone_comparison_with_no_true_difference_is_wrong_in_5_percent() -> None:
    rows = np.random.default_rng(3).normal(0, 0.01, (4000, 6))
    wrong = sum(compare(row, 1, margin=0.0).verdict in {"higher", "lower"} for row in rows)
    assert wrong / len(rows) == pytest.approx(0.05, abs=allowance(0.05, len(rows)))


@pytest.mark.parametrize("family", [1, 9])
def test_however_often_one_looks_at_most_5_percent_of_sequential_tables_are_ever_wrong(
    family: int,
) -> None:
    false_verdicts = SIMULATION["false_verdicts"]  # at 5 seeds, and after any of 5 to 500
    once, ever = false_verdicts(family, 500, 1500, sequential=False)
    assert once == pytest.approx(0.05, abs=allowance(0.05, 1500) + 0.01)
    assert ever > 0.3
    once, ever = false_verdicts(family, 500, 1500, sequential=True)
    assert 0.01 < ever <= 0.05
    assert once < ever


def test_the_simulated_intervals_are_those_of_compare() -> None:
    differences = np.random.default_rng(9).normal(0.012, 0.01, (40, 12))
    for sequential in (False, True):
        simulated = SIMULATION["settled"](differences, 3, sequential=sequential)
        for row, found in zip(differences, simulated, strict=True):
            for n in range(FEWEST_PAIRS, 13):
                c = compare(row[:n].tolist(), 3, 0.0, sequential=sequential)
                assert (c.verdict == "higher") == found[n - FEWEST_PAIRS]


def test_looks_that_become_sequential_after_the_first_are_wrong_in_more_than_5_percent() -> None:
    share = SIMULATION["false_after_a_fixed_look"](1, 100, 6000)
    assert 0.05 < share < 0.08  # as the documents say


def test_a_true_difference_is_found_by_looking() -> None:
    rows = np.random.default_rng(8).normal(0.01, 0.01, (200, 40))
    found = SIMULATION["settled"](rows, 1, sequential=True)
    assert found.any(axis=1).all()
    first = [
        compare(row[: n + FEWEST_PAIRS].tolist(), 1, 0.0, sequential=True).verdict
        for row, n in zip(rows, found.argmax(axis=1), strict=True)
    ]
    assert set(first) == {"higher"}


@pytest.mark.parametrize("n_seeds", [5, 10, 20])
@pytest.mark.parametrize("shape", ["normal", "skewed", "bimodal"])
def test_configurations_of_one_distribution_differ_in_at_most_5_percent_whatever_its_shape(
    shape: str, n_seeds: int
) -> None:
    draw = SIMULATION[shape](0.85, 0.01)
    wrong = SIMULATION["wrong_verdicts"](draw, draw, n_seeds, 4000)
    assert wrong <= 0.05 + allowance(0.05, 4000)


def test_a_failure_that_no_seed_shows_cannot_keep_a_verdict_away() -> None:
    # Equal means: one configuration fails in one run of ten, and is better in the others. Without
    # a failure among five seeds, which is the case in 0.9^5 of tables, nothing in them tells.
    n_tables = 1000
    rng = np.random.default_rng(7)
    steady = 0.85 + rng.normal(0, 0.01, (n_tables, 5))
    risky, collapsed = SIMULATION["bimodal"](0.85, 0.01)(rng, (n_tables, 5))
    verdicts = [
        compare(a - b, 1, 0.0, failed=(int(c.sum()), 0), bimodal=bool(c.any())).verdict
        for a, b, c in zip(risky, steady, collapsed, strict=True)
    ]
    seen = {v for v, c in zip(verdicts, collapsed, strict=True) if c.any()}
    assert not seen & {"higher", "lower"}
    share = sum(v == "higher" for v in verdicts) / n_tables
    assert share == pytest.approx(0.9**5, abs=allowance(0.59, n_tables))
    assert failure_bound(5) > 0.1  # and this is what the note below the table says


@pytest.mark.parametrize("n_seeds", [3, 10])
def test_the_prediction_interval_holds_95_percent_of_next_runs(n_seeds: int) -> None:
    rows = np.random.default_rng(n_seeds).normal(0.92, 0.01, (4000, n_seeds + 1))
    held = 0
    for row in rows:
        interval = prediction_interval(row[:-1])
        assert interval is not None
        held += interval[0] <= row[-1] <= interval[1]
    assert held / len(rows) == pytest.approx(0.95, abs=allowance(0.95, len(rows)))
