"""Evaluations by updates: where they are, what they decide, and what they must not change."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from engine_checks import (
    TRAINING,
    VALIDATION,
    assert_kept,
    by_hand,
    compiled,
    cost_and_accuracy,
    only,
)
from helpers import N_STEPS, SMALL_DATA, assert_equal_bits, experiment, plan, results, trained

from jmlp.data.order import batch_order, mini_batches
from jmlp.errors import ConfigError
from jmlp.results.serialization import run_from_table, run_table
from jmlp.training import engine, group_training, slots
from jmlp.training.records import Evaluations, RunResult, epoch_text

# Batch norm, the moments of Adam, dropout and a learning rate that falls, in several lanes and more
# cohorts than slots, so that cohorts at different updates train side by side.
HIDDEN = (6, 4)
RICH: dict[str, Any] = {
    "hidden": HIDDEN,
    "batch_norm": True,
    "optimizer": "adam",
    "schedule": "linear",
    "learning_rate": 0.1,
    "epochs": 6,
}
EVERY = 7  # of 10 updates an epoch: evaluations cross epochs, and 4 of 60 updates are left over


@pytest.fixture(scope="module")
def sweep() -> list[RunResult]:
    """Three drop rates and ten seeds, which stop early or at the limit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_training, "FIRST_CHUNK", 3)  # so that chunks have several lengths
        patch.setattr(group_training, "CHUNK_SECONDS", (0, 1e9))
        axes = {"drop_rate": (0.0, 0.1, 0.3)}
        return trained(experiment(axes, range(10), evaluate_every=EVERY, **RICH))


# Where evaluations are


def test_there_is_one_before_the_first_update_and_one_after_every_interval(
    sweep: list[RunResult],
) -> None:
    assert len(sweep) == 30
    for result in sweep:
        steps = [point.step for point in result.costs]
        assert steps == [EVERY * n for n in range(len(steps))]
        assert [p.epoch for p in result.costs] == [step / N_STEPS for step in steps]
        assert [p.batch_cost is None for p in result.costs] == [step == 0 for step in steps]
        assert result.stopped_epoch == result.costs[-1].epoch


def test_training_ends_with_the_last_whole_interval_within_the_limit() -> None:
    for epochs, every, last in ((6, 7, 56), (1, 10, 10), (2, 20, 20), (3, 29, 29), (1, 3, 9)):
        (run,) = trained(experiment(epochs=epochs, evaluate_every=every, patience=None))
        assert [run.costs[-1].step, run.reached_limit] == [last, True]
        assert run.stopped_epoch == last / N_STEPS


def test_each_lane_of_a_cohort_has_its_own_limit() -> None:
    swept = experiment({"epochs": (1, 2, 5)}, evaluate_every=4, patience=None)
    found = trained(swept)
    assert {r.hyperparams.epochs: r.costs[-1].step for r in found} == {1: 8, 2: 20, 5: 48}


def test_snapshots_are_at_the_evaluations_0_1_2_3_5_8_and_13() -> None:
    (run,) = trained(experiment(epochs=6, evaluate_every=4, patience=None))
    kept = [4 * n / N_STEPS for n in range(16) if slots.has_snapshot(n)]
    assert [snapshot.epoch for snapshot in run.snapshots] == kept
    assert run.last is not None
    assert run.last.epoch == 60 / N_STEPS


def test_the_epoch_of_an_update_is_whole_or_a_fraction() -> None:
    by_epoch, by_updates = Evaluations(10), Evaluations(10, 4)
    assert [by_epoch.epoch_of(n) for n in (0, 1, 10, 11)] == [0, 1, 1, 2]
    assert [by_updates.epoch_of(n) for n in (0, 1, 10, 11)] == [0.0, 0.1, 1.0, 1.1]
    assert [by_epoch.last(3), by_updates.last(3)] == [3, 7]
    assert [epoch_text(e) for e in (3, 3.0, 0.125, None)] == ["3", "3.00", "0.12", "–"]


def test_mini_batches_of_any_updates_are_those_of_their_epochs() -> None:
    whole = np.concatenate(
        [batch_order(5, epoch, 166)[:160].reshape(10, 16) for epoch in range(1, 5)]
    )
    for first in (0, 1, 9, 10, 13, 20):
        for n in (1, 7, 10, 11, 20):
            np.testing.assert_array_equal(
                mini_batches(5, first, n, 166, 16), whole[first : first + n]
            )


# What they decide


def test_every_run_stops_as_defined_and_keeps_the_best_evaluation(
    sweep: list[RunResult],
) -> None:
    for result in sweep:
        costs = [point.validation_cost for point in result.costs]
        best = int(np.argmin(costs))
        last = 60 // EVERY
        stop = next((n for n in range(len(costs)) if n - int(np.argmin(costs[: n + 1])) >= 2), last)
        assert len(costs) - 1 == min(stop, last)
        assert result.best_epoch == result.costs[best].epoch
        assert result.reached_limit == (len(costs) - 1 == last and best > last - 2)
        assert_kept(result, SMALL_DATA, TRAINING, VALIDATION)
    assert {result.reached_limit for result in sweep} == {True, False}


def test_an_evaluation_is_better_only_if_it_is_lower_by_more_than_min_delta() -> None:
    deltas = (0.0, 0.01, 0.05, 0.2)
    swept = experiment({"min_delta": deltas}, range(3), epochs=20, patience=3, evaluate_every=4)
    found = trained(swept)
    for result in found:
        best, at = np.float32(np.inf), 0
        for n, point in enumerate(result.costs):
            assert n - at <= 3
            if np.float32(point.validation_cost) < best - np.float32(result.hyperparams.min_delta):
                best, at = np.float32(point.validation_cost), n
        assert result.best_epoch == result.costs[at].epoch
        assert result.validation_cost == pytest.approx(float(best), rel=1e-5)
    stopped = [[only(found, s, min_delta=d).costs[-1].step for d in deltas] for s in range(3)]
    assert all(sorted(steps, reverse=True) == steps for steps in stopped)
    assert len({tuple(steps) for steps in stopped} | set(stopped[0])) > 2


def test_a_run_that_diverges_between_evaluations_says_at_which_update() -> None:
    (run,) = trained(experiment(learning_rate=1e30, evaluate_every=4, patience=None))
    assert (run.status, run.diverged_at, run.stopped_epoch) == ("diverged", 2, 2 / N_STEPS)
    assert [point.step for point in run.costs] == [0]


# What they must not change


def test_training_costs_are_those_of_a_plain_loop(sweep: list[RunResult]) -> None:
    result = only(sweep, seed=2, drop_rate=0.3)
    states = list(by_hand(result.hyperparams, 2, SMALL_DATA, result.costs[-1].step, dropout=True))
    before = 0.0
    x, y = SMALL_DATA.x_train[VALIDATION], SMALL_DATA.y_train[VALIDATION]
    for point in result.costs[1:]:
        state = states[point.step - 1]
        kept = replace(result, params=state.params, state=state.bn_state)
        cost, _ = cost_and_accuracy(kept, x, y)
        after = float(state.batch_costs)
        assert point.batch_cost == pytest.approx((after - before) / EVERY, rel=1e-3)
        assert point.validation_cost == pytest.approx(cost, rel=1e-3)
        before = after


def test_how_often_a_run_is_evaluated_does_not_change_a_bit_of_its_training() -> None:
    found = {}
    for every in ("epoch", 1, 4, 7, 10, 20):
        base = experiment(
            {"drop_rate": (0.0, 0.3)}, (3,), patience=None, evaluate_every=every, **RICH
        )
        found[every] = only(trained(base), 3, drop_rate=0.3)
    by_step = {
        every: {p.step: (p.training_cost, p.validation_cost) for p in run.costs}
        for every, run in found.items()
    }
    for every, costs in by_step.items():
        common = costs.keys() & by_step[1].keys()
        assert common == costs.keys(), every
        assert {step: by_step[1][step] for step in common} == costs
    ends = {every: run.last for every, run in found.items() if run.costs[-1].step == 60}
    assert set(ends) == {"epoch", 1, 4, 10, 20}
    networks = [(last.params, last.state) for last in ends.values() if last is not None]
    for network in networks:
        assert_equal_bits(network, networks[0])


def test_an_interval_of_an_epoch_gives_the_numbers_of_evaluations_by_epoch() -> None:
    axes = {"drop_rate": (0.0, 0.3)}
    by_epoch = trained(experiment(axes, (0, 1), **RICH))
    by_updates = trained(experiment(axes, (0, 1), evaluate_every=N_STEPS, **RICH))
    for result in by_updates:
        other = only(by_epoch, result.seed, drop_rate=result.hyperparams.drop_rate)
        assert result.run_id != other.run_id
        assert result.costs == other.costs  # 3.0 == 3
        for name in ("best_epoch", "stopped_epoch", "reached_limit", "test_cost"):
            assert getattr(result, name) == getattr(other, name)
        assert_equal_bits((result.params, result.state), (other.params, other.state))
        assert isinstance(result.stopped_epoch, float)
        assert isinstance(other.stopped_epoch, int)


def test_results_do_not_depend_on_devices_and_chunks(sweep: list[RunResult]) -> None:
    axes = {"drop_rate": (0.0, 0.1, 0.3)}
    alone = experiment(axes, range(10), evaluate_every=EVERY, **RICH)
    expected = {result.run_id: result for result in sweep}
    for result in trained(alone, devices=jax.devices("cpu")[:1]):
        other = expected[result.run_id]
        assert result.costs == other.costs
        assert_equal_bits((result.params, result.state), (other.params, other.state))


def test_a_result_read_back_is_the_one_written(sweep: list[RunResult]) -> None:
    for result in sweep:
        read = run_from_table(run_table(result))
        assert (read.costs, read.best_epoch) == (result.costs, result.best_epoch)
        assert read.reached_limit == result.reached_limit


# Programs and plans


def test_intervals_share_every_program_but_the_one_that_makes_updates() -> None:
    with compiled() as counts:
        found = trained(experiment({"evaluate_every": ("epoch", 3, 4)}, (0, 1, 2), hidden=(7, 3)))
    programs = {"refill": 1, "advance": 3, "evaluate": 1, "finals": 1}
    assert counts == {f"jit({name})": n for name, n in programs.items()}
    assert len(found) == 9


def test_an_interval_longer_than_the_training_is_refused() -> None:
    made = plan(experiment(epochs=2, evaluate_every=20))
    assert len(made.runs) == 1
    with pytest.raises(ConfigError) as error:
        plan(experiment({"evaluate_every": (20, 21, "epoch")}, epochs=2))
    assert str(error.value) == (
        "study: evaluate_every: must be at most the 20 updates of 2 epochs at batch_size 16, "
        "got 21: nothing would be evaluated"
    )


def test_ids_of_runs_that_are_evaluated_by_epoch_are_those_of_earlier_versions() -> None:
    (run,) = plan(experiment()).runs
    assert run.run_id == "e250f9b3b96b7f09d2184928530a780ebc30bff95bfba64a48509da48f707cdf"
    others = plan(experiment({"evaluate_every": ("epoch", 10), "min_delta": (0.0, 0.1)})).runs
    assert len({run.run_id for run in others}) == 4
    assert run.run_id in {run.run_id for run in others}


def test_progress_says_how_far_it_came() -> None:
    made = plan(experiment(epochs=2, evaluate_every=4, patience=None))
    epochs = [record.epoch for record in engine.run(made, SMALL_DATA)]
    assert sorted(set(epochs)) == [0, 0.4, 0.8, 1.2, 1.6, 2.0]
    assert results(engine.run(made, SMALL_DATA))[0].stopped_epoch == 2.0
