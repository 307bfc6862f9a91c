"""Which runs answer for which configuration: the one place where the two are joined.

A study's results come without its data, so a run is looked up by what it was asked for: its
hyperparameters in their canonical form, and its seed. From there on its id stands for it.
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
    """A run of a plan, of a store, or one that ended."""

    @property
    def run_id(self) -> str:
        """Its id."""

    @property
    def hyperparams(self) -> Hyperparams:
        """Its hyperparameters."""

    @property
    def seed(self) -> int:
        """Its seed."""


R = TypeVar("R", bound=AnyRun)


class RunIndex(Generic[R]):
    """Runs on one data set and split, to be looked up by configuration and seed."""

    def __init__(self, runs: Iterable[R]) -> None:
        """Index the runs.

        Raises:
            ValueError: two different runs answer for one (configuration, seed).
        """
        self._found: dict[tuple[Hyperparams, int], R] = {}
        for run in runs:
            other = self._found.setdefault((canonical(run.hyperparams), run.seed), run)
            if other.run_id != run.run_id:
                raise ValueError(
                    f"runs {other.run_id} and {run.run_id} have equal hyperparameters and seed; "
                    "give the runs of one study on one data set and split"
                )

    def of(self, experiment: Experiment) -> list[tuple[Configuration, dict[int, R]]]:
        """The configurations in the grid's order, each with its runs by seed."""
        found = self._found
        return [
            (c, {s: found[key] for s in experiment.seeds if (key := (c.hyperparams, s)) in found})
            for c in configurations(experiment)
        ]
