"""The compiled program: a run's functions, applied to lanes, then to slots, then on all devices.

A cohort is the lanes that share a seed and every static hyperparameter: they see the same
mini-batches and the same dropout uniforms. A slot holds one cohort in training; all slots are at
the same step of their own epochs. Slots are shared out over the devices, which never speak to each
other.

A CPU core takes slots one after the other, and lanes in pairs (`in_turn`): a mini-batch is made
once and used by every lane that still trains, and those that have stopped cost nothing. Products
have the shapes of a pair however many lanes there are, so bits do not depend on their number; only
a lane all by itself has a program of its own. An accelerator takes all slots and lanes at once,
frozen ones too, because small kernels leave it idle.

Each function compiles once for each combination of static hyperparameters and shapes. JAX keeps
what it has compiled as long as the process lives, 25 MB for the four functions, so a group makes
its first calls by `call_first`, which frees the programs of earlier groups.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jmlp.nn import model
from jmlp.study.config import Hyperparams
from jmlp.training import single_run
from jmlp.training.single_run import Data, Evaluation, Measurement, Parts, TrainState

SLOTS = PartitionSpec("slots")
EVERYWHERE = PartitionSpec()


@dataclass(frozen=True)
class Program:
    """What is fixed when a group compiles, beside its static hyperparameters."""

    mesh: Mesh  # one axis, "slots"
    n_in: int
    n_classes: int
    dropout: bool  # whether any lane drops units; without, no uniforms are drawn
    in_turn: bool = True  # slots and pairs of lanes one after the other, or all at once

    def put_slots(self, tree: Any) -> Any:
        """Moves arrays with slots as their first axis to the devices."""
        return jax.device_put(tree, NamedSharding(self.mesh, SLOTS))

    def put_everywhere(self, tree: Any) -> Any:
        """Copies arrays to every device, once: left on one, each call would copy them."""
        return jax.device_put(tree, NamedSharding(self.mesh, EVERYWHERE))


_signatures: defaultdict[Any, set[Hashable]] = defaultdict(set)  # that each function has compiled


def call_first(function: Any, most: int, program: Program, *arguments: Any) -> Any:
    """Calls a jitted function of this module, with memory for at most `most` programs of it.

    Where arguments of this kind would need one program more, all earlier ones are freed. A program
    that is needed again after that is compiled again, to the same bits.

    Args:
        function: `refill`, `evaluate`, `advance` or `finals`.
        most: how many of its programs are kept, 1 at least.
        program: the first argument of the call.
        arguments: the others.
    """
    leaves, structure = jax.tree.flatten(arguments)
    signature = program, structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    known = _signatures[function]
    if signature not in known and len(known) >= most:
        function.clear_cache()
        known.clear()
    known.add(signature)
    return function(program, *arguments)


class Finals(NamedTuple):
    """The kept parameters of one lane on each part."""

    training: Evaluation
    validation: Evaluation
    test: Evaluation | None  # None without a test set


def lanes_in_front(
    program: Program, lanes: Array, function: Callable[..., Any], carried: Any, *read: Any
) -> Any:
    """Calls `function(over, carried, *read)`, whose `over` reaches the lanes that take part.

    For that time these stand in front, so that a loop over pairs can end behind the last of them.
    A lane's bits do not depend on its place.

    Args:
        program: what is fixed.
        lanes: which lanes take part, `(lanes,)`; an even number of lanes, or one.
        function: gives back what it was given as `carried`, changed.
        carried: arrays of one slot, `(lanes, ...)`.
        read: likewise.
    """
    if not program.in_turn or lanes.shape[0] == 1:
        return function(over_all(program), carried, *read)
    order = jnp.argsort(~lanes, stable=True)
    moved = jax.tree.map(lambda a: a[order], (carried, *read))
    changed = function(over_pairs(jnp.sum(lanes, dtype=jnp.int32)), *moved)
    back = jnp.argsort(order)
    return jax.tree.map(lambda a: a[back], changed)


def over_all(program: Program) -> single_run.Over:
    """Applies a function of one lane to every lane: those that have stopped stay so by `where`."""

    def over(function: Callable[..., Any], carried: Any, *read: Any) -> Any:
        if not program.in_turn:
            return jax.vmap(function)(carried, *read)
        own = jax.tree.map(lambda a: a[0], (carried, *read))
        return jax.tree.map(lambda new: new[None], function(*own))

    return over


def over_pairs(n: Array) -> single_run.Over:
    """Applies a function of one lane to the first `n`, two at a time.

    The partner of an odd last one does not take part: it is computed, and stays by `where`.
    """

    def over(function: Callable[..., Any], carried: Any, *read: Any) -> Any:
        def pair(index: Array, carried: Any) -> Any:
            def own(a: Array) -> Array:
                return jax.lax.dynamic_slice_in_dim(a, 2 * index, 2)

            def put(a: Array, new: Array) -> Array:  # in place; `a.at[...].set` would be a scatter
                return jax.lax.dynamic_update_slice_in_dim(a, new, 2 * index, 0)

            new = jax.vmap(function)(*jax.tree.map(own, (carried, *read)))
            return jax.tree.map(put, carried, new)

        return jax.lax.fori_loop(0, (n + 1) // 2, pair, carried)

    return over


def over_slots(program: Program, function: Callable[..., Any], *slots: Any) -> Any:
    """Applies a function of one slot to all of this device."""
    if not program.in_turn:
        return jax.vmap(function)(*slots)
    return jax.lax.map(lambda slot: function(*slot), slots)


def on_devices(
    program: Program, function: Callable[..., Any], n_slot_args: int, n_common_args: int
) -> Callable[..., Any]:
    """Runs `function` on each device's own slots; the last arguments are common to all."""
    return jax.shard_map(
        function,
        mesh=program.mesh,
        in_specs=(SLOTS,) * n_slot_args + (EVERYWHERE,) * n_common_args,
        out_specs=SLOTS,
        check_vma=False,  # no collectives: there is nothing to check
    )


def blank(program: Program, hp: Hyperparams, keys: Array) -> TrainState:
    """A state of the right shape, all zeros, in which no lane trains; compiles nothing."""
    shape = jax.eval_shape(partial(_init, program), hp, keys)
    zeros: TrainState = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shape)
    return program.put_slots(zeros)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def refill(
    program: Program, state: TrainState, hp: Hyperparams, keys: Array, lanes: Array
) -> TrainState:
    """Starts new cohorts in some slots.

    Args:
        program: what is fixed.
        state: of all slots, given up by the call.
        hp: of all slots and lanes.
        keys: raw root keys, `(slots, 2)`.
        lanes: `(slots, lanes)`: the lanes that start; padding lanes never do.
    """
    fresh = jnp.any(lanes, axis=1)
    new = _init(program, hp, keys)._replace(active=lanes)

    def choose(n: Array, o: Array) -> Array:
        return jnp.where(fresh.reshape(-1, *[1] * (n.ndim - 1)), n, o)

    return jax.tree.map(choose, new, state)


def _init(program: Program, hp: Hyperparams, keys: Array) -> TrainState:
    def init_slots(hp: Hyperparams, keys: Array) -> TrainState:
        lane = partial(single_run.init, n_in=program.n_in, n_classes=program.n_classes)
        lanes = jax.vmap(lambda hp, key: lane(hp, key=key), in_axes=(0, None))
        return jax.vmap(lanes)(hp, jax.random.wrap_key_data(keys, impl="threefry2x32"))

    return on_devices(program, init_slots, 2, 0)(hp, keys)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def advance(
    program: Program,
    state: TrainState,
    hp: Hyperparams,
    keys: Array,
    order: Array,
    steps_before: Array,
    data: Data,
    first: Array,
    count: Array,
) -> tuple[TrainState, Array]:
    """Trains all slots for `count` steps: one chunk.

    The count is data of the program, so chunks of every length are the same program and the numbers
    cannot depend on it. Slots whose lanes have all stopped do nothing.

    Args:
        program: what is fixed.
        state: of all slots, given up by the call.
        hp: of all slots and lanes.
        keys: raw root keys, `(slots, 2)`.
        order: the rows of each mini-batch of this epoch, `(slots, steps, B)`.
        steps_before: updates made before this epoch, `(slots,)`.
        data: all examples.
        first: the step within the epoch, counted from 0, at which to begin.
        count: how many steps.

    Returns:
        The state, and the number of lanes in training, `(slots,)`: something to wait for.
    """

    def advance_slots(
        state: TrainState,
        hp: Hyperparams,
        keys: Array,
        order: Array,
        steps_before: Array,
        data: Data,
        first: Array,
        count: Array,
    ) -> tuple[TrainState, Array]:
        busy = jnp.any(state.active, axis=1)
        if not program.in_turn:  # one number for all, or each step would wait for the longest
            busy = jnp.any(busy)
        last = jnp.where(busy, first + count, first)

        def advance_slot(
            state: TrainState,
            hp: Hyperparams,
            key: Array,
            order: Array,
            steps_before: Array,
            last: Array = last,
        ) -> TrainState:
            root_key = jax.random.wrap_key_data(key, impl="threefry2x32")

            def steps(over: single_run.Over, state: TrainState, hp: Hyperparams) -> TrainState:
                def step(index: Array, state: TrainState) -> TrainState:
                    return cohort_step(
                        program, over, state, hp, root_key, order, steps_before, data, index
                    )

                return jax.lax.fori_loop(first, last, step, state)

            # What no step changes stays out of the loops, which would copy it lane by lane.
            judged: Any = {name: getattr(state, name) for name in single_run.JUDGED}
            nothing: Any = dict.fromkeys(judged)
            state = state._replace(**nothing)
            new: TrainState = lanes_in_front(program, state.active, steps, state, hp)
            return new._replace(**judged)

        slots = (state, hp, keys, order, steps_before)
        state = over_slots(program, advance_slot, *slots, *([last] if program.in_turn else []))
        return state, jnp.sum(state.active, axis=1, dtype=jnp.int32)

    return on_devices(program, advance_slots, 5, 3)(
        state, hp, keys, order, steps_before, data, first, count
    )


def cohort_step(
    program: Program,
    over: single_run.Over,
    state: TrainState,
    hp: Hyperparams,
    key: Array,
    order: Array,
    steps_before: Array,
    data: Data,
    index: Array,
) -> TrainState:
    """One step of all lanes of one cohort, on the same mini-batch."""
    x, y = single_run.mini_batch(data, order[index], state.params)
    step = steps_before + index + 1
    step_key = single_run.dropout_key(key, step) if program.dropout else None

    def lane(state: TrainState, hp: Hyperparams) -> TrainState:
        hp = single_run.scheduled(hp, step, len(order))
        return single_run.train_step(hp, state, x, y, step_key, step)

    new: TrainState = over(lane, state, hp)
    return new


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def evaluate(
    program: Program,
    state: TrainState,
    hp: Hyperparams,
    parts: Parts,
    epochs: Array,
    wanted: Array,
    data: Data,
    n_steps: Array | int,
) -> tuple[TrainState, Measurement]:
    """Measures the slots that are `wanted` `(slots,)` at the end of their epochs `(slots,)`.

    Lanes that are done are stopped. A slot that is not wanted costs nothing.
    """

    def evaluate_slots(
        state: TrainState,
        hp: Hyperparams,
        parts: Parts,
        epochs: Array,
        wanted: Array,
        data: Data,
        n_steps: Array,
    ) -> tuple[TrainState, Measurement]:
        lanes = wanted[:, None] & state.active

        def evaluate_slot(
            state: TrainState, hp: Hyperparams, parts: Parts, epoch: Array, lanes: Array
        ) -> tuple[TrainState, Measurement]:
            def measure(
                over: single_run.Over, carried: tuple[TrainState, Measurement], hp: Hyperparams
            ) -> tuple[TrainState, Measurement]:
                return single_run.evaluate_epoch(hp, carried[0], data, parts, epoch, n_steps, over)

            nothing = (state, single_run.no_measurement(lanes.shape))
            measured: tuple[TrainState, Measurement] = lanes_in_front(
                program, lanes, measure, nothing, hp
            )
            return measured

        nothing = (state, single_run.no_measurement(state.active.shape))
        measured: tuple[TrainState, Measurement] = _where_wanted(
            program, evaluate_slot, nothing, lanes, state, hp, parts, epochs, lanes
        )
        return measured

    return on_devices(program, evaluate_slots, 5, 2)(
        state, hp, parts, epochs, wanted, data, n_steps
    )


@partial(jax.jit, static_argnums=0)
def finals(program: Program, state: TrainState, parts: Parts, wanted: Array, data: Data) -> Finals:
    """The kept parameters on each whole part, for the lanes that are `wanted` `(slots, lanes)`."""

    def final_slots(state: TrainState, parts: Parts, wanted: Array, data: Data) -> Finals:
        def final_slot(state: TrainState, parts: Parts, lanes: Array) -> Finals:
            def measure(
                over: single_run.Over,
                nothing: Finals,
                params: model.Params,
                bn_state: model.State,
                lanes: Array,
            ) -> Finals:
                found = Finals(
                    single_run.evaluate(params, bn_state, data, parts.training, over),
                    single_run.evaluate(params, bn_state, data, parts.validation, over),
                    single_run.evaluate(params, bn_state, data, parts.test, over)
                    if has_test
                    else None,
                )
                filled: Finals = over(fill, nothing, found, lanes)
                return filled

            def fill(nothing: Finals, found: Finals, wanted: Array) -> Finals:
                chosen: Finals = single_run.select(wanted, found, nothing)
                return chosen

            kept = state.best_params, state.best_bn_state, lanes
            measured: Finals = lanes_in_front(program, lanes, measure, nothing(lanes.shape), *kept)
            return measured

        def nothing(shape: tuple[int, ...]) -> Finals:
            none = single_run.no_evaluation(shape)
            return Finals(none, none, none if has_test else None)

        has_test = parts.test.shape[-1] > 0
        measured: Finals = _where_wanted(
            program, final_slot, nothing(wanted.shape), wanted, state, parts, wanted
        )
        return measured

    return on_devices(program, final_slots, 3, 1)(state, parts, wanted, data)


def _where_wanted(
    program: Program, function: Callable[..., Any], nothing: Any, lanes: Array, *slots: Any
) -> Any:
    """A function of the slots in which any of `lanes` `(slots, lanes)` takes part; else `nothing`.

    All at once, it is computed for all slots if there is one, and then taken where it is wanted.
    """
    wanted = jnp.any(lanes, axis=1)
    if program.in_turn:

        def slot(wanted: Array, nothing: Any, *slot: Any) -> Any:
            return jax.lax.cond(wanted, lambda: function(*slot), lambda: nothing)

        return over_slots(program, slot, wanted, nothing, *slots)

    def all_slots() -> Any:
        found = over_slots(program, function, *slots)

        def choose(new: Array, old: Array) -> Array:
            return jnp.where(lanes.reshape(*lanes.shape, *[1] * (new.ndim - 2)), new, old)

        return jax.tree.map(choose, found, nothing)

    return jax.lax.cond(jnp.any(wanted), all_slots, lambda: nothing)
