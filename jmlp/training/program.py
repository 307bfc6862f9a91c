"""The compiled functions of a group of cohorts: `refill`, `advance`, `evaluate` and `finals`.

They apply the functions of `single_run` to all slots of all devices: a strategy maps them over the
lanes and slots of one device, and `jax.shard_map` over the devices, which do not communicate.

Each compiles once per `Setup`, static hyperparameters and features (part of the pytree structure of
`Hyperparams`) and shapes; swept hyperparameters are traced, so runs that differ only in them share
the program. The batch size and the interval between evaluations are kept out of the structure: only
`advance`, where they are the shape of the order of examples, compiles again for others. JAX keeps
compiled programs for the lifetime of the process, 25 MB for the four functions, so a group makes
its first calls with `call_first`, which frees the programs of earlier groups.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jmlp.study.config import FLOAT_FIELDS, OFF, SWEPT_FIELDS, Hyperparams, changed, features
from jmlp.training import single_run
from jmlp.training.blocks import Data
from jmlp.training.plan import TRAINING_SAMPLE
from jmlp.training.single_run import Evaluation, Measurement, TrainState
from jmlp.training.strategies import Chunk, Input, Strategy, choose

SLOTS: Any = PartitionSpec("slots")
EVERYWHERE: Any = PartitionSpec()

NO_PATIENCE = np.iinfo(np.int32).max  # evaluations; more than any run has


@dataclass(frozen=True)
class Setup:
    """The static argument of the compiled functions."""

    mesh: Mesh  # one axis, "slots"
    n_in: int
    n_classes: int
    strategy: Strategy

    def put_slots(self, tree: Any) -> Any:
        """Moves arrays with slots as their first axis to the devices."""
        return jax.device_put(tree, NamedSharding(self.mesh, SLOTS))

    def put_everywhere(self, tree: Any) -> Any:
        """Copies arrays to every device once; otherwise each call would copy them."""
        return jax.device_put(tree, NamedSharding(self.mesh, EVERYWHERE))

    def on_devices(self, function: Callable[..., Any], *specs: Any) -> Callable[..., Any]:
        """Maps a function over the devices, each with its own slots.

        Args:
            function: takes one device's part of the arguments; slots are the first axis of its
                results.
            specs: for each argument `SLOTS` or `EVERYWHERE`, or a pytree of these.
        """
        return jax.shard_map(
            function,
            mesh=self.mesh,
            in_specs=specs,
            out_specs=SLOTS,
            check_vma=False,  # no collectives: there is nothing to check
        )


_signatures: defaultdict[Any, set[Hashable]] = defaultdict(set)  # compiled, by function


def call_first(function: Any, max_programs: int, setup: Setup, *arguments: Any) -> Any:
    """Calls a jitted function of this module, keeping at most `max_programs` programs of it.

    If these arguments need one program more, all earlier ones are freed. A freed program that is
    needed again is compiled again, bitwise identically.

    Args:
        function: `refill`, `evaluate`, `advance` or `finals`.
        max_programs: number of its programs to keep, at least 1.
        setup: the first argument of the call.
        arguments: the remaining arguments.
    """
    leaves, structure = jax.tree.flatten(arguments)
    signature = setup, structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    known = _signatures[function]
    if signature not in known and len(known) >= max_programs:
        function.clear_cache()
        known.clear()
    known.add(signature)
    return function(setup, *arguments)


class Parts(NamedTuple):
    """The rows of `Data` in each part; int32."""

    training: Input  # (n_training,), in random order
    validation: Input  # (n_validation,)
    test: Input  # (n_test,)


class Cohorts(NamedTuple):
    """The cohorts in all slots: arrays with slots as their first axis."""

    hp: Hyperparams  # swept ones: (slots, lanes); the others from `plan.as_compiled`
    keys: Input  # raw root keys, (slots, 2)
    parts: Parts


class EvaluationInputs(NamedTuple):
    """Inputs of an evaluation."""

    cohorts: Cohorts
    numbers: Input  # of the evaluation of each slot, (slots,)
    last: Input  # the last evaluation that each lane's `epochs` allows, (slots, lanes)
    wanted: Input  # bool, the slots to measure, (slots,); others cost nothing and do not change
    data: Data
    interval: Input  # updates from one evaluation to the next


class Finals(NamedTuple):
    """Evaluations of the best parameters on each whole part."""

    training: Evaluation
    validation: Evaluation
    test: Evaluation | None  # None without a test set


def stack_hyperparams(hps: Sequence[Hyperparams]) -> Hyperparams:
    """Stacks the swept fields into arrays over lanes, with None for those that are off.

    All must agree in `compiled_in`. What is None is no part of the structure's leaves, so that a
    program without a feature has no trace of it.
    """
    on = features(hps[0])
    with np.errstate(over="ignore"):  # overflow in float32 gives infinity, and the run diverges
        swept: dict[str, Any] = {
            name: np.array(
                [_as_numbers(hp, name) for hp in hps],
                np.float32 if name in FLOAT_FIELDS else np.int32,
            )
            for name in SWEPT_FIELDS
            if name in on or name not in OFF
        }
    return changed(hps[0], **{**dict.fromkeys(OFF), **swept})


def _as_numbers(hp: Hyperparams, name: str) -> Any:
    """A swept hyperparameter of one run, in a shape independent of its value."""
    value = getattr(hp, name)
    if name == "drop_rate":
        return np.broadcast_to(value, len(hp.hidden))
    return NO_PATIENCE if value is None else value


def random_inputs(
    hp: Hyperparams, keys: Any, *, can_drop: bool, augments: bool
) -> tuple[Hyperparams, Any]:
    """Swept hyperparameters and keys for the updates of a group, without those it does not need.

    Args:
        hp: as returned by `stack_hyperparams`.
        keys: the root keys, returned as they are, or as None where no update is random.
        can_drop: whether any lane of the group drops units; see `plan.Group`.
        augments: whether the pictures are changed at random.
    """
    none: dict[str, Any] = {} if can_drop else {"drop_rate": None}
    is_random = can_drop or hp.input_drop_rate is not None or augments
    return changed(hp, **none), keys if is_random else None


def root_key(seed: int) -> np.ndarray:
    """The root key of a run as raw data: two 32-bit words, distinct for all seeds below 2**64."""
    return np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32)


def blank(setup: Setup, cohorts: Cohorts) -> TrainState:
    """An all-zero state of the right shape, in which no lane trains; compiles nothing."""
    shape = jax.eval_shape(partial(_init, setup), cohorts.hp, cohorts.keys)
    zeros: TrainState = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shape)
    return setup.put_slots(zeros)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def refill(setup: Setup, state: TrainState, cohorts: Cohorts, lanes: Array) -> TrainState:
    """Initialises new cohorts in some slots.

    Args:
        setup: the static arguments.
        state: state of all slots; donated.
        cohorts: cohorts of all slots.
        lanes: bool mask of the lanes that start, `(slots, lanes)`; never padding lanes.
    """
    new = _init(setup, cohorts.hp, cohorts.keys)._replace(active=lanes)
    refilled: TrainState = choose(jnp.any(lanes, axis=1), new, state)
    return refilled


def _init(setup: Setup, hp: Hyperparams, keys: Array) -> TrainState:
    def init_slots(hp: Hyperparams, keys: Array) -> TrainState:
        def lane(hp: Hyperparams, root_key: Array) -> TrainState:
            return single_run.init(hp, setup.n_in, setup.n_classes, root_key)

        root_keys = jax.random.wrap_key_data(keys, impl="threefry2x32")
        return jax.vmap(jax.vmap(lane, in_axes=(0, None)))(hp, root_keys)

    return setup.on_devices(init_slots, SLOTS, SLOTS)(hp, keys)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def advance(setup: Setup, state: TrainState, chunk: Chunk) -> tuple[TrainState, Array]:
    """Trains all slots for a chunk. Slots whose lanes have all stopped do nothing.

    Args:
        setup: the static arguments.
        state: state of all slots; donated.
        chunk: inputs of the chunk.

    Returns:
        The state, and the sum of the mini-batch costs since the last evaluation of each lane in
        training, `(slots, lanes)`; NaN for the others. Unlike the state, which is donated to the
        next call, the caller can wait for the sums and read them.
    """
    specs = Chunk(intervals=SLOTS, data=EVERYWHERE, first=EVERYWHERE, end=EVERYWHERE)
    state = setup.on_devices(setup.strategy.advance, SLOTS, specs)(state, chunk)
    return state, jnp.where(state.active, state.batch_costs, jnp.nan)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def evaluate(
    setup: Setup, state: TrainState, inputs: EvaluationInputs
) -> tuple[TrainState, Measurement]:
    """Evaluates slots, and stops the lanes that are done.

    Args:
        setup: the static arguments.
        state: state of all slots; donated.
        inputs: inputs of the evaluation.
    """
    specs = EvaluationInputs(
        cohorts=SLOTS, numbers=SLOTS, last=SLOTS, wanted=SLOTS, data=EVERYWHERE, interval=EVERYWHERE
    )
    measured: tuple[TrainState, Measurement] = setup.on_devices(
        partial(_evaluate, setup.strategy), SLOTS, specs
    )(state, inputs)
    return measured


def _evaluate(
    strategy: Strategy, state: TrainState, inputs: EvaluationInputs
) -> tuple[TrainState, Measurement]:
    hp, _, parts = inputs.cohorts
    lanes = inputs.wanted[:, None] & state.active
    rows = parts.training[:, :TRAINING_SAMPLE], parts.validation
    networks = state.params, state.bn_state
    training, validation = strategy.evaluate(lanes, networks, rows, inputs.data)

    def apply_early_stopping(
        carry: tuple[TrainState, Measurement],
        hp: Hyperparams,
        training: Evaluation,
        validation: Evaluation,
        number: Array,
        last: Array,
    ) -> tuple[TrainState, Measurement]:
        state, _ = carry
        return single_run.early_stopping(
            state, hp, training, validation, number, last, inputs.interval
        )

    unmeasured = state, single_run.empty_measurement(lanes.shape)
    numbers = jnp.broadcast_to(inputs.numbers[:, None], lanes.shape)
    measured: tuple[TrainState, Measurement] = strategy.each_lane(
        lanes,
        apply_early_stopping,
        unmeasured,
        hp,
        training,
        validation,
        numbers,
        inputs.last,
    )
    return measured


@partial(jax.jit, static_argnums=0)
def finals(setup: Setup, state: TrainState, parts: Parts, lanes: Array, data: Data) -> Finals:
    """Evaluates the best parameters of some lanes on each whole part.

    Args:
        setup: the static arguments.
        state: state of all slots.
        parts: parts of all slots.
        lanes: bool mask of the lanes to evaluate, `(slots, lanes)`.
        data: all examples.
    """
    rows = tuple(part for part in parts if part.shape[1])  # the test set may be absent
    networks = state.best_params, state.best_bn_state
    on_devices = setup.on_devices(setup.strategy.evaluate, SLOTS, SLOTS, SLOTS, EVERYWHERE)
    evaluated = on_devices(lanes, networks, rows, data)
    masked = [choose(lanes, part, single_run.empty_evaluation(lanes.shape)) for part in evaluated]
    return Finals(masked[0], masked[1], masked[2] if len(masked) == 3 else None)
