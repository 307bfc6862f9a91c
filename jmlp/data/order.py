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


def _permutation(seed: int, word: int, n: int) -> NDArray[np.int32]:
    key = np.array([seed, word], np.uint64)
    return Generator(Philox(key=key)).permutation(np.arange(n, dtype=np.int32))
