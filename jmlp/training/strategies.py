"""How one device trains many runs: `InTurn` for a CPU core, `AllAtOnce` for an accelerator.

A cohort consists of the runs that share a seed and every static hyperparameter: they see the same
mini-batches and the same dropout uniforms, and each is a lane. A slot holds one cohort in training;
all slots are at the same step of their own intervals between two evaluations. A strategy applies
the functions of `single_run`, which handle one run, to all lanes of all slots of one device.

Arrays have slots as their first axis and lanes as their second. Slots and lanes are independent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.nn import model
from jmlp.nn.augmentation import Augmentation
from jmlp.study.config import Hyperparams
from jmlp.training import blocks, load_balance, single_run
from jmlp.training.blocks import Data
from jmlp.training.plan import Group, Plan, cpu_slots
from jmlp.training.single_run import Evaluation, Sums, TrainState

# Cohorts in training at once on an accelerator: with few, kernel launches would dominate. A
# constant, because bits may depend on it.
SLOTS_ON_ACCELERATORS = 16

# Fields of `TrainState` that only evaluations change.
EVALUATION_FIELDS = (
    "best_params",
    "best_bn_state",
    "best_cost",
    "best_evaluation",
    "last_evaluation",
)

Input = Any  # an array: NumPy on the host, JAX within a program
Networks = tuple[model.Params, model.State]  # of all slots and lanes


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("hp", "root_key", "order", "steps_before", "class_weights"),
    meta_fields=("n_steps", "augmentation"),
)
@dataclass(frozen=True)
class Interval:
    """The inputs of one cohort's updates from one evaluation to the next."""

    hp: Hyperparams  # swept ones: (lanes,); `drop_rate` is None where no lane drops units
    root_key: Input | None  # as raw data, (2,); None where no update draws random numbers
    order: Input  # the rows of each mini-batch, (steps, B)
    steps_before: Input  # updates made before this interval
    n_steps: int  # updates per epoch; static
    class_weights: Input | None = None  # (C,); None: all examples count alike
    augmentation: Augmentation | None = None  # of the pictures of every mini-batch; static


class Chunk(NamedTuple):
    """The inputs of a chunk: some steps of an interval, for all slots."""

    intervals: Interval  # of each slot
    data: Data
    first: Input  # first step within the interval, counted from 0
    # The step before which to stop. One program serves chunks of every length, so where they end
    # cannot change a bit.
    end: Input


class Strategy(Protocol):
    """How a device trains the cohorts in its slots."""

    def n_slots(self, plan: Plan, group: Group, n_devices: int) -> int:
        """The number of cohorts of a group in training at once on each device."""

    def calls(
        self, n_lanes: Mapping[int, int], per_device: int, max_lanes: int
    ) -> Iterator[list[int]]:
        """The slots to evaluate in each call; between two calls, Python answers requests.

        Args:
            n_lanes: number of lanes of each slot to evaluate.
            per_device: slots per device.
            max_lanes: lanes per device and call, unless a single slot has more.
        """

    def moves(
        self, n_lanes: Mapping[int, int], n_devices: int, per_device: int
    ) -> list[int] | None:
        """How to move cohorts, in the form of `load_balance.rebalance`."""

    def advance(self, state: TrainState, chunk: Chunk) -> TrainState:
        """Trains all slots for a chunk; lanes that have stopped do not change."""

    def evaluate(
        self, lanes: Array, networks: Networks, rows: Sequence[Array], data: Data
    ) -> tuple[Evaluation, ...]:
        """Evaluates networks on several parts of the data.

        Args:
            lanes: bool mask of the lanes to evaluate, `(slots, lanes)`; the results of others are
                meaningless.
            networks: networks of all slots and lanes.
            rows: rows of each part, `(slots, n)`.
            data: all examples.
        """

    def each_lane(
        self, lanes: Array, function: Callable[..., Any], carry: Any, *inputs: Any
    ) -> Any:
        """Applies a function of one lane, `function(carry, *inputs)`, to some lanes.

        Args:
            lanes: bool mask of the lanes, `(slots, lanes)`; `carry` of the others does not change.
            function: returns the updated `carry`.
            carry: arrays with slots and lanes as their first axes.
            inputs: likewise.
        """


def make_step(
    data: Data, interval: Interval, index: Array, params: model.Params
) -> Callable[[TrainState, Hyperparams], TrainState]:
    """Returns `step(state, hp)`, one update of any lane of a cohort: all share the mini-batch.

    Args:
        data: all examples.
        interval: inputs of the cohort.
        index: the step within the interval, counted from 0.
        params: parameters of one or all lanes; only their structure matters.
    """
    step = interval.steps_before + index + 1
    key = augment = None
    if interval.root_key is not None:
        root_key = jax.random.wrap_key_data(interval.root_key, impl="threefry2x32")
        key = single_run.dropout_key(root_key, step)
        if interval.augmentation is not None:
            augment = partial(
                interval.augmentation.apply, key=single_run.augmentation_key(root_key, step)
            )
    rows = interval.order[index]
    x, y = blocks.mini_batch(data, rows, params, augment)
    return partial(
        single_run.train_step,
        x=x,
        y=y,
        key=key,
        step=step,
        n_steps=interval.n_steps,
        class_weights=interval.class_weights,
        weights=None if data.weights is None else data.weights[rows],
    )


@dataclass(frozen=True)
class AllAtOnce:
    """Vectorises over all slots and lanes, even stopped ones, since kernels are small."""

    def n_slots(self, plan: Plan, group: Group, n_devices: int) -> int:
        """`SLOTS_ON_ACCELERATORS`, for every group."""
        return SLOTS_ON_ACCELERATORS

    def calls(
        self, n_lanes: Mapping[int, int], per_device: int, max_lanes: int
    ) -> Iterator[list[int]]:
        """All slots in one call."""
        if n_lanes:
            yield list(n_lanes)

    def moves(
        self, n_lanes: Mapping[int, int], n_devices: int, per_device: int
    ) -> list[int] | None:
        """None: the time of a step does not depend on how many lanes have stopped."""
        return None

    def advance(self, state: TrainState, chunk: Chunk) -> TrainState:
        """A loop over steps, each for all lanes of all slots at once."""
        end = jnp.where(jnp.any(state.active), chunk.end, chunk.first)
        step = partial(_step_of_all, chunk)
        stepped: TrainState = jax.lax.fori_loop(chunk.first, end, step, state)
        return stepped

    def evaluate(
        self, lanes: Array, networks: Networks, rows: Sequence[Array], data: Data
    ) -> tuple[Evaluation, ...]:
        """Evaluates all lanes of all slots, if any is to be evaluated."""

        def measure() -> tuple[Evaluation, ...]:
            over_lanes = jax.vmap(single_run.evaluate, in_axes=(0, 0, None, None))
            over_slots = jax.vmap(over_lanes, in_axes=(0, 0, None, 0))
            return tuple(over_slots(*networks, data, part_rows) for part_rows in rows)

        return _if_any(lanes, measure, len(rows))

    def each_lane(
        self, lanes: Array, function: Callable[..., Any], carry: Any, *inputs: Any
    ) -> Any:
        """Computes all lanes of all slots, and selects those in `lanes`."""
        return choose(lanes, jax.vmap(jax.vmap(function))(carry, *inputs), carry)


def _step_of_all(chunk: Chunk, index: Array, state: TrainState) -> TrainState:
    """One step of every lane of every slot."""

    def cohort(state: TrainState, interval: Interval) -> TrainState:
        step = make_step(chunk.data, interval, index, state.params)
        new: TrainState = jax.vmap(step)(state, interval.hp)
        return new

    stepped: TrainState = jax.vmap(cohort)(state, chunk.intervals)
    return stepped


@dataclass(frozen=True)
class InTurn:
    """Processes slots one after the other and lanes in pairs; stopped ones cost nothing.

    A mini-batch is prepared once and used by every lane that still trains. Matrix products always
    have the shapes of a pair, so bits do not depend on the number of lanes; only a single lane has
    a program of its own.
    """

    def n_slots(self, plan: Plan, group: Group, n_devices: int) -> int:
        """As many as fit into memory, but no more than help to keep all cores busy."""
        return cpu_slots(plan, group, n_devices)

    def calls(
        self, n_lanes: Mapping[int, int], per_device: int, max_lanes: int
    ) -> Iterator[list[int]]:
        """A few slots of each device per call."""
        return load_balance.calls(n_lanes, per_device, max_lanes)

    def moves(
        self, n_lanes: Mapping[int, int], n_devices: int, per_device: int
    ) -> list[int] | None:
        """From cores with many lanes to cores with few."""
        return load_balance.rebalance(n_lanes, n_devices, per_device)

    def advance(self, state: TrainState, chunk: Chunk) -> TrainState:
        """Nested loops over slots, steps and pairs of lanes."""
        busy = jnp.any(state.active, axis=1)
        end = jnp.where(busy, chunk.end, chunk.first)
        advance_slot = partial(_advance_slot, chunk.data, chunk.first)
        advanced: TrainState = jax.lax.map(advance_slot, (state, chunk.intervals, end))
        return advanced

    def evaluate(
        self, lanes: Array, networks: Networks, rows: Sequence[Array], data: Data
    ) -> tuple[Evaluation, ...]:
        """Nested loops over slots, blocks of examples and pairs of lanes."""
        evaluate_slot = partial(_evaluate_slot, data)
        parts: tuple[Evaluation, ...] = jax.lax.map(evaluate_slot, (lanes, networks, tuple(rows)))
        return parts

    def each_lane(
        self, lanes: Array, function: Callable[..., Any], carry: Any, *inputs: Any
    ) -> Any:
        """Nested loops over slots and pairs of lanes."""
        return jax.lax.map(partial(_each_lane_of_slot, function), (lanes, carry, inputs))


def _advance_slot(data: Data, first: Array, slot: tuple[TrainState, Interval, Array]) -> TrainState:
    """Trains one slot, `(state, interval, end)`, from step `first` up to but excluding `end`."""
    state, interval, end = slot
    # What no step changes stays out of the loops, which would copy it lane by lane.
    unchanged: Any = {name: getattr(state, name) for name in EVALUATION_FIELDS}
    absent: Any = dict.fromkeys(EVALUATION_FIELDS)
    compaction = Compaction(state.active)
    compacted, hp = compaction.gather((state._replace(**absent), interval.hp))
    step = partial(_step, data, replace(interval, hp=hp), compaction.n)
    stepped: TrainState = jax.lax.fori_loop(first, end, step, compacted)
    restored: TrainState = compaction.restore(stepped)
    return restored._replace(**unchanged)


def _step(data: Data, interval: Interval, n: Array, index: Array, state: TrainState) -> TrainState:
    """One step of the first `n` lanes of a cohort."""
    step = make_step(data, interval, index, state.params)
    stepped: TrainState = in_pairs(n, step, state, interval.hp)
    return stepped


def _evaluate_slot(
    data: Data, slot: tuple[Array, Networks, tuple[Array, ...]]
) -> tuple[Evaluation, ...]:
    """Evaluates the selected lanes of one slot."""
    lanes, networks, rows = slot

    def measure() -> tuple[Evaluation, ...]:
        compaction = Compaction(lanes)
        compacted = compaction.gather(networks)
        parts = tuple(_evaluate_pairs(compaction.n, compacted, part, data) for part in rows)
        restored: tuple[Evaluation, ...] = compaction.restore(parts)
        return restored

    return _if_any(lanes, measure, len(rows))


def _evaluate_pairs(n: Array, networks: Networks, rows: Array, data: Data) -> Evaluation:
    """Evaluates the first `n` lanes of a cohort on one part; they share each block of examples."""
    n_lanes, n_classes, _ = networks[0][-1].dense.W.shape

    def add(sums: Sums, x: model.Columns, y: Array, mask: Array, weights: Array | None) -> Sums:
        lane = partial(single_run.add_examples, x=x, y=y, mask=mask, weights=weights)
        added: Sums = in_pairs(n, lane, sums, *networks)
        return added

    zero = jax.tree.map(
        lambda a: jnp.broadcast_to(a, (n_lanes, *a.shape)), single_run.zero_sums(n_classes)
    )
    sums = blocks.sum_over(data, rows, add, zero, networks[0][0].raw)
    return single_run.evaluation_from(sums, blocks.total_weight(data, rows))


def _each_lane_of_slot(function: Callable[..., Any], slot: tuple[Array, Any, Any]) -> Any:
    """Applies a function of one lane to the selected lanes of one slot."""
    lanes, carry, inputs = slot

    def apply() -> Any:
        return choose(lanes, in_pairs(len(lanes), function, carry, *inputs), carry)

    return jax.lax.cond(jnp.any(lanes), apply, lambda: carry)


class Compaction:
    """Moves the selected lanes to the front, so that a loop can end after the last of them.

    A lane's bits do not depend on its position.
    """

    def __init__(self, lanes: Array) -> None:
        """Takes the mask of selected lanes, `(lanes,)`; its length is even, or 1 (`plan.width`)."""
        self.n = jnp.sum(lanes, dtype=jnp.int32)
        self.order = jnp.argsort(~lanes, stable=True) if len(lanes) > 1 else None

    def gather(self, tree: Any) -> Any:
        """Reorders arrays with lanes as their first axis, selected lanes first."""
        return tree if self.order is None else jax.tree.map(lambda a: a[self.order], tree)

    def restore(self, tree: Any) -> Any:
        """Undoes the reordering of `gather`."""
        if self.order is None:
            return tree
        inverse = jnp.argsort(self.order)
        return jax.tree.map(lambda a: a[inverse], tree)


def in_pairs(n: Array | int, function: Callable[..., Any], carry: Any, *inputs: Any) -> Any:
    """Applies a function of one lane, `function(carry, *inputs)`, to the first `n`, two at a time.

    Lanes beyond them may be computed too: the partner of an odd last one, and a single lane always.
    So either `function` leaves a lane that does not take part as it is, or its result is not used.

    Args:
        n: number of lanes.
        function: returns the updated `carry`.
        carry: arrays with lanes as their first axis.
        inputs: likewise.
    """
    if len(jax.tree.leaves(carry)[0]) == 1:  # a single lane
        lane = jax.tree.map(lambda a: a[0], (carry, *inputs))
        return jax.tree.map(lambda new: new[None], function(*lane))
    pair = partial(_pair, jax.vmap(function), inputs)
    return jax.lax.fori_loop(0, (n + 1) // 2, pair, carry)


def _pair(function: Callable[..., Any], inputs: tuple[Any, ...], index: Array, carry: Any) -> Any:
    """Applies a vectorised function to the pair of lanes at `2 * index`."""

    def read(a: Array) -> Array:
        return jax.lax.dynamic_slice_in_dim(a, 2 * index, 2)

    def write(a: Array, new: Array) -> Array:  # in place; `a.at[...].set` would be a scatter
        return jax.lax.dynamic_update_slice_in_dim(a, new, 2 * index, 0)

    return jax.tree.map(write, carry, function(*jax.tree.map(read, (carry, *inputs))))


def _if_any(
    lanes: Array, measure: Callable[[], tuple[Evaluation, ...]], n_parts: int
) -> tuple[Evaluation, ...]:
    """Calls `measure` if any lane is selected, else returns empty evaluations."""

    def skip() -> tuple[Evaluation, ...]:
        return (single_run.empty_evaluation(lanes.shape),) * n_parts

    parts: tuple[Evaluation, ...] = jax.lax.cond(jnp.any(lanes), measure, skip)
    return parts


def choose(condition: Array, new: Any, old: Any) -> Any:
    """`new` where the condition holds, else `old`: arrays of slots, or of slots and lanes.

    Args:
        condition: `(slots,)` or `(slots, lanes)`.
        new: arrays with the same first axes.
        old: likewise.
    """

    def select_leaf(n: Array, o: Array) -> Array:
        return jnp.where(
            condition.reshape(*condition.shape, *[1] * (n.ndim - condition.ndim)), n, o
        )

    return jax.tree.map(select_leaf, new, old)
