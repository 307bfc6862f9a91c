"""One step in all its numbers: it is the step that training makes."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from helpers import N_VALIDATION, SMALL_DATA
from inspected_runs import EVERY, networks

from jmlp.data.dataset import Dataset, make_dataset
from jmlp.errors import ConfigError, DataError
from jmlp.inspection.step import FreshRun, Step, next_step, prediction
from jmlp.nn import model
from jmlp.results.weights import restore


def pictures() -> Dataset:
    named = {
        "x_train": SMALL_DATA.x_train.reshape(-1, 4, 5),
        "y_train": SMALL_DATA.y_train,
    }
    return make_dataset("small", named, "small")


def assert_updated(step: Step, after: model.Params) -> None:
    """Its update gives these parameters."""
    for change, expected in zip(step.changes, jax.tree.leaves(after), strict=True):
        assert change.new is not None
        np.testing.assert_allclose(change.new, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"drop_rate": 0.3, "input_drop_rate": 0.2},
        {"batch_norm": True, "drop_rate": 0.3},
        {"batch_norm": True, "batch_norm_place": "after", "activation": "tanh"},
        {"batch_size": 150, "drop_rate": 0.3},
        {"l2": 0.1, "clip_norm": 0.01, "max_norm": 0.5},
        {"label_smoothing": 0.2, "class_weight": "balanced", "schedule": "linear"},
        {"backward_fault": "relu_mask"},
        {"backward_fault": "bias_mean"},
        {"training_fault": "step_sign"},
        {"training_fault": "raw_softmax"},
        {"training_fault": "labels_off_by_one"},
        {"training_fault": "no_shuffle"},
        {"training_fault": "raw_inputs"},
        {"training_fault": "raw_inputs", "batch_size": 150},
    ],
    ids=str,
)
def test_the_update_of_a_step_is_that_of_training(changes: dict[str, Any]) -> None:
    stored = networks(**changes)
    for index in range(min(3, len(stored.epochs) - 1)):
        step = next_step(stored, SMALL_DATA, index, 0)
        assert step.update == index + 1
        after = restore(stored.tensors[index + 1], stored.hyperparams, 20, 3)[0]
        assert_updated(step, after)


def test_the_update_of_augmented_pictures_is_that_of_training() -> None:
    data = pictures()
    stored = networks(data, shift=1, rotation=20.0, elastic=0.5)
    step = next_step(stored, data, 1, 0)
    after = restore(stored.tensors[2], stored.hyperparams, 20, 3)[0]
    assert_updated(step, after)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_only_the_first_update_is_known_of_an_optimiser_with_moments(optimizer: str) -> None:
    stored = networks(optimizer=optimizer)
    first = next_step(stored, SMALL_DATA, 0, 0)
    after = restore(stored.tensors[1], stored.hyperparams, 20, 3)[0]
    assert_updated(first, after)
    assert {change.new for change in next_step(stored, SMALL_DATA, 1, 0).changes} == {None}


@pytest.mark.parametrize("example", [0, 127, 128, 149])
def test_of_a_large_mini_batch_the_block_with_the_example_is_traced(example: int) -> None:
    stored = networks(batch_size=150, drop_rate=0.3)
    step = next_step(stored, SMALL_DATA, 0, example)
    other = next_step(stored, SMALL_DATA, 0, 149 if example < 128 else 0)
    n = step.trace.inputs.shape[1]
    assert (n, step.column) == ((128, example) if example < 128 else (22, example - 128))
    assert step.label == int(np.argmax(step.trace.cost["T"][:, step.column]))
    summed = sum(np.float64(part.trace.gradient[0].dense.W) for part in (step, other))
    np.testing.assert_allclose(summed, step.changes[0].gradient, rtol=1e-4, atol=1e-7)


def test_the_example_of_a_step_is_the_one_that_is_named() -> None:
    stored = networks()
    step = next_step(stored, SMALL_DATA, 2, 5)
    training, _ = SMALL_DATA.split(0, 0.2)
    row = training[step.row]
    np.testing.assert_allclose(
        step.trace.inputs[:, step.column] * 255, SMALL_DATA.x_train[row], rtol=1e-5
    )
    assert (step.part, step.label) == ("training", SMALL_DATA.y_train[row])


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_a_prediction_is_that_of_the_stored_network(part: Any) -> None:
    stored = networks(batch_norm=True, drop_rate=0.3)
    step = prediction(stored, SMALL_DATA, 2, part, 7)
    params, state = restore(stored.tensors[2], stored.hyperparams, 20, 3)
    training, validation = SMALL_DATA.split(0, 0.2)
    x = {
        "training": SMALL_DATA.x_train[training],
        "validation": SMALL_DATA.x_train[validation],
        "test": np.asarray(SMALL_DATA.x_test),
    }[part]
    expected = model.predict(params, state, x[7:8])
    np.testing.assert_allclose(step.trace.cost["logits"].T, expected, rtol=1e-5)
    assert (step.is_prediction, step.row, step.changes) == (True, 7, ())


def test_a_fresh_network_is_that_of_a_run_before_its_first_update() -> None:
    stored = networks(seed=4, drop_rate=0.3)
    hp = replace(stored.hyperparams, **EVERY)
    made, _ = FreshRun(hp, SMALL_DATA, 4, 0, 0.2).after(0)
    for name, array in stored.tensors[0].items():
        np.testing.assert_array_equal(made.tensors[0][name], array)
    first: Step = next_step(made, SMALL_DATA, 0, 0)
    again = next_step(stored, SMALL_DATA, 0, 0)
    np.testing.assert_array_equal(first.trace.cost["P"], again.trace.cost["P"])


def test_what_is_not_there_is_refused() -> None:
    stored = networks()
    with pytest.raises(ConfigError, match="--example: the mini-batch has examples 0 to 15, got 16"):
        next_step(stored, SMALL_DATA, 0, 16)
    with pytest.raises(ConfigError, match=rf"examples 0 to {N_VALIDATION - 1}, got -1"):
        prediction(stored, SMALL_DATA, 0, "validation", -1)
    with pytest.raises(DataError, match="there is no test set"):
        prediction(stored, replace(SMALL_DATA, x_test=None, y_test=None), 0, "test", 0)
    last = len(stored.epochs) - 1
    with pytest.raises(ConfigError, match="the run diverged at update 7"):
        next_step(replace(stored, diverged_at=7), SMALL_DATA, last, 0)
