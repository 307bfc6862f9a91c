"""Optimisers: two updates by hand, and twenty beside those of optax."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jmlp.nn.optimizers import OPTIMIZERS, learning_rate
from jmlp.nn.schedules import scheduled

RATE, MOMENTUM = 0.1, 0.5
# The gradients 1, then 2. Adam's first update is its learning rate; at the second, m = 0.29 and
# v = 0.004999, over 0.19 and 0.001999.
BY_HAND = {
    "sgd": [0.9, 0.7],
    "momentum": [0.9, 0.65],
    "nesterov": [1 - 0.1 * 1.5, 0.85 - 0.1 * (2 + 0.5 * 2.5)],
    "adam": [0.9, 0.9 - 0.1 * (0.29 / 0.19) / (0.004999 / 0.001999) ** 0.5],
}
BY_HAND["adamw"] = BY_HAND["adam"]  # its decay is `weight_decay.decay`


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_two_updates_are_hand_computed(name: str) -> None:
    optimizer = OPTIMIZERS[name]
    params = jnp.array([1.0])
    state = optimizer.init(params)
    for gradient, expected in zip([1.0, 2.0], BY_HAND[name], strict=True):
        grads = jnp.array([gradient])
        params, state = optimizer.update(params, grads, state, RATE, MOMENTUM)
        np.testing.assert_allclose(params, [expected], rtol=1e-5)


def test_a_linear_schedule_falls_from_the_learning_rate_to_0_over_the_epochs() -> None:
    rates = [float(learning_rate("linear", 0.8, step, 2, 4)) for step in range(1, 10)]
    np.testing.assert_allclose(rates, [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0], rtol=1e-6)


def test_a_constant_schedule_does_not_touch_the_learning_rate() -> None:
    assert [learning_rate("constant", 0.3, step, 2, 4) for step in (1, 8)] == [0.3, 0.3]


def test_a_cosine_falls_slowly_at_both_ends() -> None:
    rates = [float(learning_rate("cosine", 0.8, step, 2, 3)) for step in range(1, 8)]
    expected = [0.8, 0.4 * (1 + 0.75**0.5), 0.6, 0.4, 0.2, 0.4 * (1 - 0.75**0.5), 0]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]),
        ("linear", [0.2, 0.4, 0.6, 0.8, 0.8, 0.6, 0.4, 0.2, 0]),
        ("cosine", [0.2, 0.4, 0.6, 0.8, 0.8, 0.4 + 0.4 * 0.5**0.5, 0.4, 0.4 - 0.4 * 0.5**0.5, 0]),
    ],
)
def test_a_warm_up_rises_to_the_learning_rate_and_then_the_schedule_begins(
    schedule: str, expected: list[float]
) -> None:
    rates = [float(learning_rate(schedule, 0.8, step, 2, 4, 2.0)) for step in range(1, 10)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_warm_up_of_all_epochs_is_finite_and_one_of_less_than_an_update_changes_nothing(
    schedule: str,
) -> None:
    rates = [float(learning_rate(schedule, 0.8, step, 2, 2, 2.0)) for step in range(1, 5)]
    np.testing.assert_allclose(rates, [0.2, 0.4, 0.6, 0.8], rtol=1e-6)
    assert learning_rate(schedule, 0.8, 1, 2, 2, 0.1) == pytest.approx(0.8)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [None, 1.5])
def test_the_learning_rate_that_the_app_shows_is_that_of_the_training_program(
    schedule: str, warmup: float | None
) -> None:
    for step in (1, 2, 11, 21):
        ours = scheduled(schedule, 0.3, step - 1, 7, 3, warmup)
        assert isinstance(ours, float)
        traced = None if warmup is None else jnp.float32(warmup)
        of_program = learning_rate(
            schedule, jnp.float32(0.3), jnp.int32(step), 7, jnp.int32(3), traced
        )
        np.testing.assert_allclose(of_program, ours, rtol=1e-5, atol=1e-8)


def test_warm_up_and_cosine_are_those_of_optax() -> None:
    decay = optax.cosine_decay_schedule(0.3, 2 * 7)
    theirs = optax.join_schedules([optax.linear_schedule(0.3 / 7, 0.3, 6), decay], [7])
    for step in range(1, 22):
        ours = learning_rate("cosine", 0.3, jnp.int32(step), 7, jnp.int32(3), jnp.float32(1))
        np.testing.assert_allclose(ours, theirs(step - 1), rtol=1e-5, atol=1e-8)


def test_a_linear_schedule_is_that_of_optax() -> None:
    theirs = optax.linear_schedule(0.3, 0, 3 * 7)
    for step in range(1, 22):
        ours = learning_rate("linear", 0.3, jnp.int32(step), 7, jnp.int32(3))
        np.testing.assert_allclose(ours, theirs(step - 1), rtol=1e-6)


OPTAX = {
    "sgd": optax.sgd(0.01),
    "momentum": optax.sgd(0.01, momentum=0.8),
    "nesterov": optax.sgd(0.01, momentum=0.8, nesterov=True),
    "adam": optax.adam(0.01),
    "adamw": optax.adam(0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_updates_are_those_of_optax(name: str) -> None:
    def many(tree: Any, key: jax.Array) -> tuple[Any, Any]:
        ours, state = tree, OPTIMIZERS[name].init(tree)
        theirs, their_state = tree, OPTAX[name].init(tree)

        def update(step: jax.Array, carry: Any) -> Any:
            ours, state, theirs, their_state = carry
            grads = jax.tree.map(
                lambda p: jax.random.normal(jax.random.fold_in(key, step), p.shape, p.dtype), tree
            )
            ours, state = OPTIMIZERS[name].update(ours, grads, state, 0.01, 0.8)
            updates, their_state = OPTAX[name].update(grads, their_state, theirs)
            return ours, state, optax.apply_updates(theirs, updates), their_state

        ours, _, theirs, _ = jax.lax.fori_loop(0, 20, update, (ours, state, theirs, their_state))
        return ours, theirs

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # optax mixes types
        tree = {"W": jnp.linspace(-1, 1, 12).reshape(3, 4), "b": jnp.zeros((3, 1))}
        ours, theirs = jax.jit(many)(tree, jax.random.key(0))
    for leaf, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=1e-12)
