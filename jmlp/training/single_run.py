"""Training of a single run: initial state, one step, evaluation, early stopping.

Everything here is a pure function of one network. `blocks` supplies the examples, `strategies` maps
the functions over the runs that train together, and `program` compiles them.

Divergence is a value: `diverged_at` is the update that gave a non-finite number, and nothing
raises. A run that has stopped or diverged is frozen by `where`, so its numbers no longer change.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.nn import clipping, cost, faults, l2, max_norm, model, weight_decay
from jmlp.nn.gradient import CostOptions
from jmlp.nn.optimizers import learning_rate, optimizer_of
from jmlp.study.config import STATIC_FIELDS, SWEPT_FIELDS, Hyperparams, unchecked
from jmlp.training import blocks
from jmlp.training.blocks import Batch, Data


def _flatten(hp: Hyperparams) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
    swept = [(jax.tree_util.GetAttrKey(name), getattr(hp, name)) for name in SWEPT_FIELDS]
    return swept, tuple(getattr(hp, name) for name in STATIC_FIELDS)


def _unflatten(static: tuple[Any, ...], swept: Iterable[Any]) -> Hyperparams:
    """Unchecked, because the leaves may be arrays, tracers, or whatever else JAX puts there."""
    return unchecked(dict(zip((*SWEPT_FIELDS, *STATIC_FIELDS), (*swept, *static), strict=True)))


# Swept fields are traced; static ones are part of the structure, and so of what jit compiles for.
jax.tree_util.register_pytree_with_keys(Hyperparams, _flatten, _unflatten)

# Purposes of random numbers, folded into the root key of a run.
INIT, DROPOUT, AUGMENT = 0, 1, 2


class TrainState(NamedTuple):
    """The complete state of a run in training."""

    params: model.Params
    bn_state: model.State
    optimizer_state: Any
    best_params: model.Params  # at the lowest validation cost so far, the first of equal ones
    best_bn_state: model.State
    best_cost: Array  # float32, validation
    best_evaluation: Array  # int32: its number; 0 is before the first update
    active: Array  # bool: still training
    last_evaluation: Array  # int32; the run stopped there once inactive
    # int32: the update that gave a non-finite number, counted from 1, or after which an evaluation
    # did (0: before the first one); -1 while everything is finite.
    diverged_at: Array
    batch_costs: Array  # float32: sum of mini-batch costs since the last evaluation


class Evaluation(NamedTuple):
    """Cost and predictions of a network on a set of examples."""

    cost: Array  # float32: mean cross-entropy, nats
    correct: Array  # int32: examples classified correctly
    top: Array  # int32: number of predictions of the most predicted class


class Measurement(NamedTuple):
    """The results of one evaluation during training."""

    counted: Array  # bool: the run was still training, so this evaluation counts
    active: Array  # bool: the run continues
    batch_cost: Array  # float32: mean of the mini-batch costs since the last evaluation
    training: Evaluation  # on a fixed sample of the training part
    validation: Evaluation


def init(hp: Hyperparams, n_in: int, n_classes: int, root_key: Array) -> TrainState:
    """The initial state of a run."""
    params, bn_state = model.init(hp, n_in, n_classes, jax.random.fold_in(root_key, INIT))
    return TrainState(
        params=params,
        bn_state=bn_state,
        optimizer_state=optimizer_of(hp.optimizer).init(params),
        best_params=params,
        best_bn_state=bn_state,
        best_cost=jnp.asarray(jnp.inf, jnp.float32),
        best_evaluation=jnp.zeros((), jnp.int32),
        active=jnp.ones((), jnp.bool_),
        last_evaluation=jnp.zeros((), jnp.int32),
        diverged_at=jnp.full((), -1, jnp.int32),
        batch_costs=jnp.zeros((), jnp.float32),
    )


def dropout_key(root_key: Array, step: Array) -> Array:
    """The dropout key of one step, derived from the run's root key; `step` is counted from 1."""
    return jax.random.fold_in(jax.random.fold_in(root_key, DROPOUT), step)


def augmentation_key(root_key: Array, step: Array) -> Array:
    """The key of one step's augmentation, derived likewise."""
    return jax.random.fold_in(jax.random.fold_in(root_key, AUGMENT), step)


def gradient(
    params: model.Params,
    bn_state: model.State,
    hp: Hyperparams,
    x: Batch,
    y: Array,
    key: Array | None,
    rate: Array | float,
    class_weights: Array | None = None,
    weights: Array | None = None,
) -> tuple[Array, model.Params, model.State]:
    """The cost of a mini-batch, the gradient of an update, and the new running statistics.

    The cost does not include the L2 penalty, but the gradient does; it is clipped if that is on.

    Args:
        params: parameters of the network.
        bn_state: running statistics of the network.
        hp: swept hyperparameters as scalars (`drop_rate`: one per hidden layer, or None).
        x: `(B, n_in)`, or the result of `blocks.mini_batch`.
        y: `(B,)`.
        key: this step's dropout key; None leaves dropout out of the program.
        rate: the learning rate of this step, for the fault "updated_weights".
        class_weights: weights of the classes in the cost, `(C,)`; None: there are none.
        weights: of the examples in the cost, `(B,)`; None: there are none.
    """
    derivatives = faults.derivatives(hp.backward_fault, learn_scale=hp.batch_norm_scale, rate=rate)
    options, y = cost_options(hp, class_weights), labels(hp, params, y)
    batch_cost, grads, bn_state = blocks.gradient(
        params, bn_state, x, y, key, options, derivatives, weights
    )
    if hp.l2 is not None:
        grads = l2.add_gradient(grads, params, hp.l2)
    if hp.clip_norm is not None:
        grads = clipping.clip(grads, hp.clip_norm)
    return batch_cost, grads, bn_state


def cost_options(hp: Hyperparams, class_weights: Array | None) -> CostOptions:
    """What the cost of an update has in addition to that of an evaluation."""
    return CostOptions(
        hp.drop_rate,
        hp.input_drop_rate,
        hp.label_smoothing,
        class_weights,
        faults.log_softmax(hp.training_fault),
    )


def labels(hp: Hyperparams, params: model.Params, y: Array) -> Array:
    """The labels `(B,)` of an update: those of the data, unless they are wrong on purpose."""
    return faults.labels(hp.training_fault, y, params[-1].dense.W.shape[0])


def update(
    params: model.Params,
    grads: model.Params,
    optimizer_state: Any,
    hp: Hyperparams,
    rate: Array | float,
) -> tuple[model.Params, Any]:
    """The parameters and the optimiser's state after an update.

    Args:
        params: parameters of the network.
        grads: the result of `gradient`.
        optimizer_state: state of the optimiser `hp.optimizer`.
        hp: swept hyperparameters as scalars.
        rate: the learning rate of this step.
    """
    if hp.weight_decay is not None:
        params = weight_decay.decay(params, rate, hp.weight_decay)
    params, optimizer_state = optimizer_of(hp.optimizer).update(
        params, faults.step(hp.training_fault, grads), optimizer_state, rate, hp.momentum
    )
    if hp.max_norm is not None:
        params = max_norm.constrain(params, hp.max_norm)
    return params, optimizer_state


def train_step(
    state: TrainState,
    hp: Hyperparams,
    x: Batch,
    y: Array,
    key: Array | None,
    step: Array,
    n_steps: int,
    class_weights: Array | None = None,
    weights: Array | None = None,
) -> TrainState:
    """One update from one mini-batch.

    Args:
        state: state before the update.
        hp: swept hyperparameters as scalars (`drop_rate`: one per hidden layer, or None); a feature
            that is off is None.
        x: `(B, n_in)`, or the result of `blocks.mini_batch`.
        y: `(B,)`.
        key: this step's dropout key; None leaves dropout out of the program.
        step: the number of this update, counted from 1.
        n_steps: updates per epoch.
        class_weights: weights of the classes in the cost, `(C,)`; None: there are none.
        weights: of the examples in the cost, `(B,)`; None: there are none.
    """
    rate = learning_rate(hp.schedule, hp.learning_rate, step, n_steps, hp.epochs, hp.warmup)
    batch_cost, grads, bn_state = gradient(
        state.params, state.bn_state, hp, x, y, key, rate, class_weights, weights
    )
    params, optimizer_state = update(state.params, grads, state.optimizer_state, hp, rate)
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
    """Sums over examples, from which an `Evaluation` is computed."""

    cost: Array  # float32
    correct: Array  # int32: examples classified correctly
    predicted: Array  # int32, (C,): predictions of each class


def zero_sums(n_classes: int) -> Sums:
    """The sums over no examples."""
    zero = jnp.zeros((), jnp.int32)
    return Sums(jnp.zeros((), jnp.float32), zero, jnp.zeros(n_classes, jnp.int32))


def add_examples(
    sums: Sums,
    params: model.Params,
    bn_state: model.State,
    x: Batch,
    y: Array,
    mask: Array,
    weights: Array | None = None,
) -> Sums:
    """Adds a network's costs and predictions on some examples, by `model.predict`, to `sums`.

    Args:
        sums: sums so far.
        params: parameters of the network.
        bn_state: running statistics of the network.
        x: `(B, n_in)`, or the result of `model.inputs`.
        y: `(B,)`.
        mask: the examples that count, bool, `(B,)`.
        weights: of the examples in the cost, `(B,)`; None: all of them count alike.
    """
    logits = model.predict(params, bn_state, x)
    costs, _ = cost.per_example(logits.T, y)
    if weights is not None:
        costs = weights * costs
    prediction = jnp.argmax(logits, axis=1).astype(jnp.int32)
    classes = jnp.arange(logits.shape[1], dtype=jnp.int32)
    of_class = prediction[:, None] == classes[None, :]
    return Sums(
        sums.cost + jnp.sum(jnp.where(mask, costs, 0)),
        sums.correct + jnp.sum((prediction == y) & mask, dtype=jnp.int32),
        sums.predicted + jnp.sum(of_class & mask[:, None], axis=0, dtype=jnp.int32),
    )


def evaluation_from(sums: Sums, total: Array | int) -> Evaluation:
    """Computes an `Evaluation` from sums over examples, whose weights have this sum."""
    return Evaluation(sums.cost / total, sums.correct, jnp.max(sums.predicted, axis=-1))


def evaluate(params: model.Params, bn_state: model.State, data: Data, rows: Array) -> Evaluation:
    """Evaluates a network on the given rows of the data."""

    def add(sums: Sums, x: Batch, y: Array, mask: Array, weights: Array | None) -> Sums:
        return add_examples(sums, params, bn_state, x, y, mask, weights)

    n_classes = params[-1].dense.W.shape[0]
    sums: Sums = blocks.sum_over(data, rows, add, zero_sums(n_classes), params[0].raw)
    return evaluation_from(sums, blocks.total_weight(data, rows))


def early_stopping(
    state: TrainState,
    hp: Hyperparams,
    training: Evaluation,
    validation: Evaluation,
    evaluation: Array,
    last: Array | int,
    interval: Array | int,
) -> tuple[TrainState, Measurement]:
    """Applies early stopping after an evaluation.

    An evaluation is better if its validation cost is below the best one by more than `min_delta`;
    the parameters of the best one are kept. A run continues if one of its last `patience`
    evaluations was better, up to the evaluation `last`.

    Args:
        state: state after the updates of this interval.
        hp: swept hyperparameters as scalars; without patience, `patience` exceeds every limit.
        training: evaluation of the training sample, only recorded.
        validation: evaluation of the validation part, which decides.
        evaluation: the number of this evaluation; 0 is before the first update.
        last: the number of the last evaluation that `epochs` allows.
        interval: updates from one evaluation to the next.
    """
    counted = state.active & jnp.isfinite(validation.cost)
    better = counted & (validation.cost < state.best_cost - hp.min_delta)
    best_params, best_bn_state, best_cost, best_evaluation = select(
        better,
        (state.params, state.bn_state, validation.cost, evaluation),
        (state.best_params, state.best_bn_state, state.best_cost, state.best_evaluation),
    )
    continues = counted & (evaluation - best_evaluation < hp.patience) & (evaluation < last)
    diverged = state.active & ~counted
    batch_cost = state.batch_costs / jnp.asarray(interval, jnp.float32)
    state = state._replace(
        best_params=best_params,
        best_bn_state=best_bn_state,
        best_cost=best_cost,
        best_evaluation=best_evaluation,
        active=continues,
        last_evaluation=jnp.where(counted, evaluation, state.last_evaluation),
        diverged_at=jnp.where(diverged, evaluation * interval, state.diverged_at),
        batch_costs=jnp.zeros_like(state.batch_costs),
    )
    return state, Measurement(counted, continues, batch_cost, training, validation)


def empty_evaluation(shape: tuple[int, ...] = ()) -> Evaluation:
    """A placeholder for an evaluation that was not made: cost NaN, counts 0."""
    zeros = jnp.zeros(shape, jnp.int32)
    return Evaluation(jnp.full(shape, jnp.nan, jnp.float32), zeros, zeros)


def empty_measurement(shape: tuple[int, ...] = ()) -> Measurement:
    """A placeholder for a measurement that was not made: `counted` is False."""
    false, empty = jnp.zeros(shape, jnp.bool_), empty_evaluation(shape)
    return Measurement(false, false, jnp.full(shape, jnp.nan, jnp.float32), empty, empty)


def select(condition: Array, new: Any, old: Any) -> Any:
    """`new` where the condition holds, else `old`; NaNs in the one not selected do no harm."""
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)


def all_finite(tree: Any) -> Array:
    """Whether every number of a pytree is finite, that is, 0 times it is 0 and not NaN.

    These sums take half the time of `isfinite`, whose reduction XLA does not vectorise.
    """
    numbers = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return reduce(jnp.add, [jnp.sum(0 * leaf) for leaf in numbers]) == 0
