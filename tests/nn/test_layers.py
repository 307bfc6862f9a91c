"""Each layer alone: numbers worked out by hand, laws, and gradients against JAX's own."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_equal_bits, gradient_errors
from jax import Array
from sklearn.metrics import log_loss

from jmlp.nn import batchnorm, cost, dense, dropout, relu
from jmlp.nn.batchnorm import BatchNormParams, BatchNormState
from jmlp.nn.dense import DenseParams


def f32(*rows: Any) -> Array:
    return jnp.array(rows, jnp.float32)


# Dense

W = f32([1, 2], [3, 4])
A = f32([1, 0, 2], [-1, 1, 0])
DZ = f32([1, 0, -1], [2, 1, 0])


def test_dense_forward_is_hand_computed() -> None:
    Z, _ = dense.forward(DenseParams(W, f32([1], [-1])), A)
    assert Z.tolist() == [[0, 3, 3], [-2, 3, 5]]


def test_dense_backward_is_hand_computed() -> None:
    _, cache = dense.forward(DenseParams(W, f32([1], [-1])), A)
    dA, grad = dense.backward(DZ, cache)
    assert dA.tolist() == [[7, 3, -1], [10, 4, -2]]
    assert grad.W.tolist() == [[-1, -1], [2, -1]]
    assert grad.b is not None
    assert grad.b.tolist() == [[0], [3]]


def test_dense_without_bias_has_no_bias_and_no_gradient_of_one() -> None:
    Z, cache = dense.forward(DenseParams(W, None), A)
    assert Z.tolist() == [[-1, 2, 2], [-1, 4, 6]]
    assert dense.backward(DZ, cache)[1].b is None


def test_he_standard_deviation_is_the_root_of_two_over_inputs() -> None:
    assert dense.he_std(8) == 0.5
    assert dense.he_std(200) == 0.1


def test_dense_starts_normal_with_the_given_deviation_and_bias_zero() -> None:
    params = dense.init(jax.random.key(1), 300, 200, jnp.float32(0.25), bias=True)
    W, n = np.asarray(params.W), 300 * 200
    assert W.shape == (200, 300)
    # Five standard errors each: of a mean, of a deviation, of a fraction.
    assert abs(W.mean()) < 5 * 0.25 / n**0.5
    assert abs(W.std() - 0.25) < 5 * 0.25 / (2 * n) ** 0.5
    assert abs(np.mean(np.abs(W) < 0.25) - 0.682689) < 5 * (0.6827 * 0.3173 / n) ** 0.5
    assert params.b is not None
    assert params.b.tolist() == [[0]] * 200


# ReLU


def test_relu_is_hand_computed_and_its_derivative_at_zero_is_zero() -> None:
    A, cache = relu.forward(f32([-2, 0, 3]))
    assert A.tolist() == [[0, 0, 3]]
    assert relu.backward(f32([5, 6, 7]), cache).tolist() == [[0, 0, 7]]


# Dropout


def test_dropout_keeps_where_the_uniform_is_at_least_the_drop_rate_and_scales_up() -> None:
    A, key = jnp.arange(1, 401, dtype=jnp.float32).reshape(4, 100), jax.random.key(2)
    U = np.asarray(jax.random.uniform(key, (4, 100)))
    drop_rate = U[1, 50]  # one of them, so that one is equal to it
    D, M = dropout.forward(A, key, jnp.asarray(drop_rate))
    multiplier = np.where(drop_rate <= U, 1 / (1 - drop_rate), 0)
    assert D[1, 50] > 0
    np.testing.assert_allclose(D, multiplier * np.asarray(A), rtol=1e-6)
    np.testing.assert_allclose(dropout.backward(jnp.ones_like(A), M), multiplier, rtol=1e-6)


def test_drop_rate_0_is_bitwise_the_identity() -> None:
    A = f32([1.1, -0.0, 3e38, -1e-37])
    D, M = dropout.forward(A, jax.random.key(3), jnp.float32(0))
    assert_equal_bits(D, A)
    assert_equal_bits(dropout.backward(A, M), A)


@pytest.mark.parametrize("drop_rate", [0.1, 0.5, 0.9])
def test_drop_rate_is_the_fraction_of_zeros_and_the_mean_is_kept(drop_rate: float) -> None:
    n = 200_000
    D, _ = dropout.forward(jnp.ones((2, n // 2)), jax.random.key(4), jnp.float32(drop_rate))
    # Five standard errors: of a fraction, and of a mean of values 1 / (1 - p) kept by 1 - p.
    assert abs(np.mean(D == 0) - drop_rate) < 5 * (drop_rate * (1 - drop_rate) / n) ** 0.5
    assert abs(np.mean(D) - 1) < 5 * (drop_rate / (1 - drop_rate) / n) ** 0.5


# Batch norm

# Four examples of one unit, with mean 2 and biased variance 4: normalised -1, -1, 1, 1.
Z = f32([0, 0, 4, 4])
GAMMA_2_BETA_10 = BatchNormParams(f32([2]), f32([10]))


def test_batch_norm_forward_is_hand_computed_with_the_biased_variance() -> None:
    Y, _, _ = batchnorm.forward(GAMMA_2_BETA_10, BatchNormState(f32([0]), f32([1])), Z)
    np.testing.assert_allclose(Y, [[8, 8, 12, 12]], rtol=1e-6)


def test_batch_norm_backward_is_hand_computed() -> None:
    _, _, cache = batchnorm.forward(GAMMA_2_BETA_10, BatchNormState(f32([0]), f32([1])), Z)
    dZ, grad = batchnorm.backward(f32([1, 0, 0, 2]), cache)
    # dX = 2, 0, 0, 4 with mean 1.5, and 0.5 with X: (dX - 1.5 - 0.5 X) / 2
    np.testing.assert_allclose(dZ, [[0.5, -0.5, -1, 1]], rtol=1e-5)
    np.testing.assert_allclose(grad.gamma, [[1]], rtol=1e-5)
    assert grad.beta.tolist() == [[3]]


def test_running_statistics_move_by_a_tenth_with_the_biased_variance() -> None:
    _, state, _ = batchnorm.forward(GAMMA_2_BETA_10, BatchNormState(f32([10]), f32([1])), Z)
    np.testing.assert_allclose(state.mean, [[0.9 * 10 + 0.1 * 2]], rtol=1e-6)
    np.testing.assert_allclose(state.var, [[0.9 * 1 + 0.1 * 4]], rtol=1e-6)


def test_running_statistics_converge_and_then_predict_is_forward() -> None:
    Z = jax.random.normal(jax.random.key(5), (3, 50)) * 3 + 7
    params, state = batchnorm.init(3, jnp.dtype(jnp.float32))
    forward = jax.jit(batchnorm.forward)
    for _ in range(200):
        Y, state, _ = forward(params, state, Z)
    np.testing.assert_allclose(state.mean[:, 0], np.mean(Z, axis=1), rtol=1e-5)
    np.testing.assert_allclose(state.var[:, 0], np.var(Z, axis=1), rtol=1e-5)
    np.testing.assert_allclose(batchnorm.predict(params, state, Z), Y, atol=1e-5)


def test_batch_norm_predicts_each_example_alone_by_the_running_statistics() -> None:
    state = BatchNormState(f32([1]), f32([4]))
    Y = batchnorm.predict(GAMMA_2_BETA_10, state, f32([1, 3, -5]))
    np.testing.assert_allclose(Y, [[10, 12, 4]], rtol=1e-5)
    # A variance of 8e-5 is 9e-5 with eps.
    Y = batchnorm.predict(GAMMA_2_BETA_10, BatchNormState(f32([1]), f32([8e-5])), f32([4]))
    np.testing.assert_allclose(Y, [[10 + 2 * 3 / 9e-5**0.5]], rtol=1e-5)


def test_batch_norm_starts_with_scale_1_shift_0_mean_0_variance_1() -> None:
    params, state = batchnorm.init(2, jnp.dtype(jnp.float32))
    assert [leaf.tolist() for leaf in (*params, *state)] == [
        [[1], [1]],
        [[0], [0]],
        [[0], [0]],
        [[1], [1]],
    ]


def test_a_constant_unit_is_normalised_to_its_shift() -> None:
    params, state = batchnorm.init(1, jnp.dtype(jnp.float32))
    Y, _, cache = batchnorm.forward(params, state, f32([5, 5, 5]))
    dZ, _ = batchnorm.backward(f32([1, 1, 1]), cache)
    assert (Y.tolist(), dZ.tolist()) == ([[0, 0, 0]], [[0, 0, 0]])


# Cost

LN_3 = float(np.log(3))


def test_cost_is_hand_computed() -> None:
    # Probabilities 1/4 and 3/4 in the first column, 3/4 and 1/4 in the second.
    value, cache = cost.forward(f32([0, LN_3], [LN_3, 0]), jnp.array([0, 0]))
    np.testing.assert_allclose(value, (np.log(4) + np.log(4 / 3)) / 2, rtol=1e-6)
    dlogits = cost.backward(1.0, cache)
    np.testing.assert_allclose(dlogits, [[-3 / 8, -1 / 8], [3 / 8, 1 / 8]], rtol=1e-6)
    np.testing.assert_allclose(cost.backward(4.0, cache), 4 * dlogits, rtol=1e-6)


@pytest.mark.parametrize("logit", [0.0, 7.0, 1000.0, -1000.0])
def test_uniform_logits_cost_the_logarithm_of_the_classes(logit: float) -> None:
    value, _ = cost.forward(jnp.full((10, 4), logit), jnp.array([0, 3, 5, 9]))
    rounding = np.spacing(np.float32(abs(logit)))  # of the sum of a logit and ln 10
    np.testing.assert_allclose(value, np.log(10), rtol=1e-6, atol=rounding)


def test_logits_of_a_thousand_do_not_overflow() -> None:
    costs, cache = cost.per_example(f32([1000, 1000], [0, 0]), jnp.array([0, 1]))
    assert costs.tolist() == [0, 1000]
    assert cost.backward(1.0, cache).tolist() == [[0, 0.5], [0, -0.5]]


def test_cost_is_the_log_loss_of_scikit_learn() -> None:
    with jax.enable_x64(True):
        logits = 3 * jax.random.normal(jax.random.key(6), (50, 4), jnp.float64)
        labels = np.arange(50) % 4
        value, _ = cost.forward(logits.T, jnp.asarray(labels))
        expected = log_loss(labels, jax.nn.softmax(logits), labels=range(4))
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_one_hot_columns_have_a_one_at_the_label() -> None:
    columns = cost.one_hot(jnp.array([2, 0, 1]), 3, jnp.dtype(jnp.float32))
    assert columns.dtype == jnp.float32
    assert columns.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


# Gradients

SHAPES = ((3, 6), (4, 6), (4, 1), (4, 3))
DRAWN: list[Any] = [np.random.default_rng(7).standard_normal(shape) for shape in SHAPES]
IN, OUT, COLUMN, WEIGHTS = DRAWN
LABELS = np.arange(6) % 4


def batch_norm(params: BatchNormParams, Z: Array) -> tuple[Array, Any]:
    Y, _, cache = batchnorm.forward(params, batchnorm.init(4, Z.dtype)[1], Z)
    return Y, cache


# forward of its inputs, backward to all their gradients, the inputs, dout
Layer = tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...], Any]
LAYERS: dict[str, Layer] = {
    "dense": (
        dense.forward,
        lambda dZ, cache: dense.backward(dZ, cache)[::-1],
        (DenseParams(WEIGHTS, COLUMN), IN),
        OUT,
    ),
    "dense without bias": (
        dense.forward,
        lambda dZ, cache: dense.backward(dZ, cache)[::-1],
        (DenseParams(WEIGHTS, None), IN),
        OUT,
    ),
    "relu": (relu.forward, lambda dA, cache: (relu.backward(dA, cache),), (IN,), 2 * IN),
    "dropout": (
        lambda A: dropout.forward(A, jax.random.key(8), jnp.asarray(0.3, A.dtype)),
        lambda dD, cache: (dropout.backward(dD, cache),),
        (OUT,),
        3 * OUT,
    ),
    "batch norm": (
        batch_norm,
        lambda dY, cache: batchnorm.backward(dY, cache)[::-1],
        (BatchNormParams(COLUMN, 2 * COLUMN), 5 * OUT + 1),
        np.sin(OUT),
    ),
    "cost": (
        lambda logits: cost.forward(logits, jnp.asarray(LABELS)),
        lambda dcost, cache: (cost.backward(dcost, cache),),
        (OUT,),
        np.float64(1.7),
    ),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_backward_is_the_derivative_of_forward(layer: str) -> None:
    forward, backward, inputs, dout = LAYERS[layer]

    @jax.jit
    def gradients(inputs: Any, dout: Array) -> Any:
        _, vjp, cache = jax.vjp(forward, *inputs, has_aux=True)
        return backward(dout, cache), vjp(dout)

    with jax.enable_x64(True):
        by_hand, expected = gradients(inputs, dout)
    assert {leaf.dtype for leaf in jax.tree.leaves(by_hand)} == {np.dtype(np.float64)}
    errors = gradient_errors(by_hand, expected)
    assert max(errors.values()) <= 1e-9, errors
