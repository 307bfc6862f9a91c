"""Numbers that must not change unseen: `NUMERICS` is part of every run's id."""

import numpy as np
import pytest
from helpers import N_TRAINING, experiment, plan, trained

from jmlp.data import batch_order, split
from jmlp.study import mistakes
from jmlp.study.config import Value
from jmlp.training import records

NUMERICS = 2  # of the numbers in this file
CHANGED = (
    "results are other ones now: raise NUMERICS in jmlp/training/records.py, then write them down "
    "here"
)


def test_these_are_the_numbers_of_this_version() -> None:
    assert records.NUMERICS == NUMERICS, "NUMERICS was raised: write down its numbers in this file"


def test_first_mini_batch() -> None:
    training, _ = split(208, 0, 0.2)
    rows = training[batch_order(0, 1, N_TRAINING)][:16].tolist()
    assert rows == [45, 91, 130, 133, 24, 120, 158, 28, 150, 159, 79, 49, 70, 42, 101, 175], CHANGED


def test_run_id() -> None:
    (run,) = plan(experiment()).runs
    assert run.run_id == "e250f9b3b96b7f09d2184928530a780ebc30bff95bfba64a48509da48f707cdf", CHANGED


RICH: dict[str, Value] = {
    "optimizer": "adam",
    "batch_norm": True,
    "drop_rate": (0.2, 0.4),
    "initialization": "normal",
    "weight_std": 0.3,
}


WITHOUT_DERIVATIVE: dict[str, Value] = {
    "batch_norm": True,
    "batch_norm_place": "after",
    "batch_norm_scale": False,
    "backward_fault": "batch_norm",
}


# Hyperparameters; validation costs of evaluations 0 to 2; batch costs before evaluations 1 and 2.
@pytest.mark.parametrize(
    ("hyperparams", "validation", "batch"),
    [
        ({}, [1.1031836, 1.0906881, 1.0731723], [1.0836840, 1.0652844]),
        (RICH, [1.0994124, 0.5081974, 0.1110837], [0.7708126, 0.6239648]),
        ({"evaluate_every": 7}, [1.1031836, 1.0938891, 1.0841054], [1.0867161, 1.0721592]),
        (
            {**RICH, "evaluate_every": 7},
            [1.0994124, 0.7871236, 0.2456491],
            [0.8562348, 0.6810754],
        ),
        (WITHOUT_DERIVATIVE, [1.1031836, 0.8420289, 0.4322958], [1.0467598, 0.4167546]),
    ],
    ids=["plain", "rich", "by updates", "rich, by updates", "batch norm without its derivative"],
)
def test_first_costs(
    hyperparams: dict[str, Value], validation: list[float], batch: list[float]
) -> None:
    (run,) = trained(experiment(**hyperparams, epochs=2, patience=None))
    # Processors may round differently.
    found = [point.validation_cost for point in run.costs]
    np.testing.assert_allclose(found, validation, rtol=1e-4, err_msg=CHANGED)
    found = [point.batch_cost for point in run.costs[1:] if point.batch_cost is not None]
    np.testing.assert_allclose(found, batch, rtol=1e-4, err_msg=CHANGED)


# Validation costs of evaluations 1 and 2 with each mistake; evaluation 0 is that of the right
# network, except for raw inputs, which another network reads.
FAULTS: dict[str, tuple[dict[str, Value], list[float]]] = {
    "relu_mask": ({"backward_fault": "relu_mask"}, [1.1050355, 1.1090355]),
    "batch_mean": ({"backward_fault": "batch_mean", "learning_rate": 0.01}, [1.0835702, 1.0350788]),
    "weights_transposed": (
        {"backward_fault": "weights_transposed", "hidden": (5, 5)},
        [1.0174253, 0.980938],
    ),
    "bias_of_last": ({"backward_fault": "bias_of_last"}, [1.0861323, 1.0687779]),
    "bias_mean": ({"backward_fault": "bias_mean"}, [1.0904045, 1.0757624]),
    "dropout_mask": ({"backward_fault": "dropout_mask", "drop_rate": 0.4}, [1.0931315, 1.0817125]),
    "batch_norm": ({"backward_fault": "batch_norm", "batch_norm": True}, [0.9521145, 0.6454471]),
    "updated_weights": ({"backward_fault": "updated_weights"}, [1.0904042, 1.0720904]),
    "step_sign": ({"training_fault": "step_sign", "learning_rate": 0.01}, [1.1064998, 1.1102242]),
    "raw_softmax": ({"training_fault": "raw_softmax"}, [1.0906881, 1.0731723]),
    "labels_off_by_one": ({"training_fault": "labels_off_by_one"}, [1.1195281, 1.1585433]),
    "no_shuffle": ({"training_fault": "no_shuffle"}, [1.087599, 1.0704275]),
    "raw_inputs": (
        {"training_fault": "raw_inputs", "learning_rate": 0.001},
        [2.3247142, 1.3976424],
    ),
    "zero_weights": ({"initialization": "zero"}, [1.1053157, 1.1082557]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_costs_with_a_mistake(name: str) -> None:
    hyperparams, validation = FAULTS[name]
    (run,) = trained(experiment(**hyperparams, epochs=2, patience=None))
    found = [point.validation_cost for point in run.costs[1:]]
    np.testing.assert_allclose(found, validation, rtol=1e-4, err_msg=CHANGED)


def test_every_mistake_has_its_costs() -> None:
    assert set(FAULTS) == set(mistakes.NAMES)
