"""The configurations of an experiment, each with its ended runs."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from jmlp.errors import ConfigError
from jmlp.results.search import ranked, standing
from jmlp.study.config import (
    Cell,
    Configuration,
    Experiment,
    Hyperparams,
    label,
    matches,
)
from jmlp.study.run_index import RunIndex
from jmlp.training.records import RunResult

MODE_GAP = 0.1  # of accuracy between runs that collapsed and others; below it they are one mode


@dataclass(frozen=True)
class Arm:
    """A configuration and its ended runs, finished or diverged, by seed."""

    configuration: Configuration
    runs: Mapping[int, RunResult]

    @property
    def label(self) -> str:
        """The configuration's name."""
        return self.configuration.label

    @property
    def hyperparams(self) -> Hyperparams:
        """The configuration's hyperparameters."""
        return self.configuration.hyperparams

    @property
    def finished(self) -> list[RunResult]:
        """The runs that did not diverge, which have accuracies."""
        return [run for run in self.runs.values() if run.status == "finished"]

    @property
    def diverged(self) -> list[RunResult]:
        """The runs that diverged, which have no accuracies."""
        return [run for run in self.runs.values() if run.status == "diverged"]

    @property
    def collapsed_in_part(self) -> bool:
        """Whether some finished runs collapsed and the others did not, far above these.

        Then accuracies have two modes. Where the others are hardly better, they have one.
        """
        modes = [
            [run.validation_accuracy or 0.0 for run in self.finished if run.collapsed is it]
            for it in (True, False)
        ]
        return all(modes) and fmean(modes[1]) - fmean(modes[0]) > MODE_GAP

    @property
    def n_failed(self) -> int:
        """The number of runs that diverged, or that collapsed while others did not."""
        collapsed = sum(run.collapsed for run in self.finished) if self.collapsed_in_part else 0
        return len(self.diverged) + collapsed

    @property
    def validation_cost(self) -> float | None:
        """The mean over finished runs; None if there is none, or if a run diverged."""
        costs = [r.validation_cost for r in self.finished if r.validation_cost is not None]
        return fmean(costs) if costs and not self.diverged else None


def collect(
    experiment: Experiment, results: Sequence[RunResult] | RunIndex[RunResult]
) -> list[Arm]:
    """The experiment's arms in the grid's order, each with its runs among `results`.

    Those of a search are in the order of their standing, and those without one are last.

    Raises:
        ValueError: two different runs have the same (configuration, seed).
    """
    index = results if isinstance(results, RunIndex) else RunIndex(results)
    arms = [Arm(configuration, runs) for configuration, runs in index.of(experiment)]
    if experiment.search:
        last = (math.inf, math.inf)
        arms.sort(key=lambda arm: standing(arm.runs.values(), len(experiment.seeds)) or last)
    return arms


def have_test_set(arms: Sequence[Arm]) -> bool:
    """Whether the data has a test set; assumed before the first run has finished.

    Raises:
        ValueError: only some of the runs have a test accuracy.
    """
    known = {run.test_accuracy is not None for arm in arms for run in arm.finished}
    if len(known) > 1:
        raise ValueError("some runs of the experiment have a test accuracy, others have none")
    return known != {False}


def find(experiment: Experiment, arms: Sequence[Arm], cell: Cell, what: str) -> Arm:
    """The arm named by a cell; `what` names the cell in the error message.

    Raises:
        ConfigError: the cell names no arm, or more than one.
    """
    named = [arm for arm in arms if matches(arm.configuration, cell)]
    if len(named) > 1:  # equal configurations under several names
        named = [arm for arm in named if arm.configuration.cell == cell] or named
    if len(named) != 1:
        raise ConfigError(
            f'experiment "{experiment.name}": {what} = {label(cell)} names {len(named)} '
            f"configurations of {len(arms)}; give one value of each axis"
        )
    return named[0]


def paired_differences(
    arm: Arm, other: Arm, seeds: Sequence[int], *, sequential: bool = False
) -> tuple[list[float], int]:
    """Test accuracy of `arm` minus that of `other`, one per seed finished in both.

    Args:
        arm: one arm of an experiment.
        other: another one.
        seeds: the seeds of the experiment.
        sequential: take the pairs in the order of the seeds, up to the first that has not ended.
            Which pairs are taken must not depend on their results, but runs that stop early end
            first.

    Returns:
        The differences, and the number of pairs lost because one or both of their runs diverged.
    """
    differences, lost = [], 0
    ended = arm.runs.keys() & other.runs.keys()
    for seed in itertools.takewhile(ended.__contains__, seeds) if sequential else seeds:
        pair = [a.runs[seed] for a in (arm, other) if seed in a.runs]
        accuracies = [run.test_accuracy for run in pair if run.test_accuracy is not None]
        if any(run.status == "diverged" for run in pair):
            lost += 1
        elif len(accuracies) == 2:
            differences.append(accuracies[0] - accuracies[1])
    return differences, lost


def best_arm(experiment: Experiment, arms: Sequence[Arm]) -> Arm | None:
    """The arm with the lowest mean validation cost, once all runs of the experiment have ended.

    An arm with a diverged run is never the best; None if there is no best arm. The best arm of a
    search, or of a round of it, is its first candidate; its confirmation, which only compares two
    arms, has none.
    """
    if experiment.confirms or any(len(arm.runs) < len(experiment.seeds) for arm in arms):
        return None
    if experiment.search:
        index = RunIndex([run for arm in arms for run in arm.runs.values()])
        best = ranked(experiment, index)[:1]
        return next((arm for arm in arms if arm.configuration.cell in best), None)
    costs = {i: arm.validation_cost for i, arm in enumerate(arms)}
    known = {i: cost for i, cost in costs.items() if cost is not None}
    return arms[min(known, key=known.__getitem__)] if known else None
