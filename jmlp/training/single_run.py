"""One run in training: its first state, a step, an evaluation, early stopping.

Everything here is a pure function of one network. `blocks` brings the examples, `strategies` maps
the functions over the runs that train together, and `program` compiles them.

Failure is a value: `diverged_at` is the update that gave a number that is not finite, and nothing
raises. A run that has stopped or diverged is frozen by `where`, so its numbers change no more.
"""

from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.nn import cost, model
from jmlp.nn.optimizers import OPTIMIZERS, learning_rate
from jmlp.study.config import STATIC_FIELDS, SWEPT_FIELDS, Hyperparams
from jmlp.training import blocks
from jmlp.training.blocks import Batch, Data

jax.tree_util.register_dataclass(Hyperparams, SWEPT_FIELDS, STATIC_FIELDS)

# Purposes of randomness: each run has one root key, and these fold into it.
INIT, DROPOUT = 0, 1

TRAINING_SAMPLE = 5000  # examples of the training part, measured beside the validation part


class TrainState(NamedTuple):
    """All that training changes."""

    params: model.Params
    bn_state: model.State
    optimizer_state: Any
    best_params: model.Params  # of the best evaluation so far
    best_bn_state: model.State
    best_cost: Array  # float32, validation
    best_epoch: Array  # int32
    active: Array  # bool: still training
    stopped_epoch: Array  # int32: the last evaluation
    diverged_at: Array  # int32: the update, counted from 1; -1 while all is finite
    batch_costs: Array  # float32: sum since the last evaluation


class Evaluation(NamedTuple):
    """A network on some examples."""

    cost: Array  # float32: mean cross-entropy, nats
    correct: Array  # int32: examples classified correctly
    top: Array  # int32: predictions of the class that is predicted most often


class Measurement(NamedTuple):
    """What an evaluation in training records."""

    counted: Array  # bool: the run was still training, so these numbers are its own
    active: Array  # bool: the run continues
    batch_cost: Array  # float32: mean of the mini-batch costs since the last evaluation
    training: Evaluation  # on a fixed sample of the training part
    validation: Evaluation


def init(hp: Hyperparams, n_in: int, n_classes: int, key: Array) -> TrainState:
    """A run before its first step; `key` is its root key."""
    params, bn_state = model.init(hp, n_in, n_classes, jax.random.fold_in(key, INIT))
    return TrainState(
        params=params,
        bn_state=bn_state,
        optimizer_state=OPTIMIZERS[hp.optimizer].init(params),
        best_params=params,
        best_bn_state=bn_state,
        best_cost=jnp.asarray(jnp.inf, jnp.float32),
        best_epoch=jnp.zeros((), jnp.int32),
        active=jnp.ones((), jnp.bool_),
        stopped_epoch=jnp.zeros((), jnp.int32),
        diverged_at=jnp.full((), -1, jnp.int32),
        batch_costs=jnp.zeros((), jnp.float32),
    )


def dropout_key(key: Array, step: Array) -> Array:
    """The key of one step's dropout, from the run's root key; `step` is counted from 1."""
    return jax.random.fold_in(jax.random.fold_in(key, DROPOUT), step)


def train_step(
    state: TrainState,
    hp: Hyperparams,
    x: Batch,
    y: Array,
    key: Array | None,
    step: Array,
    n_steps: int,
) -> TrainState:
    """One update from one mini-batch.

    Args:
        state: before it.
        hp: swept hyperparameters as scalars (`drop_rate`: one per hidden layer).
        x: `(B, n_in)`, or as `blocks.mini_batch` gives it.
        y: `(B,)`.
        key: this step's dropout key; None leaves dropout out of the program.
        step: the number of this update, counted from 1.
        n_steps: updates of an epoch.
    """
    batch_cost, grads, bn_state = blocks.gradient(
        state.params, state.bn_state, x, y, key, hp.drop_rate
    )
    rate = learning_rate(hp.schedule, hp.learning_rate, step, n_steps, hp.epochs)
    params, optimizer_state = OPTIMIZERS[hp.optimizer].update(
        state.params, grads, state.optimizer_state, rate, hp.momentum
    )
    new = (params, bn_state, optimizer_state)
    old = (state.params, state.bn_state, state.optimizer_state)
    finite = jnp.isfinite(batch_cost) & all_finite(new)
    continues = state.active & finite
    params, bn_state, optimizer_state = select(continues, new, old)
    return state._replace(
        params=params,
        bn_state=bn_state,
        optimizer_state=optimizer_state,
        active=continues,
        diverged_at=jnp.where(state.active & ~finite, step, state.diverged_at),
        batch_costs=jnp.where(continues, state.batch_costs + batch_cost, state.batch_costs),
    )


class Sums(NamedTuple):
    """What an evaluation adds up over examples."""

    cost: Array  # float32
    correct: Array  # int32: examples classified correctly
    predicted: Array  # int32, (C,): predictions of each class


def no_sums(n_classes: int) -> Sums:
    """Those of no examples."""
    zero = jnp.zeros((), jnp.int32)
    return Sums(jnp.zeros((), jnp.float32), zero, jnp.zeros(n_classes, jnp.int32))


def add_examples(
    sums: Sums,
    params: model.Params,
    bn_state: model.State,
    x: Batch,
    y: Array,
    counts: Array,
) -> Sums:
    """Adds cost and predictions of a network, by `model.predict`, on some examples.

    Args:
        sums: so far.
        params: of the network.
        bn_state: likewise.
        x: `(B, n_in)`, or as `model.inputs` gives it.
        y: `(B,)`.
        counts: which of the examples count, `(B,)`.
    """
    logits = model.predict(params, bn_state, x)
    costs, _ = cost.per_example(logits.T, y)
    prediction = jnp.argmax(logits, axis=1).astype(jnp.int32)
    classes = jnp.arange(logits.shape[1], dtype=jnp.int32)
    of_class = prediction[:, None] == classes[None, :]
    return Sums(
        sums.cost + jnp.sum(jnp.where(counts, costs, 0)),
        sums.correct + jnp.sum((prediction == y) & counts, dtype=jnp.int32),
        sums.predicted + jnp.sum(of_class & counts[:, None], axis=0, dtype=jnp.int32),
    )


def evaluation(sums: Sums, n: int) -> Evaluation:
    """From sums over `n` examples."""
    return Evaluation(sums.cost / n, sums.correct, jnp.max(sums.predicted, axis=-1))


def evaluate(params: model.Params, bn_state: model.State, data: Data, rows: Array) -> Evaluation:
    """Cost and correct answers of a network on some rows of the data."""

    def add(sums: Sums, x: Batch, y: Array, counts: Array) -> Sums:
        return add_examples(sums, params, bn_state, x, y, counts)

    n_classes = params[-1].dense.W.shape[0]
    sums: Sums = blocks.sum_over(data, rows, add, no_sums(n_classes))
    return evaluation(sums, len(rows))


def judge(
    state: TrainState,
    hp: Hyperparams,
    training: Evaluation,
    validation: Evaluation,
    epoch: Array,
    n_steps: Array | int,
) -> tuple[TrainState, Measurement]:
    """Early stopping, at the end of an epoch (0: before the first step).

    A run continues while its validation cost has fallen below its best within `patience` epochs and
    its limit is not reached. The parameters of the best evaluation are kept. Judging the same state
    once more changes nothing.
    """
    counted = state.active & jnp.isfinite(validation.cost)
    better = counted & (validation.cost < state.best_cost)
    best_params, best_bn_state, best_cost, best_epoch = select(
        better,
        (state.params, state.bn_state, validation.cost, epoch),
        (state.best_params, state.best_bn_state, state.best_cost, state.best_epoch),
    )
    continues = counted & (epoch - best_epoch < hp.patience) & (epoch < hp.epochs)
    diverged = state.active & ~counted
    batch_cost = state.batch_costs / jnp.asarray(n_steps, jnp.float32)
    state = state._replace(
        best_params=best_params,
        best_bn_state=best_bn_state,
        best_cost=best_cost,
        best_epoch=best_epoch,
        active=continues,
        stopped_epoch=jnp.where(counted, epoch, state.stopped_epoch),
        diverged_at=jnp.where(diverged, epoch * n_steps, state.diverged_at),
        batch_costs=jnp.zeros_like(state.batch_costs),
    )
    return state, Measurement(counted, continues, batch_cost, training, validation)


def no_evaluation(shape: tuple[int, ...] = ()) -> Evaluation:
    """In place of one that was not made: NaN, and counts of 0."""
    zeros = jnp.zeros(shape, jnp.int32)
    return Evaluation(jnp.full(shape, jnp.nan, jnp.float32), zeros, zeros)


def no_measurement(shape: tuple[int, ...] = ()) -> Measurement:
    """In place of one that was not made: it does not count."""
    no, nothing = jnp.zeros(shape, jnp.bool_), no_evaluation(shape)
    return Measurement(no, no, jnp.full(shape, jnp.nan, jnp.float32), nothing, nothing)


def select(condition: Array, new: Any, old: Any) -> Any:
    """`new` where the condition holds, else `old`; a NaN in the other one does no harm."""
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)


def all_finite(tree: Any) -> Array:
    """Whether every number of a pytree is finite: 0 times one is 0 then, and NaN else.

    Such sums take half the time of `isfinite`, whose reduction XLA does not vectorise.
    """
    numbers = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return reduce(jnp.add, [jnp.sum(0 * leaf) for leaf in numbers]) == 0
