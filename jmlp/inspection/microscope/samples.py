"""The examples on which the microscopes measure."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jmlp.data.dataset import Dataset
from jmlp.store.networks import Networks
from jmlp.training import plan


class Examples(NamedTuple):
    """Examples on the device, one per row."""

    x: Array  # (n, n_in)
    y: Array  # (n,)


class Split(NamedTuple):
    """Both parts of the data of a run; any beginning of either is a random sample."""

    dataset: Dataset  # standardised, if it is a table
    training: NDArray[np.int32]
    validation: NDArray[np.int32]

    def first(self, rows: NDArray[np.int32], most: int) -> Examples:
        """At most so many examples, the first of a part."""
        return self.of(rows[:most])

    def of(self, rows: NDArray[np.int32]) -> Examples:
        """These examples."""
        return Examples(
            jnp.asarray(self.dataset.x_train[rows]), jnp.asarray(self.dataset.y_train[rows])
        )


def split_of(stored: Networks, dataset: Dataset) -> Split:
    """The parts of the data that a run was trained on.

    Args:
        stored: the networks of the run.
        dataset: its data, not standardised.
    """
    training, validation = dataset.split(stored.split_seed, stored.validation_fraction)
    raw = plan.is_raw(stored.hyperparams)
    return Split(dataset.standardised(training, raw=raw), training, validation)
