"""Keras, with the same weights, gives the same logits and the same running statistics."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from helpers import N_CLASSES, N_IN, SMALL_DATA

from jmlp.nn import batchnorm, cost, model
from jmlp.nn.model import Params, State
from jmlp.study.config import Hyperparams

HIDDEN = (7, 5)
X = SMALL_DATA.x_train.astype(np.float32) / 255


@pytest.fixture(autouse=True)
def _types_mix() -> Iterator[None]:
    with jax.numpy_dtype_promotion("standard"):  # as Keras needs it
        yield


def network(*, batch_norm: bool) -> tuple[Params, State]:
    """Parameters that all differ from 0 and 1."""
    hp = Hyperparams(hidden=HIDDEN, batch_norm=batch_norm)
    params, state = model.init(hp, N_IN, N_CLASSES, jax.random.key(0))
    random = np.random.default_rng(1)
    moved = jax.tree.map(lambda p: p + np.float32(0.1 * random.standard_normal(p.shape)), params)
    return moved, state


def in_keras(params: Params, state: State) -> Any:
    """The same network made of Keras's layers."""
    layers: list[Any] = []
    for layer, layer_state in zip(params, state, strict=True):
        n_out, n_in = layer.dense.W.shape
        made = keras.layers.Dense(n_out, use_bias=layer.dense.b is not None)
        made.build((None, n_in))
        bias = [] if layer.dense.b is None else [layer.dense.b[:, 0]]
        made.set_weights([np.asarray(layer.dense.W.T), *map(np.asarray, bias)])
        layers.append(made)
        if layer.batchnorm is not None and layer_state is not None:
            norm = keras.layers.BatchNormalization(
                epsilon=batchnorm.EPS, momentum=batchnorm.MOMENTUM
            )
            norm.build((None, n_out))
            norm.set_weights([np.asarray(a[:, 0]) for a in (*layer.batchnorm, *layer_state)])
            layers.append(norm)
        layers.append(keras.layers.ReLU())
    return keras.Sequential(layers[:-1])


@pytest.mark.parametrize("batch_norm", [False, True])
def test_predictions_and_cost_are_those_of_keras(batch_norm: bool) -> None:
    params, state = network(batch_norm=batch_norm)
    _, state, _ = model.forward(params, state, jnp.asarray(X), None, 0.0)
    logits = model.predict(params, state, jnp.asarray(X))
    expected = in_keras(params, state)(X, training=False)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    costs = keras.losses.sparse_categorical_crossentropy(
        SMALL_DATA.y_train, expected, from_logits=True
    )
    ours, _ = cost.forward(logits.T, jnp.asarray(SMALL_DATA.y_train))
    np.testing.assert_allclose(ours, np.mean(costs), rtol=1e-5)


def test_training_passes_move_the_running_statistics_as_in_keras() -> None:
    params, state = network(batch_norm=True)
    theirs = in_keras(params, state)
    for batch in np.split(X, 4):
        logits, state, _ = model.forward(params, state, jnp.asarray(batch), None, 0.0)
        expected = theirs(batch, training=True)
        np.testing.assert_allclose(logits.T, expected, rtol=1e-4, atol=1e-5)
    norms = [layer for layer in theirs.layers if "batch" in layer.name]
    for norm, layer_state in zip(norms, state[:-1], strict=True):
        assert layer_state is not None
        np.testing.assert_allclose(layer_state.mean[:, 0], norm.moving_mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer_state.var[:, 0], norm.moving_variance, rtol=1e-5)
