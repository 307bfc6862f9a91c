"""Whole trainings: what is recorded, against plain loops; what is compiled; what stops early."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import (
    N_IN,
    N_STEPS,
    N_TRAINING,
    N_VALIDATION,
    SMALL_DATA,
    arrays,
    assert_equal_bits,
    experiment,
    plan,
    progress,
    results,
    trained,
)
from jmlp import engine, model, program, train
from jmlp import plan as planning
from jmlp.config import Hyperparams
from jmlp.data import batch_order, split
from jmlp.data.dataset import Dataset, make_dataset
from jmlp.errors import ConfigError, DeviceError
from jmlp.results import Progress, RunResult

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
TRAINING, VALIDATION = split(208, 0, 0.2)


@contextmanager
def compiled() -> Iterator[Counter[str]]:
    """Counts what XLA compiles, by name: "jit(advance)"."""
    found: Counter[str] = Counter()

    def listener(event: str, _: float, **details: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            found[str(details["fun_name"])] += 1

    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)


@pytest.fixture(scope="module")
def sweep() -> tuple[list[Progress], Counter[str]]:
    """The dropout sweep: ten lanes, three seeds on two devices; and what it compiled."""
    with compiled() as counts, pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "FIRST_CHUNK", 3)  # so that chunks have several lengths
        return progress(SWEEP), counts


def only(found: Sequence[RunResult], seed: int = 0, **hyperparams: Any) -> RunResult:
    """The one result of a seed with those hyperparameters."""
    (result,) = (
        r
        for r in found
        if r.seed == seed
        and all(getattr(r.hyperparams, key) == value for key, value in hyperparams.items())
    )
    return result


# What is said on the way


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
    assert phases == ["compiling", *["training"] * (len(records) - 2), "finished"]
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
        epochs = range(result.stopped_epoch + 1)
        assert [(p.epoch, p.step) for p in result.costs] == [(e, N_STEPS * e) for e in epochs]
        assert [p.batch_cost is None for p in result.costs] == [e == 0 for e in epochs]


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
        assert result.reached_limit == (result.stopped_epoch == 6)
    assert {result.reached_limit for result in found} == {True, False}


def logits(result: RunResult, x: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(model.predict(result.params, result.state, jnp.asarray(x)))


def cost_and_accuracy(result: RunResult, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    """By NumPy, from the logits of the kept parameters."""
    found = logits(result, x).astype(np.float64)
    log_shares = found - np.log(np.exp(found).sum(axis=1, keepdims=True))
    return -log_shares[np.arange(len(y)), y].mean(), np.mean(found.argmax(axis=1) == y)


def assert_kept(result: RunResult, data: Dataset, training: Any, validation: Any) -> None:
    """The kept parameters have the recorded costs and accuracies on every part."""
    assert result.best_epoch is not None
    best = result.costs[result.best_epoch]
    x, y = data.x_train, data.y_train
    cost, accuracy = cost_and_accuracy(result, x[validation], y[validation])
    assert result.validation_accuracy == best.validation_accuracy == accuracy
    np.testing.assert_allclose([result.validation_cost, best.validation_cost], cost, rtol=1e-5)
    cost, accuracy = cost_and_accuracy(result, x[training], y[training])
    assert result.training_accuracy == best.training_accuracy == accuracy
    np.testing.assert_allclose([result.training_cost, best.training_cost], cost, rtol=1e-5)
    if data.x_test is None or data.y_test is None:
        assert (result.test_accuracy, result.test_cost) == (None, None)
    else:
        cost, accuracy = cost_and_accuracy(result, data.x_test, data.y_test)
        assert result.test_accuracy == accuracy
        np.testing.assert_allclose(result.test_cost, cost, rtol=1e-5)


def test_the_kept_parameters_have_the_recorded_costs_and_accuracies(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    for result in results(sweep[0]):
        assert_kept(result, SMALL_DATA, TRAINING, VALIDATION)


def test_a_run_that_predicts_one_class_is_collapsed(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    found = results(sweep[0])
    for result in found:
        answers = logits(result, SMALL_DATA.x_train[VALIDATION]).argmax(axis=1)
        assert result.collapsed == (len(set(answers)) == 1)
    assert {result.collapsed for result in found} == {True, False}


# Against a plain loop

train_step = jax.jit(train.train_step)


def by_hand(
    hp: Hyperparams, seed: int, data: Dataset, epochs: int, *, dropout: bool
) -> Iterator[train.TrainState]:
    """One lane, step after step, as the definitions say."""
    swept = jax.tree.map(lambda a: jnp.asarray(a[0]), train.stack_hyperparams([hp]))
    key = jax.random.wrap_key_data(jnp.asarray(train.root_key(seed)), impl="threefry2x32")
    state = train.init(hp, data.n_in, data.n_classes, key)
    for epoch in range(1, epochs + 1):
        order = TRAINING[batch_order(seed, epoch, N_TRAINING)]
        for number in range(N_STEPS):
            rows = order[16 * number : 16 * (number + 1)]
            step = jnp.int32(N_STEPS * (epoch - 1) + number + 1)
            step_key = train.dropout_key(key, step) if dropout else None
            x, y = jnp.asarray(data.x_train[rows]), jnp.asarray(data.y_train[rows])
            state = train_step(swept, state, x, y, step_key, step)
            yield state


@pytest.mark.parametrize("drop_rate", [0.0, 0.3])
def test_batch_and_validation_costs_are_those_of_a_plain_loop(
    sweep: tuple[list[Progress], Counter[str]], drop_rate: float
) -> None:
    result = only(results(sweep[0]), seed=2, drop_rate=drop_rate)
    states = list(by_hand(result.hyperparams, 2, SMALL_DATA, result.stopped_epoch, dropout=True))
    ends = states[N_STEPS - 1 :: N_STEPS]
    sums = [0.0, *(float(state.batch_costs) for state in ends)]
    x, y = SMALL_DATA.x_train[VALIDATION], SMALL_DATA.y_train[VALIDATION]
    for point, state, (before, after) in zip(result.costs[1:], ends, pairwise(sums), strict=True):
        kept = replace(result, params=state.params, state=state.bn_state)
        cost, _ = cost_and_accuracy(kept, x, y)
        assert point.batch_cost is not None
        np.testing.assert_allclose(point.batch_cost, (after - before) / N_STEPS, rtol=1e-3)
        np.testing.assert_allclose(point.validation_cost, cost, rtol=1e-3)


# Divergence


def poisoned() -> Dataset:
    """Floating-point images, one of them so bright that some runs overflow, and at another step."""
    x = SMALL_DATA.x_train.astype(np.float32) / 255
    x[TRAINING[0]] *= np.float32(3e37)
    assert SMALL_DATA.x_test is not None
    named = {"x_train": x, "y_train": SMALL_DATA.y_train}
    return make_dataset("poisoned", named, "poisoned")


def test_a_diverged_run_reports_the_exact_update_of_a_plain_loop() -> None:
    data = poisoned()
    axes = {"learning_rate": (0.1, 1.0, 1e30)}
    found = trained(experiment(axes, seeds=(0, 1), patience=None), data=data)
    for result in found:
        states = by_hand(result.hyperparams, result.seed, data, 4, dropout=False)
        expected = next((n for n, s in enumerate(states, start=1) if not s.active), None)
        assert result.diverged_at == expected
        assert result.status == ("diverged" if expected else "finished")
    assert {result.diverged_at for result in found} == {None, 2, 8, 27}


@pytest.fixture(scope="module")
def rates() -> list[RunResult]:
    """Learning rates side by side, one of them far too high."""
    return trained(experiment({"learning_rate": (0.1, 0.2, 1e30)}, seeds=(1,), hidden=HIDDEN))


def test_a_diverged_run_has_no_accuracy_and_says_how_far_it_came(rates: list[RunResult]) -> None:
    result = only(rates, learning_rate=1e30, seed=1)
    numbers = [
        getattr(result, f"{part}_{what}")
        for part in ("training", "validation", "test")
        for what in ("accuracy", "cost")
    ]
    assert (result.status, result.diverged_at, result.stopped_epoch) == ("diverged", 2, 1)
    assert (result.best_epoch, result.collapsed, result.reached_limit) == (None, False, False)
    assert numbers == [None] * 6
    assert [point.epoch for point in result.costs] == [0]


def test_neighbours_of_a_diverged_run_are_equal_to_the_bit(rates: list[RunResult]) -> None:
    axes = {"learning_rate": (0.1, 0.2, 0.3, 0.4)}
    others = trained(experiment(axes, seeds=(1,), hidden=HIDDEN))
    for rate in (0.1, 0.2):
        assert_same_run(only(rates, 1, learning_rate=rate), only(others, 1, learning_rate=rate))


def assert_same_run(found: RunResult, expected: RunResult) -> None:
    """All numbers to the bit; device, width and versions may differ."""
    assert_equal_bits((found.params, found.state), (expected.params, expected.state))
    assert found.costs == expected.costs
    plain = {"params": None, "state": None, "provenance": expected.provenance}
    assert replace(found, **plain) == replace(expected, **plain)


# Devices, experiments, compiles


def test_results_do_not_depend_on_the_number_of_devices(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    alone = trained(SWEEP, devices=jax.devices("cpu")[:1])
    expected = {result.run_id: result for result in results(sweep[0])}
    assert len(alone) == 30
    for result in alone:
        assert_same_run(result, expected[result.run_id])


def test_equal_runs_of_two_experiments_are_trained_once() -> None:
    first = experiment({"learning_rate": (0.1, 0.2)}, name="first", hidden=HIDDEN)
    second = experiment({"learning_rate": (0.2, 0.3)}, name="second", hidden=HIDDEN)
    found = trained(first, second)
    assert [only(found, learning_rate=rate).experiments for rate in (0.1, 0.2, 0.3)] == [
        ("first",),
        ("first", "second"),
        ("second",),
    ]
    assert len(found) == 3


def test_the_dropout_sweep_compiles_each_function_once(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    _, counts = sweep
    names = ("refill", "advance", "evaluate", "finals")
    assert [counts[f"jit({name})"] for name in names] == [1, 1, 1, 1]


def test_the_same_study_again_compiles_nothing_and_gives_the_same_bits(
    sweep: tuple[list[Progress], Counter[str]],
) -> None:
    expected = {result.run_id: result for result in results(sweep[0])}
    with compiled() as counts:
        again = trained(SWEEP)
    assert not counts
    for result in again:
        assert_same_run(result, expected[result.run_id])


def test_each_batch_size_compiles_once_whatever_the_seeds() -> None:
    with compiled() as counts:
        found = trained(experiment({"batch_size": (40, 83)}, seeds=(0, 1, 2), hidden=HIDDEN))
    assert counts["jit(advance)"] == 2
    assert len(found) == 6
    steps = {r.hyperparams.batch_size: [p.step for p in r.costs][:2] for r in found}
    assert steps == {40: [0, 4], 83: [0, 2]}


# Stopping from outside


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of steps of every chunk that is started, three at the most."""
    started: list[int] = []
    advance = program.advance

    def counting(*args: Any) -> Any:
        started.append(int(args[-1]))
        return advance(*args)

    monkeypatch.setattr(program, "advance", counting)
    monkeypatch.setattr(engine, "FIRST_CHUNK", 3)
    monkeypatch.setattr(engine, "CHUNK_SECONDS", (0, 1e9))  # as long as they are
    return started


def test_the_training_goes_no_further_than_its_consumer(chunks: list[int]) -> None:
    training = engine.run(plan(SWEEP), SMALL_DATA)
    before = 0
    for _ in range(12):
        next(training)
        assert len(chunks) <= before + 1
        before = len(chunks)
    training.close()
    assert chunks == [3, 3, 3, 1] * 2
    assert len(chunks) == before


def test_chunks_grow_when_they_are_short_and_shrink_when_they_are_long(
    chunks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHUNK_SECONDS", (1e9, 1e10))
    trained(SWEEP)
    assert chunks[:2] == [3, 3]
    assert max(chunks) == N_STEPS
    chunks.clear()
    monkeypatch.setattr(engine, "CHUNK_SECONDS", (-2, -1))
    trained(SWEEP)
    assert chunks[:2] == [3, 3]
    assert min(chunks) == 1


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
    made = plan(experiment({"learning_rate": (0.1, 0.2, 0.3)}, hidden=HIDDEN))
    for result in results(engine.run(made, SMALL_DATA, split=(training, validation))):
        assert_kept(result, SMALL_DATA, training, validation)


def test_each_run_splits_by_its_own_seed_where_the_study_says_so() -> None:
    swept = experiment({"learning_rate": (0.1, 0.2, 0.3)}, hidden=HIDDEN, seeds=(3, 4))
    for result in trained(swept, split_seed="seed"):
        assert result.split_seed == result.seed
        assert_kept(result, SMALL_DATA, *split(208, result.seed, 0.2))


# What cannot be had


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceError) as error:
        engine.find_devices("gpu")
    message = str(error.value)
    assert message.startswith("--device gpu: JAX finds no such device (")
    assert message.endswith("); use --device cpu, or see what `jmlp doctor` says")
    assert "\n" not in message


def test_a_plan_that_does_not_fit_is_refused_before_anything_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planning, "total_memory", lambda: 1)
    with compiled() as counts, pytest.raises(ConfigError, match="needs about"):
        next(engine.run(plan(SWEEP), SMALL_DATA))
    assert not counts


@pytest.mark.parametrize("reason", ["RESOURCE_EXHAUSTED: 3 bytes\nmore", "INTERNAL: a bug"])
def test_only_a_device_out_of_memory_is_told_as_such(
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
