"""The digits that jmlp draws."""

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from jmlp.data import check, synthetic
from jmlp.errors import DataError


def test_the_default_digits_have_the_known_bytes() -> None:
    assert all(array.ok for array in check("synthetic"))


def test_digits_have_the_form_of_mnist() -> None:
    digits = synthetic(25, 10)
    assert digits.x_train.shape == (25, 784)
    assert digits.x_train.dtype == np.uint8
    assert (digits.name, digits.n_classes, digits.image_shape) == ("synthetic", 10, (28, 28))


def test_every_class_is_as_frequent_as_the_numbers_allow() -> None:
    counts = np.bincount(synthetic(25, 0).y_train)
    assert sorted(counts) == [2] * 5 + [3] * 5


def test_equal_seeds_draw_equal_digits_and_others_other_ones() -> None:
    first, again, other = (synthetic(20, 10, seed).digests for seed in (1, 1, 2))
    assert first == again
    assert all(first[key] != other[key] for key in first)


def test_test_digits_depend_on_the_seed_alone() -> None:
    few, many = synthetic(10, 30), synthetic(50, 30)
    assert few.x_test is not None
    assert many.x_test is not None
    np.testing.assert_array_equal(few.x_test, many.x_test)
    assert not np.array_equal(few.x_test, synthetic(30, 10).x_train)


def test_no_test_digits_make_no_test_set() -> None:
    digits = synthetic(10, 0)
    assert digits.x_test is None
    assert digits.y_test is None


def test_digits_are_separable_but_not_by_their_mean_image() -> None:
    digits = synthetic(2000, 500)
    assert digits.x_test is not None
    means = NearestCentroid().fit(digits.x_train.astype(float), digits.y_train)
    assert 0.6 < means.score(digits.x_test.astype(float), digits.y_test) < 0.9


def test_too_few_digits_are_refused() -> None:
    with pytest.raises(DataError) as error:
        synthetic(9, -1)
    assert str(error.value) == (
        "synthetic digits: n_train must be at least 10 and n_test at least 0, got 9 and -1"
    )
