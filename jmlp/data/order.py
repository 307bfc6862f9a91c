"""The validation split and the order of mini-batches: pure functions of seeds."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from jmlp.errors import DataError

# The second word of Philox's key, where `batch_order` uses the epoch; no epoch is this high.
Part = Literal["validation", "test"]
SETTINGS: Mapping[Part, str] = {"validation": "validation_fraction", "test": "test"}
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
    order, n_validation = _split_order(n, split_seed, validation_fraction)
    return order[n_validation:], order[:n_validation]


def _split_order(
    n: int, split_seed: int, validation_fraction: float, part: Part = "validation"
) -> tuple[NDArray[np.int32], int]:
    """A random order of `n` examples, and how many of them are for validation, or another part.

    Raises:
        DataError: One of the parts would be empty.
    """
    n_validation = round(n * validation_fraction)
    if not 0 < n_validation < n:
        raise DataError(
            f"{n} examples cannot be split with {SETTINGS[part]} {validation_fraction:g}: "
            f"{n - n_validation} for training and {n_validation} for {part}"
        )
    return _permutation(split_seed, SPLIT, n), n_validation


def random_split(
    labels: NDArray[np.int32], split_seed: int, fraction: float, part: Part = "validation"
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Divide examples whatever their classes are, as `split` does; arguments as there."""
    order, n_part = _split_order(len(labels), split_seed, fraction, part)
    return order[n_part:], order[:n_part]


def stratified_split(
    labels: NDArray[np.int32],
    split_seed: int,
    validation_fraction: float,
    part: Part = "validation",
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Divide examples so that both parts have the same shares of the classes, as far as possible.

    The validation part has `round(n * fraction)` examples, as in `split`. Of a class with m
    examples it has `floor(m * fraction)`; the rest comes one each from the classes with the largest
    remainders, lower classes first where they are equal (largest-remainder method). The last
    example of a class always belongs to the training part.

    Args:
        labels: The class of each example, `(n,)`, from 0.
        split_seed: 0 to 2**64 - 1; equal seeds give equal splits.
        validation_fraction: Between 0 and 1.
        part: What the part besides training is for, in error messages.

    Returns:
        Training and validation indices, both in random order.

    Raises:
        DataError: One of the parts would be empty, or all classes have a single example.
    """
    n = len(labels)
    order, wanted = _split_order(n, split_seed, validation_fraction, part)
    counts = np.bincount(labels)
    quota = counts * validation_fraction
    most = np.maximum(counts - 1, 0)
    taken = np.minimum(np.floor(quota).astype(np.int64), most)
    if most.sum() < wanted:
        raise DataError(
            f"{n} examples of {np.count_nonzero(counts)} classes cannot be split with "
            f"{SETTINGS[part]} {validation_fraction:g}: each class needs an example for training"
        )
    while (left := wanted - int(taken.sum())) > 0:
        # `lexsort` puts full classes last, then sorts by remainder and by class.
        by_remainder = np.lexsort((np.arange(len(counts)), taken - quota, taken >= most))
        room = by_remainder[(taken < most)[by_remainder]][:left]
        taken[room] += 1
    in_order = labels[order]
    place = np.zeros(n, np.int64)  # among the examples of its class, in this order
    for label in range(len(counts)):
        of_class = in_order == label
        place[of_class] = np.arange(counts[label])
    is_validation = place < taken[in_order]
    return order[~is_validation], order[is_validation]


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


def unshuffled(rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """The order in which every epoch visits its examples if they are not shuffled, on purpose.

    It is that of the data, for which a split has to be undone: it has its rows in random order.

    Args:
        rows: the rows of the training part, `(n,)`.

    Returns:
        A permutation of 0 to n - 1.
    """
    return np.argsort(rows).astype(np.int32)


def mini_batches(
    seed: int,
    first: int,
    n: int,
    n_examples: int,
    batch_size: int,
    fixed: NDArray[np.int32] | None = None,
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
        fixed: The order of all epochs, in place of `batch_order`.

    Returns:
        Indices of training examples, `(n, batch_size)`.
    """
    n_steps = n_examples // batch_size
    begun, skipped = divmod(first, n_steps)  # epochs
    n_epochs = -(-(skipped + n) // n_steps)
    epochs = [
        order[: n_steps * batch_size]
        for order in (
            batch_order(seed, begun + 1 + index, n_examples) if fixed is None else fixed
            for index in range(n_epochs)
        )
    ]
    return np.concatenate(epochs).reshape(-1, batch_size)[skipped : skipped + n]


def _permutation(seed: int, word: int, n: int) -> NDArray[np.int32]:
    key = np.array([seed, word], np.uint64)
    return Generator(Philox(key=key)).permutation(np.arange(n, dtype=np.int32))
