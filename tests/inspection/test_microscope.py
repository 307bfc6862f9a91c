"""The microscopes: dropout, batch norm and the quality of a step, against independent numbers."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import microscope_views
import numpy as np
import pytest
from helpers import SMALL_DATA, experiment
from inspected_runs import networks, train, write_data

from jmlp.errors import ConfigError
from jmlp.inspection import helper
from jmlp.inspection.microscope import texts
from jmlp.inspection.microscope.batch_norm import batch_norm_view, compared
from jmlp.inspection.microscope.dropout import dropout_view, over_keys
from jmlp.inspection.microscope.samples import Examples
from jmlp.inspection.microscope.sizes import sizes
from jmlp.inspection.microscope.step import (
    Moments,
    cost_of_batch,
    gradient_moments,
    noise_of,
    sharpness_of,
    stability_limit,
    step_view,
)
from jmlp.inspection.microscope.views import BatchNormView, DropoutView, StepView
from jmlp.inspection.step import next_step
from jmlp.inspection.updates import update_after
from jmlp.nn import cost, l2, model
from jmlp.nn.dense import DenseParams
from jmlp.nn.model import Layer
from jmlp.nn.optimizers import optimizer_of
from jmlp.results import serialization
from jmlp.results.weights import restore
from jmlp.study.rules import Optimizer

# ---- dropout


@pytest.mark.parametrize(("batch_size", "example"), [(16, 5), (150, 140)])
def test_the_masks_are_those_of_the_next_updates(batch_size: int, example: int) -> None:
    stored = networks(drop_rate=0.3, input_drop_rate=0.2, batch_size=batch_size)
    n = min(2, len(stored.epochs) - 1)  # updates that follow a stored network
    view = dropout_view(stored, SMALL_DATA, 0, example)
    assert [layer.layer for layer in view.layers] == ["inputs", "hidden 1", "hidden 2"]
    for later in range(n):
        step = next_step(stored, SMALL_DATA, later, example)
        masks = [op["M"] for op in step.trace.operations if op.kind == "dropout"]
        for layer, M in zip(view.layers, masks, strict=True):
            expected = np.flatnonzero(np.asarray(M)[:, step.column] == 0)
            assert layer.dropped[later] == tuple(expected)
    assert all(layer.is_repeated for layer in view.layers)


def test_about_as_many_units_are_dropped_as_the_rate_says_and_none_without_a_rate() -> None:
    view = dropout_view(networks(drop_rate=(0.0, 0.3), hidden=(5, 40)), SMALL_DATA, 0)
    (layer,) = view.layers
    assert (layer.layer, layer.rate, layer.n_units) == ("hidden 2", 0.3, 40)
    assert layer.n_drawn == 6 * 40 * 16
    assert abs(layer.share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / layer.n_drawn)


def test_the_mean_over_keys_is_the_expectation_over_all_masks() -> None:
    W, x, rate = np.array([[2.0, -1.0], [0.5, 1.5]]), np.array([[1.0, 2.0]]), 0.25
    params = (Layer(DenseParams(jnp.float32(W), jnp.zeros((2, 1))), None),)
    keys = jax.random.split(jax.random.key(0), 20_000)
    y = jnp.zeros(1, jnp.int32)
    found = over_keys(params, (None,), jnp.float32(x), jnp.float32(x), y, keys, None, rate)
    logits, P = np.zeros(2), np.zeros(2)
    for kept in product((0, 1), repeat=2):
        chance = np.prod([1 - rate if one else rate for one in kept])
        Z = W @ (x[0] * kept / (1 - rate))
        logits += chance * Z
        P += chance * np.exp(Z) / np.exp(Z).sum()
    np.testing.assert_allclose(logits, W @ x[0])  # of a linear network, exactly
    np.testing.assert_allclose(found.example.mean(axis=0), P, atol=0.01)
    np.testing.assert_allclose(found.mean[0], P, atol=0.01)
    without = np.exp(W @ x[0]) / np.exp(W @ x[0]).sum()
    np.testing.assert_allclose(found.example_without, without, rtol=1e-5)


def test_a_run_without_what_is_looked_at_is_refused() -> None:
    stored = networks()
    with pytest.raises(ConfigError, match="has no dropout: look at one that was trained with"):
        dropout_view(stored, SMALL_DATA, 0)
    with pytest.raises(ConfigError, match="has no batch norm: look at one that was trained with"):
        batch_norm_view(stored, SMALL_DATA, 0)
    with pytest.raises(ConfigError, match="has examples 0 to 15, got 16"):
        dropout_view(networks(drop_rate=0.3), SMALL_DATA, 0, 16)


# ---- batch norm


@pytest.fixture(scope="module")
def normed() -> tuple[Any, BatchNormView]:
    """Networks with batch norm, and what is seen after the first update."""
    stored = networks(batch_norm=True)
    return stored, batch_norm_view(stored, SMALL_DATA, 1)


def test_the_batch_statistics_are_those_of_numpy(normed: tuple[Any, BatchNormView]) -> None:
    stored, view = normed
    update = update_after(stored, SMALL_DATA, 1)
    Z = stored.tensors[1]["params[0].dense.W"].astype(np.float64) @ np.asarray(update.x).T / 255
    np.testing.assert_allclose(view.layers[0].batch_mean, Z.mean(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(view.layers[0].batch_var, Z.var(axis=1), rtol=1e-4, atol=1e-6)
    training, _ = SMALL_DATA.split(0, 0.2)
    Z = stored.tensors[1]["params[0].dense.W"].astype(np.float64) @ (
        SMALL_DATA.x_train[training].T / 255
    )
    np.testing.assert_allclose(view.layers[0].sample_mean, Z.mean(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(view.layers[0].sample_var, Z.var(axis=1), rtol=1e-4, atol=1e-6)


def test_the_running_statistics_are_those_stored_and_move_to_the_batch(
    normed: tuple[Any, BatchNormView],
) -> None:
    stored, view = normed
    for k, layer in enumerate(view.layers):
        for at, mean, var in (
            (1, np.array(layer.running_mean), np.array(layer.running_var)),
            (
                2,
                0.9 * np.array(layer.running_mean) + 0.1 * np.array(layer.batch_mean),
                0.9 * np.array(layer.running_var) + 0.1 * np.array(layer.batch_var),
            ),
        ):
            tensors = stored.tensors[at]
            np.testing.assert_allclose(
                mean, tensors[f"state[{k}].mean"][:, 0], rtol=1e-4, atol=1e-6
            )
            np.testing.assert_allclose(var, tensors[f"state[{k}].var"][:, 0], rtol=1e-4, atol=1e-6)


def test_predictions_by_the_running_statistics_are_those_of_predict(
    normed: tuple[Any, BatchNormView],
) -> None:
    stored, view = normed
    params, state = restore(stored.tensors[2], stored.hyperparams, 20, 3)
    _, validation = SMALL_DATA.split(0, 0.2)
    x, y = SMALL_DATA.x_train[validation], SMALL_DATA.y_train[validation]
    logits = np.asarray(model.predict(params, state, x))
    running = view.evaluations[0]
    assert running.by == "running"
    assert running.accuracy[2] == np.mean(logits.argmax(axis=1) == y)
    costs = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]
    assert running.cost[2] == pytest.approx(costs.mean(), rel=1e-5)


def test_shift_and_ratio_are_computed_as_they_are_defined() -> None:
    running = np.array([1.0, 2.0]), np.array([4.0, 9.0])
    shift, ratio = compared((np.array([3.0, 2.0]), np.array([8.0, 4.5])), running)
    assert shift == pytest.approx(np.sqrt(1 / 2), rel=1e-4)  # of 1 and 0 standard deviations
    assert ratio == pytest.approx(1, rel=1e-4)  # the geometric mean of 2 and 1/2
    assert np.isnan(compared(None, running)).all()


# ---- the step


def test_the_cost_along_the_step_passes_through_the_network_before_and_after_it() -> None:
    stored = networks(drop_rate=0.3)
    view = step_view(stored, SMALL_DATA, 1)
    step = next_step(stored, SMALL_DATA, 1, 0)
    costs = dict(zip(view.multiples, view.batch_costs, strict=True))
    assert view.is_update
    assert costs[0] == pytest.approx(float(step.trace.cost["cost"][0, 0]), rel=1e-5)
    update = update_after(stored, SMALL_DATA, 1)
    after, _ = restore(stored.tensors[2], stored.hyperparams, 20, 3)
    assert costs[1] == pytest.approx(cost_of_batch(update, after), rel=1e-5)
    assert costs[1] < costs[0] < costs[-0.5]
    training, _ = SMALL_DATA.split(0, 0.2)
    x, y = SMALL_DATA.x_train[training], SMALL_DATA.y_train[training]
    logits = np.asarray(model.predict(after, (None,) * 3, x))
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y])
    sample = dict(zip(view.multiples, view.sample_costs, strict=True))
    assert sample[1] == pytest.approx(expected, rel=1e-5)
    assert view.limit == pytest.approx(2 / 0.1)
    by_momentum = step_view(networks(optimizer="momentum"), SMALL_DATA, 1)
    assert not by_momentum.is_update
    assert "the moments of momentum are not stored" in texts.step_about(by_momentum)[1]


def test_sharpness_is_the_largest_eigenvalue_of_the_full_hessian() -> None:
    stored = networks(hidden=(3,), activation="tanh", l2=0.5)
    update = update_after(stored, SMALL_DATA, 1)
    x, y = jnp.asarray(SMALL_DATA.x_train[:40]), jnp.asarray(SMALL_DATA.y_train[:40])
    found = sharpness_of(update, Examples(x, y))
    flat, unravel = jax.flatten_util.ravel_pytree(update.params)

    def penalised(theta: jax.Array) -> jax.Array:
        params = unravel(theta)
        logits = model.predict(params, (None, None), x)
        log_p = jax.nn.log_softmax(logits)[jnp.arange(len(y)), y]
        return -jnp.mean(log_p) + l2.penalty(params, 0.5)

    H = np.float64(jax.jit(jax.hessian(penalised))(flat))
    assert found is not None
    assert found.value == pytest.approx(np.linalg.eigvalsh(H)[-1], rel=1e-3)
    assert found.residual < 1e-2 * found.value


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov"])
def test_descent_on_a_quadratic_grows_just_above_the_limit(optimizer: Optimizer) -> None:
    rate, momentum = 0.1, 0.8
    limit = stability_limit(optimizer, rate, momentum)
    assert limit is not None
    assert stability_limit("adam", rate, momentum) is None
    for factor, grows in ((0.99, False), (1.01, True)):
        rule = optimizer_of(optimizer)
        theta, state = np.float64(1.0), rule.init(np.float64(1.0))
        for _ in range(2000):
            theta, state = jax.tree.map(
                np.float64, rule.update(theta, factor * limit * theta, state, rate, momentum)
            )
        assert (abs(theta) > 1) == grows


def moments(gradients: Any) -> Moments:
    """Of gradients of a single layer, one per row."""
    squares = np.mean(np.sum(np.square(gradients), axis=1))
    of_mean = np.sum(np.square(gradients.mean(axis=0)))
    return Moments(np.array([of_mean]), np.array([squares]), len(gradients))


def test_the_noise_scale_of_a_quadratic_cost_is_that_by_hand() -> None:
    # The cost of an example x is |theta - x|^2 / 2, so its gradient is theta - x.
    x, theta = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 3.0], [2.0, 1.0]]), np.array([6.0, 4.0])
    found = noise_of(moments(theta - x), 1, 8, ("output",))
    # The mean of the x is (2, 1), so g = (4, 3); variances 2/3 and 2, with n - 1.
    variance, squared = 2 / 3 + 2, 25 - (2 / 3 + 2) / 4
    assert found.variance == pytest.approx(variance)
    assert found.squared == pytest.approx(squared)
    assert found.scale == pytest.approx(variance / squared)
    assert found.signal == pytest.approx(8 * squared / variance)
    (layer,) = found.layers
    assert (layer.squared, layer.variance, layer.signal) == pytest.approx(
        (squared, variance, 8 * squared / variance)
    )


def test_means_over_mini_batches_estimate_the_same_noise() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal([1.0, 2.0], [2.0, 1.0], (40_000, 2))
    single, grouped = moments(-x), moments(-x.reshape(-1, 8, 2).mean(axis=1))
    for found in (noise_of(single, 1, 1, ("a",)), noise_of(grouped, 8, 1, ("a",))):
        assert found.variance == pytest.approx(5, rel=0.05)
        assert found.squared == pytest.approx(5, rel=0.05)


def test_without_a_signal_there_is_no_noise_scale() -> None:
    found = noise_of(moments(np.array([[1.0], [-1.0]])), 1, 4, ("output",))
    assert (found.squared, found.scale, found.signal) == (-1, None, None)
    assert texts.noise_lines(found, 4)[:2] == [
        "gradient noise scale: unknown",
        "  |G|² is estimated as -1, not positive, from 2 examples",
    ]


def test_the_moments_are_those_of_the_gradients_of_single_examples() -> None:
    stored = networks(label_smoothing=0.2)
    update = update_after(stored, SMALL_DATA, 1)
    n = 7
    found = gradient_moments(update._replace(x=update.x[:n], y=update.y[:n]), 1)

    def of_example(params: model.Params, x: jax.Array, y: jax.Array) -> jax.Array:
        logits = model.predict(params, (None,) * 3, x[None])
        return cost.forward(logits.T, y[None], jnp.float32(0.2))[0]

    gradient = jax.jit(jax.grad(of_example))
    each = [gradient(update.params, update.x[k], update.y[k]) for k in range(n)]
    for index in range(3):
        rows = np.stack(
            [np.concatenate([np.ravel(a) for a in jax.tree.leaves(g[index])]) for g in each]
        )
        expected = moments(np.float64(rows))
        assert found.of_mean[index] == pytest.approx(expected.of_mean[0], rel=1e-4)
        assert found.mean[index] == pytest.approx(expected.mean[0], rel=1e-4)


# ---- from a store


def test_the_helper_answers_with_the_views_and_a_study_is_compared(tmp_path: Path) -> None:
    dataset = write_data(tmp_path)
    both = experiment({"batch_size": (16, 32)}, batch_norm=True, drop_rate=0.3, epochs=1)
    first, _ = train(tmp_path, dataset, both)
    kinds: tuple[tuple[str, type[Any]], ...] = (
        ("dropout", DropoutView),
        ("batch norm", BatchNormView),
        ("step quality", StepView),
    )
    for do, kind in kinds:
        said: list[Any] = []
        request = {"do": do, "store": str(tmp_path), "run_id": first.run_id, "epoch": 1}
        helper.answer(request, said.append)
        view = serialization.read(kind, said[-1]["done"])
        assert getattr(view, "epoch", 1) == 1
    found = sizes(tmp_path, "study", print)
    assert [view.batch_size for view in found] == [16, 32]
    assert all(view.step is not None and view.accuracy is not None for view in found)
    lines = texts.sizes_lines(found)
    assert lines[0] == "one: the first seed of each configuration, at its best snapshot"
    assert lines[2].startswith("  batch size 16")
    other = tmp_path / "other"
    train(other, dataset, experiment(epochs=1))
    with pytest.raises(ConfigError, match="no experiment of this study varies the batch size"):
        sizes(other, "study", print)


@pytest.mark.parametrize(
    ("batch", "sample", "told"),
    [
        ((3, 2, 1, 2), (3, 1, 2, 3), "lowest at the multiple 2 of the mini-batch, 1 of the sample"),
        (
            (4, 3, 2, 1),
            (9, 8, 7, 6),
            "still falling at the multiple 4 of the mini-batch, 4 of the sample",
        ),
        (
            (3, 1, 2, 3),
            (9, 8, 7, 6),
            "lowest at the multiple 1 of the mini-batch, still falling at 4 of the sample",
        ),
        ((3, np.nan, 2, 3), (3, 1, 2, 3), "lowest at the multiple 1 of the sample"),
    ],
)
def test_a_cost_that_is_lowest_at_the_end_of_the_range_is_said_to_be_still_falling(
    batch: tuple[float, ...], sample: tuple[float, ...], told: str
) -> None:
    view = replace(
        microscope_views.step(), multiples=(0, 1, 2, 4), batch_costs=batch, sample_costs=sample
    )
    assert texts.lowest_text(view) == told
