"""The split and the order of batches."""

import numpy as np
import pytest
from numpy.random import Generator, Philox

from jmlp.data import batch_order, split
from jmlp.errors import DataError


def test_mnist_is_split_into_48000_and_12000_disjoint_examples() -> None:
    training, validation = split(60000, 0, 0.2)
    assert (len(training), len(validation)) == (48000, 12000)
    assert training.dtype == validation.dtype == np.int32
    both = np.sort(np.concatenate([training, validation]))
    np.testing.assert_array_equal(both, np.arange(60000))


def test_equal_split_seeds_give_equal_parts_and_others_other_ones() -> None:
    first, again, other = (split(100, seed, 0.2)[1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


@pytest.mark.parametrize(("n", "fraction"), [(2, 0.1), (2, 0.9), (1, 0.5), (0, 0.2)])
def test_a_split_with_an_empty_part_is_refused(n: int, fraction: float) -> None:
    with pytest.raises(DataError, match=f"^{n} training images cannot be split with"):
        split(n, 0, fraction)


def test_the_refused_split_gives_both_counts() -> None:
    with pytest.raises(DataError) as error:
        split(2, 0, 0.1)
    assert str(error.value) == (
        "2 training images cannot be split with validation_fraction 0.1: 2 for training and 0 for "
        "validation"
    )


def test_batch_order_is_the_documented_philox_permutation() -> None:
    expected = Generator(Philox(key=[5, 7])).permutation(1000)
    order = batch_order(5, 7, 1000)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(order, expected)


def test_orders_and_splits_have_known_values() -> None:
    assert batch_order(0, 0, 8).tolist() == [5, 0, 6, 1, 7, 2, 4, 3]
    assert batch_order(2**64 - 1, 1, 8).tolist() == [5, 1, 6, 2, 4, 0, 7, 3]
    assert [part.tolist() for part in split(8, 0, 0.25)] == [[3, 4, 7, 0, 2, 6], [1, 5]]


def test_seed_and_epoch_are_not_exchangeable() -> None:
    assert batch_order(1, 2, 100).tolist() != batch_order(2, 1, 100).tolist()


def test_the_split_shares_its_random_numbers_with_no_epoch() -> None:
    training, validation = split(100, 0, 0.2)
    order = [*validation.tolist(), *training.tolist()]
    assert all(order != batch_order(0, epoch, 100).tolist() for epoch in range(1000))
