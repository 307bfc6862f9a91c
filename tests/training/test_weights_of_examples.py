"""Weights of examples in the cost: laws that hold whatever the network is."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmlp
from jmlp.data.arrays import own_dataset
from jmlp.errors import DataError
from jmlp.nn import cost, model
from jmlp.nn.gradient import CostOptions, gradient
from jmlp.training import blocks
from jmlp.training.plan import GRADIENT_BLOCK

HP = jmlp.Hyperparams(hidden=(6, 5))
RNG = np.random.default_rng(5)
PARAMS, STATE = model.init(HP, 7, 3, jax.random.key(1))
X = jnp.asarray(RNG.normal(size=(12, 7)), jnp.float32)
Y = jnp.asarray(RNG.integers(0, 3, 12), jnp.int32)
OPTIONS = CostOptions(label_smoothing=0.1, class_weights=jnp.array([1.0, 0.5, 2.0]))


def close(found: Any, wanted: Any) -> None:
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_a_weight_of_n_is_n_times_the_same_example() -> None:
    times = np.array([0, 1, 2, 3] * 3)
    found, grads, _ = gradient(
        PARAMS, STATE, X, Y, None, OPTIONS, weights=jnp.asarray(times, jnp.float32)
    )
    rows = np.repeat(np.arange(12), times)
    wanted, grads_of_rows, _ = gradient(PARAMS, STATE, X[rows], Y[rows], None, OPTIONS)
    scale = len(rows) / 12
    close(found, wanted * scale)
    close(grads, jax.tree.map(lambda leaf: leaf * scale, grads_of_rows))


def test_the_gradient_with_weights_is_that_of_autodiff() -> None:
    weights = jnp.asarray(RNG.uniform(0, 2, 12), jnp.float32)

    def of(params: Any) -> Any:
        logits, _, _ = model.forward(params, STATE, X, None, 0.0)
        return cost.forward(logits, Y, 0.1, OPTIONS.class_weights, None, weights)[0]

    found, grads, _ = gradient(PARAMS, STATE, X, Y, None, OPTIONS, weights=weights)
    close((found, grads), jax.value_and_grad(of)(PARAMS))


def test_blocks_of_a_large_mini_batch_have_their_own_weights() -> None:
    n = 2 * GRADIENT_BLOCK + 3
    x = jnp.asarray(RNG.normal(size=(n, 7)), jnp.float32)
    y = jnp.asarray(RNG.integers(0, 3, n), jnp.int32)
    weights = jnp.asarray(RNG.uniform(0, 2, n), jnp.float32)
    found = blocks.gradient(PARAMS, STATE, x, y, None, CostOptions(), weights=weights)
    close(found, gradient(PARAMS, STATE, x, y, None, CostOptions(), weights=weights))


# ---- fit

HP_FIT = jmlp.Hyperparams(hidden=(8,), epochs=8, batch_size=32, learning_rate=0.2, patience=None)


def clouds(n: int = 400) -> tuple[Any, Any]:
    """Two clouds of points that overlap."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    return rng.normal(y[:, None] * 0.8, 1, (n, 2)), y


def test_the_class_whose_examples_weigh_more_is_predicted_more_often() -> None:
    x, y = clouds()
    shares = [
        jmlp.fit(HP_FIT, x, y, weights=np.where(y == 1, factor, 1.0)).predict(x).mean()
        for factor in (0.1, 1, 10)
    ]
    assert shares[0] < 0.2 < shares[1] < 0.8 < shares[2]


def test_the_costs_of_evaluations_are_weighted_and_accuracies_are_not() -> None:
    x, y = clouds()
    weights = np.random.default_rng(1).uniform(0, 2, len(y))
    result = jmlp.fit(HP_FIT, x, y, weights=weights)
    dataset = own_dataset("fit", {"x_train": x, "y_train": y}, "fit")
    for part, rows in zip(("training", "validation"), dataset.split(0, 0.2), strict=True):
        p = result.network.predict_proba(x[rows])[np.arange(len(rows)), y[rows]]
        by_hand = np.average(-np.log(p), weights=weights[rows])
        assert getattr(result, f"{part}_cost") == pytest.approx(by_hand, rel=1e-5)
        share = np.mean(result.predict(x[rows]) == y[rows])
        assert getattr(result, f"{part}_accuracy") == pytest.approx(share)


def test_only_the_proportions_of_weights_count() -> None:
    x, y = clouds()
    weights = np.random.default_rng(1).uniform(0, 2, len(y))
    one, other = (jmlp.fit(HP_FIT, x, y, weights=weights * factor) for factor in (1, 4))
    assert one.run_id == other.run_id
    close(one.params, other.params)
    equal = jmlp.fit(HP_FIT, x, y, weights=np.full(len(y), 3.0))
    plain = jmlp.fit(HP_FIT, x, y)
    assert equal.run_id != plain.run_id
    np.testing.assert_allclose(equal.params[0].dense.W, plain.params[0].dense.W, atol=1e-5)


def test_separate_validation_examples_have_the_weight_1() -> None:
    x, y = clouds()
    result = jmlp.fit(HP_FIT, x[:300], y[:300], validation=(x[300:], y[300:]), weights=np.ones(300))
    plain = jmlp.fit(HP_FIT, x[:300], y[:300], validation=(x[300:], y[300:]))
    assert result.validation_cost == pytest.approx(plain.validation_cost, abs=1e-5)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        (np.ones(3), r"weights: shape \(3,\); must be \(400,\), one per example of x"),
        (np.ones((400, 1)), r"shape \(400, 1\); must be \(400,\)"),
        (np.full(400, -1.0), "must be finite numbers from 0"),
        (np.full(400, np.nan), "must be finite numbers from 0"),
        (np.zeros(400), "all examples of the training part have weight 0"),
        (["heavy"] * 400, "fit: weights: type <U5; must be numbers"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        jmlp.fit(HP_FIT, *clouds(), weights=weights)


def test_rows_that_were_dropped_leave_their_weights_unclear() -> None:
    frame = {"a": [1.0, None, 3.0, 4.0] * 10, "b": [0.5, 2.0] * 20}
    with pytest.raises(DataError, match="10 rows with missing values were dropped"):
        jmlp.fit(HP_FIT, frame, [0, 1] * 20, missing="drop", weights=np.ones(30))
