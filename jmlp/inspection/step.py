"""One step of a run in all its numbers: forward, backward and update, for `jmlp explain`.

The step is the next update after a stored network: its mini-batch, augmentation and dropout are
those of the run. Or it is a prediction of that network, of any example of the data. Mini-batches of
more than `plan.GRADIENT_BLOCK` examples are trained in blocks, each with dropout masks of its own
(`training.blocks`): then the trace is of the block with the example, and the update of all blocks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jmlp.data.contract import contract_of
from jmlp.data.dataset import Dataset, plane_of
from jmlp.errors import ConfigError, DataError
from jmlp.inspection.compute import class_weights, update_inputs
from jmlp.nn import faults, model
from jmlp.nn.augmentation import augmentation_of
from jmlp.nn.optimizers import learning_rate, optimizer_of
from jmlp.nn.tensors import name_tensors
from jmlp.nn.trace import Trace, trace, trace_prediction
from jmlp.results.weights import restore
from jmlp.store.networks import Networks
from jmlp.study.config import Hyperparams
from jmlp.system import numerics
from jmlp.training import blocks, plan, single_run
from jmlp.training.program import root_key

Part = Literal["training", "validation", "test"]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Change:
    """What an update does to one array of parameters."""

    layer: str  # "hidden 1", …, "output"
    letter: str  # W, b, gamma or beta
    old: Numbers
    gradient: Numbers  # of the update: with an L2 penalty and clipped, if these are on
    new: Numbers | None  # None: unknown, since the optimiser's moments are not stored


@dataclass(frozen=True, eq=False)
class Step:
    """A step, or a prediction, with every number."""

    trace: Trace
    column: int  # the example in the trace
    label: int  # of this example
    row: int  # its number in the part of the data
    part: Part
    class_names: tuple[str, ...]
    epoch: float  # of the network
    # Of a prediction, what follows is empty.
    update: int = 0  # the number of the update, from 1
    n_examples: int = 0  # of the mini-batch
    rate: float = 0.0  # the learning rate of the update
    changes: tuple[Change, ...] = ()

    @property
    def is_prediction(self) -> bool:
        """Whether it is no step of the training."""
        return self.update == 0


@numerics.pinned_call
def prediction(stored: Networks, dataset: Dataset, index: int, part: Part, row: int) -> Step:
    """How a stored network predicts one example.

    Args:
        stored: the networks of a run.
        dataset: the data that the run was trained on.
        index: which of the networks.
        part: the part of the data.
        row: the number of the example in this part, from 0.

    Raises:
        ConfigError: there is no such example.
        DataError: there is no test set.
    """
    training, validation = dataset.split(stored.split_seed, stored.validation_fraction)
    names = contract_of(dataset).class_names
    dataset = dataset.standardised(training, raw=plan.is_raw(stored.hyperparams))
    if part == "test":
        if dataset.x_test is None or dataset.y_test is None:
            raise DataError(f"{dataset.source}: there is no test set")
        x, y = dataset.x_test, dataset.y_test
    else:
        rows = training if part == "training" else validation
        x, y = dataset.x_train[rows], dataset.y_train[rows]
    if not 0 <= row < len(y):
        raise ConfigError(f"--example: the {part} part has examples 0 to {len(y) - 1:,}, got {row}")
    params, state = _network(stored, dataset, index)
    labels = jnp.asarray(y[row : row + 1])
    found = trace_prediction(params, state, jnp.asarray(x[row : row + 1]), labels)
    return Step(found, 0, int(y[row]), row, part, names, stored.epochs[index])


@numerics.pinned_call
def next_step(stored: Networks, dataset: Dataset, index: int, example: int) -> Step:
    """The next update after a stored network.

    Args:
        stored: the networks of a run.
        dataset: the data that the run was trained on.
        index: which of the networks.
        example: the number of the example in the mini-batch, from 0.

    Raises:
        ConfigError: there is no such example, or no update follows the network.
    """
    training, _ = dataset.split(stored.split_seed, stored.validation_fraction)
    names = contract_of(dataset).class_names
    dataset = dataset.standardised(training, raw=plan.is_raw(stored.hyperparams))
    hp = stored.hyperparams
    if not 0 <= example < hp.batch_size:
        raise ConfigError(
            f"--example: the mini-batch has examples 0 to {hp.batch_size - 1:,}, got {example}"
        )
    if stored.diverged_at is not None and index == len(stored.epochs) - 1:
        raise ConfigError(
            f"the run diverged at update {stored.diverged_at:,}, which has no finite numbers: "
            "choose an earlier --epoch"
        )
    n_steps = plan.n_steps(len(training), hp.batch_size)
    done = round(stored.epochs[index] * n_steps)
    (order,) = plan.examples_of_updates(hp, stored.seed, done, 1, training)
    rows = training[order]
    x, y = jnp.asarray(dataset.x_train[rows]), jnp.asarray(dataset.y_train[rows])
    weights = class_weights(hp, dataset, training)
    augmentation = augmentation_of(hp, plane_of(dataset.image_shape))
    swept, x, key = update_inputs(stored, augmentation, x, done + 1)
    rate = learning_rate(
        hp.schedule, swept.learning_rate, done + 1, n_steps, swept.epochs, swept.warmup
    )
    params, state = _network(stored, dataset, index)
    _, gradient, _ = single_run.gradient(params, state, swept, x, y, key, rate, weights)
    found, column = _trace(params, state, swept, x, y, key, rate, weights, example)
    new = None
    if hp.optimizer == "sgd" or done == 0:
        moments = optimizer_of(hp.optimizer).init(params)
        new, _ = single_run.update(params, gradient, moments, swept, rate)
    return Step(
        found,
        column,
        int(y[example]),
        int(order[example]),
        "training",
        names,
        stored.epochs[index],
        update=done + 1,
        n_examples=hp.batch_size,
        rate=float(rate),
        changes=_changes(params, gradient, new),
    )


def _network(stored: Networks, dataset: Dataset, index: int) -> tuple[model.Params, model.State]:
    params, state = restore(
        stored.tensors[index], stored.hyperparams, dataset.n_in, dataset.n_classes
    )
    return jax.tree.map(jnp.asarray, params), jax.tree.map(jnp.asarray, state)


def _trace(
    params: model.Params,
    state: model.State,
    hp: Hyperparams,
    x: Array,
    y: Array,
    key: Array | None,
    rate: Any,
    weights: Array | None,
    example: int,
) -> tuple[Trace, int]:
    """The trace of a mini-batch, or of its block with the example; and the example's column."""
    derivatives = faults.derivatives(hp.backward_fault, learn_scale=hp.batch_norm_scale, rate=rate)
    options, y = single_run.cost_options(hp, weights), single_run.labels(hp, params, y)
    block, key = blocks.block_of(params, len(y), example, key)
    part = slice(block.start, block.stop)
    share = len(block) / len(y)
    found = trace(params, state, x[part], y[part], key, options, derivatives, share)
    return found, example - block.start


def _changes(
    params: model.Params, gradient: model.Params, new: model.Params | None
) -> tuple[Change, ...]:
    named = [name_tensors(tree, ()) for tree in (params, gradient)]
    after: Mapping[str, Any] = {} if new is None else name_tensors(new, ())
    changes = []
    for name, old in named[0].items():
        index = int(name[name.index("[") + 1 : name.index("]")])
        layer = "output" if index == len(params) - 1 else f"hidden {index + 1}"
        changes.append(
            Change(
                layer,
                name.rpartition(".")[2],
                np.asarray(old, np.float64),
                np.asarray(named[1][name], np.float64),
                None if new is None else np.asarray(after[name], np.float64),
            )
        )
    return tuple(changes)


def fresh(hp: Hyperparams, dataset: Dataset, seed: int) -> Networks:
    """An untrained network, as `Networks`: that of a run with this seed before its first update.

    Args:
        hp: hyperparameters.
        dataset: the data that it would be trained on.
        seed: of its weights, mini-batches and dropout.
    """
    root = jax.random.wrap_key_data(jnp.asarray(root_key(seed)), impl="threefry2x32")
    # Compiled, as in training, so that its numbers are the same.
    init = jax.jit(partial(single_run.init, hp, dataset.n_in, dataset.n_classes))
    state = init(root)
    tensors = {
        name: np.asarray(array)
        for name, array in name_tensors(state.params, state.bn_state).items()
    }
    return Networks(
        run_id="",
        key="",
        hyperparams=hp,
        seed=seed,
        split_seed=0,
        validation_fraction=0.2,
        data={},
        can_drop=bool(np.any(hp.drop_rate)),
        epochs=(0,),
        tensors=(tensors,),
        best=0,
        diverged_at=None,
    )
