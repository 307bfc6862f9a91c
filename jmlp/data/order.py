"""The validation split and the order of mini-batches: pure functions of seeds."""

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from jmlp.errors import DataError

# The second word of Philox's key, where `batch_order` uses the epoch; no epoch is this high.
SPLIT = 2**64 - 1


def split(
    n: int, split_seed: int, validation_fraction: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Divide `n` examples into a training and a validation part.

    Args:
        n: Number of examples.
        split_seed: 0 to 2**64 - 1; equal seeds give equal splits.
        validation_fraction: Between 0 and 1; the validation part has `round(n * fraction)`.

    Returns:
        Training and validation indices. Both are in random order, so any prefix is a random sample.

    Raises:
        DataError: One of the parts would be empty.
    """
    n_validation = round(n * validation_fraction)
    if not 0 < n_validation < n:
        raise DataError(
            f"{n} training images cannot be split with validation_fraction {validation_fraction:g}:"
            f" {n - n_validation} for training and {n_validation} for validation"
        )
    order = _permutation(split_seed, SPLIT, n)
    return order[n_validation:], order[:n_validation]


def batch_order(seed: int, epoch: int, n: int) -> NDArray[np.int32]:
    """The order in which an epoch visits its `n` training examples.

    Args:
        seed: The run's seed, 0 to 2**64 - 1.
        epoch: 0 to 2**64 - 2.
        n: Number of training examples.

    Returns:
        A permutation of 0 to n - 1.
    """
    return _permutation(seed, epoch, n)


def mini_batches(
    seed: int, first: int, n: int, n_examples: int, batch_size: int
) -> NDArray[np.int32]:
    """The training examples of consecutive updates, which may cross epochs.

    An epoch visits its examples in the order of `batch_order`; the last ones, fewer than a
    mini-batch, are not used.

    Args:
        seed: The run's seed.
        first: The number of updates before these.
        n: The number of these updates.
        n_examples: Number of training examples.
        batch_size: Examples per mini-batch.

    Returns:
        Indices of training examples, `(n, batch_size)`.
    """
    n_steps = n_examples // batch_size
    begun, skipped = divmod(first, n_steps)  # epochs
    n_epochs = -(-(skipped + n) // n_steps)
    epochs = [
        batch_order(seed, begun + 1 + index, n_examples)[: n_steps * batch_size]
        for index in range(n_epochs)
    ]
    return np.concatenate(epochs).reshape(-1, batch_size)[skipped : skipped + n]


def _permutation(seed: int, word: int, n: int) -> NDArray[np.int32]:
    key = np.array([seed, word], np.uint64)
    return Generator(Philox(key=key)).permutation(np.arange(n, dtype=np.int32))
