"""Batch norm: the statistics of the batch, the running ones, and those that `predict` needs.

Three pairs of mean and variance of a unit are compared at each stored network:

    batch     those of the next update's mini-batch, as that update normalises: with its dropout
    running   the moving averages that are stored with the network and that `predict` uses
    sample    those of a large sample of the training part, passed through the network as a single
              mini-batch, without dropout and augmentation: what `predict` would need

They are those of Z where batch norm comes before the activation, and of A where it comes after it.
All layers of a pass are normalised by the same kind of statistics. With dropout, the variance of
the batch is larger than what `predict` meets, and the running one follows the batch (Li et al.,
"Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift", CVPR 2019,
arXiv:1801.05134, section 3).
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jmlp.data.dataset import Dataset
from jmlp.errors import ConfigError
from jmlp.inspection.microscope.samples import Examples, split_of
from jmlp.inspection.microscope.views import (
    BatchNormView,
    NormEvaluationView,
    NormLayerView,
    Statistics,
)
from jmlp.inspection.updates import network_of, update_after
from jmlp.nn import cost, model
from jmlp.nn.batchnorm import EPS, BatchNormState
from jmlp.nn.gradient import CostOptions
from jmlp.nn.trace import trace
from jmlp.store.networks import Networks
from jmlp.system import numerics

SAMPLE = 2000  # training examples
VALIDATION = 2000  # validation examples

Floats = NDArray[np.float64]
Pair = tuple[Floats, Floats]  # mean and variance of each unit


@numerics.pinned_call
def batch_norm_view(stored: Networks, dataset: Dataset, index: int) -> BatchNormView:
    """Looks at the batch norm of a run, at all of its networks.

    Args:
        stored: the networks of the run.
        dataset: the data that the run was trained on.
        index: the network whose units are listed.

    Raises:
        ConfigError: the run has no batch norm, or no update follows the network.
    """
    hp = stored.hyperparams
    if not hp.batch_norm:
        raise ConfigError(
            "the run has no batch norm: look at one that was trained with --batch-norm"
        )
    chosen = update_after(stored, dataset, index)
    split = split_of(stored, dataset)
    sample = split.first(split.training, SAMPLE)
    validation = split.first(split.validation, VALIDATION)
    by: Sequence[Statistics] = ("running", "batch", "sample")
    batch, running, of_sample = [], [], []
    evaluated: dict[Statistics, list[tuple[float, float]]] = {kind: [] for kind in by}
    for e in range(len(stored.epochs)):
        params, state = network_of(stored, dataset, e)
        running.append([_pair(one) for one in state if one is not None])
        sample_state = statistics(params, state, sample, None, CostOptions())
        of_sample.append([_pair(one) for one in sample_state if one is not None])
        batch.append(_batch_statistics(stored, dataset, e))
        evaluated["running"].append(_by_state(params, state, validation))
        evaluated["batch"].append(_by_batches(params, state, validation, hp.batch_size))
        evaluated["sample"].append(_by_state(params, sample_state, validation))
    layers = []
    for k in range(len(hp.hidden)):
        reference = [one[k] for one in running]
        to_batch = [
            compared(None if one is None else one[k], at)
            for one, at in zip(batch, reference, strict=True)
        ]
        to_sample = [compared(one[k], at) for one, at in zip(of_sample, reference, strict=True)]
        at_batch = batch[index]
        assert at_batch is not None
        layers.append(
            NormLayerView(
                f"hidden {k + 1}",
                *map(tuple, zip(*to_batch, strict=True)),
                *map(tuple, zip(*to_sample, strict=True)),
                *(
                    tuple(values.tolist())
                    for pair in (at_batch[k], running[index][k], of_sample[index][k])
                    for values in pair
                ),
            )
        )
    return BatchNormView(
        epochs=stored.epochs,
        snapshot=index,
        update=chosen.number,
        batch_size=hp.batch_size,
        n_sample=len(sample.y),
        n_validation=len(validation.y),
        layers=tuple(layers),
        evaluations=tuple(
            NormEvaluationView(kind, *map(tuple, zip(*evaluated[kind], strict=True))) for kind in by
        ),
    )


def statistics(
    params: model.Params,
    state: model.State,
    examples: Examples,
    key: Array | None,
    options: CostOptions,
) -> model.State:
    """The mean and variance by which a pass in training normalises these examples, by layer.

    Args:
        params: parameters of the network.
        state: its running statistics, which only say where there is batch norm.
        examples: the mini-batch.
        key: of dropout; None: nothing is dropped.
        options: the drop rates.
    """
    found: list[BatchNormState | None] = list(_statistics(params, state, *examples, key, options))
    return tuple(None if one is None else found.pop(0) for one in state)


@jax.jit
def _statistics(
    params: model.Params,
    state: model.State,
    x: Array,
    y: Array,
    key: Array | None,
    options: CostOptions,
) -> tuple[BatchNormState, ...]:
    """Those of a trace; all else is left out of the program."""
    return tuple(
        BatchNormState(operation["mean"], operation["var"])
        for operation in trace(params, state, x, y, key, options).operations
        if operation.kind == "batch norm"
    )


def _batch_statistics(stored: Networks, dataset: Dataset, index: int) -> list[Pair] | None:
    """Those of the next update's mini-batch; None: no update follows the network."""
    if stored.diverged_at is not None and index == len(stored.epochs) - 1:
        return None
    update = update_after(stored, dataset, index)
    options = CostOptions(update.hp.drop_rate, update.hp.input_drop_rate)
    batch = Examples(update.x, update.y)
    found = statistics(update.params, update.state, batch, update.key, options)
    return [_pair(one) for one in found if one is not None]


def _pair(state: BatchNormState) -> Pair:
    return np.asarray(state.mean[:, 0], np.float64), np.asarray(state.var[:, 0], np.float64)


def compared(pair: Pair | None, running: Pair) -> tuple[float, float]:
    """How far statistics are from the running ones, over all units of a layer.

    Args:
        pair: mean and variance of each unit; None: there are none, and the result is NaN.
        running: the same of the running statistics.

    Returns:
        The root mean square of (mean - running mean) / sqrt(running variance + eps), and the
        geometric mean of (variance + eps) / (running variance + eps).
    """
    if pair is None:
        return np.nan, np.nan
    std = np.sqrt(running[1] + EPS)
    shift = np.sqrt(np.mean(np.square((pair[0] - running[0]) / std)))
    ratio = np.exp(np.mean(np.log((pair[1] + EPS) / (running[1] + EPS))))
    return float(shift), float(ratio)


# ---- validation cost and accuracy


def _by_state(params: model.Params, state: model.State, examples: Examples) -> tuple[float, float]:
    """By given statistics, as `predict` normalises."""
    logits = _predicted(params, state, examples.x)
    return _mean([(logits, examples.y)])


def _by_batches(
    params: model.Params, state: model.State, examples: Examples, batch_size: int
) -> tuple[float, float]:
    """By the statistics of mini-batches of about this size, so that every example is in one."""
    n = len(examples.y)
    parts = np.array_split(np.arange(n), -(-n // batch_size))
    return _mean(
        [(_in_training(params, state, examples.x[part]), examples.y[part]) for part in parts]
    )


def _mean(found: Sequence[tuple[Array, Array]]) -> tuple[float, float]:
    """Mean cost and accuracy of logits `(C, B)` and labels `(B,)`."""
    costs = [np.asarray(cost.per_example(Z, y)[0], np.float64) for Z, y in found]
    correct = [np.argmax(np.asarray(Z), axis=0) == np.asarray(y) for Z, y in found]
    return float(np.mean(np.concatenate(costs))), float(np.mean(np.concatenate(correct)))


@jax.jit
def _predicted(params: model.Params, state: model.State, x: Array) -> Array:
    return model.predict(params, state, x).T


@jax.jit
def _in_training(params: model.Params, state: model.State, x: Array) -> Any:
    return model.forward(params, state, x, None, None)[0]
