"""How one device runs many: `InTurn` for a CPU core, `AllAtOnce` for an accelerator.

A cohort is the runs that share a seed and every static hyperparameter: they see the same
mini-batches and the same dropout uniforms, and each is a lane. A slot holds one cohort in training;
all slots are at the same step of their own epochs. A strategy applies the functions of
`single_run`, which know of neither, to all lanes of all slots of one device.

Arrays have slots as their first axis and lanes as their second. Nothing crosses either.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.nn import model
from jmlp.study.config import Hyperparams
from jmlp.training import blocks, load_balance, single_run
from jmlp.training.blocks import Data
from jmlp.training.plan import Group, Plan, cpu_slots
from jmlp.training.single_run import Evaluation, Sums, TrainState

# Cohorts in training at once on an accelerator, which waits for kernels to start unless it has many
# together. A constant, because bits may depend on it.
SLOTS_ON_ACCELERATORS = 16

# What only evaluations change in a training state.
JUDGED = ("best_params", "best_bn_state", "best_cost", "best_epoch", "stopped_epoch")

Input = Any  # an array: of NumPy as the host gives it, of JAX in a program
Networks = tuple[model.Params, model.State]  # of all slots and lanes


class Epoch(NamedTuple):
    """What the training of one cohort reads in one epoch."""

    hp: Hyperparams  # swept ones: (lanes,)
    key: Input | None  # the root key as raw data, (2,); None where no lane drops units
    order: Input  # the rows of each mini-batch, (steps, B)
    steps_before: Input  # updates made before this epoch


class Chunk(NamedTuple):
    """What is read while all slots train for some steps of an epoch."""

    epochs: Epoch  # of each slot
    data: Data
    first: Input  # the step within the epoch, counted from 0, at which to begin
    end: Input  # and before which to end: data of the program, so numbers cannot depend on it


class Strategy(Protocol):
    """How a device runs the cohorts in its slots."""

    def n_slots(self, plan: Plan, group: Group, n_devices: int) -> int:
        """Cohorts of a group that are in training at once on each device."""

    def calls(self, lanes: Mapping[int, int], per_device: int, most: int) -> Iterator[list[int]]:
        """The slots to evaluate in each call; between two calls, Python answers requests.

        Args:
            lanes: of each slot that should be evaluated.
            per_device: slots of a device.
            most: lanes of a device in a call, as far as they are those of several slots.
        """

    def moves(self, lanes: Mapping[int, int], n_devices: int, per_device: int) -> list[int] | None:
        """Where cohorts should move, as `load_balance.balanced` says it."""

    def advance(self, state: TrainState, chunk: Chunk) -> TrainState:
        """Trains all slots for a chunk; lanes that have stopped do not change."""

    def evaluate(
        self, lanes: Array, networks: Networks, rows: Sequence[Array], data: Data
    ) -> tuple[Evaluation, ...]:
        """Measures networks on each of some parts of the data.

        Args:
            lanes: which to measure, `(slots, lanes)`; the numbers of others mean nothing.
            networks: of all slots and lanes.
            rows: of each part, `(slots, n)`.
            data: all examples.
        """

    def each_lane(
        self, lanes: Array, function: Callable[..., Any], carried: Any, *read: Any
    ) -> Any:
        """Applies a function of one lane, `function(carried, *read)`, to some lanes.

        Args:
            lanes: which, `(slots, lanes)`; `carried` of the others does not change.
            function: returns the updated `carried`.
            carried: arrays with slots and lanes in front.
            read: likewise.
        """


def update(
    data: Data, epoch: Epoch, index: Array, params: model.Params
) -> Callable[[TrainState, Hyperparams], TrainState]:
    """The update of any lane of a cohort at a step of its epoch: they share the mini-batch.

    Args:
        data: all examples.
        epoch: of the cohort.
        index: the step within the epoch, counted from 0.
        params: of any lane, or of all: only their structure matters.
    """
    x, y = blocks.mini_batch(data, epoch.order[index], params)
    step = epoch.steps_before + index + 1
    key = None
    if epoch.key is not None:
        root_key = jax.random.wrap_key_data(epoch.key, impl="threefry2x32")
        key = single_run.dropout_key(root_key, step)
    n_steps = len(epoch.order)
    return partial(single_run.train_step, x=x, y=y, key=key, step=step, n_steps=n_steps)


@dataclass(frozen=True)
class AllAtOnce:
    """All slots and lanes together, even those that have stopped: kernels are small, and many."""

    def n_slots(self, plan: Plan, group: Group, n_devices: int) -> int:
        """A constant."""
        return SLOTS_ON_ACCELERATORS

    def calls(self, lanes: Mapping[int, int], per_device: int, most: int) -> Iterator[list[int]]:
        """All slots in one call."""
        if lanes:
            yield list(lanes)

    def moves(self, lanes: Mapping[int, int], n_devices: int, per_device: int) -> list[int] | None:
        """None: a step takes as long as ever however many lanes have stopped."""
        return None

    def advance(self, state: TrainState, chunk: Chunk) -> TrainState:
        """One loop over steps, and in it all lanes of all slots."""
        last = jnp.where(jnp.any(state.active), chunk.end, chunk.first)
        step = partial(_step_of_all, chunk)
        stepped: TrainState = jax.lax.fori_loop(chunk.first, last, step, state)
        return stepped

    def evaluate(
        self, lanes: Array, networks: Networks, rows: Sequence[Array], data: Data
    ) -> tuple[Evaluation, ...]:
        """All lanes of all slots, if any is to be measured."""

        def measure() -> tuple[Evaluation, ...]:
            of_cohort = jax.vmap(single_run.evaluate, in_axes=(0, 0, None, None))
            of_all = jax.vmap(of_cohort, in_axes=(0, 0, None, 0))
            return tuple(of_all(*networks, data, of_part) for of_part in rows)

        return _if_any(lanes, measure, len(rows))

    def each_lane(
        self, lanes: Array, function: Callable[..., Any], carried: Any, *read: Any
    ) -> Any:
        """All lanes of all slots; it is taken where it is wanted."""
        return choose(lanes, jax.vmap(jax.vmap(function))(carried, *read), carried)


def _step_of_all(chunk: Chunk, index: Array, state: TrainState) -> TrainState:
    """One step of every lane of every slot."""

    def cohort(state: TrainState, epoch: Epoch) -> TrainState:
        lane = update(chunk.data, epoch, index, state.params)
        new: TrainState = jax.vmap(lane)(state, epoch.hp)
        return new

    stepped: TrainState = jax.vmap(cohort)(state, chunk.epochs)
    return stepped


@dataclass(frozen=True)
class InTurn:
    """Slots one after the other and lanes in pairs; what has stopped costs nothing.

    A mini-batch is made once and used by every lane that still trains. Products have the shapes of
    a pair however many lanes there are, so bits do not depend on their number; only a lane all by
    itself has a program of its own.
    """

    def n_slots(self, plan: Plan, group: Group, n_devices: int) -> int:
        """As many as fit into memory, and no more than help to keep all cores busy."""
        return cpu_slots(plan, group, n_devices)

    def calls(self, lanes: Mapping[int, int], per_device: int, most: int) -> Iterator[list[int]]:
        """A few slots of each device in a call."""
        return load_balance.turns(lanes, per_device, most)

    def moves(self, lanes: Mapping[int, int], n_devices: int, per_device: int) -> list[int] | None:
        """From cores with many lanes to cores with few."""
        return load_balance.balanced(lanes, n_devices, per_device)

    def advance(self, state: TrainState, chunk: Chunk) -> TrainState:
        """A loop over slots, in it one over steps, in it one over pairs of lanes."""
        busy = jnp.any(state.active, axis=1)
        last = jnp.where(busy, chunk.end, chunk.first)
        advance_slot = partial(_advance_slot, chunk.data, chunk.first)
        advanced: TrainState = jax.lax.map(advance_slot, (state, chunk.epochs, last))
        return advanced

    def evaluate(
        self, lanes: Array, networks: Networks, rows: Sequence[Array], data: Data
    ) -> tuple[Evaluation, ...]:
        """A loop over slots, in it one over blocks of examples, in it one over pairs of lanes."""
        evaluate_slot = partial(_evaluate_slot, data)
        found: tuple[Evaluation, ...] = jax.lax.map(evaluate_slot, (lanes, networks, tuple(rows)))
        return found

    def each_lane(
        self, lanes: Array, function: Callable[..., Any], carried: Any, *read: Any
    ) -> Any:
        """A loop over slots, in it one over pairs of lanes."""
        return jax.lax.map(partial(_each_lane_of_slot, function), (lanes, carried, read))


def _advance_slot(data: Data, first: Array, slot: tuple[TrainState, Epoch, Array]) -> TrainState:
    """Trains one slot from step `first` up to its last one."""
    state, epoch, last = slot
    # What no step changes stays out of the loops, which would copy it lane by lane.
    judged: Any = {name: getattr(state, name) for name in JUDGED}
    absent: Any = dict.fromkeys(JUDGED)
    front = Front(state.active)
    moved, hp = front.gather((state._replace(**absent), epoch.hp))
    step = partial(_step, data, epoch._replace(hp=hp), front.n)
    stepped: TrainState = jax.lax.fori_loop(first, last, step, moved)
    back: TrainState = front.restore(stepped)
    return back._replace(**judged)


def _step(data: Data, epoch: Epoch, n: Array, index: Array, state: TrainState) -> TrainState:
    """One step of the first `n` lanes of a cohort."""
    stepped: TrainState = in_pairs(n, update(data, epoch, index, state.params), state, epoch.hp)
    return stepped


def _evaluate_slot(
    data: Data, slot: tuple[Array, Networks, tuple[Array, ...]]
) -> tuple[Evaluation, ...]:
    """Measures the lanes of one slot that are wanted."""
    lanes, networks, rows = slot

    def measure() -> tuple[Evaluation, ...]:
        front = Front(lanes)
        moved = front.gather(networks)
        found = tuple(_evaluate_pairs(front.n, moved, of_part, data) for of_part in rows)
        back: tuple[Evaluation, ...] = front.restore(found)
        return back

    return _if_any(lanes, measure, len(rows))


def _evaluate_pairs(n: Array, networks: Networks, rows: Array, data: Data) -> Evaluation:
    """Measures the first `n` lanes of a cohort on one part: a block is made once for all."""
    n_lanes, n_classes, _ = networks[0][-1].dense.W.shape

    def add(sums: Sums, x: model.Columns, y: Array, counts: Array) -> Sums:
        lane = partial(single_run.add_examples, x=x, y=y, counts=counts)
        added: Sums = in_pairs(n, lane, sums, *networks)
        return added

    zero = jax.tree.map(
        lambda a: jnp.broadcast_to(a, (n_lanes, *a.shape)), single_run.no_sums(n_classes)
    )
    return single_run.evaluation(blocks.sum_over(data, rows, add, zero), len(rows))


def _each_lane_of_slot(function: Callable[..., Any], slot: tuple[Array, Any, Any]) -> Any:
    """Applies a function of one lane to the lanes of one slot that are wanted."""
    lanes, carried, read = slot

    def apply() -> Any:
        return choose(lanes, in_pairs(len(lanes), function, carried, *read), carried)

    return jax.lax.cond(jnp.any(lanes), apply, lambda: carried)


class Front:
    """Brings the lanes that take part to the front, so that a loop can end behind the last of them.

    A lane's bits do not depend on its place.
    """

    def __init__(self, lanes: Array) -> None:
        """With the lanes that take part, `(lanes,)`: an even number in all, or one."""
        self.n = jnp.sum(lanes, dtype=jnp.int32)
        self.order = jnp.argsort(~lanes, stable=True) if len(lanes) > 1 else None

    def gather(self, tree: Any) -> Any:
        """Arrays with lanes as their first axis, in the new order."""
        return tree if self.order is None else jax.tree.map(lambda a: a[self.order], tree)

    def restore(self, tree: Any) -> Any:
        """Arrays in the order that was before `gather`."""
        if self.order is None:
            return tree
        back = jnp.argsort(self.order)
        return jax.tree.map(lambda a: a[back], tree)


def in_pairs(n: Array | int, function: Callable[..., Any], carried: Any, *read: Any) -> Any:
    """Applies a function of one lane, `function(carried, *read)`, to the first `n`, two at a time.

    The partner of an odd last one does not take part: it is computed, and stays by `where`.

    Args:
        n: lanes that take part.
        function: returns the updated `carried`.
        carried: arrays with lanes as their first axis.
        read: likewise.
    """
    if len(jax.tree.leaves(carried)[0]) == 1:  # a lane by itself
        own = jax.tree.map(lambda a: a[0], (carried, *read))
        return jax.tree.map(lambda new: new[None], function(*own))
    pair = partial(_pair, jax.vmap(function), read)
    return jax.lax.fori_loop(0, (n + 1) // 2, pair, carried)


def _pair(function: Callable[..., Any], read: tuple[Any, ...], index: Array, carried: Any) -> Any:
    """One pair of lanes."""

    def own(a: Array) -> Array:
        return jax.lax.dynamic_slice_in_dim(a, 2 * index, 2)

    def put(a: Array, new: Array) -> Array:  # in place; `a.at[...].set` would be a scatter
        return jax.lax.dynamic_update_slice_in_dim(a, new, 2 * index, 0)

    return jax.tree.map(put, carried, function(*jax.tree.map(own, (carried, *read))))


def _if_any(
    lanes: Array, measure: Callable[[], tuple[Evaluation, ...]], n_parts: int
) -> tuple[Evaluation, ...]:
    """Measures if any of the lanes is wanted."""

    def nothing() -> tuple[Evaluation, ...]:
        return (single_run.no_evaluation(lanes.shape),) * n_parts

    found: tuple[Evaluation, ...] = jax.lax.cond(jnp.any(lanes), measure, nothing)
    return found


def choose(condition: Array, new: Any, old: Any) -> Any:
    """`new` where the condition holds, else `old`: arrays of slots, or of slots and lanes.

    Args:
        condition: `(slots,)` or `(slots, lanes)`.
        new: arrays whose first axes are these.
        old: likewise.
    """

    def of_leaf(n: Array, o: Array) -> Array:
        return jnp.where(
            condition.reshape(*condition.shape, *[1] * (n.ndim - condition.ndim)), n, o
        )

    return jax.tree.map(of_leaf, new, old)
