"""Configurations, their labels, and the check of hyperparameters built in Python."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from jmlp.checks import HYPERPARAMETERS, check
from jmlp.config import (
    DEFAULTS,
    SWEPT_FIELDS,
    Cell,
    Experiment,
    Hyperparams,
    Value,
    configurations,
    label,
    value_text,
)
from jmlp.errors import ConfigError


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
def test_label_says_what_people_say(cell: Cell, text: str) -> None:
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
    ],
)
def test_good_hyperparameters_pass(hp: Hyperparams) -> None:
    check(hp)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("learning_rate", float("inf"), "must be a finite number > 0, got inf"),
        ("batch_size", True, "must be an integer from 1 to 1,048,576, got true (a boolean)"),
        (
            "batch_size",
            np.int64(8),
            "must be an integer from 1 to 1,048,576, got np.int64(8) (int64)",
        ),
        ("hidden", [20], "write it as (20,) in Python, got [20] (a list)"),
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
            "has no effect without optimizer = 'momentum': set that, or leave momentum out",
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
    assert error.value.problems == (f"{field}: {problem}",)


def test_all_wrong_hyperparameters_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        check(Hyperparams(hidden=(), drop_rate=(0.1, 0.1), momentum=2.0, epochs=0))
    assert error.value.problems == (
        "hidden: must be a list of 1 to 64 integers from 1 to 1,048,576, got []",
        "momentum: must be a finite number >= 0 and < 1, got 2.0",
        "epochs: must be an integer from 1 to 100,000, got 0",
    )
