"""The whole network: a pass by hand, gradients of every leaf, initial weights, prediction."""

from functools import cache
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_equal_bits, gradient_errors, leaves
from jax import Array
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray

from jmlp.nn import cost, model
from jmlp.nn.batchnorm import BatchNormParams, BatchNormState
from jmlp.nn.dense import DenseParams
from jmlp.nn.model import Layer, Params, State
from jmlp.study.config import Hyperparams, changed

KEY = jax.random.key(0)
DIFFERENCE_STEP = 1e-5


def column(*numbers: float) -> Array:
    return jnp.array(numbers, jnp.float32)[:, None]


# By hand: two inputs, two hidden units, two classes

TINY = (
    Layer(DenseParams(jnp.array([[1.0, -1.0], [0.0, 1.0]]), column(0, 1)), None),
    Layer(DenseParams(jnp.array([[1.0, 1.0], [2.0, -1.0]]), column(1, 0)), None),
)


def test_forward_and_backward_are_hand_computed() -> None:
    # Z = -1, 3; A = 0, 3; logits = 4, -3
    logits, state, caches = model.forward(TINY, (None, None), jnp.array([[1.0, 2.0]]), None, 0.0)
    assert (logits.tolist(), state) == ([[4], [-3]], (None, None))
    first, last = model.backward(column(1, 2), caches)
    assert last.dense.W.tolist() == [[0, 3], [0, 6]]
    assert last.dense.b is not None
    assert last.dense.b.tolist() == [[1], [2]]
    # W^T dlogits = 5, -1; the first unit is off
    assert first.dense.W.tolist() == [[0, 0], [-1, -2]]
    assert first.dense.b is not None
    assert first.dense.b.tolist() == [[0], [-1]]


def test_predict_is_hand_computed_with_the_running_statistics() -> None:
    x = jnp.array([[1.0, 2.0], [2.0, 0.0]])
    assert model.predict(TINY, (None, None), x).tolist() == [[4, -3], [4, 3]]
    first, last = TINY
    bn_params = BatchNormParams(column(1, 1), column(0, 0))
    params = (Layer(DenseParams(first.dense.W, None), bn_params), last)
    # Z = -1, 2, less the mean 1, by the deviation 2: A = 0, 0.5
    state = (BatchNormState(column(1, 1), column(4, 4)), None)
    np.testing.assert_allclose(model.predict(params, state, x[:1]), [[1.5, -0.5]], atol=1e-5)


def test_batch_norm_after_relu_is_hand_computed() -> None:
    first, last = TINY
    bn_params = BatchNormParams(column(2, 1), column(0, 1))
    params = (Layer(first.dense, None, bn_params), last)
    state = (BatchNormState(column(0, 0), column(1, 1)), None)
    # Z = -1, 3 and 2, 1; A = 0, 3 and 2, 1; means 1, 2; deviations 1, 1: normalised -1, 1 and 1, -1
    x = jnp.array([[1.0, 2.0], [2.0, 0.0]])
    logits, (new, _), _ = model.forward(params, state, x, None, 0.0)
    np.testing.assert_allclose(logits, [[1, 3], [-6, 4]], atol=1e-4)
    assert new is not None
    np.testing.assert_allclose(new.mean, [[0.1], [0.2]], rtol=1e-6)
    # By the running statistics, 0 and 1, nothing is moved: 2 A, A + 1.
    np.testing.assert_allclose(model.predict(params, state, x), [[5, -4], [7, 6]], atol=1e-3)


# Gradients

N_IN, N_CLASSES, BATCH = 4, 3, 8
DEPTHS: dict[int, tuple[int, ...]] = {0: (), 1: (5,), 3: (5, 4, 3)}
DROPOUTS = ("none", "one rate", "a rate per layer")


@cache
def gradients(depth: int, batch_norm: bool, dropout: str) -> tuple[Any, Any, Any]:
    """By hand, by `jax.grad`, and by central differences, in float64."""
    rates = {
        "none": np.zeros(depth),
        "one rate": np.full(depth, 0.4),
        "a rate per layer": np.linspace(0.2, 0.5, depth),
    }
    hp = changed(Hyperparams(batch_norm=batch_norm), hidden=DEPTHS[depth])
    random = np.random.default_rng(2)
    x, y = random.standard_normal((BATCH, N_IN)), np.arange(BATCH) % N_CLASSES
    with jax.enable_x64(True):
        params, state = model.init(hp, N_IN, N_CLASSES, KEY, jnp.float64)
        # Biases, scales and shifts start at 0 or 1, where a wrong factor could hide.
        params = jax.tree.map(lambda p: p + 0.3 * random.standard_normal(p.shape), params)
        key = None if dropout == "none" else jax.random.key(1)
        three: tuple[Any, Any, Any] = jax.device_get(
            three_ways(params, state, x, y, key, rates[dropout])
        )
    assert {leaf.dtype for leaf in jax.tree.leaves(three)} == {np.dtype(np.float64)}
    return three


@jax.jit
def three_ways(
    params: Params, state: State, x: Array, y: Array, key: Array | None, rates: Array
) -> tuple[Any, Any, Any]:
    flat, unravel = ravel_pytree(params)

    def cost_of(flat: Array) -> tuple[Array, Any]:
        logits, _, caches = model.forward(unravel(flat), state, x, key, rates)
        value, cache = cost.forward(logits, y)
        return value, (cache, caches)

    expected, (cost_cache, caches) = jax.grad(cost_of, has_aux=True)(flat)
    by_hand = model.backward(cost.backward(1.0, cost_cache), caches)
    moves = DIFFERENCE_STEP * jnp.eye(flat.size)
    costs, _ = jax.vmap(cost_of)(jnp.concatenate([flat + moves, flat - moves]))
    up, down = jnp.split(costs, 2)
    return by_hand, unravel(expected), unravel((up - down) / (2 * DIFFERENCE_STEP))


EVERY_COMBINATION = pytest.mark.parametrize(
    ("depth", "batch_norm", "dropout"), list(product(DEPTHS, (False, True), DROPOUTS))
)


@EVERY_COMBINATION
def test_every_leaf_of_the_gradient_is_that_of_jax_grad(
    depth: int, batch_norm: bool, dropout: str
) -> None:
    by_hand, expected, _ = gradients(depth, batch_norm, dropout)
    errors = gradient_errors(by_hand, expected)
    assert max(errors.values()) <= 1e-9, errors


@EVERY_COMBINATION
def test_every_leaf_of_the_gradient_is_that_of_central_differences(
    depth: int, batch_norm: bool, dropout: str
) -> None:
    by_hand, _, differences = gradients(depth, batch_norm, dropout)
    errors = gradient_errors(by_hand, differences)
    assert max(errors.values()) <= 1e-6, errors


def test_the_gradient_has_the_parameters_own_types_names_and_shapes() -> None:
    params, state = model.init(Hyperparams(hidden=(5,), batch_norm=True), N_IN, N_CLASSES, KEY)
    logits, _, caches = model.forward(params, state, jnp.ones((2, N_IN)), KEY, 0.5)
    found, expected = leaves(model.backward(logits, caches)), leaves(params)
    assert {name: (leaf.dtype, leaf.shape) for name, leaf in found.items()} == {
        name: (leaf.dtype, leaf.shape) for name, leaf in expected.items()
    }
    assert list(found) == [
        "[0].dense.W",
        "[0].batchnorm.gamma",
        "[0].batchnorm.beta",
        "[1].dense.W",
        "[1].dense.b",
    ]


# Dropout in the network

X = jax.random.normal(jax.random.key(3), (BATCH, N_IN))
NETWORK = model.init(Hyperparams(hidden=(5, 5)), N_IN, N_CLASSES, KEY)


def both_ways(key: Array | None, drop_rate: Array | float) -> Any:
    logits, _, caches = model.forward(*NETWORK, X, key, drop_rate)
    return logits, model.backward(logits, caches)


def test_drop_rate_0_is_bitwise_the_plain_network() -> None:
    assert_equal_bits(both_ways(KEY, 0.0), both_ways(None, 0.5))


def test_one_drop_rate_is_that_rate_in_each_layer() -> None:
    assert_equal_bits(both_ways(KEY, 0.5), both_ways(KEY, jnp.full(2, 0.5)))


def test_each_layer_has_its_own_drop_rate_and_its_own_mask() -> None:
    _, _, caches = model.forward(*NETWORK, X, KEY, jnp.array([0.0, 0.75]))
    assert [set(np.unique(np.asarray(cache.dropout))) for cache in caches[:-1]] == [{1}, {0, 4}]
    _, _, (first, second, last) = model.forward(*NETWORK, X, KEY, 0.5)
    assert (np.asarray(first.dropout) != np.asarray(second.dropout)).any()
    assert last.dropout is None


# Initial weights


def weights(key: Array = KEY, **hyperparams: Any) -> list[NDArray[np.float32]]:
    params, _ = model.init(Hyperparams(**hyperparams), 300, 10, key)
    return [np.asarray(layer.dense.W) for layer in params]


def test_weights_have_the_shapes_of_the_layers_and_he_deviations() -> None:
    found = weights(hidden=(200, 100))
    assert [W.shape for W in found] == [(200, 300), (100, 200), (10, 100)]
    for W in found:
        std = (2 / W.shape[1]) ** 0.5
        assert abs(W.std() - std) < 5 * std / (2 * W.size) ** 0.5


def test_normal_initialisation_has_the_given_deviation_in_each_layer() -> None:
    for W in weights(hidden=(200, 100), initialization="normal", weight_std=0.15):
        assert abs(W.std() - 0.15) < 5 * 0.15 / (2 * W.size) ** 0.5


def test_biases_start_at_0_and_batch_norm_replaces_those_of_hidden_layers() -> None:
    plain, _ = model.init(Hyperparams(hidden=(3, 2)), 4, 2, KEY)
    normalised, state = model.init(Hyperparams(hidden=(3, 2), batch_norm=True), 4, 2, KEY)
    assert [np.asarray(layer.dense.b).tolist() for layer in plain] == [
        [[0]] * 3,
        [[0]] * 2,
        [[0]] * 2,
    ]
    assert [layer.dense.b is None for layer in normalised] == [True, True, False]
    assert [layer.batchnorm is None for layer in normalised] == [False, False, True]
    assert [s is None for s in state] == [False, False, True]


def test_weights_of_a_layer_depend_on_key_place_and_shape_alone() -> None:
    base = weights(hidden=(5, 5, 5))
    assert_equal_bits(weights(hidden=(5, 5, 5), batch_norm=True, optimizer="adam"), base)
    assert_equal_bits(weights(hidden=(5, 5, 4, 5))[:2], base[:2])
    assert (weights(jax.random.key(1), hidden=(5, 5, 5))[0] != base[0]).any()
    assert (base[1] != base[2]).any()


# Prediction


def test_predict_ignores_other_examples_and_moves_no_statistics() -> None:
    params, state = model.init(Hyperparams(hidden=(5,), batch_norm=True), N_IN, N_CLASSES, KEY)
    _, state, _ = model.forward(params, state, X, None, 0.0)
    together = model.predict(params, state, X)
    alone = [model.predict(params, state, X[i : i + 1])[0] for i in range(BATCH)]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_bytes_are_scaled_to_0_1_and_floats_are_used_as_they_are() -> None:
    pixels = np.arange(BATCH * N_IN, dtype=np.uint8).reshape(BATCH, N_IN) * np.uint8(8)
    scaled = pixels.astype(np.float32) / np.float32(255)
    assert model.inputs(jnp.asarray(scaled), jnp.dtype(jnp.float32)).A.T.tolist() == scaled.tolist()
    for x in map(jnp.asarray, (pixels, scaled)):
        expected = model.predict(*NETWORK, jnp.asarray(scaled))
        for logits in (model.predict(*NETWORK, x), model.forward(*NETWORK, x, None, 0.0)[0].T):
            np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
