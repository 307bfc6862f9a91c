"""Computes the inspection of a stored run; its record is defined in `records`.

Everything is computed from parameters that are stored anyway, at no cost to training.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jmlp import data as datasets
from jmlp.data.contract import contract_of
from jmlp.data.dataset import Dataset, Labels, Pixels, changed_arrays, plane_of
from jmlp.errors import DataError
from jmlp.inspection import records
from jmlp.inspection.records import Floats, Inspection, Part, Singles
from jmlp.nn import cost, model
from jmlp.nn.activations import RELU
from jmlp.nn.augmentation import Augmentation, augmentation_of
from jmlp.nn.cost import balanced_weights
from jmlp.nn.gradient import CostOptions
from jmlp.nn.optimizers import learning_rate
from jmlp.nn.tensors import Tensors
from jmlp.results.weights import restore
from jmlp.store import Store, networks
from jmlp.store.networks import Networks
from jmlp.study.config import Hyperparams, per_layer
from jmlp.system import numerics
from jmlp.training import blocks, plan, single_run
from jmlp.training.program import random_inputs, root_key, stack_hyperparams

FILE_BYTES = 20_000_000  # of a cached file, met by omitting weights and examples
MOST_CONFIDENT = 60  # mistakes per network whose pictures are kept
MOST_ROWS = 300  # in their place if the examples are rows, which are small

Network = tuple[model.Params, model.State]

UPDATE_WORDS = {
    "sgd": "‖Δθ‖/‖θ‖ of the next update: learning rate × gradient of the next mini-batch, "
    "in the run's own order and with its own dropout",
    **dict.fromkeys(
        ("momentum", "nesterov"),
        "‖θ - previous θ‖ / (updates · ‖θ‖): the mean net change per update since the previous "
        "network; the velocity is not stored, so single updates are unknown",
    ),
    **dict.fromkeys(
        ("adam", "adamw"),
        "‖θ - previous θ‖ / (updates · ‖θ‖): the mean net change per update since the previous "
        "network; the moments are not stored, so single updates are unknown",
    ),
}


class _Evaluated(NamedTuple):
    """Results of one network on the examples of the part."""

    cost: float
    accuracy: float
    predicted: NDArray[np.int16]
    confidence: Singles
    dead: list[int]  # number of dead ReLU units per hidden layer


class _Images(NamedTuple):
    """Examples of the part, in blocks of equal size, so that one program serves all."""

    blocks: list[tuple[Array, Array]]  # (x, y)
    labels: Labels  # (N,)


def inspect(folder: Path, run_id: str, part: Part, say: Callable[[str], None]) -> Path:
    """Computes the inspection of a stored run and caches it.

    Args:
        folder: the store.
        run_id: id of the run, which has ended or is in training.
        part: the part of the data.
        say: called with one line for each slow step.

    Returns:
        The cached file.

    Raises:
        CheckpointError: a file of the run is missing or damaged.
        DataError: the data cannot be loaded, is not that of the run, or has no such part.
        StoreError: there is no such run, it has no networks yet, or the cache cannot be written.
    """
    with Store(folder, viewer=True) as store:
        stored = networks.read(store, run_id)
    dataset = data_of(stored, say)
    path = records.path_of(run_id, part, stored.key)
    records.write(path, look(stored, dataset, part))
    records.tidy(path)
    return path


def data_of(stored: Networks, say: Callable[[str], None]) -> Dataset:
    """The data that a stored run was trained on.

    Args:
        stored: the networks of the run.
        say: called with one line for each slow step.

    Raises:
        DataError: the data cannot be loaded, or are not those of the run.
    """
    dataset = datasets.load_stored(stored.data, say)
    if changed := changed_arrays(stored.data["digests"], dataset.digests):
        raise DataError(
            f"{dataset.source}: the data have changed since the run was trained: the SHA-256 of "
            f"{', '.join(changed)} differs; restore the old data, and try again"
        )
    return dataset


@numerics.pinned_call
def look(stored: Networks, dataset: Dataset, part: Part) -> Inspection:
    """Computes the inspection of the stored networks of a run.

    Args:
        stored: the networks of a run.
        dataset: the data that the run was trained on.
        part: the part of the data.

    Raises:
        DataError: there is no test set.
    """
    hp = stored.hyperparams
    training, validation = dataset.split(stored.split_seed, stored.validation_fraction)
    columns, shape = contract_of(dataset).row, dataset.image_shape
    raw, _ = _part(dataset, part, validation)
    dataset = dataset.standardised(training, raw=plan.is_raw(hp))
    x, y = _part(dataset, part, validation)
    images = _to_blocks(x, y)
    trained = [restore(t, hp, dataset.n_in, dataset.n_classes) for t in stored.tensors]
    evaluated = [_evaluate(network, images) for network in trained]
    predicted = np.stack([e.predicted for e in evaluated])
    confidence = np.stack([e.confidence for e in evaluated])
    n_hidden = len(hp.hidden)
    sample = training[: plan.TRAINING_SAMPLE]
    arrays: dict[str, Any] = {
        "gradient_norm": gradient_norms(trained, dataset.x_train[sample], dataset.y_train[sample]),
        "update_ratio": update_ratios(stored, trained, dataset, training),
        "n_units": np.array(hp.hidden, np.int64),
        "dead_units": np.array([e.dead for e in evaluated], np.int64),
        "cost": np.array([e.cost for e in evaluated]),
        "accuracy": np.array([e.accuracy for e in evaluated]),
        "labels": y.astype(np.int16),
        "predicted": predicted,
        "confidence": confidence,
        "weights": _first_weights(stored.tensors),
    }
    bytes_left = FILE_BYTES - sum(array.nbytes for array in arrays.values())
    most = MOST_ROWS if columns else MOST_CONFIDENT
    room = bytes_left // (dataset.n_in * (8 if columns else 1) + 8)
    examples = _confident_mistakes(predicted, confidence, y, most, room)
    pictured, listed = (examples[:0], examples) if columns else (examples, examples[:0])
    return Inspection(
        run_id=stored.run_id,
        part=part,
        epochs=stored.epochs,
        best=stored.best,
        diverged_at=stored.diverged_at,
        image_shape=shape,
        n_classes=dataset.n_classes,
        class_names=dataset.class_names,
        columns=columns,
        layers=(*(f"hidden {i + 1}" for i in range(n_hidden)), "output"),
        activations=per_layer(hp.activation, hp.hidden),
        update_words=_update_words(stored),
        examples=examples,
        images=_as_bytes(x, pictured).reshape(-1, *shape),
        rows=raw[listed].astype(np.float64),
        **arrays,
    )


def gradient_norms(trained: Sequence[Network], x: Pixels, y: Labels) -> Floats:
    """‖g‖/√n of each network (row) and dense layer (column), where n is its number of parameters.

    g is the gradient of the mean cost over all these examples, without dropout, label smoothing,
    class weights or penalty, and not clipped. Batch norm uses the
    statistics of these examples, like those of a mini-batch in training, and not the running ones;
    so the cost differs slightly from the training cost by `predict`. The scale and shift of batch
    norm belong to the dense layer before it.

    Args:
        trained: the networks.
        x: examples of the training part, `(n, n_in)`.
        y: their labels.
    """
    x_device, y_device = jnp.asarray(x), jnp.asarray(y)
    norms = []
    for params, bn_state in trained:
        gradients = _gradients(params, bn_state, x_device, y_device)
        sizes = [sum(leaf.size for leaf in jax.tree.leaves(layer)) for layer in params]
        norms.append(_norms(gradients) / np.sqrt(sizes))
    return np.array(norms)


def update_ratios(
    stored: Networks, trained: Sequence[Network], dataset: Dataset, training: NDArray[np.int32]
) -> Floats:
    """‖Δθ‖/‖θ‖ of an update of each network (row) and dense layer (column), as far as it is known.

    With SGD it is the next update. The state of the other optimisers is not stored with a network;
    for them it is the mean net change since the previous network, and NaN for the first. It is NaN
    for the last network of a diverged run, which no update follows, and for a layer of zeros.

    Args:
        stored: the networks of a run.
        trained: the same networks, as parameters and state.
        dataset: the data that the run was trained on.
        training: the rows of its training part.
    """
    hp = stored.hyperparams
    n_steps = plan.n_steps(len(training), hp.batch_size)
    updates = [round(epoch * n_steps) for epoch in stored.epochs]
    ratios = np.full((len(trained), len(hp.hidden) + 1), np.nan)
    n_known = len(trained) - (stored.diverged_at is not None)
    weights = class_weights(hp, dataset, training)
    augmentation = augmentation_of(hp, plane_of(dataset.image_shape))
    for index in range(n_known):
        params, bn_state = trained[index]
        if hp.optimizer == "sgd":
            done = updates[index]
            (order,) = plan.examples_of_updates(hp, stored.seed, done, 1, training)
            rows = training[order]
            batch = dataset.x_train[rows], dataset.y_train[rows]
            change = _sgd_change(
                stored, params, bn_state, batch, done + 1, n_steps, weights, augmentation
            )
        elif index:
            before = trained[index - 1][0]
            moved = jax.tree.map(lambda new, old: np.float64(new) - old, params, before)
            change = _norms(moved) / (updates[index] - updates[index - 1])
        else:
            continue
        sizes = _norms(params)
        np.divide(change, sizes, out=ratios[index], where=sizes > 0)
    return ratios


def _sgd_change(
    stored: Networks,
    params: model.Params,
    bn_state: model.State,
    batch: tuple[Pixels, Labels],
    step: int,
    n_steps: int,
    class_weights: Array | None,
    augmentation: Augmentation | None,
) -> Floats:
    """‖Δθ‖ of each layer in one step of SGD, computed like `single_run.train_step`."""
    x, y = map(jnp.asarray, batch)
    hp, x, key = update_inputs(stored, augmentation, x, step)
    rate = learning_rate(hp.schedule, hp.learning_rate, step, n_steps, hp.epochs, hp.warmup)
    gradients = step_gradient(params, bn_state, hp, x, y, key, rate, class_weights)
    if hp.max_norm is None:
        return _norms(gradients) * float(rate)
    updated, _ = single_run.update(params, gradients, (), hp, rate)
    return _norms(jax.tree.map(lambda new, old: np.float64(new) - old, updated, params))


def class_weights(hp: Hyperparams, dataset: Dataset, training: NDArray[np.int32]) -> Array | None:
    """The weights of the classes in the training cost, `(C,)`; None: there are none."""
    if hp.class_weight == "none":
        return None
    counts = np.bincount(dataset.y_train[training], minlength=dataset.n_classes)
    return jnp.asarray(balanced_weights(counts))


def update_inputs(
    stored: Networks, augmentation: Augmentation | None, x: Array, step: int
) -> tuple[Hyperparams, Array, Array | None]:
    """Swept hyperparameters as scalars, the augmented mini-batch, and the dropout key of an update.

    Args:
        stored: the networks of the run.
        augmentation: that of the run; None if it has none.
        x: the mini-batch, `(B, n_in)`.
        step: the number of the update, from 1.
    """
    stacked = jax.tree.map(jnp.asarray, stack_hyperparams([stored.hyperparams]))
    hp: Hyperparams = jax.tree.map(lambda a: a[0], stacked)
    hp, words = random_inputs(
        hp,
        jnp.asarray(root_key(stored.seed)),
        can_drop=stored.can_drop,
        augments=augmentation is not None,
    )
    if words is None:
        return hp, x, None
    root = jax.random.wrap_key_data(words, impl="threefry2x32")
    if augmentation is not None:
        x = augmentation.apply(x, single_run.augmentation_key(root, jnp.int32(step)))
    return hp, x, single_run.dropout_key(root, jnp.int32(step))


@jax.jit
def step_gradient(
    params: model.Params,
    bn_state: model.State,
    hp: Hyperparams,
    x: Array,
    y: Array,
    key: Array | None,
    rate: Array,
    class_weights: Array | None,
) -> model.Params:
    """The gradient of an update, as `single_run.gradient` returns it, compiled."""
    return single_run.gradient(params, bn_state, hp, x, y, key, rate, class_weights)[1]


@jax.jit
def _gradients(params: model.Params, bn_state: model.State, x: Array, y: Array) -> model.Params:
    return blocks.gradient(params, bn_state, x, y, None, CostOptions())[1]


def _norms(layers: Iterable[model.Layer]) -> Floats:
    """The Euclidean norm of each layer's numbers, in float64."""
    squares = [
        sum(np.sum(np.square(np.float64(leaf))) for leaf in jax.tree.leaves(layer))
        for layer in layers
    ]
    return np.sqrt(np.array(squares, np.float64))


def _part(dataset: Dataset, part: Part, validation: NDArray[np.int32]) -> tuple[Pixels, Labels]:
    if part == "validation":
        return dataset.x_train[validation], dataset.y_train[validation]
    if dataset.x_test is None or dataset.y_test is None:
        raise DataError(f"{dataset.source}: there is no test set; look at the validation part")
    return dataset.x_test, dataset.y_test


def _to_blocks(x: Pixels, y: Labels) -> _Images:
    size = min(len(y), plan.EVALUATION_BLOCK)
    blocks = []
    for first in range(0, len(y), size):
        rows = np.arange(first, first + size)
        rows[rows >= len(y)] = 0  # padding of the last block; its results are discarded
        blocks.append((jnp.asarray(x[rows]), jnp.asarray(y[rows])))
    return _Images(blocks, y)


def _evaluate(network: Network, images: _Images) -> _Evaluated:
    results = [jax.device_get(_evaluate_block(*network, x, y)) for x, y in images.blocks]
    n = len(images.labels)
    costs, predicted, confidence = (
        np.concatenate([block[i] for block in results])[:n] for i in range(3)
    )
    # The padding is an example of the part, so it cannot change which units are dead.
    alive = [np.any(of_layer, axis=0) for of_layer in zip(*(r[3] for r in results), strict=True)]
    all_predicted = bool(np.all(predicted >= 0))
    return _Evaluated(
        cost=float(np.mean(costs, dtype=np.float64)),
        accuracy=float(np.mean(predicted == images.labels)) if all_predicted else np.nan,
        predicted=predicted,
        confidence=confidence,
        dead=[int(np.sum(~units)) for units in alive],
    )


@jax.jit
def _evaluate_block(
    params: model.Params, bn_state: model.State, x: Array, y: Array
) -> tuple[Array, Array, Array, tuple[Array, ...]]:
    """Cost, prediction and its probability per example; which hidden units are ever alive.

    A ReLU unit is alive if its output is not 0, whatever batch norm makes of it afterwards. Units
    of other activations are always alive: their derivative is not 0 over a whole range.
    """
    logits = model.predict(params, bn_state, x)
    *read, _ = model.activations(params, bn_state, x)
    alive = []
    for layer, layer_state, A in zip(params, bn_state, read, strict=False):
        outputs = model.activated(layer, layer_state, A)
        is_relu = layer.activation in (None, RELU)
        alive.append(jnp.any(outputs != 0, axis=1) if is_relu else jnp.ones(len(outputs), bool))
    costs, cache = cost.per_example(logits.T, y)
    finite = jnp.all(jnp.isfinite(logits), axis=1)
    predicted = jnp.where(finite, jnp.argmax(logits, axis=1).astype(jnp.int16), jnp.int16(-1))
    confidence = jnp.where(finite, jnp.exp(jnp.max(cache.S, axis=0)), jnp.nan)
    return costs, predicted, confidence, tuple(alive)


def _first_weights(tensors: Sequence[Tensors]) -> Singles:
    """Weights of the first layer, for as many units as fit into half a file."""
    first = [t["params[0].dense.W"] for t in tensors]
    bytes_per_unit = len(first) * first[0][0].nbytes
    n_units = FILE_BYTES // 2 // bytes_per_unit
    return np.stack([W[:n_units] for W in first])


def _confident_mistakes(
    predicted: NDArray[np.int16], confidence: Singles, labels: Labels, most: int, room: int
) -> NDArray[np.int64]:
    """The examples that are kept, in increasing order.

    Args:
        predicted: predictions of all networks, `(E, N)`.
        confidence: their probabilities, `(E, N)`.
        labels: `(N,)`.
        most: mistakes of each network, the most confident ones.
        room: examples in all; the most confident mistakes of every network come first.
    """
    ranked = []
    for classes, probabilities in zip(predicted, confidence, strict=True):
        wrong = np.flatnonzero((classes >= 0) & (classes != labels))
        order = np.argsort(-probabilities[wrong], kind="stable")[:most]
        ranked.append(wrong[order])
    by_rank = (r[rank] for rank in range(most) for r in ranked if rank < len(r))
    kept = list(dict.fromkeys(int(example) for example in by_rank))[: max(room, 0)]
    return np.array(sorted(kept), np.int64)


def _as_bytes(x: Pixels, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Pictures of the given examples as bytes; other pixel types are rescaled to 0 to 255."""
    pictures = x[rows]
    if x.dtype == np.uint8:
        return np.asarray(pictures, np.uint8)
    low, high = np.float64(x.min()), np.float64(x.max())
    scaled = (pictures - low) / (high - low) if high > low else np.zeros_like(pictures)
    return np.asarray(np.rint(255 * scaled), np.uint8)


def _update_words(stored: Networks) -> str:
    words = UPDATE_WORDS[stored.hyperparams.optimizer]
    last = "; unknown for the last finite parameters" if stored.diverged_at is not None else ""
    return f"{words}{last}."
