#!/usr/bin/env python3
"""Simulates how often verdicts are wrong, and prints the tables of docs/explanation.

In statistics.md, false verdicts of those who look once and of those who look after every seed, what
looking costs in seeds, and false verdicts where accuracies are not normal. In search.md, false
verdicts on the winners of searches. `.venv/bin/python
scripts/simulate_verdicts.py` takes half a minute.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from jmlp.results.statistics import FEWEST_PAIRS, POWER, compare, seeds_to_settle, t_factor

SEED = 20_261_130
N_TABLES = 20_000
BATCH = 2000  # tables that are simulated at once
ALPHA = 0.05
COLLAPSED = 0.1  # the accuracy of a run that predicts one class of ten

Array = NDArray[np.float64]
# Draws accuracies of the given shape, and which of the runs collapsed.
Draw = Callable[[Generator, tuple[int, ...]], tuple[Array, NDArray[np.bool_]]]


def settled(differences: Array, family: int, *, sequential: bool) -> NDArray[np.bool_]:
    """Whether the interval of the first n pairs excludes 0, for all n from `FEWEST_PAIRS` on.

    Args:
        differences: `(..., pairs)`.
        family: number of comparisons made together.
        sequential: as in `compare`.
    """
    n = np.arange(1, differences.shape[-1] + 1)
    mean = differences.cumsum(-1) / n
    squares = (differences**2).cumsum(-1) - n * mean**2
    n, mean, squares = (x[..., FEWEST_PAIRS - 1 :] for x in (n, mean, squares))
    factors = [t_factor(int(k), ALPHA / family, sequential=sequential) for k in n]
    excluded: NDArray[np.bool_] = np.abs(mean) > factors * np.sqrt(squares / (n - 1) / n)
    return excluded


def false_verdicts(
    family: int, n_seeds: int, n_tables: int, *, sequential: bool
) -> tuple[float, float]:
    """The share of tables with a false verdict: at `FEWEST_PAIRS` seeds, and after any up to n.

    All configurations have equal true accuracies and are compared with one of them.
    """
    once = ever = 0
    for differences in _batches(family, n_seeds, n_tables):
        wrong = settled(differences, family, sequential=sequential)
        once += int(wrong[..., 0].any(axis=1).sum())
        ever += int(wrong.any(axis=(1, 2)).sum())
    return once / n_tables, ever / n_tables


def false_after_a_fixed_look(family: int, n_seeds: int, n_tables: int) -> float:
    """The share of tables with a false verdict if only the looks after the first are sequential.

    The first look is at `FEWEST_PAIRS` seeds, and one follows after every seed up to `n_seeds`.
    """
    wrong = 0
    for differences in _batches(family, n_seeds, n_tables):
        at_first = settled(differences, family, sequential=False)[..., 0]
        later = settled(differences, family, sequential=True)[..., 1:]
        wrong += int((at_first | later.any(axis=2)).any(axis=1).sum())
    return wrong / n_tables


def _batches(family: int, n_seeds: int, n_tables: int) -> Iterator[Array]:
    """The differences of tables in which nothing differs, `(tables, comparisons, seeds)`."""
    draw = np.random.default_rng(SEED)
    for first in range(0, n_tables, BATCH):
        shape = (min(BATCH, n_tables - first), family + 1, n_seeds)
        accuracies = draw.normal(size=shape)
        yield accuracies[:, 1:] - accuracies[:, :1]


def seeds_needed(effect: float, family: int, n_tables: int) -> tuple[int, float]:
    """Seeds by which `POWER` of sequential comparisons are settled, and their mean number then.

    Args:
        effect: the true difference in units of its spread.
        family: number of comparisons made together.
        n_tables: number of simulated comparisons.
    """
    draw = np.random.default_rng(SEED)
    differences = draw.normal(effect, 1.0, size=(n_tables, 600))
    found = settled(differences, family, sequential=True)
    assert found.any(axis=1).all()
    first = FEWEST_PAIRS + found.argmax(axis=1)
    return int(np.quantile(first, POWER, method="inverted_cdf")), float(first.mean())


def normal(mean: float, spread: float) -> Draw:
    """Normal accuracies."""
    return lambda draw, shape: (draw.normal(mean, spread, shape), np.zeros(shape, np.bool_))


def skewed(mean: float, spread: float) -> Draw:
    """Exponential, with the tail towards low accuracies."""
    return lambda draw, shape: (
        mean + spread * (1 - draw.exponential(size=shape)),
        np.zeros(shape, np.bool_),
    )


def bimodal(mean: float, spread: float) -> Draw:
    """One run in ten collapses; the others are so much better that the mean is the same."""
    better = (mean - 0.1 * COLLAPSED) / 0.9

    def accuracies(draw: Generator, shape: tuple[int, ...]) -> tuple[Array, NDArray[np.bool_]]:
        collapsed = draw.random(shape) < 0.1
        return np.where(collapsed, COLLAPSED, draw.normal(better, spread, shape)), collapsed

    return accuracies


def wrong_verdicts(one: Draw, other: Draw, n: int, n_tables: int) -> float:
    """The share of comparisons of equal means in which jmlp says "higher" or "lower".

    Args:
        one: draws the accuracies of one configuration.
        other: draws those of the other.
        n: number of seeds.
        n_tables: number of comparisons.
    """
    draw = np.random.default_rng(SEED)
    (ones, one_collapsed), (others, other_collapsed) = (
        one(draw, (n_tables, n)),
        other(draw, (n_tables, n)),
    )
    differences = ones - others
    wrong = 0
    # Without an interval that excludes 0, there is no such verdict.
    for table in np.flatnonzero(settled(differences, 1, sequential=False)[:, n - FEWEST_PAIRS]):
        collapsed = [one_collapsed[table], other_collapsed[table]]
        failed = [0 if runs.all() else int(runs.sum()) for runs in collapsed]
        judged = compare(
            differences[table].tolist(),
            1,
            0.0,
            failed=(failed[0], failed[1]),
            bimodal=any(failed),
        )
        wrong += judged.verdict in ("higher", "lower")
    return wrong / n_tables


def false_after_a_search(
    n_candidates: int, n_search: int, n_confirm: int, n_tables: int
) -> tuple[float, float, float]:
    """False verdicts on the winners of searches in which nothing differs.

    Args:
        n_candidates: of each search, besides the baseline.
        n_search: seeds of the search.
        n_confirm: fresh seeds.
        n_tables: number of searches.

    Returns:
        The share of false verdicts by the search's own seeds, and by the fresh ones; and how much
        higher the winner's mean is with the seeds of the search, in units of the spread over seeds.
    """
    draw = np.random.default_rng(SEED)
    naive = confirmed = 0
    optimism = 0.0
    for first in range(0, n_tables, BATCH):
        n = min(BATCH, n_tables - first)
        runs = draw.normal(size=(n, n_candidates + 1, n_search + n_confirm))
        best = runs[:, 1:, :n_search].mean(axis=2).argmax(axis=1)
        winners = runs[np.arange(n), 1 + best]
        differences = winners - runs[:, 0]
        naive += int(settled(differences[:, :n_search], 1, sequential=False)[:, -1].sum())
        confirmed += int(settled(differences[:, n_search:], 1, sequential=False)[:, -1].sum())
        optimism += float((winners[:, :n_search].mean(1) - winners[:, n_search:].mean(1)).sum())
    return naive / n_tables, confirmed / n_tables, optimism / n_tables


def main() -> None:
    """Prints the tables as Markdown."""
    rows = []
    for family in (1, 3, 9):
        cells = [f"{family + 1}"]
        for sequential in (False, True):
            both = false_verdicts(family, 100, N_TABLES, sequential=sequential)
            cells += [f"{100 * share:.1f} %" for share in both]
        cells.append(f"{100 * false_after_a_fixed_look(family, 100, N_TABLES):.1f} %")
        rows.append(cells)
    ways = ("once", "after each", "sequential, once", "sequential, after each")
    print_table(["configurations", *ways, "once, then sequential"], rows)

    rows = []
    for family in (1, 7):
        for effect in (0.5, 1.0, 2.0):
            fixed = seeds_to_settle(effect, 1.0, family, 0.0)
            needed, mean = seeds_needed(effect, family, N_TABLES)
            rows.append([f"{family + 1}", f"{effect:g}", f"{fixed}", f"{needed}", f"{mean:.1f}"])
    print_table(
        ["configurations", "true difference, in spreads", "fixed", "sequential", "on average"],
        rows,
    )

    shapes: dict[str, Callable[[float, float], Draw]] = {
        "normal": normal,
        "skewed": skewed,
        "two modes": bimodal,
    }
    rows = []
    for name, shape in shapes.items():
        for against, other in (("the same", shape), ("normal", normal)):
            if name != against:
                cells = [name, against]
                for n in (5, 10, 20, 30):
                    share = wrong_verdicts(shape(0.85, 0.01), other(0.85, 0.01), n, N_TABLES)
                    cells.append(f"{100 * share:.1f} %")
                rows.append(cells)
    heads = ["accuracies", "against", *(f"{n} seeds" for n in (5, 10, 20, 30))]
    print_table(heads, rows, n_texts=2)

    rows = []
    for n_candidates, n_search in ((5, 5), (20, 5), (20, 10), (100, 5), (100, 10)):
        naive, confirmed, optimism = false_after_a_search(n_candidates, n_search, 10, N_TABLES)
        shares = [f"{100 * share:.1f} %" for share in (naive, confirmed)]
        rows.append([f"{n_candidates}", f"{n_search}", *shares, f"{optimism:.2f}"])
    print_table(
        ["candidates", "seeds of the search", "by these seeds", "confirmed", "too high by"], rows
    )


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], n_texts: int = 0) -> None:
    """Prints a Markdown table; all but the first `n_texts` columns are numbers."""
    rule = ["---"] * n_texts + ["--:"] * (len(heads) - n_texts)
    print("\n".join(f"| {' | '.join(line)} |" for line in [heads, rule, *rows]) + "\n")


if __name__ == "__main__":
    main()
