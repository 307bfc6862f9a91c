"""Runs that diverge, and data that is unlike MNIST."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from engine_checks import TRAINING, assert_kept, assert_same_run, by_hand, logits, only
from helpers import N_STEPS, N_VALIDATION, SMALL_DATA, arrays, experiment, plan, results, trained
from numpy.typing import NDArray

from jmlp.data import split
from jmlp.data.dataset import Dataset, make_dataset
from jmlp.results.serialization import run_from_table, run_table
from jmlp.training import engine
from jmlp.training.outcome import Ended, Outcome
from jmlp.training.program import Finals
from jmlp.training.records import Evaluations, Provenance, RunResult
from jmlp.training.single_run import Evaluation

# Divergence


def poisoned() -> Dataset:
    """Floating-point images, one of them so bright that some runs overflow, and at another step."""
    x = SMALL_DATA.x_train.astype(np.float32) / 255
    x[TRAINING[0]] *= np.float32(3e37)
    named: dict[str, NDArray[Any]] = {"x_train": x, "y_train": SMALL_DATA.y_train}
    return make_dataset("poisoned", named, "poisoned")


def test_a_diverged_run_reports_the_exact_update_of_a_plain_loop() -> None:
    data = poisoned()
    axes = {"learning_rate": (0.1, 1.0, 1e30)}
    found = trained(experiment(axes, seeds=(0, 1), patience=None), data=data)
    for result in found:
        states = by_hand(result.hyperparams, result.seed, data, 4 * N_STEPS, dropout=False)
        expected = next((n for n, s in enumerate(states, start=1) if not s.active), None)
        assert result.diverged_at == expected
        assert result.status == ("diverged" if expected else "finished")
    # 2, 8, 27 and never, where this was written
    assert len({result.diverged_at for result in found}) > 2


@pytest.fixture(scope="module")
def rates() -> list[RunResult]:
    """Learning rates side by side, one of them far too high."""
    return trained(experiment({"learning_rate": (0.1, 0.2, 1e30)}))


def test_a_diverged_run_has_no_accuracy_and_says_how_far_it_came(rates: list[RunResult]) -> None:
    result = only(rates, learning_rate=1e30)
    numbers = [
        getattr(result, f"{part}_{what}")
        for part in ("training", "validation", "test")
        for what in ("accuracy", "cost")
    ]
    assert (result.status, result.diverged_at, result.stopped_epoch) == ("diverged", 2, 1)
    assert (result.best_epoch, result.collapsed, result.reached_limit) == (None, False, False)
    assert numbers == [None] * 6
    assert [point.epoch for point in result.costs] == [0]


def test_neighbours_of_a_diverged_run_are_bitwise_equal(rates: list[RunResult]) -> None:
    axes = {"learning_rate": (0.1, 0.2, 0.3, 0.4)}
    others = trained(experiment(axes))
    for rate in (0.1, 0.2):
        assert_same_run(only(rates, learning_rate=rate), only(others, learning_rate=rate))


# Collapse


@pytest.mark.parametrize(("most", "collapsed"), [(N_VALIDATION, True), (N_VALIDATION - 1, False)])
def test_a_run_is_collapsed_if_every_validation_answer_is_one_class(
    most: int, collapsed: bool
) -> None:
    (run,) = plan(experiment()).runs
    outcome = Outcome(Evaluations(10), 166, N_VALIDATION, 60, Provenance("cpu", 1, "", {}, False))
    best_epoch, stopped_epoch, diverged_at = (np.array(n, np.int32) for n in (1, 2, -1))
    ended = Ended((), (), (), (), best_epoch, stopped_epoch, diverged_at)
    evaluation = Evaluation(jnp.float32(1), jnp.int32(14), jnp.int32(most))
    result = outcome.result(run, (), (), 1.5, ended, Finals(evaluation, evaluation, evaluation))
    assert result.collapsed == collapsed
    assert result.validation_accuracy == 14 / N_VALIDATION


# The limit of epochs


@pytest.mark.parametrize(
    ("patience", "best", "stopped", "limit"),
    [
        (2, 3, 4, True),
        (2, 2, 4, False),  # patience ran out at the limit
        (2, 1, 3, False),
        (4, 0, 4, False),
        (5, 0, 4, True),
        (None, 0, 4, True),
    ],
)
def test_a_run_whose_patience_ran_out_at_the_limit_has_not_reached_it(
    patience: int | None, best: int, stopped: int, limit: bool
) -> None:
    (run,) = plan(experiment(patience=patience)).runs  # of 4 epochs
    outcome = Outcome(Evaluations(10), 166, N_VALIDATION, 60, Provenance("cpu", 1, "", {}, False))
    ended = Ended((), (), (), (), *(np.array(n, np.int32) for n in (best, stopped, -1)))
    finals = Finals(*(Evaluation(jnp.float32(1), jnp.int32(14), jnp.int32(20)),) * 3)
    result = outcome.result(run, (), (), 1.5, ended, finals)
    assert result.reached_limit == limit
    assert outcome.stop(run, stopped, best, -1).why == ("limit" if limit else "stopped early")
    # Earlier versions wrote what came of the epochs alone.
    written = {**run_table(result), "reached_limit": stopped == 4}
    assert run_from_table(written).reached_limit == limit


# Unusual data and hyperparameters


def test_two_classes_without_a_test_set_one_epoch_of_one_step() -> None:
    x, y = arrays(100, n_classes=2)
    data = make_dataset("two", {"x_train": x, "y_train": y}, "two")
    (result,) = trained(experiment(batch_size=80, epochs=1), data=data)
    assert (result.status, result.stopped_epoch, result.reached_limit) == ("finished", 1, True)
    assert [point.step for point in result.costs] == [0, 1]
    assert logits(result, x).shape == (100, 2)
    assert_kept(result, data, *split(100, 0, 0.2))


def test_given_rows_are_trained_and_validated_on() -> None:
    rows = np.arange(208, dtype=np.int32)
    training, validation = rows[N_VALIDATION:], rows[:N_VALIDATION]
    made = plan(experiment({"learning_rate": (0.1, 0.2, 0.3)}))
    for result in results(engine.run(made, SMALL_DATA, split=(training, validation))):
        assert_kept(result, SMALL_DATA, training, validation)


def test_each_run_splits_by_its_own_seed_where_the_study_says_so() -> None:
    swept = experiment({"learning_rate": (0.1, 0.2, 0.3)}, seeds=(3, 4))
    for result in trained(swept, split_seed="seed"):
        assert result.split_seed == result.seed
        assert_kept(result, SMALL_DATA, *split(208, result.seed, 0.2))
