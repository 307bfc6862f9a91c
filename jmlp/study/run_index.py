"""The lookup of runs by configuration and seed; nothing else maps one to the other.

A study's results do not include its data, so a run is looked up by what was requested: its
hyperparameters in canonical form, and its seed. From there on it is identified by its id.
"""

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from jmlp.study.config import (
    Configuration,
    Experiment,
    Hyperparams,
    canonical,
    configurations,
)


class AnyRun(Protocol):
    """A planned, stored or ended run."""

    @property
    def run_id(self) -> str:
        """The id of the run."""

    @property
    def hyperparams(self) -> Hyperparams:
        """The hyperparameters of the run."""

    @property
    def seed(self) -> int:
        """The seed of the run."""


R = TypeVar("R", bound=AnyRun)


class RunIndex(Generic[R]):
    """Runs on one data set and split, indexed by configuration and seed."""

    def __init__(self, runs: Iterable[R]) -> None:
        """Index the runs.

        Raises:
            ValueError: two different runs have the same (configuration, seed).
        """
        self._runs: dict[tuple[Hyperparams, int], R] = {}
        for run in runs:
            other = self._runs.setdefault((canonical(run.hyperparams), run.seed), run)
            if other.run_id != run.run_id:
                raise ValueError(
                    f"runs {other.run_id} and {run.run_id} have equal hyperparameters and seed; "
                    "pass runs of one study on one data set and split"
                )

    def of(self, experiment: Experiment) -> list[tuple[Configuration, dict[int, R]]]:
        """The experiment's configurations in grid order, each with its runs by seed."""
        runs = self._runs
        return [
            (c, {s: runs[key] for s in experiment.seeds if (key := (c.hyperparams, s)) in runs})
            for c in configurations(experiment)
        ]
