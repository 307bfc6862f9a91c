"""An update of a stored run before it is made: its mini-batch, its keys, its learning rate."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jmlp.data.dataset import Dataset, plane_of
from jmlp.errors import ConfigError
from jmlp.inspection.compute import class_weights, update_inputs
from jmlp.nn import model
from jmlp.nn.augmentation import augmentation_of
from jmlp.nn.optimizers import learning_rate
from jmlp.results.weights import restore
from jmlp.store.networks import Networks
from jmlp.study.config import Hyperparams
from jmlp.training import plan


class Update(NamedTuple):
    """What an update is made of, in the order of the arguments of `compute.step_gradient`."""

    params: model.Params
    state: model.State
    hp: Hyperparams  # swept hyperparameters as scalars
    x: Array  # the mini-batch, augmented, (B, n_in)
    y: Array  # (B,)
    key: Array | None  # of dropout
    rate: Any  # the learning rate
    class_weights: Array | None  # (C,)
    number: int  # from 1
    order: NDArray[np.int32]  # the numbers of the examples in the training part, (B,)


def network_of(stored: Networks, dataset: Dataset, index: int) -> tuple[model.Params, model.State]:
    """A stored network, on the device.

    Args:
        stored: the networks of a run.
        dataset: the data that the run was trained on.
        index: which of the networks.
    """
    params, state = restore(
        stored.tensors[index], stored.hyperparams, dataset.n_in, dataset.n_classes
    )
    return jax.tree.map(jnp.asarray, params), jax.tree.map(jnp.asarray, state)


class MiniBatch(NamedTuple):
    """What an update reads besides the network."""

    hp: Hyperparams  # swept hyperparameters as scalars
    x: Array  # augmented, (B, n_in)
    y: Array  # (B,)
    key: Array | None  # of dropout
    number: int  # of the update, from 1
    order: NDArray[np.int32]  # the numbers of the examples in the training part, (B,)


def mini_batches(
    stored: Networks, dataset: Dataset, training: NDArray[np.int32], done: int, count: int
) -> Iterator[MiniBatch]:
    """The mini-batches of some updates.

    Args:
        stored: a run.
        dataset: the data that it is trained on, standardised.
        training: the rows of the training part.
        done: updates made before.
        count: how many updates.
    """
    hp = stored.hyperparams
    augmentation = augmentation_of(hp, plane_of(dataset.image_shape))
    orders = plan.examples_of_updates(hp, stored.seed, done, count, training)
    for number, order in enumerate(orders, start=done + 1):
        rows = training[order]
        x, y = jnp.asarray(dataset.x_train[rows]), jnp.asarray(dataset.y_train[rows])
        swept, x, key = update_inputs(stored, augmentation, x, number)
        yield MiniBatch(swept, x, y, key, number, order)


def update_after(stored: Networks, dataset: Dataset, index: int, later: int = 0) -> Update:
    """The next update after a stored network, or what a later one is made of.

    Args:
        stored: the networks of a run.
        dataset: the data that the run was trained on, not standardised.
        index: which of the networks.
        later: updates in between. The network stays the one that is stored: mini-batch, keys and
            learning rate are those of the later update.

    Raises:
        ConfigError: no update follows the network, because the run diverged.
    """
    training, _ = dataset.split(stored.split_seed, stored.validation_fraction)
    hp = stored.hyperparams
    dataset = dataset.standardised(training, raw=plan.is_raw(hp))
    if stored.diverged_at is not None and index == len(stored.epochs) - 1:
        raise ConfigError(
            f"the run diverged at update {stored.diverged_at:,}, which has no finite numbers: "
            "choose an earlier --epoch"
        )
    n_steps = plan.n_steps(len(training), hp.batch_size)
    done = round(stored.epochs[index] * n_steps) + later
    ((swept, x, y, key, number, order),) = mini_batches(stored, dataset, training, done, 1)
    rate = learning_rate(
        hp.schedule, swept.learning_rate, number, n_steps, swept.epochs, swept.warmup
    )
    params, state = network_of(stored, dataset, index)
    weights = class_weights(hp, dataset, training)
    return Update(params, state, swept, x, y, key, rate, weights, number, order)
