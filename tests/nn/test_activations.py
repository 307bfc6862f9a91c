"""Each activation: numbers by hand, derivatives against JAX's own, and networks that carry it."""

import math
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_equal_bits

from jmlp.nn import activations, cost, dense, model
from jmlp.nn.activations import ACTIVATIONS, RELU
from jmlp.nn.gradient import CostOptions, gradient
from jmlp.nn.tensors import name_tensors
from jmlp.results.weights import restore
from jmlp.study.config import Hyperparams
from jmlp.study.rules import ActivationName

E = math.exp(-1)
PHI = 0.8413447460685429  # of the normal distribution, at 1
DENSITY = math.exp(-0.5) / math.sqrt(2 * math.pi)
# The values at -1, 0 and 1, and the derivatives there.
BY_HAND: dict[str, tuple[list[float], list[float]]] = {
    "relu": ([0, 0, 1], [0, 0, 1]),
    "leaky_relu": ([-0.01, 0, 1], [0.01, 0.01, 1]),
    "tanh": ([-0.76159416, 0, 0.76159416], [0.41997434, 1, 0.41997434]),
    "sigmoid": ([E / (1 + E), 0.5, 1 / (1 + E)], [E / (1 + E) ** 2, 0.25, E / (1 + E) ** 2]),
    "gelu": ([PHI - 1, 0, PHI], [1 - PHI - DENSITY, 0.5, PHI + DENSITY]),
    "silu": (
        [-E / (1 + E), 0, 1 / (1 + E)],
        [E / (1 + E) * (1 - 1 / (1 + E)), 0.5, (1 + E / (1 + E)) / (1 + E)],
    ),
}
OF_JAX: dict[str, Any] = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "tanh": jax.nn.tanh,
    "sigmoid": jax.nn.sigmoid,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    "silu": jax.nn.silu,
}


def test_every_activation_is_in_the_table_under_its_name() -> None:
    assert set(ACTIVATIONS) == set(get_args(ActivationName)) == set(BY_HAND) == set(OF_JAX)
    assert all(activation.name == name for name, activation in ACTIVATIONS.items())


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_hand_computed(name: ActivationName) -> None:
    values, derivatives = BY_HAND[name]
    A, cache = activations.forward(ACTIVATIONS[name], jnp.array([[-1.0, 0.0, 1.0]], jnp.float32))
    np.testing.assert_allclose(A, [values], rtol=1e-6, atol=1e-7)
    dZ = activations.backward(jnp.array([[2.0, 2.0, 2.0]], jnp.float32), cache)
    np.testing.assert_allclose(dZ, [[2 * d for d in derivatives]], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_and_its_derivative_are_those_of_jax(name: ActivationName) -> None:
    with jax.enable_x64(True):
        Z = jnp.linspace(-9, 9, 400).reshape(20, 20)  # without 0, where some have no derivative
        dA = jnp.cos(jnp.arange(400.0)).reshape(20, 20)
        A, cache = activations.forward(ACTIVATIONS[name], Z)
        expected, vjp = jax.vjp(OF_JAX[name], Z)
        np.testing.assert_allclose(A, expected, rtol=1e-13, atol=1e-300)
        dZ = activations.backward(dA, cache)
        np.testing.assert_allclose(dZ, vjp(dA)[0], rtol=1e-9, atol=1e-15)
        own_forward = jax.vjp(lambda z: ACTIVATIONS[name].forward(z)[0], Z)[1]
        np.testing.assert_allclose(dZ, own_forward(dA)[0], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_very_large_sums_do_not_overflow(name: ActivationName) -> None:
    Z = jnp.array([[-1e4, -100.0, 100.0, 1e4]], jnp.float32)
    A, cache = activations.forward(ACTIVATIONS[name], Z)
    dZ = activations.backward(jnp.ones_like(Z), cache)
    assert np.isfinite(A).all()
    assert np.isfinite(dZ).all()
    unbounded = name not in ("tanh", "sigmoid")
    assert dZ[0, 2:].tolist() == ([1, 1] if unbounded else [0, 0])
    assert dZ[0, :2].tolist() == ([pytest.approx(0.01)] * 2 if name == "leaky_relu" else [0, 0])


# Networks


MIXED = Hyperparams(hidden=(4, 3), activation=("tanh", "relu"))


def network(hp: Hyperparams) -> tuple[model.Params, model.State]:
    return model.init(hp, 5, 3, jax.random.key(0))


def assert_same_structure(found: Any, expected: Any) -> None:
    structures: list[Any] = [jax.tree.structure(tree) for tree in (found, expected)]
    assert structures[0] == structures[1]


X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(8, 5)


def test_parameters_carry_the_activation_of_each_layer_and_relu_is_none() -> None:
    params, _ = network(MIXED)
    assert [layer.activation for layer in params] == [ACTIVATIONS["tanh"], None, None]
    plain, _ = network(Hyperparams(hidden=(4, 3)))
    assert [layer.activation for layer in plain] == [None] * 3
    assert_equal_bits(params, plain)  # the same numbers by the same names


def test_prediction_uses_the_activations_of_the_parameters() -> None:
    params, state = network(MIXED)
    A: Any = X.T
    A = np.tanh(np.asarray(params[0].dense.W) @ A)
    A = np.maximum(np.asarray(params[1].dense.W) @ A, 0)
    expected = np.asarray(params[-1].dense.W) @ A
    np.testing.assert_allclose(model.predict(params, state, X).T, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        model.forward(params, state, X, None, None)[0], expected, rtol=1e-5, atol=1e-6
    )


def test_gradient_has_the_structure_of_the_parameters_and_equals_that_of_jax() -> None:
    hp = Hyperparams(hidden=(4, 3), activation=("gelu", "sigmoid"))
    with jax.enable_x64(True):
        params, state = model.init(hp, 5, 3, jax.random.key(0), jnp.float64)
        x, y = X.astype(np.float64), jnp.arange(8, dtype=jnp.int32) % 3
        _, grads, _ = gradient(params, state, x, y, None, CostOptions())
        expected = jax.grad(lambda p: cost.forward(model.predict(p, state, x).T, y)[0])(params)
    assert_same_structure(grads, params)
    for leaf, wanted in zip(jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, wanted, rtol=1e-12, atol=1e-15)


def test_an_activation_survives_jit_and_storage() -> None:
    params, state = network(MIXED)
    halved = jax.jit(lambda p: jax.tree.map(lambda a: a / 2, p))(params)
    assert [layer.activation for layer in halved] == [ACTIVATIONS["tanh"], None, None]
    tensors = name_tensors(params, state)
    assert sorted(tensors) == sorted(name_tensors(*network(Hyperparams(hidden=(4, 3)))))
    restored, _ = restore(tensors, MIXED, 5, 3)
    assert_same_structure(restored, params)


def test_a_layer_made_by_hand_is_relu() -> None:
    layer = model.Layer(dense.DenseParams(jnp.eye(2), None), None)
    A, cache = activations.forward(layer.activation, jnp.array([[-1.0], [2.0]]))
    assert A.tolist() == [[0], [2]]
    assert activations.backward(jnp.ones((2, 1)), cache).tolist() == [[0], [1]]
    assert RELU is ACTIVATIONS["relu"]


# Initial weights


@pytest.mark.parametrize(
    ("name", "std"),
    [("he", (2 / 300) ** 0.5), ("glorot", (2 / 500) ** 0.5), ("lecun", (1 / 300) ** 0.5)],
)
def test_initial_weights_have_the_deviation_of_their_source(name: Any, std: float) -> None:
    hp = Hyperparams(hidden=(200,), initialization=name)
    params, _ = model.init(hp, 300, 10, jax.random.key(1))
    W, n = np.asarray(params[0].dense.W), 300 * 200
    assert abs(W.std() - std) < 5 * std / (2 * n) ** 0.5  # five standard errors
    assert dense.initial_std(name, 300, 200, 1.0) == pytest.approx(std)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_zero_weights_stay_symmetric(activation: Any) -> None:
    hp = Hyperparams(hidden=(4, 3), initialization="zero", activation=activation)
    params, state = network(hp)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(params))
    y = jnp.array([0, 1, 2, 0, 0, 1, 1, 0])
    for _ in range(5):
        _, grads, _ = gradient(params, state, X, y, None, CostOptions())
        params = jax.tree.map(lambda p, g: p - g, params, grads)
    for layer in params[:-1]:
        assert (layer.dense.W[:1] == layer.dense.W).all()  # all units of a layer are the same one
    moved = [bool(np.any(layer.dense.W)) for layer in params]
    assert moved == ([False] * 3 if activation == "relu" else [True] * 3)
    assert np.any(params[-1].dense.b)
