"""Training one run: a step, an evaluation, early stopping. `program` maps it over many.

A run in training is a lane of the program. Nothing crosses lanes: one that has stopped or diverged
is frozen by `where`, so its numbers cannot reach another one. Failure is a value: `diverged_at` is
the update that gave a number that is not finite, and nothing raises.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmlp.nn import cost, model
from jmlp.nn.optimizers import OPTIMIZERS, learning_rate
from jmlp.study.config import DEFAULTS, STATIC_FIELDS, SWEPT_FIELDS, Hyperparams
from jmlp.training.plan import EVALUATION_BLOCK, GRADIENT_BLOCK

jax.tree_util.register_dataclass(Hyperparams, SWEPT_FIELDS, STATIC_FIELDS)

# Purposes of randomness: each run has one root key, and these fold into it.
INIT, DROPOUT = 0, 1

NO_PATIENCE = np.iinfo(np.int32).max  # epochs; a run reaches its limit long before
TRAINING_SAMPLE = 5000  # examples of the training part, measured beside the validation part

Batch = Array | model.Columns  # a mini-batch, one example a row, or transposed and scaled already

# How a function of one lane, `function(carried, *read) -> carried`, is applied to lanes.
Over = Callable[..., Any]


class TrainState(NamedTuple):
    """All that training changes. One lane; a program adds the axes (slots, lanes) in front."""

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


# What only evaluations change.
JUDGED = ("best_params", "best_bn_state", "best_cost", "best_epoch", "stopped_epoch")


class Data(NamedTuple):
    """Every example that a program may read: training set, then test set; on each device."""

    x: Array  # (N, n_in), uint8 or float32
    y: Array  # (N,), int32


class Parts(NamedTuple):
    """Which rows of `Data` are what; int32."""

    training: Array  # (n_training,), in random order
    validation: Array  # (n_validation,)
    test: Array  # (n_test,)


class Evaluation(NamedTuple):
    """One lane on some examples."""

    cost: Array  # float32: mean cross-entropy, nats
    correct: Array  # int32: examples classified correctly
    top: Array  # int32: predictions of the class that is predicted most often


class Measurement(NamedTuple):
    """What an evaluation in training records of one lane."""

    counted: Array  # bool: the lane was still training, so these numbers are the run's
    active: Array  # bool: the lane continues
    batch_cost: Array  # float32: mean of the mini-batch costs since the last evaluation
    training: Evaluation  # on a fixed sample of the training part
    validation: Evaluation


def stack_hyperparams(hps: Sequence[Hyperparams]) -> Hyperparams:
    """Hyperparameters whose swept fields are arrays over lanes; the static ones must be equal."""
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and that run diverges
        swept: dict[str, Any] = {
            name: np.array(
                [_in_numbers(hp, name) for hp in hps],
                np.float32 if isinstance(DEFAULTS[name], float) else np.int32,
            )
            for name in SWEPT_FIELDS
        }
    return replace(hps[0], **swept)


def _in_numbers(hp: Hyperparams, name: str) -> Any:
    """A swept hyperparameter of one run, of one shape whatever its value."""
    value = getattr(hp, name)
    if name == "drop_rate":
        return np.broadcast_to(value, len(hp.hidden))
    return NO_PATIENCE if value is None else value


def root_key(seed: int) -> np.ndarray:
    """The root key of a run as raw data: two 32-bit words, so every seed below 2**64 counts."""
    return np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32)


def init(hp: Hyperparams, n_in: int, n_classes: int, key: Array) -> TrainState:
    """One lane before its first step; `key` is the run's root key."""
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


def mini_batch(data: Data, rows: Array, params: model.Params) -> tuple[Batch, Array]:
    """Examples and labels of some rows, for all lanes of a cohort.

    Args:
        data: all examples.
        rows: `(B,)`.
        params: of any lane, or of all: how `gradient` will take the examples depends on them.
    """
    x, y = data.x[rows], data.y[rows]
    in_parts = len(rows) > GRADIENT_BLOCK and not has_batch_norm(params)
    return x if in_parts else model.inputs(x, params[0].dense.W.dtype), y


def has_batch_norm(params: model.Params) -> bool:
    """Whether any layer is normalised."""
    return any(layer.batchnorm is not None for layer in params)


def scheduled(hp: Hyperparams, step: Array | int, n_steps: int) -> Hyperparams:
    """Hyperparameters of one lane with the learning rate of an update.

    Args:
        hp: scalars.
        step: the number of the update, counted from 1.
        n_steps: updates of an epoch.
    """
    rate: Any = learning_rate(hp.schedule, hp.learning_rate, step, n_steps, hp.epochs)
    return replace(hp, learning_rate=rate)


def train_step(
    hp: Hyperparams, state: TrainState, x: Batch, y: Array, key: Array | None, step: Array
) -> TrainState:
    """One update of one lane from one mini-batch.

    Args:
        hp: scalars (`drop_rate`: one per hidden layer).
        state: of this lane.
        x: `(B, n_in)`, or as `mini_batch` gives it.
        y: `(B,)`.
        key: this step's dropout key; None leaves dropout out of the program.
        step: the number of this update, counted from 1.
    """
    batch_cost, grads, bn_state = gradient(state.params, state.bn_state, x, y, key, hp.drop_rate)
    params, optimizer_state = OPTIMIZERS[hp.optimizer].update(
        state.params, grads, state.optimizer_state, hp.learning_rate, hp.momentum
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


def gradient(
    params: model.Params,
    bn_state: model.State,
    x: Batch,
    y: Array,
    key: Array | None,
    drop_rate: Array | float | tuple[float, ...],
) -> tuple[Array, model.Params, model.State]:
    """The mean cost of a mini-batch, its gradient, and the new running statistics.

    The mean over a mini-batch is a sum over its parts, so it is taken in parts of `GRADIENT_BLOCK`
    examples; not with batch norm, where every example depends on all others.

    Args:
        params: of one lane.
        bn_state: likewise.
        x: `(B, n_in)`, or as `mini_batch` gives it.
        y: `(B,)`.
        key: this step's dropout key, into which each part folds its number if there are several;
            None leaves dropout out of the program.
        drop_rate: a scalar, or `(n_hidden_layers,)`.
    """
    n = len(y)

    def of_part(
        x: Batch, y: Array, key: Array | None
    ) -> tuple[tuple[Array, model.Params], model.State]:
        logits, new_state, caches = model.forward(params, bn_state, x, key, drop_rate)
        part_cost, cost_cache = cost.forward(logits, y)
        share = len(y) / n
        grads = model.backward(cost.backward(share, cost_cache), caches)
        return (share * part_cost, grads), new_state

    if isinstance(x, model.Columns) or n <= GRADIENT_BLOCK or has_batch_norm(params):
        (batch_cost, grads), new_state = of_part(x, y, key)
        return batch_cost, grads, new_state

    def add(index: Array | int, total: Any, size: int = GRADIENT_BLOCK) -> Any:
        first = index * GRADIENT_BLOCK
        part, _ = of_part(
            jax.lax.dynamic_slice_in_dim(x, first, size),
            jax.lax.dynamic_slice_in_dim(y, first, size),
            None if key is None else jax.random.fold_in(key, index),
        )
        return jax.tree.map(jnp.add, total, part)

    whole, rest = divmod(n, GRADIENT_BLOCK)
    zero = jnp.zeros((), jax.tree.leaves(params)[0].dtype), jax.tree.map(jnp.zeros_like, params)
    total = jax.lax.fori_loop(0, whole, add, zero)
    batch_cost, grads = add(whole, total, rest) if rest else total
    return batch_cost, grads, bn_state


def alone(function: Callable[..., Any], carried: Any, *read: Any) -> Any:
    """The `Over` of one lane by itself."""
    return function(carried, *read)


def evaluate_epoch(
    hp: Hyperparams,
    state: TrainState,
    data: Data,
    parts: Parts,
    epoch: Array,
    n_steps: Array | int,
    over: Over = alone,
) -> tuple[TrainState, Measurement]:
    """Measures one lane at the end of an epoch (0: before the first step) and stops it early.

    Measuring the same state once more changes nothing. With `over` it is all lanes of a cohort:
    what it leaves out stays as it is, and its measurement holds no numbers.
    """
    sample = parts.training[:TRAINING_SAMPLE]
    training = evaluate(state.params, state.bn_state, data, sample, over)
    validation = evaluate(state.params, state.bn_state, data, parts.validation, over)

    def judge_lane(
        carried: tuple[TrainState, Measurement],
        hp: Hyperparams,
        training: Evaluation,
        validation: Evaluation,
    ) -> tuple[TrainState, Measurement]:
        return judge(hp, carried[0], training, validation, epoch, n_steps)

    nothing = no_measurement(state.active.shape)
    judged: tuple[TrainState, Measurement] = over(
        judge_lane, (state, nothing), hp, training, validation
    )
    return judged


def judge(
    hp: Hyperparams,
    state: TrainState,
    training: Evaluation,
    validation: Evaluation,
    epoch: Array,
    n_steps: Array | int,
) -> tuple[TrainState, Measurement]:
    """Early stopping of one lane.

    It continues while its validation cost has fallen below its best within `patience` epochs and
    its limit is not reached. The parameters of the best evaluation are kept.
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


def evaluate(
    params: model.Params, bn_state: model.State, data: Data, rows: Array, over: Over = alone
) -> Evaluation:
    """Cost and correct answers by `model.predict` on some rows of the data, a block at a time.

    With `over` of all lanes of a cohort, which see each block one after the other; those that it
    leaves out have no cost.
    """
    n = rows.shape[0]
    block = min(n, EVALUATION_BLOCK)
    n_blocks = -(-n // block)
    # The last block is filled up with rows that do not count.
    blocks = jnp.pad(rows, (0, n_blocks * block - n)).reshape(n_blocks, block)
    last = params[-1]
    *lanes, n_classes, _ = last.dense.W.shape

    def add_block(index: Array, sums: _Sums) -> _Sums:
        counts = jnp.arange(block, dtype=jnp.int32) < n - index * block
        y = data.y[blocks[index]]
        x = model.inputs(data.x[blocks[index]], last.dense.W.dtype)  # once for all lanes

        def add(sums: _Sums, params: model.Params, bn_state: model.State) -> _Sums:
            logits = model.predict(params, bn_state, x)
            example_costs, _ = cost.per_example(logits.T, y)
            prediction = jnp.argmax(logits, axis=1).astype(jnp.int32)
            of_class = prediction[:, None] == jnp.arange(n_classes, dtype=jnp.int32)[None, :]
            return _Sums(
                sums.cost + jnp.sum(jnp.where(counts, example_costs, 0)),
                sums.correct + jnp.sum((prediction == y) & counts, dtype=jnp.int32),
                sums.predicted + jnp.sum(of_class & counts[:, None], axis=0, dtype=jnp.int32),
            )

        added: _Sums = over(add, sums, params, bn_state)
        return added

    zero = _Sums(
        jnp.zeros(lanes, jnp.float32),
        jnp.zeros(lanes, jnp.int32),
        jnp.zeros((*lanes, n_classes), jnp.int32),
    )
    sums = jax.lax.fori_loop(0, n_blocks, add_block, zero)
    return Evaluation(sums.cost / n, sums.correct, jnp.max(sums.predicted, axis=-1))


class _Sums(NamedTuple):
    """What an evaluation adds up."""

    cost: Array  # float32
    correct: Array  # int32: examples classified correctly
    predicted: Array  # int32, (C,): predictions of each class


def no_evaluation(shape: tuple[int, ...]) -> Evaluation:
    """In place of one that was not made: NaN, and counts of 0."""
    zeros = jnp.zeros(shape, jnp.int32)
    return Evaluation(jnp.full(shape, jnp.nan, jnp.float32), zeros, zeros)


def no_measurement(shape: tuple[int, ...]) -> Measurement:
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
