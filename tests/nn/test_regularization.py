"""L2, decay, clipping, max-norm, options of the cost: by hand, and beside other libraries."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_equal_bits
from jax import Array
from sklearn.utils.class_weight import compute_class_weight

from jmlp.nn import clipping, cost, l2, max_norm, model, weight_decay
from jmlp.nn.batchnorm import BatchNormParams
from jmlp.nn.dense import DenseParams
from jmlp.nn.gradient import CostOptions, gradient
from jmlp.nn.model import Layer, Params
from jmlp.nn.optimizers import OPTIMIZERS
from jmlp.study.config import Hyperparams


def f32(*rows: Any) -> Array:
    return jnp.array(rows, jnp.float32)


ONES = BatchNormParams(f32([1], [1]), f32([1], [1]))
# Two hidden units with weights of the norms 5 and 1; an output.
PARAMS: Params = (
    Layer(DenseParams(f32([3, 4], [0, 1]), None), ONES),
    Layer(DenseParams(f32([6, 8]), f32([2])), None),
)
GRADS: Params = jax.tree.map(jnp.ones_like, PARAMS)


def weights(params: Params) -> list[Any]:
    return [layer.dense.W.tolist() for layer in params]


def assert_only_weights_changed(params: Params) -> None:
    assert_equal_bits(params[0].batchnorm, PARAMS[0].batchnorm)
    assert_equal_bits(params[1].dense.b, PARAMS[1].dense.b)


def test_l2_is_hand_computed_and_for_weights_alone() -> None:
    assert float(l2.penalty(PARAMS, 0.5)) == 0.25 * (9 + 16 + 1 + 36 + 64)
    grads = l2.add_gradient(GRADS, PARAMS, 0.5)
    assert weights(grads) == [[[2.5, 3], [1, 1.5]], [[4, 5]]]
    assert_equal_bits(grads[0].batchnorm, GRADS[0].batchnorm)
    assert_equal_bits(grads[1].dense.b, GRADS[1].dense.b)


def test_gradient_of_l2_is_that_of_its_penalty() -> None:
    none = jax.tree.map(jnp.zeros_like, PARAMS)
    expected = jax.grad(lambda p: l2.penalty(p, 0.3))(PARAMS)
    assert_equal_bits(l2.add_gradient(none, PARAMS, jnp.float32(0.3)), expected)


def test_decay_is_hand_computed_and_for_weights_alone() -> None:
    decayed = weight_decay.decay(PARAMS, 0.5, 0.5)
    assert weights(decayed) == [[[2.25, 3], [0, 0.75]], [[4.5, 6]]]
    assert_only_weights_changed(decayed)


def test_decay_before_adam_is_adamw_of_optax() -> None:
    is_weight = jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path).endswith(".W"), PARAMS
    )
    theirs = optax.adamw(0.01, weight_decay=0.1, mask=is_weight)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        start: Params = jax.tree.map(lambda a: a.astype(jnp.float64), PARAMS)
        ours, expected = start, start
        state, their_state = OPTIMIZERS["adamw"].init(start), theirs.init(start)
        for step in range(5):
            grads = jax.tree.map(lambda p, t=step: jnp.sin(p + t), start)
            decayed = weight_decay.decay(ours, 0.01, 0.1)
            ours, state = OPTIMIZERS["adamw"].update(decayed, grads, state, 0.01, 0.0)
            updates, their_state = theirs.update(grads, their_state, expected)
            expected = optax.apply_updates(expected, updates)
    for leaf, wanted in zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, wanted, rtol=1e-12)


def test_a_long_gradient_is_scaled_to_the_norm_and_a_short_one_stays() -> None:
    grads = (Layer(DenseParams(f32([3, 0]), f32([4])), None),)  # of norm 5 over all parameters
    (clipped,) = clipping.clip(grads, 1.0)
    np.testing.assert_allclose(clipped.dense.W, [[0.6, 0]], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(clipped.dense.b), [[0.8]], rtol=1e-6)
    assert_equal_bits(clipping.clip(GRADS, 100.0), GRADS)
    zero = jax.tree.map(jnp.zeros_like, GRADS)
    assert_equal_bits(clipping.clip(zero, 1.0), zero)


def test_clipping_is_that_of_optax() -> None:
    theirs = optax.clip_by_global_norm(0.7)
    expected: Any = theirs.update(GRADS, theirs.init(GRADS))[0]
    for leaf, wanted in zip(
        jax.tree.leaves(clipping.clip(GRADS, 0.7)), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(leaf, wanted, rtol=1e-6)


@pytest.mark.parametrize("bad", [1e30, np.inf, np.nan])
def test_a_norm_that_is_no_number_is_not_hidden(bad: float) -> None:
    grads = jax.tree.map(lambda g: g * jnp.float32(bad), GRADS)
    assert not any(np.isfinite(leaf).any() for leaf in jax.tree.leaves(clipping.clip(grads, 1.0)))


def test_max_norm_limits_each_hidden_unit_and_not_the_output() -> None:
    limited = max_norm.constrain(PARAMS, 2.5)
    np.testing.assert_allclose(limited[0].dense.W, [[1.5, 2.0], [0.0, 1.0]], rtol=1e-6)
    assert weights(limited)[1] == [[6, 8]]
    assert_only_weights_changed(limited)
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    assert_equal_bits(max_norm.constrain(zero, 2.5), zero)


# The cost

LOGITS = jnp.log(jnp.array([[1.0, 2, 4], [1, 2, 2], [2, 4, 2]]))  # exp: columns sum to 4, 8, 8
LABELS = jnp.array([0, 2, 0])


def test_label_smoothing_is_hand_computed() -> None:
    # T = 0.7 one-hot + 0.1; -log p of the classes: 4, 4, 2; 4, 4, 2; 2, 4, 4.
    log = np.log([[4, 4, 2], [4, 4, 2], [2, 4, 4]])
    expected = np.mean(np.sum(log * [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]], axis=1))
    value, cache = cost.forward(LOGITS, LABELS, 0.3)
    assert float(value) == pytest.approx(float(expected))
    np.testing.assert_allclose(
        cost.backward(1.0, cache),
        np.array([[-0.55, 0.15, -0.3], [0.15, 0.15, 0.15], [0.4, -0.3, 0.15]]) / 3,
        rtol=1e-5,
        atol=1e-7,
    )


def test_label_smoothing_is_that_of_optax() -> None:
    smooth = optax.smooth_labels(jax.nn.one_hot(LABELS, 3), 0.3)
    expected = optax.softmax_cross_entropy(LOGITS.T, smooth).mean()
    np.testing.assert_allclose(cost.forward(LOGITS, LABELS, 0.3)[0], expected, rtol=1e-6)


def test_class_weights_multiply_each_example_and_its_derivative() -> None:
    class_weights = f32(2, 1, 0.5)
    value, cache = cost.forward(LOGITS, LABELS, None, class_weights)
    assert float(value) == pytest.approx((2 * np.log(4) + 0.5 * np.log(2) + 2 * np.log(2)) / 3)
    _, plain = cost.forward(LOGITS, LABELS)
    np.testing.assert_allclose(
        cost.backward(1.0, cache), cost.backward(1.0, plain) * f32(2, 0.5, 2), rtol=1e-6
    )


@pytest.mark.parametrize("smoothing", [None, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_derivative_of_the_cost_is_that_of_jax(smoothing: float | None, weighted: bool) -> None:
    with jax.enable_x64(True):
        logits = jnp.sin(jnp.arange(12.0)).reshape(3, 4)
        labels = jnp.array([0, 2, 1, 1], jnp.int32)
        class_weights = jnp.array([0.5, 2.0, 3.0]) if weighted else None

        def value(logits: Array) -> Array:
            return cost.forward(logits, labels, smoothing, class_weights)[0]

        expected = jax.grad(value)(logits)
        found = cost.backward(1.0, cost.forward(logits, labels, smoothing, class_weights)[1])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-16)


def test_without_smoothing_and_weights_the_cost_keeps_its_bits() -> None:
    costs, cache = cost.per_example(LOGITS, LABELS)
    found, same = cost.forward(LOGITS, LABELS)
    assert_equal_bits((found, same), (jnp.mean(costs), cache))


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    y = np.repeat([0, 1, 2], [7, 2, 1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    found = cost.balanced_weights(np.bincount(y))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.tolist() == pytest.approx([10 / 21, 10 / 6, 10 / 3])
    assert float(np.mean(found[y])) == pytest.approx(1)
    assert cost.balanced_weights(np.array([3, 0, 1])).tolist() == pytest.approx([2 / 3, 0, 2])


# Dropout of inputs


def test_dropped_inputs_are_zero_the_others_scaled_up_and_hidden_units_stay() -> None:
    params, state = model.init(Hyperparams(hidden=(4,)), 50, 3, jax.random.key(0))
    x = jnp.ones((30, 50))
    _, _, caches = model.forward(params, state, x, jax.random.key(1), None, 0.2)
    A = np.asarray(caches[0].dense.A)
    assert set(np.unique(A)) == {0, np.float32(1.25)}
    assert abs(np.mean(A == 0) - 0.2) < 5 * 0.4 / A.size**0.5  # five standard errors
    assert caches[0].dropout is None
    _, _, both = model.forward(params, state, x, jax.random.key(1), 0.5, 0.2)
    assert_equal_bits(both[0].dense.A, caches[0].dense.A)
    assert both[0].dropout is not None


def test_gradient_with_dropped_inputs_is_that_of_jax() -> None:
    with jax.enable_x64(True):
        params, state = model.init(
            Hyperparams(hidden=(4,), activation="tanh"), 5, 3, jax.random.key(0), jnp.float64
        )
        x, y = jnp.cos(jnp.arange(40.0)).reshape(8, 5), jnp.arange(8, dtype=jnp.int32) % 3
        key = jax.random.key(2)
        rates = np.float64(0.3), np.float64(0.4)

        def value(params: Params) -> Array:
            return cost.forward(model.forward(params, state, x, key, *rates)[0], y)[0]

        _, grads, _ = gradient(params, state, x, y, key, CostOptions(*rates))
        expected = jax.grad(value)(params)
    for leaf, wanted in zip(jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, wanted, rtol=1e-12, atol=1e-16)
