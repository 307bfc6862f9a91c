"""Configurations, their labels, and the check of hyperparameters built in Python."""

import copy
import importlib
import pickle
from dataclasses import replace
from enum import IntEnum
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmlp.errors import ConfigError
from jmlp.study.config import (
    DEFAULTS,
    SWEPT_FIELDS,
    Cell,
    Experiment,
    Hyperparams,
    Value,
    canonical,
    changed,
    check,
    configurations,
    label,
)
from jmlp.study.rules import HYPERPARAMETERS, value_text


def experiment(base: Hyperparams, **axes: tuple[Value, ...]) -> Experiment:
    return Experiment("e", base, axes, seeds=(0,), baseline={})


def test_configurations_run_through_the_grid_with_the_last_axis_fastest() -> None:
    grid = configurations(experiment(Hyperparams(), batch_norm=(False, True), drop_rate=(0.0, 0.5)))
    assert [c.label for c in grid] == [
        "batch norm no, drop rate none",
        "batch norm no, drop rate 0.5",
        "batch norm yes, drop rate none",
        "batch norm yes, drop rate 0.5",
    ]
    assert grid[1].hyperparams == Hyperparams(drop_rate=0.5)
    assert grid[2].cell == {"batch_norm": True, "drop_rate": 0.0}


def test_experiment_without_axes_has_one_configuration() -> None:
    (only,) = configurations(experiment(Hyperparams(epochs=3)))
    assert (only.cell, only.hyperparams, only.label) == ({}, Hyperparams(epochs=3), "all runs")


def test_hyperparameter_without_effect_does_not_make_equal_runs_differ() -> None:
    base = Hyperparams(momentum=0.5, weight_std=0.1)
    sgd, momentum = configurations(experiment(base, optimizer=("sgd", "momentum")))
    assert sgd.hyperparams == Hyperparams()
    assert momentum.hyperparams == Hyperparams(optimizer="momentum", momentum=0.5)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ({"patience": None}, "patience none"),
        ({"drop_rate": (0.5, 0.0, 0.0)}, "drop rate 0.5–0–0"),
        ({"hidden": (20, 7, 5)}, "hidden 20–7–5"),
        ({"optimizer": "adam"}, "optimizer adam"),
        ({"learning_rate": 1.0}, "learning rate 1"),
        ({"momentum": 0.0}, "momentum 0"),
        ({"batch_size": 0}, "batch size 0"),
    ],
)
def test_label_uses_everyday_words(cell: Cell, text: str) -> None:
    assert label(cell) == text


def test_different_values_read_differently() -> None:
    assert value_text(0.1234567) != value_text(0.12345671)


def test_every_hyperparameter_has_a_rule() -> None:
    assert HYPERPARAMETERS.keys() == DEFAULTS.keys()
    assert set(SWEPT_FIELDS) < set(DEFAULTS)


@pytest.mark.parametrize(
    "hp",
    [
        Hyperparams(),
        Hyperparams(patience=None, learning_rate=1, drop_rate=np.float64(0.5)),
        Hyperparams(optimizer="momentum", momentum=0, initialization="normal", weight_std=1e-9),
        Hyperparams(hidden=(2**20,), batch_size=2**20, drop_rate=(0.999,), epochs=100_000),
        Hyperparams(optimizer="nesterov", momentum=0.5, activation=("tanh", "relu", "gelu")),
        Hyperparams(optimizer="adamw", weight_decay=0, l2=1, clip_norm=2, warmup=100),
    ],
)
def test_good_hyperparameters_pass(hp: Hyperparams) -> None:
    check(hp)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("learning_rate", 1, 1.0),
        ("learning_rate", np.float64(0.1), 0.1),
        ("learning_rate", np.float32(0.1), 0.10000000149011612),  # the float that it is
        ("learning_rate", jnp.float32(0.5), 0.5),
        ("learning_rate", Fraction(1, 10), 0.1),
        ("learning_rate", np.array(0.1), 0.1),
        ("batch_size", np.int64(48), 48),
        ("batch_size", IntEnum("Size", {"SMALL": 48}).SMALL, 48),  # type: ignore[attr-defined]
        ("epochs", np.int32(3), 3),
        ("patience", np.uint8(4), 4),
        ("batch_norm", np.bool_(True), True),
        ("hidden", (np.int64(8), np.int16(4)), (8, 4)),
        ("hidden", [8, 4], (8, 4)),
        ("hidden", np.array([8, 4]), (8, 4)),
        ("drop_rate", np.float32(0.5), 0.5),
        ("drop_rate", -0.0, 0.0),
        ("drop_rate", [0, 0, 0.0], 0.0),
        ("drop_rate", (0.5, 0.5, 0.5), 0.5),
        ("drop_rate", (0.5, 0, np.float64(0)), (0.5, 0.0, 0.0)),
        ("momentum", 0.5, 0.9),  # no effect with sgd
        ("weight_std", 0.5, 0.15),  # no effect with he
        ("weight_decay", 0.5, 0.01),  # no effect with sgd
        ("activation", ["tanh"] * 3, "tanh"),
        ("activation", ["tanh", "relu", "relu"], ("tanh", "relu", "relu")),
        ("clip_norm", 1, 1.0),
        ("max_norm", np.float32(0.5), 0.5),
    ],
)
def test_each_hyperparameter_has_one_form(field: str, value: Any, expected: Value) -> None:
    built = replace(Hyperparams(), **{field: value})
    assert type(getattr(built, field)) in (bool, float, int, tuple)
    found = canonical(built)
    assert repr(found) == repr(replace(Hyperparams(), **{field: expected}))
    assert canonical(found) == found


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("learning_rate", float("inf"), "must be a finite number > 0, got inf"),
        ("batch_size", True, "must be an integer from 1 to 1,048,576, got true (a boolean)"),
        ("batch_size", np.float64(8), "must be an integer from 1 to 1,048,576, got 8.0 (a float)"),
        ("batch_size", Fraction(16), "must be an integer from 1 to 1,048,576, got 16.0 (a float)"),
        ("learning_rate", Fraction(10**400), "must be a finite number > 0, got Fraction("),
        (
            "optimizer",
            "Adam",
            "must be 'sgd', 'momentum', 'nesterov', 'adam' or 'adamw', got 'Adam'; did you mean "
            "adam?",
        ),
        ("learning_rate", np.bool_(True), "must be a finite number > 0, got true (a boolean)"),
        (
            "learning_rate",
            np.array([0.1, 0.2]),
            "must be a finite number > 0, got [0.1, 0.2] (a list)",
        ),
        (
            "hidden",
            [True],
            "must be a list of 1 to 64 integers from 1 to 1,048,576, got true "
            "(a boolean) in [true]",
        ),
        ("patience", "none", "write it as None in Python, got 'none' (a string)"),
        ("epochs", None, "must be an integer from 1 to 100,000, got 'none' (a string)"),
        (
            "drop_rate",
            (0.5, 0.0),
            "needs one value, or one per hidden layer: got 2 values for the 3 of "
            "hidden = [20, 7, 5]",
        ),
        (
            "momentum",
            0.5,
            "has no effect without optimizer = 'momentum' or 'nesterov': set that, or leave "
            "momentum out",
        ),
        (
            "weight_decay",
            0.1,
            "has no effect without optimizer = 'adamw': set that, or leave weight_decay out",
        ),
        (
            "activation",
            "leaky_rel",
            "must be 'relu', 'leaky_relu', 'tanh', 'sigmoid', 'gelu' or 'silu', or a list of them, "
            "one per hidden layer, got 'leaky_rel'; did you mean leaky_relu?",
        ),
        (
            "activation",
            ("relu", "tanh"),
            "needs one value, or one per hidden layer: got 2 values for the 3 of "
            "hidden = [20, 7, 5]",
        ),
        ("l2", -0.1, "must be a finite number >= 0, got -0.1"),
        ("l2", float("nan"), "must be a finite number >= 0, got nan"),
        ("clip_norm", 0.0, "must be a finite number > 0, or 'none', got 0.0"),
        ("clip_norm", float("nan"), "must be a finite number > 0, or 'none', got nan"),
        ("max_norm", -1.0, "must be a finite number > 0, or 'none', got -1.0"),
        ("max_norm", "none", "write it as None in Python, got 'none' (a string)"),
        ("label_smoothing", 1.0, "must be a finite number >= 0 and < 1, got 1.0"),
        ("input_drop_rate", 1.0, "must be a finite number >= 0 and < 1, got 1.0"),
        ("warmup", 101.0, "must be at most the 100 of epochs, got 101.0"),
        (
            "class_weight",
            "balance",
            "must be 'none' or 'balanced', got 'balance'; did you mean balanced?",
        ),
        (
            "weight_std",
            0.1,
            "has no effect without initialization = 'normal': set that, or leave weight_std out",
        ),
    ],
)
def test_wrong_hyperparameter_is_named(field: str, value: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        check(replace(Hyperparams(), **{field: value}))
    assert len(error.value.problems) == 1
    assert error.value.problems[0].startswith(f"{field}: {problem}")


def test_all_wrong_hyperparameters_are_reported_when_they_are_built() -> None:
    with pytest.raises(ConfigError) as error:
        Hyperparams(hidden=(), drop_rate=(0.1, 0.1), momentum=2.0, epochs=0)
    assert error.value.problems == (
        "hidden: must be a list of 1 to 64 integers from 1 to 1,048,576, got []",
        "momentum: must be a finite number >= 0 and < 1, got 2.0",
        "epochs: must be an integer from 1 to 100,000, got 0",
    )


def test_values_that_do_not_fit_each_other_are_refused_when_one_is_replaced() -> None:
    hp = Hyperparams(hidden=(8, 4), drop_rate=(0.1, 0.2))
    with pytest.raises(ConfigError, match="drop_rate: needs one value, or one per hidden layer"):
        replace(hp, hidden=(8,))
    with pytest.raises(ConfigError, match="learning_rate: must be a finite number > 0, got -1"):
        replace(hp, learning_rate=-1)


def test_base_of_an_experiment_may_hold_what_only_an_axis_gives_an_effect() -> None:
    base = Hyperparams(momentum=0.5)  # no effect with sgd, but beside it
    with pytest.raises(ConfigError, match="momentum: has no effect without optimizer"):
        check(base)
    grid = configurations(experiment(base, optimizer=("sgd", "momentum")))
    assert [c.hyperparams.momentum for c in grid] == [0.9, 0.5]


def test_copies_of_hyperparameters_are_equal() -> None:
    hp = Hyperparams(hidden=(8,), drop_rate=0.5)
    assert copy.deepcopy(hp) == pickle.loads(pickle.dumps(hp)) == replace(hp) == hp
    assert {hp: 1}[replace(hp)] == 1


def test_pytree_of_hyperparameters_may_hold_anything_in_its_leaves() -> None:
    importlib.import_module("jmlp.training.single_run")  # registers it
    hp = Hyperparams(batch_size=16)
    leaves, structure = jax.tree.flatten(hp)
    swept = {name: value for name in SWEPT_FIELDS if (value := getattr(hp, name)) is not None}
    assert leaves == list(swept.values())
    assert jax.tree.unflatten(structure, leaves) == hp
    stacked = jax.tree.map(lambda leaf: np.array([leaf, leaf]), hp)
    assert stacked.learning_rate.shape == (2,)
    assert stacked.batch_size == 16
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(hp)]
    assert names == [f".{name}" for name in swept]
    rate = jax.jit(lambda hp: replace_rate(hp).learning_rate)(hp)
    assert rate == pytest.approx(2 * hp.learning_rate)


def replace_rate(hp: Hyperparams) -> Hyperparams:
    return changed(hp, learning_rate=2 * hp.learning_rate)
