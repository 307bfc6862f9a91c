"""Computes the boundary of a stored run whose data have two numerical inputs.

Its record is defined in `boundary_records`. Everything is computed from parameters that are stored
anyway, at no cost to training.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from jmlp.data.columns import standardise
from jmlp.data.contract import contract_of
from jmlp.data.dataset import Dataset
from jmlp.errors import ConfigError, DataError
from jmlp.inspection import boundary_records, records
from jmlp.inspection.boundary_records import (
    GRID,
    Boundary,
    Floats,
    Singles,
    classes,
    plane_columns,
)
from jmlp.inspection.compute import FILE_BYTES, data_of
from jmlp.nn import model
from jmlp.nn.batchnorm import EPS
from jmlp.results.weights import PART, restore
from jmlp.store import Store, networks
from jmlp.store.networks import Networks
from jmlp.system import numerics
from jmlp.training import plan

MARGIN = 0.1  # round the examples, as a share of their range
MOST_POINTS = 2000  # examples of each part that are kept; parts are in random order
FEWEST = 2  # values of each input in a grid, at least

Inputs = Callable[[Floats], Singles]  # of the network, for raw values `(N, 2)`


def boundary(folder: Path, run_id: str, say: Callable[[str], None], size: int = GRID) -> Path:
    """Computes the boundary of a stored run and caches it.

    Args:
        folder: the store.
        run_id: id of the run, which has ended or is in training.
        say: called with one line for each slow step.
        size: values of each input in the grid.

    Returns:
        The cached file, see `boundary_records.read`.

    Raises:
        CheckpointError: a file of the run is missing or damaged.
        ConfigError: `size` is below 2.
        DataError: the data cannot be loaded, are not those of the run, or have other inputs than
            two numbers.
        StoreError: there is no such run, it has no networks yet, or the cache cannot be written.
    """
    with Store(folder, viewer=True) as store:
        stored = networks.read(store, run_id)
    found = draw(stored, data_of(stored, say), size)
    path = boundary_records.path_of(run_id, size, stored.key)
    boundary_records.write(path, found)
    records.tidy(path)
    return path


@numerics.pinned_call
def draw(stored: Networks, dataset: Dataset, size: int = GRID) -> Boundary:
    """Computes the boundary of the stored networks of a run.

    Args:
        stored: the networks of a run.
        dataset: the data that the run was trained on.
        size: values of each input in the grid; fewer if the probabilities would otherwise need
            more than 20 MB.

    Raises:
        ConfigError: `size` is below 2.
        DataError: the data have other inputs than two numbers.
    """
    names = column_names(dataset)
    if size < FEWEST:
        raise ConfigError(f"boundary: size: must be at least {FEWEST}, got {size}")
    training, validation = dataset.split(stored.split_seed, stored.validation_fraction)
    raw = np.asarray(dataset.x_train, np.float64)
    kept, is_training = _kept(raw, training, validation)
    numbers = 4 * len(stored.epochs) * dataset.n_classes
    size = max(FEWEST, min(size, math.isqrt(FILE_BYTES // numbers)))
    x, y = (_values(raw[:, column], size) for column in (0, 1))
    grid = np.stack([np.tile(x, len(y)), np.repeat(y, len(x))], axis=1)
    raw_inputs = plan.is_raw(stored.hyperparams)
    inputs = _inputs(dataset, training, raw_inputs)
    probability, predicted, lines = [], [], []
    for tensors in stored.tensors:
        params, state = restore(tensors, stored.hyperparams, dataset.n_in, dataset.n_classes)
        probability.append(_probability(_logits(params, state, inputs(grid))))
        predicted.append(classes(_logits(params, state, inputs(raw[kept]))))
        lines.append(_lines(params, state, *_scale(dataset, training, raw_inputs)))
    return Boundary(
        run_id=stored.run_id,
        epochs=stored.epochs,
        best=stored.best,
        diverged_at=stored.diverged_at,
        columns=names,
        class_names=contract_of(dataset).class_names,
        n_training=len(training),
        n_validation=len(validation),
        x=x,
        y=y,
        probability=np.stack(probability).reshape(len(probability), len(y), len(x), -1),
        lines=np.stack(lines),
        points=raw[kept],
        labels=dataset.y_train[kept].astype(np.int16),
        is_training=is_training,
        predicted=np.stack(predicted),
    )


def column_names(dataset: Dataset) -> tuple[str, ...]:
    """The names of the two inputs of data that have exactly two numerical ones.

    Raises:
        DataError: the data have others.
    """
    contract = contract_of(dataset)
    if names := plane_columns(contract):
        return names
    columns = contract.row
    found = f"{len(columns)}"
    if not columns:
        found = f"pictures of {' × '.join(map(str, contract.image_shape))}"
    elif n_categories := sum(bool(column.levels) for column in columns):
        found += f", of which {n_categories} {'is' if n_categories == 1 else 'are'} no number"
    raise DataError(
        f"{dataset.source}: the boundary needs two numerical inputs; this data has {found}"
    )


def _kept(
    raw: Floats, training: NDArray[np.int32], validation: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The rows of the examples that are kept, and which of them are of the training part."""
    parts = []
    for rows in (training, validation):
        known = rows[np.isfinite(raw[rows]).all(axis=1)]
        parts.append(np.sort(known[:MOST_POINTS]))
    is_training = np.repeat([True, False], [len(rows) for rows in parts])
    return np.concatenate(parts), is_training


def _values(column: Floats, size: int) -> Floats:
    """Evenly spaced values of an input, with a margin round those of the examples."""
    known = column[np.isfinite(column)]
    low, high = float(known.min()), float(known.max())
    room = MARGIN * (high - low) or 1.0
    return np.linspace(low - room, high + room, size)


def _inputs(dataset: Dataset, training: NDArray[np.int32], raw_inputs: bool) -> Inputs:
    """What makes inputs of raw values, as the contract of the run does."""
    if dataset.columns is not None:
        scale = dataset.scale(training, raw=raw_inputs)
        assert scale is not None
        return partial(standardise, dataset.columns, scale)
    divisor = np.float32(_divisor(dataset, raw_inputs))
    return lambda raw: raw.astype(np.float32) / divisor


def _scale(
    dataset: Dataset, training: NDArray[np.int32], raw_inputs: bool
) -> tuple[Floats, Floats]:
    """Mean and standard deviation by which each input is standardised, `(2,)` each."""
    scale = dataset.scale(training, raw=raw_inputs)
    if scale is not None:
        return np.array(scale.mean), np.array(scale.std)
    return np.zeros(2), np.full(2, _divisor(dataset, raw_inputs))


def _divisor(dataset: Dataset, raw_inputs: bool) -> float:
    """What bytes are divided by."""
    return 255.0 if dataset.x_train.dtype == np.uint8 and not raw_inputs else 1.0


def _logits(params: model.Params, state: model.State, inputs: Singles) -> Singles:
    """`(N, C)`, computed in parts, because every layer's output is in memory at once."""
    parts = [
        np.asarray(_predict(params, state, jnp.asarray(inputs[first : first + PART])))
        for first in range(0, len(inputs), PART)
    ]
    return np.concatenate(parts)


_predict = jax.jit(model.predict)


def _probability(logits: Singles) -> Singles:
    """The probability of each class, `(N, C)`; NaN where the logits are not all finite."""
    known = np.isfinite(logits).all(axis=1)
    found = np.full(logits.shape, np.nan, np.float32)
    with np.errstate(over="ignore"):  # distances of huge logits: their probability is 0
        found[known] = softmax(logits[known], axis=1)
    return found


def _lines(params: model.Params, state: model.State, mean: Floats, std: Floats) -> Floats:
    """a, b and c of each unit of the first hidden layer, `(H, 3)`: Z = a x + b y + c.

    With z = (x - mean) / std as inputs, Z = W z + bias is W / std · x + bias - W mean / std. Batch
    norm before the activation makes gamma (Z - running mean) / sqrt(running var + eps) + beta of
    it. An input that is constant in the training part (std 0) is always 0, so it has no part in Z.
    """
    layer, layer_state = params[0], state[0]
    W = np.asarray(layer.dense.W, np.float64)
    weights = np.where(std > 0, W / np.where(std > 0, std, 1), 0)
    bias = layer.dense.b
    constant = -weights @ mean + (0 if bias is None else np.asarray(bias, np.float64)[:, 0])
    if layer.batchnorm is not None and layer_state is not None:
        gamma, beta, running_mean, running_var = (
            np.asarray(array, np.float64)[:, 0]
            for array in (*layer.batchnorm, layer_state.mean, layer_state.var)
        )
        factor = gamma / np.sqrt(running_var + EPS)
        weights, constant = factor[:, None] * weights, factor * (constant - running_mean) + beta
    return np.concatenate([weights, constant[:, None]], axis=1)
