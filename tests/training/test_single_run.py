"""One run: a step, an evaluation, early stopping, randomness, and what a network can learn."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import N_CLASSES, N_IN, SMALL, SMALL_DATA, assert_equal_bits, leaves
from jax import Array

from jmlp.nn import cost, model
from jmlp.nn.dense import DenseParams
from jmlp.nn.gradient import CostOptions
from jmlp.nn.model import Layer
from jmlp.study.config import Hyperparams
from jmlp.training import blocks, single_run
from jmlp.training.blocks import Data
from jmlp.training.program import root_key, stack_hyperparams
from jmlp.training.single_run import Evaluation, Measurement, TrainState

NORMALISED = replace(SMALL, batch_norm=True, optimizer="adam", drop_rate=0.3)
X, Y = jnp.asarray(SMALL_DATA.x_train[:16]), jnp.asarray(SMALL_DATA.y_train[:16])


def lane(hp: Hyperparams) -> Hyperparams:
    """Hyperparameters of one lane of a program."""
    stacked: Hyperparams = jax.tree.map(lambda a: jnp.asarray(a[0]), stack_hyperparams([hp]))
    return stacked


def key(seed: int) -> Array:
    wrapped: Array = jax.random.wrap_key_data(jnp.asarray(root_key(seed)), impl="threefry2x32")
    return wrapped


def start(hp: Hyperparams = SMALL, seed: int = 0) -> TrainState:
    return single_run.init(hp, N_IN, N_CLASSES, key(seed))


train_step = jax.jit(single_run.train_step, static_argnames="n_steps")


def step(hp: Hyperparams, state: TrainState, number: int, x: Array = X) -> TrainState:
    dropout_key = single_run.dropout_key(key(0), jnp.int32(number))
    new: TrainState = train_step(state, lane(hp), x, Y, dropout_key, jnp.int32(number), n_steps=13)
    return new


# A step


def test_a_step_moves_parameters_against_the_gradient_by_the_learning_rate() -> None:
    state = start()
    new = step(SMALL, state, 1)
    logits, _, caches = model.forward(state.params, state.bn_state, X, None, 0.0)
    value, cost_cache = cost.forward(logits, Y)
    grads = model.backward(cost.backward(1.0, cost_cache), caches)
    moved = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, grads)
    for name, leaf in leaves(new.params).items():
        np.testing.assert_allclose(leaf, leaves(moved)[name], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(new.batch_costs, value, rtol=1e-6)
    np.testing.assert_allclose(
        step(SMALL, new, 2).batch_costs - new.batch_costs,
        cost.forward(model.forward(new.params, new.bn_state, X, None, 0.0)[0], Y)[0],
        rtol=1e-5,
    )


def test_a_step_of_a_lane_that_has_stopped_changes_nothing() -> None:
    state = step(NORMALISED, start(NORMALISED), 1)._replace(active=jnp.array(False))
    assert_equal_bits(step(NORMALISED, state, 2), state)


@pytest.mark.parametrize("where", ["update", "cost"])
def test_an_update_that_is_not_finite_is_not_made_and_its_number_is_kept(where: str) -> None:
    before = step(NORMALISED, start(NORMALISED), 1)
    hp = replace(NORMALISED, learning_rate=1e39) if where == "update" else NORMALISED
    x = X.astype(jnp.float32) * (jnp.nan if where == "cost" else 1)
    after = step(hp, before, 2, x)
    expected = before._replace(active=jnp.array(False), diverged_at=jnp.int32(2))
    assert_equal_bits(after, expected)
    assert_equal_bits(step(NORMALISED, after, 3), expected)


# A mini-batch in parts

BLOCK = 128


@pytest.mark.parametrize("n", [1, 127, 128, 129, 200, 256, 300])
def test_the_gradient_of_a_mini_batch_in_parts_is_that_of_the_whole(n: int) -> None:
    state = start(seed=2)
    # No sum is exactly 0, where jax.grad takes half a step for ReLU.
    params = jax.tree.map(lambda leaf: leaf + jnp.float32(0.01), state.params)
    x = jnp.asarray(np.resize(SMALL_DATA.x_train, (n, N_IN)))
    y = jnp.asarray(np.resize(SMALL_DATA.y_train, n))

    def mean_cost(params: Any) -> Array:
        return cost.forward(model.forward(params, state.bn_state, x, None, 0.0)[0], y)[0]

    value, expected = jax.value_and_grad(mean_cost)(params)
    found, grads, _ = blocks.gradient(params, state.bn_state, x, y, None, CostOptions())
    np.testing.assert_allclose(found, value, rtol=1e-5)
    for name, leaf in leaves(grads).items():
        np.testing.assert_allclose(leaf, leaves(expected)[name], rtol=1e-4, atol=1e-6)


def test_each_part_of_a_mini_batch_drops_its_own_units() -> None:
    state = start()
    x, y = jnp.tile(X, (16, 1)), jnp.tile(Y, 16)  # two equal parts
    step_key = single_run.dropout_key(key(0), jnp.int32(1))
    parts = [
        blocks.gradient(
            state.params,
            state.bn_state,
            x[:BLOCK],
            y[:BLOCK],
            jax.random.fold_in(step_key, number),
            CostOptions(0.5),
        )[:2]
        for number in range(2)
    ]
    found = blocks.gradient(state.params, state.bn_state, x, y, step_key, CostOptions(0.5))[:2]
    expected = leaves(jax.tree.map(lambda a, b: (a + b) / 2, *parts))
    for name, leaf in leaves(found).items():
        np.testing.assert_allclose(leaf, expected[name], rtol=1e-5, atol=1e-7)
    assert parts[0][0] != parts[1][0]


def test_batch_norm_takes_the_statistics_of_all_examples() -> None:
    state = start(NORMALISED)
    x, y = jnp.asarray(SMALL_DATA.x_train), jnp.asarray(SMALL_DATA.y_train)
    assert len(y) > BLOCK
    _, expected, _ = model.forward(state.params, state.bn_state, x, None, 0.0)
    _, _, found = blocks.gradient(state.params, state.bn_state, x, y, None, CostOptions())
    assert_equal_bits(found, expected)


# Evaluation

# Without inputs that count and with two classes, a bias decides the validation cost.
JUDGED = Hyperparams(hidden=(1,), patience=2, epochs=50)
ROWS = jnp.arange(2), jnp.arange(2, 5)  # training part, validation part
LABELS_0 = Data(jnp.zeros((5, 1)), jnp.zeros(5, jnp.int32))


@jax.jit
def judge(hp: Hyperparams, state: TrainState, number: Array) -> Any:
    """State and measurement after an evaluation on `LABELS_0`; there is one every 10 updates."""
    training, validation = (
        single_run.evaluate(state.params, state.bn_state, LABELS_0, rows) for rows in ROWS
    )
    return single_run.early_stopping(state, hp, training, validation, number, hp.epochs, 10)


def with_cost(state: TrainState, value: float) -> TrainState:
    """The same lane with parameters whose cost on label 0 is `value`: log(1 + exp(-bias))."""
    bias = -np.log(np.expm1(value)) if np.isfinite(value) else np.nan
    last = Layer(DenseParams(jnp.zeros((2, 1)), jnp.array([[bias], [0]], jnp.float32)), None)
    return state._replace(params=(state.params[0], last))


def judged(
    costs: Sequence[float], **hyperparams: Any
) -> tuple[TrainState, list[Measurement], TrainState]:
    """A lane whose evaluations cost that much, from evaluation 0 on, until it stops."""
    hp = replace(JUDGED, **hyperparams)
    best = state = single_run.init(hp, 1, 2, key(0))
    measurements = []
    for number, value in enumerate(costs):
        state = with_cost(state, value)
        state, measured = judge(lane(hp), state, jnp.int32(number))
        best = state if state.best_evaluation == number else best
        measurements.append(measured)
        if not state.active:
            break
    return state, measurements, best


# costs, hyperparameters, the evaluation of the stop, the best one
STOPS: dict[str, tuple[list[float], dict[str, Any], int, int]] = {
    "patience 1 stops at the first that is no best": ([3, 2, 2.5, 1], {"patience": 1}, 2, 1),
    "patience 2 bridges one": ([3, 2, 2.5, 1, 1.5, 1.2, 0.5], {}, 5, 3),
    "patience 3 bridges two": ([3, 2, 2.5, 2.1, 1, 2, 2, 2], {"patience": 3}, 7, 4),
    "an equal cost is no fall": ([3, 2, 2, 2, 1], {}, 3, 1),
    "evaluation 0 counts as the first best": ([1, 2, 2, 0.5], {}, 2, 0),
    "the limit stops what still falls": ([8, 7, 6, 5], {"epochs": 3}, 3, 3),
    "falls below min_delta are no better ones": ([4, 3, 2.75, 2.6, 1], {"min_delta": 0.5}, 3, 1),
    "falls add up since the best one": ([4, 3.6, 3.1, 2.9, 2.7], {"min_delta": 0.5}, 4, 2),
    "no patience goes to the limit": (
        [1, 9, 9, 9, 9, 9, 9, 9],
        {"patience": None, "epochs": 7},
        7,
        0,
    ),
}


@pytest.mark.parametrize("case", STOPS)
def test_early_stopping(case: str) -> None:
    costs, hyperparams, stopped, best = STOPS[case]
    state, measurements, at_best = judged(costs, **hyperparams)
    assert (len(measurements) - 1, int(state.last_evaluation)) == (stopped, stopped)
    assert [bool(m.active) for m in measurements] == [True] * stopped + [False]
    assert all(m.counted for m in measurements)
    assert (int(state.best_evaluation), int(state.diverged_at)) == (best, -1)
    np.testing.assert_allclose(state.best_cost, costs[best], rtol=1e-6)
    assert_equal_bits(state.best_params, at_best.params)


def test_a_cost_lower_by_exactly_min_delta_is_no_better_one() -> None:
    hp = lane(replace(JUDGED, min_delta=0.5))
    state = single_run.init(JUDGED, 1, 2, key(0))
    for number, (value, best) in enumerate(
        [(1.0, 0), (0.5, 0), (np.nextafter(np.float32(0.5), 0), 2)]
    ):
        evaluation = single_run.Evaluation(jnp.float32(value), jnp.int32(1), jnp.int32(1))
        state, _ = single_run.early_stopping(
            state, hp, evaluation, evaluation, jnp.int32(number), hp.epochs, 10
        )
        assert state.best_evaluation == best


def test_the_running_statistics_of_the_best_evaluation_are_kept_with_its_parameters() -> None:
    hp = replace(JUDGED, batch_norm=True)
    state = with_cost(single_run.init(hp, 1, 2, key(0)), 1)
    seen = []
    for number, value in enumerate([3, 2, 2.5]):
        moved = jax.tree.map(lambda s: s + 1, state.bn_state)
        state = with_cost(state, value)._replace(bn_state=moved)
        seen.append(moved)
        state, _ = judge(lane(hp), state, jnp.int32(number))
    assert_equal_bits(state.best_bn_state, seen[1])


def test_a_validation_cost_that_is_not_finite_is_divergence_at_the_last_update() -> None:
    state, measurements, best = judged([3, 2, float("nan")])
    assert [bool(m.counted) for m in measurements] == [True, True, False]
    assert (bool(state.active), int(state.diverged_at)) == (False, 20)
    assert (int(state.best_evaluation), int(state.last_evaluation)) == (1, 1)
    assert_equal_bits(state.best_params, best.params)


def test_evaluating_the_same_lane_again_changes_nothing() -> None:
    for costs in ([3.0, 2.0], [1.0, 2.0, 2.0]):  # in training, stopped
        state, _, _ = judged(costs)
        again, _ = judge(lane(JUDGED), state, jnp.int32(len(costs) - 1))
        assert_equal_bits(again, state)


def test_batch_cost_is_the_mean_over_the_steps_and_is_reset() -> None:
    state = single_run.init(JUDGED, 1, 2, key(0))._replace(batch_costs=jnp.float32(25))
    state, measured = judge(lane(JUDGED), state, jnp.int32(1))
    assert (float(measured.batch_cost), float(state.batch_costs)) == (2.5, 0)


@pytest.mark.parametrize("block", [4, 7, 10, 2000])
def test_evaluation_counts_every_row_once_for_any_block_size(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "EVALUATION_BLOCK", block)
    # With this seed the answer to row 0 is right: it fills up the last block and must not count.
    params, bn_state, *_ = start(seed=1)
    assert int(model.predict(params, bn_state, X)[0].argmax()) == SMALL_DATA.y_train[0]
    rows = np.arange(0, 40, 2)
    data = Data(jnp.asarray(SMALL_DATA.x_train), jnp.asarray(SMALL_DATA.y_train))
    found = single_run.evaluate(params, bn_state, data, jnp.asarray(rows, jnp.int32))
    assert_evaluation(found, params, bn_state, rows)


def assert_evaluation(found: Evaluation, params: Any, bn_state: Any, rows: Any) -> None:
    """By NumPy, from the logits of `predict`."""
    logits = np.asarray(model.predict(params, bn_state, jnp.asarray(SMALL_DATA.x_train[rows])))
    labels, answers = SMALL_DATA.y_train[rows], logits.argmax(axis=1)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(shares[np.arange(len(rows)), labels]).mean()
    np.testing.assert_allclose(found.cost, expected, rtol=1e-5)
    assert int(found.correct) == np.count_nonzero(answers == labels)
    assert int(found.top) == np.bincount(answers).max()


# Randomness

SEEDS = (0, 1, 2**32, 2**32 + 1, 2**63 - 1)


def test_every_seed_below_2_to_the_64_has_its_own_initial_weights_and_dropout() -> None:
    weights = {start(seed=seed).params[0].dense.W.tobytes() for seed in SEEDS}
    masks = {
        jax.random.key_data(single_run.dropout_key(key(s), jnp.int32(1))).tobytes() for s in SEEDS
    }
    assert (len(weights), len(masks)) == (5, 5)


def test_initial_weights_depend_on_the_seed_and_no_other_choice_of_training() -> None:
    others = replace(
        SMALL, learning_rate=1, drop_rate=0.5, momentum=0.1, epochs=9, patience=None, batch_size=7
    )
    assert_equal_bits(start(others).params, start().params)
    assert_equal_bits(start().params, start().best_params)


def test_each_step_has_its_own_dropout_and_none_shares_the_key_of_the_weights() -> None:
    keys = [single_run.dropout_key(key(0), jnp.int32(number)) for number in range(100)]
    keys += [jax.random.fold_in(key(0), single_run.INIT), key(0)]
    assert len({jax.random.key_data(k).tobytes() for k in keys}) == 102


def test_swept_hyperparameters_become_arrays_over_lanes() -> None:
    hps = [SMALL, replace(SMALL, patience=None, drop_rate=(0.1, 0.2), learning_rate=3.0)]
    stacked = stack_hyperparams(hps)
    assert stacked.hidden == (5, 4)
    assert_equal_bits(
        {name: getattr(stacked, name) for name in ("drop_rate", "learning_rate", "patience")},
        {
            "drop_rate": np.array([[0, 0], [0.1, 0.2]], np.float32),
            "learning_rate": np.array([0.1, 3], np.float32),
            "patience": np.array([2, 2**31 - 1], np.int32),
        },
    )


# What a network can learn


def learn(hp: Hyperparams, x: Array, y: Array, n_classes: int, steps: int) -> float:
    """The cost after so many updates on one mini-batch."""
    state = single_run.init(hp, x.shape[1], n_classes, key(0))

    @jax.jit
    def many(hp: Hyperparams, state: TrainState) -> TrainState:
        def one(step: Array, state: TrainState) -> TrainState:
            return single_run.train_step(state, hp, x, y, None, step, n_steps=1)

        end: TrainState = jax.lax.fori_loop(0, steps, one, state)
        return end

    state = many(lane(hp), state)
    return float(cost.forward(model.predict(state.params, state.bn_state, x).T, y)[0])


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_32_images_are_memorised(optimizer: Any) -> None:
    rates = {"sgd": 0.3, "momentum": 0.03, "adam": 0.01}
    hp = Hyperparams(hidden=(20, 7), optimizer=optimizer, learning_rate=rates[optimizer])
    x, y = jnp.asarray(SMALL_DATA.x_train[:32]), jnp.asarray(np.arange(32) * 7 % 5)
    assert learn(hp, x, y, n_classes=5, steps=3000) < 0.01


def test_zero_inputs_lead_to_the_class_frequencies() -> None:
    shares = np.array([3, 2, 1]) / 6
    y = jnp.array([0, 0, 0, 1, 1, 2])
    found = learn(Hyperparams(hidden=(4,), learning_rate=1.0), jnp.zeros((6, 5)), y, 3, 500)
    np.testing.assert_allclose(found, -(shares * np.log(shares)).sum(), rtol=1e-5)
