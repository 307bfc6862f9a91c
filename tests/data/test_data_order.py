"""The split and the order of batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, Philox

from jmlp.data import batch_order, split
from jmlp.data.order import stratified_split
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
    with pytest.raises(DataError, match=f"^{n} examples cannot be split with"):
        split(n, 0, fraction)


def test_the_refused_split_gives_both_counts() -> None:
    with pytest.raises(DataError) as error:
        split(2, 0, 0.1)
    assert str(error.value) == (
        "2 examples cannot be split with validation_fraction 0.1: 2 for training and 0 for "
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


# ---- by class


def counts_of(labels: list[int], fraction: float, seed: int = 0) -> tuple[list[int], list[int]]:
    """The examples of each class in both parts."""
    array = np.array(labels, np.int32)
    parts = stratified_split(array, seed, fraction)
    training, validation = (
        np.bincount(array[part], minlength=array.max() + 1).tolist() for part in parts
    )
    return training, validation


@pytest.mark.parametrize(
    ("counts", "fraction", "validation"),
    [
        ((50, 50, 50), 0.2, [10, 10, 10]),
        ((10, 5), 0.2, [2, 1]),
        ((7, 7, 7), 0.2, [2, 1, 1]),  # 1.4 each: the remaining one is of the lowest class
        ((8, 4, 4), 0.2, [1, 1, 1]),  # 1.6, 0.8, 0.8: the two largest remainders
        ((100, 1), 0.5, [50, 0]),  # the last example of a class is trained on
        ((1, 1, 4), 0.5, [0, 0, 3]),
    ],
)
def test_classes_are_divided_by_the_largest_remainders(
    counts: tuple[int, ...], fraction: float, validation: list[int]
) -> None:
    labels = [label for label, n in enumerate(counts) for _ in range(n)]
    assert counts_of(labels, fraction)[1] == validation


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=80),
    st.sampled_from([0.1, 0.2, 0.25, 0.5]),
    st.integers(0, 2**63),
)
def test_every_class_is_trained_on_and_shares_agree(
    labels: list[int], fraction: float, seed: int
) -> None:
    array = np.array(labels, np.int32)
    try:
        training, validation = stratified_split(array, seed, fraction)
    except DataError:
        return
    assert len(validation) == round(len(labels) * fraction)
    assert sorted([*training.tolist(), *validation.tolist()]) == list(range(len(labels)))
    assert set(array[training]) == set(labels)


def test_parts_by_class_depend_on_the_seed_and_are_in_random_order() -> None:
    labels = np.repeat([0, 1], 50).astype(np.int32)
    first, again, other = (stratified_split(labels, seed, 0.2) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    assert set(first[1].tolist()) != set(other[1].tolist())
    assert 0 < labels[first[0][:20]].sum() < 20


def test_single_examples_of_all_classes_cannot_be_split_by_class() -> None:
    with pytest.raises(DataError, match="each class needs an example for training"):
        stratified_split(np.arange(4, dtype=np.int32), 0, 0.5)
