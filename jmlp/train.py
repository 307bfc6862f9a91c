"""Training one run: a step, an evaluation, early stopping. `jmlp.program` maps it over many.

A run in training is a lane of the program. Nothing crosses lanes: one that has stopped or diverged
is frozen by `where`, so its numbers cannot reach another one. Failure is a value: `diverged_at` is
the update that gave a number that is not finite, and nothing raises.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmlp import model
from jmlp.config import STATIC_FIELDS, SWEPT_FIELDS, Hyperparams
from jmlp.layers import cost
from jmlp.optimizers import OPTIMIZERS
from jmlp.plan import EVALUATION_BLOCK

jax.tree_util.register_dataclass(Hyperparams, SWEPT_FIELDS, STATIC_FIELDS)

# Purposes of randomness: each run has one root key, and these fold into it.
INIT, DROPOUT = 0, 1

NO_PATIENCE = np.iinfo(np.int32).max  # epochs; a run reaches its limit long before
TRAINING_SAMPLE = 5000  # examples of the training part, measured beside the validation part


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
    active: Array  # bool: the lane goes on
    batch_cost: Array  # float32: mean of the mini-batch costs since the last evaluation
    training: Evaluation  # on a fixed sample of the training part
    validation: Evaluation


def stack_hyperparams(hps: Sequence[Hyperparams]) -> Hyperparams:
    """Hyperparameters whose swept fields are arrays over lanes; the static ones must be equal."""
    n_hidden = len(hps[0].hidden)
    drop_rates = [np.broadcast_to(np.array(hp.drop_rate, np.float32), (n_hidden,)) for hp in hps]
    patience = [NO_PATIENCE if hp.patience is None else hp.patience for hp in hps]
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and that run diverges
        swept: dict[str, Any] = {
            "learning_rate": np.array([hp.learning_rate for hp in hps], np.float32),
            "drop_rate": np.stack(drop_rates),
            "momentum": np.array([hp.momentum for hp in hps], np.float32),
            "weight_std": np.array([hp.weight_std for hp in hps], np.float32),
            "epochs": np.array([hp.epochs for hp in hps], np.int32),
            "patience": np.array(patience, np.int32),
        }
    return replace(hps[0], **swept)


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


def train_step(
    hp: Hyperparams, state: TrainState, x: Array, y: Array, key: Array | None, step: Array
) -> TrainState:
    """One update of one lane from one mini-batch.

    Args:
        hp: scalars (`drop_rate`: one per hidden layer).
        state: of this lane.
        x: `(B, n_in)`.
        y: `(B,)`.
        key: this step's dropout key; None leaves dropout out of the program.
        step: the number of this update, counted from 1.
    """
    logits, bn_state, caches = model.forward(state.params, state.bn_state, x, key, hp.drop_rate)
    batch_cost, cost_cache = cost.forward(logits, y)
    grads = model.backward(cost.backward(1.0, cost_cache), caches)
    params, optimizer_state = OPTIMIZERS[hp.optimizer].update(
        state.params, grads, state.optimizer_state, hp.learning_rate, hp.momentum
    )
    new = (params, bn_state, optimizer_state)
    old = (state.params, state.bn_state, state.optimizer_state)
    finite = jnp.isfinite(batch_cost) & all_finite(new)
    go_on = state.active & finite
    params, bn_state, optimizer_state = select(go_on, new, old)
    return state._replace(
        params=params,
        bn_state=bn_state,
        optimizer_state=optimizer_state,
        active=go_on,
        diverged_at=jnp.where(state.active & ~finite, step, state.diverged_at),
        batch_costs=jnp.where(go_on, state.batch_costs + batch_cost, state.batch_costs),
    )


def evaluate_epoch(
    hp: Hyperparams, state: TrainState, data: Data, parts: Parts, epoch: Array, n_steps: Array | int
) -> tuple[TrainState, Measurement]:
    """Measures one lane at the end of an epoch (0: before the first step) and stops it early.

    A lane goes on while its validation cost has fallen below its best within `patience` epochs, and
    its limit is not reached. The parameters of the best evaluation are kept. Measuring the same
    state once more changes nothing.
    """
    sample = parts.training[:TRAINING_SAMPLE]
    training = evaluate(state.params, state.bn_state, data, sample)
    validation = evaluate(state.params, state.bn_state, data, parts.validation)
    counted = state.active & jnp.isfinite(validation.cost)
    better = counted & (validation.cost < state.best_cost)
    best_params, best_bn_state, best_cost, best_epoch = select(
        better,
        (state.params, state.bn_state, validation.cost, epoch),
        (state.best_params, state.best_bn_state, state.best_cost, state.best_epoch),
    )
    go_on = counted & (epoch - best_epoch < hp.patience) & (epoch < hp.epochs)
    diverged = state.active & ~counted
    batch_cost = state.batch_costs / jnp.asarray(n_steps, jnp.float32)
    state = state._replace(
        best_params=best_params,
        best_bn_state=best_bn_state,
        best_cost=best_cost,
        best_epoch=best_epoch,
        active=go_on,
        stopped_epoch=jnp.where(counted, epoch, state.stopped_epoch),
        diverged_at=jnp.where(diverged, epoch * n_steps, state.diverged_at),
        batch_costs=jnp.zeros_like(state.batch_costs),
    )
    return state, Measurement(counted, go_on, batch_cost, training, validation)


def evaluate(params: model.Params, bn_state: model.State, data: Data, rows: Array) -> Evaluation:
    """Cost and correct answers by `model.predict` on some rows of the data, a block at a time."""
    n = rows.shape[0]
    block = min(n, EVALUATION_BLOCK)
    n_blocks = -(-n // block)
    # The last block is filled up with rows that do not count.
    blocks = jnp.pad(rows, (0, n_blocks * block - n)).reshape(n_blocks, block)
    n_classes = params[-1].dense.W.shape[0]

    def add_block(index: Array, sums: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        """Adds one block to (sum of costs, number of correct ones, predictions of each class)."""
        costs, correct, predicted = sums
        counts = jnp.arange(block, dtype=jnp.int32) < n - index * block
        x, y = data.x[blocks[index]], data.y[blocks[index]]
        logits = model.predict(params, bn_state, x)
        example_costs, _ = cost.per_example(logits, y)
        prediction = jnp.argmax(logits, axis=1).astype(jnp.int32)
        of_class = (prediction[:, None] == jnp.arange(n_classes, dtype=jnp.int32)) & counts[:, None]
        return (
            costs + jnp.sum(jnp.where(counts, example_costs, 0)),
            correct + jnp.sum((prediction == y) & counts, dtype=jnp.int32),
            predicted + jnp.sum(of_class, axis=0, dtype=jnp.int32),
        )

    zeros = jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32), jnp.zeros(n_classes, jnp.int32)
    costs, correct, predicted = jax.lax.fori_loop(0, n_blocks, add_block, zeros)
    return Evaluation(
        cost=costs / n,
        correct=correct,
        top=jnp.max(predicted),
    )


def select(condition: Array, new: Any, old: Any) -> Any:
    """`new` where the condition holds, else `old`; a NaN in the other one does no harm."""
    return jax.tree.map(lambda n, o: jnp.where(condition, n, o), new, old)


def all_finite(tree: Any) -> Array:
    """Whether every number of a pytree is finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))
