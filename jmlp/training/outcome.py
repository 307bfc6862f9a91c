"""Converts the numbers of one lane, on the host, to records about its run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jmlp.data.contract import Contract
from jmlp.nn.model import Params, State
from jmlp.nn.tensors import name_tensors
from jmlp.system import environment, numerics
from jmlp.training.plan import TRAINING_SAMPLE, Run
from jmlp.training.program import Finals
from jmlp.training.records import (
    FEWEST_FOR_COLLAPSE,
    FEWEST_OF_OTHERS,
    CostPoint,
    Ending,
    Evaluations,
    Provenance,
    RunResult,
    Snapshot,
    Stop,
    reached_limit,
)
from jmlp.training.single_run import Evaluation, Measurement


class Ended(NamedTuple):
    """The fields of `TrainState` that go into a result."""

    params: Params
    bn_state: State
    best_params: Params
    best_bn_state: State
    best_evaluation: NDArray[np.int32]
    last_evaluation: NDArray[np.int32]
    diverged_at: NDArray[np.int32]


@dataclass(frozen=True)
class Outcome:
    """Builds the records of a group's runs from what they have in common."""

    evaluations: Evaluations
    n_training: int
    n_validation: int
    n_test: int  # 0: no test set
    provenance: Provenance

    def point(self, evaluation: int, measured: Measurement) -> CostPoint:
        """The record of one evaluation; before the first update there is no batch cost."""
        return CostPoint(
            epoch=self.evaluations.epoch(evaluation),
            step=evaluation * self.evaluations.interval,
            batch_cost=float(measured.batch_cost) if evaluation else None,
            training_cost=float(measured.training.cost),
            training_accuracy=int(measured.training.correct)
            / min(self.n_training, TRAINING_SAMPLE),
            validation_cost=float(measured.validation.cost),
            validation_accuracy=int(measured.validation.correct) / self.n_validation,
        )

    def stop(self, run: Run, evaluation: int, best: int, diverged_at: int) -> Stop:
        """Why a run stopped training after an evaluation."""
        when = self.evaluations
        if diverged_at >= 0:
            return Stop("diverged", when.epoch_of(diverged_at), diverged_at)
        limit = self.reached_limit(run, best, evaluation)
        why: Ending = "limit" if limit else "stopped early"
        return Stop(why, when.epoch(evaluation), evaluation * when.interval)

    def reached_limit(self, run: Run, best: int, stopped: int) -> bool:
        """Whether a run was stopped by its limit, given its best and its last evaluation."""
        hp = run.hyperparams
        return reached_limit(hp.patience, best, stopped, self.evaluations.last(hp.epochs))

    def collapsed(self, validation: Evaluation | None) -> bool:
        """Whether all validation predictions are one class, and wrong often enough to count."""
        n = self.n_validation
        if validation is None or n < FEWEST_FOR_COLLAPSE or int(validation.top) < n:
            return False
        return n - int(validation.correct) >= FEWEST_OF_OTHERS

    def result(
        self,
        run: Run,
        costs: Sequence[CostPoint],
        snapshots: Sequence[Snapshot],
        seconds: float | None,
        ended: Ended,
        finals: Finals,
        contract: Contract | None = None,
    ) -> RunResult:
        """The result of an ended run; a diverged one has no accuracies.

        `Snapshot.params` of the given snapshots are arrays by name; `contract` is that of a network
        trained on a table.
        """
        diverged = bool(ended.diverged_at >= 0)
        when = self.evaluations
        best, stopped = int(ended.best_evaluation), int(ended.last_evaluation)
        stopped_epoch = when.epoch(stopped)
        if diverged:
            stopped_epoch = when.epoch_of(int(ended.diverged_at))
        training, validation, test = (None,) * 3 if diverged else finals
        return RunResult(
            run_id=run.run_id,
            hyperparams=run.hyperparams,
            seed=run.seed,
            split_seed=run.split_seed,
            experiments=run.experiments,
            status="diverged" if diverged else "finished",
            diverged_at=int(ended.diverged_at) if diverged else None,
            collapsed=self.collapsed(validation),
            best_epoch=None if diverged else when.epoch(best),
            stopped_epoch=stopped_epoch,
            reached_limit=not diverged and self.reached_limit(run, best, stopped),
            training_accuracy=_share(training, self.n_training),
            validation_accuracy=_share(validation, self.n_validation),
            test_accuracy=_share(test, self.n_test),
            training_cost=_cost(training),
            validation_cost=_cost(validation),
            test_cost=_cost(test),
            costs=tuple(costs),
            provenance=self.provenance,
            params=ended.best_params,
            state=ended.best_bn_state,
            last=Snapshot(when.epoch(stopped), ended.params, ended.bn_state),
            snapshots=tuple(
                Snapshot(s.epoch, *unflatten((ended.params, ended.bn_state), s.params))
                for s in snapshots
            ),
            training_seconds=seconds,
            contract=contract,
        )


def provenance(devices: Sequence[jax.Device], width: int, can_drop: bool) -> Provenance:
    """The provenance of a program: what it computes with in this process.

    Args:
        devices: devices of the program, idle ones included.
        width: lanes of the program, padding included.
        can_drop: whether the program can drop units.

    Raises:
        ConfigError: a setting of JAX forbids training.
    """
    return Provenance(
        device=environment.device_name(devices[0]),
        width=width,
        flags=environment.flags(),
        versions=environment.versions(),
        can_drop=can_drop,
        settings=numerics.settings(devices),
        source=numerics.source_digest(),
    )


def _share(evaluation: Evaluation | None, n: int) -> float | None:
    return None if evaluation is None else int(evaluation.correct) / n


def _cost(evaluation: Evaluation | None) -> float | None:
    return None if evaluation is None else float(evaluation.cost)


def unflatten(
    like: tuple[Params, State], named: Mapping[str, NDArray[Any]]
) -> tuple[Params, State]:
    """Rebuilds parameters and state from arrays by name, with the structure of `like`."""
    names = name_tensors(*like)  # in the order of the leaves
    made: tuple[Params, State] = jax.tree.unflatten(
        jax.tree.structure(like), [named[name] for name in names]
    )
    return made
