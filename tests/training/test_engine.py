"""Whole trainings: what is recorded, against plain loops; what is compiled; what stops early."""

from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import pytest
from engine_checks import (
    TRAINING,
    VALIDATION,
    assert_kept,
    assert_same_run,
    by_hand,
    compiled,
    cost_and_accuracy,
    logits,
    only,
)
from helpers import (
    N_STEPS,
    SMALL_DATA,
    experiment,
    plan,
    progress,
    results,
    trained,
)

from jmlp.errors import ConfigError, DeviceError
from jmlp.system import diagnosis
from jmlp.training import engine, group_training, load_balance, program
from jmlp.training import plan as planning
from jmlp.training.program import Setup
from jmlp.training.records import Progress, RunResult
from jmlp.training.single_run import TrainState
from jmlp.training.strategies import AllAtOnce, Chunk

# Layer sizes of this file alone, so that no other test has compiled its programs.
HIDDEN = (6, 4)
DROP_RATES = tuple(i / 10 for i in range(10))
# All that a run can have: batch norm, the moments of Adam, dropout.
SWEEP = experiment(
    {"drop_rate": DROP_RATES},
    seeds=(0, 1, 2),
    hidden=HIDDEN,
    batch_norm=True,
    optimizer="adam",
    learning_rate=0.02,
    epochs=6,
)


@pytest.fixture(scope="module")
def sweep() -> tuple[list[Progress], Counter[str]]:
    """The dropout sweep: ten lanes, three seeds on two devices; and what it compiled."""
    with compiled() as counts, pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_training, "FIRST_CHUNK", 3)  # so that chunks have several lengths
        return progress(SWEEP), counts


# Progress during training


def test_every_run_ends_once_and_progress_counts_them(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    records, _ = sweep
    ended = [result.run_id for result in results(records)]
    assert sorted(ended) == sorted(run.run_id for run in plan(SWEEP).runs)
    assert {(r.group, r.n_groups, r.n_runs) for r in records} == {(1, 1, 30)}
    for before, after in pairwise(records):
        assert after.runs_done == before.runs_done + len(after.results)
        assert after.elapsed >= before.elapsed
    phases = [record.phase for record in records]
    # Once before and once after each of the four programs; nothing is compiled later.
    assert phases == [*["compiling"] * 5, *["training"] * (len(records) - 6), "finished"]
    assert records[0].remaining is None
    assert (records[-1].runs_done, records[-1].remaining) == (30, 0)


def test_points_on_the_way_are_those_of_the_results(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    records, _ = sweep
    for result in results(records):
        on_the_way = [r.points[result.run_id] for r in records if result.run_id in r.points]
        assert tuple(on_the_way) == result.costs


def test_points_are_at_every_epoch_from_0_and_at_its_full_batches(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    for result in results(sweep[0]):
        epochs = range(int(result.stopped_epoch) + 1)
        assert [(p.epoch, p.step) for p in result.costs] == [(e, N_STEPS * e) for e in epochs]
        assert [p.batch_cost is None for p in result.costs] == [e == 0 for e in epochs]


def test_runs_of_a_seed_start_equal_for_all_swept_values_and_seeds_start_differently(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    starts = {(result.seed, result.costs[0].validation_cost) for result in results(sweep[0])}
    assert len(starts) == 3
    assert len({cost for _, cost in starts}) == 3


# Early stopping and what is kept


def test_every_run_stops_as_defined_and_keeps_the_best_evaluation(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    found = results(sweep[0])
    for result in found:
        costs = [point.validation_cost for point in result.costs]
        best = int(np.argmin(costs))
        stop = next((e for e in range(len(costs)) if e - int(np.argmin(costs[: e + 1])) >= 2), 6)
        assert (result.status, result.diverged_at) == ("finished", None)
        assert (result.best_epoch, result.stopped_epoch) == (best, min(stop, 6))
        assert result.reached_limit == (result.stopped_epoch == 6 and best > 4)
    assert {result.reached_limit for result in found} == {True, False}


def test_the_kept_parameters_have_the_recorded_costs_and_accuracies(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    for result in results(sweep[0]):
        assert_kept(result, SMALL_DATA, TRAINING, VALIDATION)


def test_a_run_that_predicts_one_class_is_collapsed(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    for result in results(sweep[0]):
        answers = logits(result, SMALL_DATA.x_train[VALIDATION]).argmax(axis=1)
        assert result.collapsed == (len(set(answers)) == 1)


# Against a plain loop


@pytest.mark.parametrize("drop_rate", [0.0, 0.3])
def test_batch_and_validation_costs_are_those_of_a_plain_loop(
    sweep: tuple[list[Progress], Counter[str]], drop_rate: float
) -> None:
    assert_plain_loop(only(results(sweep[0]), seed=2, drop_rate=drop_rate), dropout=True)


def test_each_lane_of_a_linear_schedule_has_its_own_epochs() -> None:
    varied = experiment({"epochs": (2, 5)}, schedule="linear", learning_rate=0.3, seeds=(2,))
    for result in trained(varied):
        assert result.stopped_epoch == result.hyperparams.epochs
        assert_plain_loop(result, dropout=False)


def assert_plain_loop(result: RunResult, *, dropout: bool) -> None:
    """Costs of a run of seed 2 are those of `by_hand`."""
    updates = result.costs[-1].step
    states = list(by_hand(result.hyperparams, 2, SMALL_DATA, updates, dropout=dropout))
    ends = states[N_STEPS - 1 :: N_STEPS]
    sums = [0.0, *(float(state.batch_costs) for state in ends)]
    x, y = SMALL_DATA.x_train[VALIDATION], SMALL_DATA.y_train[VALIDATION]
    for point, state, (before, after) in zip(result.costs[1:], ends, pairwise(sums), strict=True):
        kept = replace(result, params=state.params, state=state.bn_state)
        cost, _ = cost_and_accuracy(kept, x, y)
        assert point.batch_cost == pytest.approx((after - before) / N_STEPS, rel=1e-3)
        assert point.validation_cost == pytest.approx(cost, rel=1e-3)


# Devices, experiments, compiles


def test_results_do_not_depend_on_the_number_of_devices(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    alone = trained(SWEEP, devices=jax.devices("cpu")[:1])
    expected = {result.run_id: result for result in results(sweep[0])}
    assert len(alone) == 30
    for result in alone:
        assert_same_run(result, expected[result.run_id])


def test_cohorts_that_move_after_every_epoch_have_the_same_results(
    sweep: tuple[list[Progress], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[int] = []

    def backwards(lanes: dict[int, int], n_devices: int, per_device: int) -> list[int]:
        moves.append(len(lanes))
        return list(range(n_devices * per_device))[::-1]

    monkeypatch.setattr(load_balance, "rebalance", backwards)
    expected = {result.run_id: result for result in results(sweep[0])}
    moved = trained(SWEEP)
    assert len(moved) == 30
    assert moves.count(3) >= 2
    for result in moved:
        assert_same_run(result, expected[result.run_id])


def test_the_strategy_of_an_accelerator_gives_the_same_runs_up_to_rounding(
    sweep: tuple[list[Progress], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {result.run_id: result for result in results(sweep[0])}
    monkeypatch.setattr(group_training, "InTurn", AllAtOnce)
    found = trained(SWEEP)
    assert {result.run_id for result in found} == expected.keys()
    for result in found:
        ours, theirs = (
            [(p.batch_cost or 0, p.training_cost, p.validation_cost) for p in r.costs[:3]]
            for r in (result, expected[result.run_id])
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_equal_runs_of_two_experiments_are_trained_once() -> None:
    first = experiment({"learning_rate": (0.1, 0.2)}, name="first")
    second = experiment({"learning_rate": (0.2, 0.3)}, name="second")
    found = trained(first, second)
    assert [only(found, learning_rate=rate).experiments for rate in (0.1, 0.2, 0.3)] == [
        ("first",),
        ("first", "second"),
        ("second",),
    ]
    assert len(found) == 3


PROGRAMS = ("refill", "advance", "evaluate", "finals")


def test_the_dropout_sweep_compiles_each_function_once(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    _, counts = sweep
    assert counts == {f"jit({name})": 1 for name in PROGRAMS}


def test_the_same_study_again_compiles_nothing_and_gives_the_same_bits(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    expected = {result.run_id: result for result in results(sweep[0])}
    trained(SWEEP)  # programs of other tests may have replaced its own
    with compiled() as counts:
        again = trained(SWEEP)
    assert not counts
    for result in again:
        assert_same_run(result, expected[result.run_id])


def test_each_batch_size_compiles_its_training_once_and_shares_the_rest() -> None:
    with compiled() as counts:
        found = trained(experiment({"batch_size": (40, 83)}, seeds=(0, 1, 2), hidden=HIDDEN))
    assert counts == {f"jit({name})": n for name, n in zip(PROGRAMS, (1, 2, 1, 1), strict=True)}
    assert len(found) == 6
    steps = {r.hyperparams.batch_size: [p.step for p in r.costs][:2] for r in found}
    assert steps == {40: [0, 4], 83: [0, 2]}


def test_all_is_compiled_before_the_first_step() -> None:
    made = plan(replace(experiment(hidden=(7, 4), epochs=1), seeds=(0, 1)))
    training = engine.run(made, SMALL_DATA)
    with compiled() as counts:
        while next(training).phase == "compiling":
            pass
    assert counts == {f"jit({name})": 1 for name in PROGRAMS}
    with compiled() as counts:
        list(training)
    assert not counts


def test_an_epoch_brings_its_measurements_to_the_host_and_no_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brought: list[int] = []
    get = jax.device_get

    def counting(tree: Any) -> Any:
        brought.append(sum(leaf.nbytes for leaf in jax.tree.leaves(tree)))
        return get(tree)

    monkeypatch.setattr(jax, "device_get", counting)
    trained(experiment(seeds=(0, 1), epochs=4, patience=None))
    # Evaluations 0 to 4, and the final one; two slots of one lane, nine numbers of at most 4 bytes.
    assert len(brought) == 6
    assert max(brought) <= 2 * 9 * 4


# Stopping from outside


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of steps of every chunk that is started, three at the most."""
    started: list[int] = []
    advance = program.advance

    def counting(setup: Setup, state: TrainState, chunk: Chunk) -> Any:
        if n_steps := int(chunk.end - chunk.first):  # or it only compiles
            started.append(n_steps)
        return advance(setup, state, chunk)

    monkeypatch.setattr(program, "advance", counting)
    monkeypatch.setattr(group_training, "FIRST_CHUNK", 3)
    monkeypatch.setattr(group_training, "CHUNK_SECONDS", (0, 1e9))  # as long as they are
    return started


def test_training_gets_no_further_ahead_than_its_consumer(chunks: list[int]) -> None:
    training = engine.run(plan(SWEEP), SMALL_DATA)
    assert isinstance(training, Generator)
    before = 0
    for _ in range(17):
        next(training)
        assert len(chunks) <= before + 1
        before = len(chunks)
    training.close()
    assert chunks == [3, 3, 3, 1] * 2
    assert len(chunks) == before


def test_chunks_grow_when_they_are_short_and_shrink_when_they_are_long(
    chunks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_training, "CHUNK_SECONDS", (1e9, 1e10))
    trained(SWEEP)
    assert chunks[:2] == [3, 3]
    assert max(chunks) == N_STEPS
    chunks.clear()
    monkeypatch.setattr(group_training, "CHUNK_SECONDS", (-2, -1))
    trained(SWEEP)
    assert chunks[:2] == [3, 3]
    assert min(chunks) == 1


# What cannot be had


def test_a_device_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "lacks_cuda", lambda: False)  # else it says how to install it
    with pytest.raises(DeviceError) as error:
        engine.find_devices("gpu")
    message = str(error.value)
    assert message.startswith("--device gpu: JAX finds no such device (")
    assert message.endswith(" use --device cpu, or see what `jmlp doctor` says")
    assert "\n" not in message


def test_a_plan_that_does_not_fit_is_refused_before_anything_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planning, "total_memory", lambda: 1)
    with compiled() as counts, pytest.raises(ConfigError, match="needs about"):
        next(engine.run(plan(SWEEP), SMALL_DATA))
    assert not counts


@pytest.mark.parametrize("reason", ["RESOURCE_EXHAUSTED: 3 bytes\nmore", "INTERNAL: a bug"])
def test_only_a_device_out_of_memory_is_reported_as_such(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise jax.errors.JaxRuntimeError(reason)

    monkeypatch.setattr(program, "refill", fail)
    training = partial(trained, SWEEP)
    if reason.startswith("INTERNAL"):
        with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
            training()
    else:
        with pytest.raises(DeviceError) as error:
            training()
        assert str(error.value) == (
            f"{jax.devices()[0]}: out of memory (RESOURCE_EXHAUSTED: 3 bytes); use smaller layers "
            "or batches, or free the device"
        )
