"""One step of a run in all its numbers: forward, backward and update, for `jmlp explain`.

The step is the next update after a stored network: its mini-batch, augmentation and dropout are
those of the run. Or it is a prediction of that network, of any example of the data. Mini-batches of
more than `plan.GRADIENT_BLOCK` examples are trained in blocks, each with dropout masks of its own
(`training.blocks`): then the trace is of the block with the example, and the update of all blocks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jmlp.data.contract import contract_of
from jmlp.data.dataset import Dataset
from jmlp.errors import ConfigError, DataError
from jmlp.inspection.compute import class_weights, step_gradient
from jmlp.inspection.updates import mini_batches, network_of, update_after
from jmlp.inspection.views import AnyPart, UpdateView
from jmlp.nn import faults, model
from jmlp.nn.gradient import CostOptions
from jmlp.nn.optimizers import optimizer_of
from jmlp.nn.tensors import name_tensors
from jmlp.nn.three_ways import ThreeWays
from jmlp.nn.trace import Trace, trace, trace_prediction
from jmlp.store.networks import Networks
from jmlp.study.config import Hyperparams
from jmlp.study.rules import BackwardFault
from jmlp.system import numerics
from jmlp.training import blocks, plan, single_run
from jmlp.training.program import root_key

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Change:
    """What an update does to one array of parameters."""

    layer: str  # "hidden 1", …, "output"
    letter: str  # W, b, gamma or beta
    old: Numbers
    gradient: Numbers  # of the update: with an L2 penalty and clipped, if these are on
    new: Numbers | None  # None: unknown, since the optimiser's moments are not stored

    def at(self, i: int, j: int) -> UpdateView:
        """What it does to one parameter."""
        new = None if self.new is None else float(self.new[i, j])
        old, gradient = float(self.old[i, j]), float(self.gradient[i, j])
        return UpdateView(self.layer, self.letter, (i, j), old, gradient, new)


@dataclass(frozen=True, eq=False)
class Passed:
    """What a pass was made of, besides its inputs and masks, which are in its trace."""

    params: model.Params
    state: model.State
    y: Array
    options: CostOptions = CostOptions()  # noqa: RUF009 - immutable
    fault: BackwardFault = "none"
    learn_scale: bool = True
    rate: float = 0.0
    share: float = 1.0
    is_prediction: bool = False

    def three_ways(self, found: Trace) -> ThreeWays:
        """Its derivatives by three ways, in the type of its trace."""
        return ThreeWays(
            found,
            self.params,
            self.state,
            self.y,
            self.options,
            fault=self.fault,
            learn_scale=self.learn_scale,
            rate=self.rate,
            share=self.share,
            is_prediction=self.is_prediction,
        )


@dataclass(frozen=True, eq=False)
class Step:
    """A step, or a prediction, with every number."""

    trace: Trace
    passed: Passed
    column: int  # the example in the trace
    label: int  # of this example
    row: int  # its number in the part of the data
    part: AnyPart
    class_names: tuple[str, ...]
    epoch: float  # of the network
    n_examples: int  # of the mini-batch, or of the part
    # Of a prediction, what follows is empty.
    update: int = 0  # the number of the update, from 1
    rate: float = 0.0  # the learning rate of the update
    changes: tuple[Change, ...] = ()

    @property
    def is_prediction(self) -> bool:
        """Whether it is no step of the training."""
        return self.update == 0


@numerics.pinned_call
def prediction(stored: Networks, dataset: Dataset, index: int, part: AnyPart, row: int) -> Step:
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
    params, state = network_of(stored, dataset, index)
    labels = jnp.asarray(y[row : row + 1])
    found = jax.jit(trace_prediction)(params, state, jnp.asarray(x[row : row + 1]), labels)
    passed = Passed(params, state, labels, is_prediction=True)
    label, epoch = int(y[row]), stored.epochs[index]
    return Step(found, passed, 0, label, row, part, names, epoch, len(y))


@numerics.pinned_call
def next_step(
    stored: Networks, dataset: Dataset, index: int, example: int, moments: Any = None
) -> Step:
    """The next update after a stored network.

    Args:
        stored: the networks of a run.
        dataset: the data that the run was trained on.
        index: which of the networks.
        example: the number of the example in the mini-batch, from 0.
        moments: the optimiser's state, which is not stored; None: it is unknown, except before
            the first update.

    Raises:
        ConfigError: there is no such example, or no update follows the network.
    """
    names, hp = contract_of(dataset).class_names, stored.hyperparams
    if not 0 <= example < hp.batch_size:
        raise ConfigError(
            f"--example: the mini-batch has examples 0 to {hp.batch_size - 1:,}, got {example}"
        )
    update = update_after(stored, dataset, index)
    params, state, swept, x, y, key, rate, weights, number, order = update
    gradient = step_gradient(params, state, swept, x, y, key, rate, weights)
    found, passed, column = _trace(params, state, swept, x, y, key, rate, weights, example)
    new = None
    if moments is None and (hp.optimizer == "sgd" or number == 1):
        moments = optimizer_of(hp.optimizer).init(params)
    if moments is not None:
        new, _ = _update(params, gradient, moments, swept, rate)
    return Step(
        found,
        passed,
        column,
        int(y[example]),
        int(order[example]),
        "training",
        names,
        stored.epochs[index],
        hp.batch_size,
        update=number,
        rate=float(rate),
        changes=_changes(params, gradient, new),
    )


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
) -> tuple[Trace, "Passed", int]:
    """The trace of a mini-batch, or of its block with the example; and the example's column."""
    options, y = single_run.cost_options(hp, weights), single_run.labels(hp, params, y)
    block, key = blocks.block_of(params, len(y), example, key)
    part = slice(block.start, block.stop)
    passed = Passed(
        params,
        state,
        y[part],
        options,
        fault=hp.backward_fault,
        learn_scale=hp.batch_norm_scale,
        rate=float(rate),
        share=len(block) / len(y),
    )
    found = _compiled_trace(
        params,
        state,
        x[part],
        y[part],
        key,
        options._replace(log_softmax=None),  # a function cannot be traced
        rate,
        log_softmax=options.log_softmax,
        fault=passed.fault,
        learn_scale=passed.learn_scale,
        share=passed.share,
    )
    return found, passed, example - block.start


@partial(jax.jit, static_argnames=("log_softmax", "fault", "learn_scale", "share"))
def _compiled_trace(
    params: model.Params,
    state: model.State,
    x: Array,
    y: Array,
    key: Array | None,
    options: CostOptions,
    rate: Array,
    *,
    log_softmax: Callable[[Array], Array] | None,
    fault: BackwardFault,
    learn_scale: bool,
    share: float,
) -> Trace:
    options = options._replace(log_softmax=log_softmax)
    derivatives = faults.derivatives(fault, learn_scale=learn_scale, rate=rate)
    return trace(params, state, x, y, key, options, derivatives, share)


_update = jax.jit(single_run.update)


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


class FreshRun:
    """The first updates of a run that no store has, as training makes them."""

    def __init__(
        self,
        hp: Hyperparams,
        dataset: Dataset,
        seed: int,
        split_seed: int,
        validation_fraction: float,
    ) -> None:
        """Trains nothing yet.

        Args:
            hp: hyperparameters.
            dataset: the data that it is trained on.
            seed: of its weights, mini-batches and dropout.
            split_seed: of the split of the data.
            validation_fraction: of the data.
        """
        self.networks = Networks(
            run_id="",
            key="",
            hyperparams=hp,
            seed=seed,
            split_seed=split_seed,
            validation_fraction=validation_fraction,
            data={},
            can_drop=bool(np.any(hp.drop_rate)),
            epochs=(),
            tensors=(),
            best=0,
            diverged_at=None,
        )
        self.dataset = dataset
        self._training, _ = dataset.split(split_seed, validation_fraction)
        self._n_steps = plan.n_steps(len(self._training), hp.batch_size)
        self._state: single_run.TrainState | None = None  # after so many updates:
        self._updates = 0

    @numerics.pinned_call
    def after(self, updates: int) -> tuple[Networks, Any]:
        """The network after some updates, and the state of its optimiser.

        Args:
            updates: made before.

        Raises:
            ConfigError: the run has fewer updates, or diverges before.
        """
        hp = self.networks.hyperparams
        last = self._n_steps * hp.epochs
        if not 0 <= updates < last:
            raise ConfigError(
                f"update {updates + 1:,}: a run of these settings has updates 1 to {last:,}"
            )
        if self._state is None or updates < self._updates:
            self._state, self._updates = self._init(), 0
        state = self._state = self._trained(self._state, updates - self._updates)
        self._updates = updates
        if int(state.diverged_at) >= 0:
            raise ConfigError(
                f"update {updates + 1:,}: the run diverges at update {int(state.diverged_at):,}, "
                "which has no finite numbers: choose an earlier one"
            )
        tensors = name_tensors(state.params, state.bn_state)
        networks = replace(
            self.networks,
            epochs=(_epochs(updates, self._n_steps),),
            tensors=({name: np.asarray(array) for name, array in tensors.items()},),
        )
        return networks, state.optimizer_state

    def _init(self) -> single_run.TrainState:
        root = jax.random.wrap_key_data(
            jnp.asarray(root_key(self.networks.seed)), impl="threefry2x32"
        )
        hp, dataset = self.networks.hyperparams, self.dataset
        # Compiled, as in training, so that its numbers are the same.
        init = jax.jit(partial(single_run.init, hp, dataset.n_in, dataset.n_classes))
        state: single_run.TrainState = init(root)
        return state

    def _trained(self, state: single_run.TrainState, count: int) -> single_run.TrainState:
        """The state after some more updates."""
        if count == 0:
            return state
        hp, training = self.networks.hyperparams, self._training
        dataset = self.dataset.standardised(training, raw=plan.is_raw(hp))
        weights = class_weights(hp, dataset, training)
        batches = mini_batches(self.networks, dataset, training, self._updates, count)
        for swept, x, y, key, number, _ in batches:
            step = jnp.int32(number)
            state = _train_step(state, swept, x, y, key, step, self._n_steps, weights)
        return state


def _epochs(updates: int, n_steps: int) -> float:
    """The epoch after so many updates: an integer at its end."""
    return updates / n_steps if updates % n_steps else updates // n_steps


_train_step = jax.jit(single_run.train_step, static_argnums=6)
