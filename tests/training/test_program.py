"""Lanes of the compiled program: a run's bits do not depend on its neighbours."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import N_CLASSES, N_IN, N_STEPS, SMALL, SMALL_DATA, assert_equal_bits, leaves
from jax.sharding import Mesh
from numpy.random import Generator, Philox

from jmlp.data import batch_order
from jmlp.study.config import Hyperparams
from jmlp.training import program, single_run
from jmlp.training.blocks import Data
from jmlp.training.program import (
    Cohorts,
    EvaluationInputs,
    Parts,
    Setup,
    root_key,
    stack_hyperparams,
)
from jmlp.training.single_run import TrainState
from jmlp.training.strategies import (
    AllAtOnce,
    Chunk,
    Compaction,
    Interval,
    InTurn,
    Strategy,
    in_pairs,
)

# All that a lane can have: batch norm, the moments of Adam, dropout.
RICH = replace(SMALL, batch_norm=True, optimizer="adam")
LANES = [replace(RICH, drop_rate=i / 10, learning_rate=(1 + i) / 100) for i in range(8)]


MESH = Mesh(np.array(jax.devices("cpu")[:2]), ("slots",))


class Bench:
    """Two cohorts on the small data set, alike but for their seeds, each on a device."""

    def __init__(
        self,
        lanes: Sequence[Hyperparams],
        seeds: tuple[int, int] = (0, 7),
        strategy: Strategy = InTurn(),  # noqa: B008  # it has no state
    ) -> None:
        self.setup = Setup(MESH, N_IN, N_CLASSES, strategy)
        self.lanes = len(lanes)
        self.cohorts = Cohorts(
            hp=self.in_slots(stack_hyperparams(lanes)),
            keys=self.setup.put_slots(np.stack([root_key(seed) for seed in seeds])),
            parts=self.in_slots(Parts(*jnp.split(jnp.arange(208), [160, 200]))),
        )
        data = Data(jnp.asarray(SMALL_DATA.x_train), jnp.asarray(SMALL_DATA.y_train))
        self.data = self.setup.put_everywhere(data)
        orders = [batch_order(seed, 1, 160).reshape(N_STEPS, 16) for seed in seeds]
        self.order = self.setup.put_slots(np.stack(orders))
        self.blank = program.blank(self.setup, self.cohorts)
        self.state = self.refilled(self.blank, [True, True])

    def in_slots(self, tree: Any) -> Any:
        """The same for both slots."""
        return self.setup.put_slots(jax.tree.map(lambda a: np.stack([a, a]), tree))

    def refilled(self, state: TrainState, fresh: Sequence[bool]) -> TrainState:
        lanes = np.repeat(np.array(fresh)[:, None], self.lanes, axis=1)
        new = program.refill(self.setup, copied(state), self.cohorts, lanes)
        assert isinstance(new, TrainState)
        return new

    def advanced(self, state: TrainState, chunk: int = N_STEPS) -> TrainState:
        """After one epoch, so many steps at a time."""
        hp, keys = self.cohorts.hp, self.cohorts.keys
        intervals = Interval(hp, keys, self.order, np.zeros(2, np.int32), N_STEPS)
        state = copied(state)
        for first in range(0, N_STEPS, chunk):
            end = np.int32(min(first + chunk, N_STEPS))
            of_chunk = Chunk(intervals, self.data, np.int32(first), end)
            state, _ = program.advance(self.setup, state, of_chunk)
        assert isinstance(state, TrainState)
        return state

    def evaluated(self, state: TrainState, wanted: Sequence[bool] = (True, True)) -> Any:
        """State and measurement after epoch 1."""
        ones, last = np.ones(2, np.int32), np.asarray(self.cohorts.hp.epochs)
        inputs = EvaluationInputs(
            self.cohorts, ones, last, np.array(wanted), self.data, np.int32(N_STEPS)
        )
        return program.evaluate(self.setup, copied(state), inputs)

    def epoch(self) -> Any:
        """State and measurement after an epoch from the start."""
        return self.evaluated(self.advanced(self.state))


def copied(state: TrainState) -> TrainState:
    """A state to give up: the program's functions take theirs away."""
    return jax.tree.map(lambda a: a.copy(), state)  # type: ignore[no-any-return]


def lane(tree: Any, index: int, slot: int = 0) -> Any:
    return jax.tree.map(lambda a: np.asarray(a)[slot, index], tree)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(LANES)


@pytest.fixture(scope="module")
def at_once() -> Bench:
    """The strategy of an accelerator."""
    return Bench(LANES, strategy=AllAtOnce())


@pytest.fixture(params=["in turn", "at once"])
def either(request: pytest.FixtureRequest, bench: Bench, at_once: Bench) -> Bench:
    return bench if request.param == "in turn" else at_once


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_chunks_of_any_length_give_the_bits_of_the_whole(bench: Bench, chunk: int) -> None:
    assert_equal_bits(bench.advanced(bench.state, chunk), bench.advanced(bench.state))


NEIGHBOURS = {
    "of other values": replace(RICH, drop_rate=0.9, learning_rate=0.5, epochs=1),
    "that diverge": replace(RICH, learning_rate=1e30),
    "that are infinite from the start": replace(RICH, learning_rate=1e300),
}


@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_a_lane_does_not_depend_on_neighbours(bench: Bench, kind: str) -> None:
    neighbour = NEIGHBOURS[kind]
    found = Bench([*[neighbour] * 3, LANES[3], *[neighbour] * 4]).epoch()
    assert_equal_bits(lane(found, 3), lane(bench.epoch(), 3))
    assert (lane(found, 0)[0].diverged_at > 0) == (kind != "of other values")


def test_a_lane_does_not_depend_on_its_place(bench: Bench) -> None:
    found, expected = Bench(LANES[::-1]).epoch(), bench.epoch()
    for index in range(8):
        assert_equal_bits(lane(found, 7 - index), lane(expected, index))


@pytest.mark.parametrize("seeds", [(7, 0), (5, 0), (0, 5)])
def test_a_cohort_does_not_depend_on_its_device_or_on_the_other_one(
    bench: Bench, seeds: tuple[int, int]
) -> None:
    found, expected = Bench(LANES, seeds).epoch(), bench.epoch()
    for index in range(8):
        assert_equal_bits(lane(found, index, seeds.index(0)), lane(expected, index))


def test_cohorts_of_other_seeds_have_other_numbers(bench: Bench) -> None:
    state, _ = bench.epoch()
    for index in range(8):
        assert lane(state, index, 0).best_cost != lane(state, index, 1).best_cost


def test_a_lane_that_has_stopped_does_not_change(either: Bench) -> None:
    evaluated, _ = either.evaluated(either.advanced(either.state))
    active = either.setup.put_slots(np.array([[True, False] * 4] * 2))
    started = evaluated._replace(active=active)
    found, measured = either.evaluated(either.advanced(started))
    for index in (1, 3, 5, 7):
        assert_equal_bits(lane(found, index), lane(started, index))
    for index in (0, 2, 4, 6):
        moved = lane(found, index).best_params[0].dense.W != lane(started, index).params[0].dense.W
        assert moved.all()
    np.testing.assert_array_equal(measured.counted, active)


def test_a_blank_state_trains_nothing(bench: Bench) -> None:
    assert not np.asarray(bench.blank.active).any()
    assert_equal_bits(bench.advanced(bench.blank), bench.blank)


def test_a_refill_starts_the_fresh_slots_and_leaves_the_others(bench: Bench) -> None:
    trained = bench.advanced(bench.state)
    found = bench.refilled(trained, [False, True])
    for index in range(8):
        assert_equal_bits(lane(found, index, 0), lane(trained, index, 0))
        assert_equal_bits(lane(found, index, 1), lane(bench.state, index, 1))


def test_lanes_that_do_not_start_with_their_cohort_never_train(bench: Bench) -> None:
    lanes = np.array([[True] * 5 + [False] * 3] * 2)
    padded = program.refill(bench.setup, copied(bench.blank), bench.cohorts, lanes)
    found, measured = bench.evaluated(bench.advanced(padded))
    np.testing.assert_array_equal(found.active, lanes)
    np.testing.assert_array_equal(measured.counted, lanes)


def test_a_slot_that_is_not_wanted_is_not_evaluated(either: Bench) -> None:
    trained = either.advanced(either.state)
    both, found = either.evaluated(trained), either.evaluated(trained, [False, True])
    for index in range(8):
        assert_equal_bits(lane(found[0], index, 0), lane(trained, index, 0))
        assert_equal_bits(lane(found, index, 1), lane(both, index, 1))
    _, measured = found
    assert not measured.counted[0].any()
    assert np.isnan(measured.validation.cost[0]).all()


@pytest.mark.parametrize("strategy", [InTurn(), AllAtOnce()])
def test_an_evaluation_measures_the_head_of_the_training_part_and_the_validation_part(
    strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "TRAINING_SAMPLE", 5)
    bench = Bench(LANES, strategy=strategy)
    parts = Parts(jnp.arange(20, 40), jnp.arange(100, 110), jnp.arange(0))
    bench.cohorts = bench.cohorts._replace(parts=bench.in_slots(parts))
    _, measured = bench.evaluated(bench.state)
    for index in (0, 5):
        params, bn_state = lane((bench.state.params, bench.state.bn_state), index)
        for found, rows in (
            (measured.training, range(20, 25)),
            (measured.validation, range(100, 110)),
        ):
            data = Data(*map(jnp.asarray, (SMALL_DATA.x_train, SMALL_DATA.y_train)))
            expected = single_run.evaluate(params, bn_state, data, jnp.array(rows))
            np.testing.assert_allclose(lane(found, index).cost, expected.cost, rtol=1e-5)
            assert lane(found, index)[1:] == expected[1:]


def test_all_at_once_gives_the_numbers_of_one_after_the_other_up_to_rounding(
    bench: Bench, at_once: Bench
) -> None:
    expected = leaves(bench.epoch())
    for name, leaf in leaves(at_once.epoch()).items():
        np.testing.assert_allclose(leaf, expected[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_finals_are_measured_on_each_part_for_the_wanted_lanes_alone(either: Bench) -> None:
    state, measured = either.epoch()
    wanted = np.array([[True] * 3 + [False] * 5, [False] * 8])
    found = program.finals(either.setup, state, either.cohorts.parts, wanted, either.data)
    for part in (found.training, found.validation, found.test):
        assert part is not None
        np.testing.assert_array_equal(np.isfinite(part.cost), wanted)
        assert np.all(np.asarray(part.correct)[~wanted] == 0)
    best = np.asarray(state.best_evaluation)[0, :3] == 1
    assert best.any()
    for name in ("cost", "correct", "top"):
        expected = np.asarray(getattr(measured.validation, name))[0, :3][best]
        got = np.asarray(getattr(found.validation, name))[0, :3][best]
        np.testing.assert_allclose(got, expected, rtol=1e-6)


# What a step needs


@pytest.mark.parametrize("taking_part", [0, 1, 2, 5, 8])
def test_pairs_reach_the_selected_lanes_and_at_most_one_other(taking_part: int) -> None:
    lanes = np.isin(np.arange(8), [6, 1, 4, 0, 7, 2, 5, 3][:taking_part])

    compaction, one = Compaction(jnp.asarray(lanes)), jnp.ones(8, jnp.int32)
    counts = in_pairs(compaction.n, lambda count, own: count + own, compaction.gather(0 * one), one)
    reached = np.asarray(compaction.restore(counts))
    assert (reached[lanes] == 1).all()
    assert reached.sum() == taking_part + taking_part % 2


# At the size of the original study: 784-20-7-5-10, batches of 128

WIDEST = 20
STEPS, INPUTS, CLASSES = 3, 784, 10


class Original:
    """Two equal cohorts of `width` lanes on random images; the drop rates are 0 to 0.9, twice."""

    def __init__(self, width: int, *, dropout: bool = True) -> None:
        self.setup = Setup(MESH, INPUTS, CLASSES, InTurn())
        lanes = [
            Hyperparams(drop_rate=(i % 10) / 10, learning_rate=(1 + i) / 100) for i in range(width)
        ]
        random, n = Generator(Philox(0)), STEPS * 128
        images = random.integers(0, 256, (n, INPUTS), np.uint8)
        labels = random.integers(0, CLASSES, n, np.int32)
        data = Data(jnp.asarray(images), jnp.asarray(labels))
        rows = jnp.arange(n)
        self.cohorts, order = jax.tree.map(
            lambda a: np.stack([a, a]),
            (
                Cohorts(
                    stack_hyperparams(lanes),
                    root_key(3),
                    Parts(rows[:200], rows[200:], rows[:0]),
                ),
                rows.reshape(STEPS, 128),
            ),
        )
        keys = self.cohorts.keys if dropout else None
        intervals = Interval(self.cohorts.hp, keys, order, np.zeros(2, np.int32), STEPS)
        self.all_steps = Chunk(intervals, data, np.int32(0), np.int32(STEPS))

    def epoch(self, state: Any) -> Any:
        """State and measurement after the steps."""
        state, _ = program.advance(self.setup, self.setup.put_slots(state), self.all_steps)
        ones, last = np.ones(2, np.int32), np.asarray(self.cohorts.hp.epochs)
        wanted, data = np.ones(2, np.bool_), self.all_steps.data
        inputs = EvaluationInputs(self.cohorts, ones, last, wanted, data, np.int32(STEPS))
        return program.evaluate(self.setup, state, inputs)


@pytest.fixture(scope="module")
def start() -> Any:
    """The widest cohort before its first step, NumPy arrays."""
    widest = Original(WIDEST)
    blank = program.blank(widest.setup, widest.cohorts)
    lanes = np.ones((2, WIDEST), np.bool_)
    return jax.device_get(program.refill(widest.setup, blank, widest.cohorts, lanes))


def first_lanes(state: Any, width: int) -> Any:
    return jax.tree.map(lambda a: a[:, :width], state)


@pytest.fixture(scope="module")
def first_eight(start: Any) -> Callable[[int], Any]:
    """State and measurement after an epoch of the first eight of so many lanes."""

    @cache
    def train_width(width: int) -> Any:
        return first_lanes(jax.device_get(Original(width).epoch(first_lanes(start, width))), 8)

    return train_width


@pytest.mark.parametrize("width", [4, 10, 12, 16, 20])
def test_the_number_of_lanes_does_not_change_a_bit(
    first_eight: Callable[[int], Any], width: int
) -> None:
    n = min(width, 8)
    assert_equal_bits(first_eight(width), first_lanes(first_eight(8), n))


def test_a_lane_without_dropout_in_the_dropout_program_is_the_plain_program(
    start: Any, first_eight: Callable[[int], Any]
) -> None:
    found = Original(8, dropout=False).epoch(first_lanes(start, 8))
    assert_equal_bits(lane(found, 0), lane(first_eight(8), 0))
    assert lane(found, 1)[0].best_cost != lane(first_eight(8), 1)[0].best_cost


def test_a_step_computes_what_the_mathematics_needs_and_no_more(start: Any) -> None:
    eight = Original(8)
    state = eight.setup.put_slots(first_lanes(start, 8))
    compiled = program.advance.lower(eight.setup, state, eight.all_steps).compile()
    costs = compiled.cost_analysis()
    assert costs is not None
    # What stands in a loop counts once: a step of one pair. A product forward and one for dW in
    # each layer, and one for dA in each but the first.
    weights = [a * b for a, b in pairwise((INPUTS, 20, 7, 5, CLASSES))]
    needed = 2 * 128 * 2 * (3 * sum(weights) - weights[0])
    assert 1 <= costs["flops"] / needed < 1.12
    # Eighteen times the pixels and the first weights of the pair: once a chunk all lanes are moved,
    # and each step passes over its own some times. It grows if a step passes over the others.
    pair = 4 * (2 * weights[0] + 128 * INPUTS)
    assert costs["bytes accessed"] / pair < 20
