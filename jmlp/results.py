"""What happened to a run: frozen records in plain Python and NumPy, with no JAX."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jmlp.config import Hyperparams

# The numbers' version: part of every run's id. A golden test forces it up whenever they change.
NUMERICS = 1

Status = Literal["finished", "diverged"]
Phase = Literal["compiling", "training", "finished"]


@dataclass(frozen=True)
class CostPoint:
    """One evaluation of one run. Costs are mean cross-entropy in nats; accuracies 0 to 1."""

    epoch: int
    step: int  # updates made so far
    batch_cost: float | None  # mean of the optimised mini-batch costs since the last point
    training_cost: float  # on the fixed sample of the training part, by `predict`
    training_accuracy: float
    validation_cost: float
    validation_accuracy: float


@dataclass(frozen=True)
class Provenance:
    """Where and with what a run was computed: recorded, never part of its id."""

    device: str
    width: int  # lanes of the program, padding included
    flags: str  # XLA_FLAGS
    versions: Mapping[str, str]  # jmlp, jax, jaxlib, numpy, python


@dataclass(frozen=True)
class RunResult:
    """A run that ended. A diverged run has no accuracy; without a test set there is no test one."""

    run_id: str
    hyperparams: Hyperparams
    seed: int
    split_seed: int
    experiments: tuple[str, ...]
    status: Status
    diverged_at: int | None  # the update that gave a number not finite, from 1; 0: before the first
    collapsed: bool  # predicts one class for the whole validation part
    best_epoch: int | None  # the epoch whose parameters are kept
    stopped_epoch: int  # the last epoch trained
    reached_limit: bool  # stopped by `epochs`, not by patience
    training_accuracy: float | None  # on the whole training part, with the kept parameters
    validation_accuracy: float | None
    test_accuracy: float | None
    training_cost: float | None
    validation_cost: float | None
    test_cost: float | None
    costs: tuple[CostPoint, ...]
    provenance: Provenance
    params: Any  # the kept parameters, a pytree of NumPy arrays as `jmlp.predict` takes it
    state: Any  # the kept batch-norm state


@dataclass(frozen=True)
class Progress:
    """What is new since the last one. The iterator of them is the training: stop it by stopping."""

    phase: Phase
    group: int  # counted from 1
    n_groups: int
    runs_done: int
    n_runs: int
    epoch: int  # the furthest epoch among the cohorts in training
    points: Mapping[str, CostPoint]  # by run id
    results: tuple[RunResult, ...]  # runs that ended just now
    elapsed: float  # seconds since the start
    remaining: float | None  # seconds, an estimate; None before there is one
