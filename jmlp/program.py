"""The compiled program: a run's functions, mapped over lanes, then over slots, then over devices.

A cohort is the lanes that share a seed and every static hyperparameter: they see the same
mini-batches and the same dropout uniforms, so the first layer of a cohort is one wide product. A
slot holds one cohort in training; all slots are at the same step of their own epochs. Slots are
shared out over the devices, which never speak to each other.

Each function compiles once for each combination of static hyperparameters and shapes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jmlp import train
from jmlp.config import Hyperparams
from jmlp.train import Data, Evaluation, Measurement, Parts, TrainState

SLOTS = PartitionSpec("slots")
EVERYWHERE = PartitionSpec()


@dataclass(frozen=True)
class Program:
    """What is fixed when a group compiles, beside its static hyperparameters."""

    mesh: Mesh  # one axis, "slots"
    n_in: int
    n_classes: int
    dropout: bool  # whether any lane drops units; without, no uniforms are drawn

    def put_slots(self, tree: Any) -> Any:
        """Moves arrays with slots as their first axis to the devices."""
        return jax.device_put(tree, NamedSharding(self.mesh, SLOTS))

    def put_everywhere(self, tree: Any) -> Any:
        """Copies arrays to every device, once: left on one, each call would copy them."""
        return jax.device_put(tree, NamedSharding(self.mesh, EVERYWHERE))


class Finals(NamedTuple):
    """The kept parameters of one lane on each part."""

    training: Evaluation
    validation: Evaluation
    test: Evaluation | None  # None without a test set


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
        lane = partial(train.init, n_in=program.n_in, n_classes=program.n_classes)
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
    cannot depend on it. A device whose lanes have all stopped does nothing.

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
        root_keys = jax.random.wrap_key_data(keys, impl="threefry2x32")

        def step(index: Array, state: TrainState) -> TrainState:
            slots = jax.vmap(partial(cohort_step, program), in_axes=(0, 0, 0, 0, 0, None, None))
            return slots(state, hp, root_keys, order, steps_before, data, index)

        last = jnp.where(jnp.any(state.active), first + count, first)
        state = jax.lax.fori_loop(first, last, step, state)
        return state, jnp.sum(state.active, axis=1, dtype=jnp.int32)

    return on_devices(program, advance_slots, 5, 3)(
        state, hp, keys, order, steps_before, data, first, count
    )


def cohort_step(
    program: Program,
    state: TrainState,
    hp: Hyperparams,
    key: Array,
    order: Array,
    steps_before: Array,
    data: Data,
    index: Array,
) -> TrainState:
    """One step of all lanes of one cohort, on the same mini-batch."""
    rows = order[index]
    x, y = data.x[rows], data.y[rows]
    step = steps_before + index + 1
    step_key = train.dropout_key(key, step) if program.dropout else None
    lanes = jax.vmap(train.train_step, in_axes=(0, 0, None, None, None, None))
    return lanes(hp, state, x, y, step_key, step)


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

    Lanes that are done are stopped. A device with no wanted slot does nothing.
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
        lanes = jax.vmap(train.evaluate_epoch, in_axes=(0, 0, None, None, None, None))
        slots = jax.vmap(lanes, in_axes=(0, 0, None, 0, 0, None))
        shape = jax.eval_shape(slots, hp, state, data, parts, epochs, n_steps)[1]
        return jax.lax.cond(
            jnp.any(wanted),
            lambda: slots(hp, state, data, parts, epochs, n_steps),
            lambda: (state, _nothing(shape)),
        )

    return on_devices(program, evaluate_slots, 5, 2)(
        state, hp, parts, epochs, wanted, data, n_steps
    )


@partial(jax.jit, static_argnums=0)
def finals(program: Program, state: TrainState, parts: Parts, wanted: Array, data: Data) -> Finals:
    """The kept parameters on each whole part, for the slots that are `wanted` `(slots,)`."""

    def final_lane(state: TrainState, parts: Parts, data: Data) -> Finals:
        on = partial(train.evaluate, state.best_params, state.best_bn_state, data)
        test = on(parts.test) if parts.test.shape[0] else None
        return Finals(on(parts.training), on(parts.validation), test)

    def final_slots(state: TrainState, parts: Parts, wanted: Array, data: Data) -> Finals:
        slots = jax.vmap(jax.vmap(final_lane, in_axes=(0, None, None)), in_axes=(0, 0, None))
        shape = jax.eval_shape(slots, state, parts, data)
        return jax.lax.cond(
            jnp.any(wanted), lambda: slots(state, parts, data), lambda: _nothing(shape)
        )

    return on_devices(program, final_slots, 3, 1)(state, parts, wanted, data)


def _nothing(shape: Any) -> Any:
    """NaN and False in place of numbers that were not computed."""

    def fill(leaf: jax.ShapeDtypeStruct) -> Array:
        return jnp.full(leaf.shape, jnp.nan if leaf.dtype == jnp.float32 else False, leaf.dtype)

    return jax.tree.map(fill, shape)
