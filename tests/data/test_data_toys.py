"""The toys: the same bytes everywhere, shapes as scikit-learn draws them, and never pictures."""

from typing import Any

import numpy as np
import pytest
from numpy.random import Generator, Philox
from numpy.typing import NDArray
from scipy.stats import ks_2samp, kstest
from sklearn.datasets import make_circles, make_moons

import jmlp
from jmlp.data import check, load, toys
from jmlp.data.contract import contract_of
from jmlp.data.dataset import make_dataset
from jmlp.errors import DataError
from jmlp.study.data_names import TOYS


def radius(points: NDArray[Any]) -> NDArray[Any]:
    distances: NDArray[Any] = np.hypot(points[:, 0], points[:, 1])
    return distances


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_with_default_parameters_has_the_known_bytes(name: str) -> None:
    arrays = check(name)
    assert [array.expected for array in arrays] == [array.sha256 for array in arrays]


def test_the_digest_of_a_toy_with_other_parameters_is_not_known() -> None:
    assert {array.expected for array in check("moons:n=30")} == {None}
    assert all(array.expected for array in check("moons:n=1000"))


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_has_float32_points_near_the_unit_square_and_is_no_picture(name: str) -> None:
    toy = load(name)
    assert (toy.name, toy.image_shape) == (name, (2,))
    assert toy.x_train.dtype == np.float32
    assert len(toy.x_train) == 1000
    assert toy.x_test is not None
    assert len(toy.x_test) == 1000
    still = load(f"{name}:noise=0")
    assert np.abs(still.x_train).max() <= 1
    assert contract_of(toy).plane is None


@pytest.mark.parametrize("data", ["moons:n=51", "spirals:classes=5", "blobs:n=25,classes=10"])
def test_every_class_is_as_frequent_as_the_numbers_allow(data: str) -> None:
    toy = load(data)
    for labels in (toy.y_train, toy.y_test):
        assert labels is not None
        counts = np.bincount(labels, minlength=toy.n_classes)
        assert counts.max() - counts.min() <= 1


def test_equal_parameters_draw_equal_points_and_other_seeds_others() -> None:
    first = load("spirals:n=100,seed=1")
    assert first.digests == load("spirals: seed=1, n=100").digests
    assert first.name == "spirals:n=100,seed=1"
    other = load("spirals:n=100,seed=2")
    assert all(first.digests[key] != other.digests[key] for key in first.digests)


def test_no_test_point_is_a_training_point() -> None:
    toy = load("circles:n=2000")
    assert toy.x_test is not None
    assert not set(map(tuple, toy.x_train.tolist())) & set(map(tuple, toy.x_test.tolist()))


def test_sine_and_cosine_are_those_of_numpy() -> None:
    turns = np.linspace(-3, 3, 1001)
    cosine, sine = toys._circle(turns)
    np.testing.assert_allclose(cosine, np.cos(2 * np.pi * turns), atol=2e-13)
    np.testing.assert_allclose(sine, np.sin(2 * np.pi * turns), atol=2e-13)


def test_noise_is_nearly_normal_with_the_given_standard_deviation() -> None:
    noise = toys._normal(Generator(Philox(1)), (20000,))
    assert kstest(noise, "norm").pvalue > 0.01
    moved = load("blobs:n=20000,classes=2,noise=0.3,seed=5")
    spread = [moved.x_train[moved.y_train == k].std(axis=0) for k in (0, 1)]
    np.testing.assert_allclose(spread, 0.3, rtol=0.03)


def drawn(data: str, label: int) -> NDArray[Any]:
    toy = load(data)
    points: NDArray[Any] = toy.x_train[toy.y_train == label]
    return points


@pytest.mark.parametrize("label", [0, 1])
def test_moons_are_distributed_as_those_of_scikit_learn(label: int) -> None:
    x, y = make_moons(4000, noise=0.15, random_state=0)
    theirs = (x[y == label] - (0.5, 0.25)) / 1.5
    ours = drawn("moons:n=4000,noise=0.1", label)
    for axis in (0, 1):
        assert ks_2samp(ours[:, axis], theirs[:, axis]).pvalue > 0.01


@pytest.mark.parametrize("label", [0, 1])
def test_circles_are_distributed_as_those_of_scikit_learn(label: int) -> None:
    x, y = make_circles(4000, noise=0.1, factor=0.5, random_state=0)
    ours = drawn("circles:n=4000", label)
    theirs = x[y == 1 - label]  # whose class 1 is the inner circle
    assert ks_2samp(radius(ours), radius(theirs)).pvalue > 0.01
    assert ks_2samp(ours[:, 0], theirs[:, 0]).pvalue > 0.01


def test_an_arm_of_a_spiral_is_another_one_turned() -> None:
    for label in range(3):
        points = drawn("spirals:classes=3,noise=0", label)
        along = (radius(points) - 0.1) / 0.9
        turns = np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi)
        off = turns - 1.5 * along - label / 3
        np.testing.assert_allclose(off - np.rint(off), 0, atol=1e-5)
        assert kstest(along, "uniform").pvalue > 0.01


def test_xor_is_true_where_the_signs_differ_and_fills_the_square() -> None:
    toy = load("xor:noise=0")
    x, y = toy.x_train.T
    np.testing.assert_array_equal(toy.y_train == 1, (x > 0) != (y > 0))
    for values in (x, y):
        assert kstest(values, "uniform", args=(-1, 2)).pvalue > 0.01


def test_blobs_without_noise_are_points_on_a_ring() -> None:
    toy = load("blobs:noise=0,classes=4,n=40")
    corners = {0: (0.7, 0), 1: (0, 0.7), 2: (-0.7, 0), 3: (0, -0.7)}
    for label, corner in corners.items():
        points = toy.x_train[toy.y_train == label]
        np.testing.assert_allclose(points, np.tile(corner, (len(points), 1)), atol=1e-7)


def test_a_wrong_parameter_is_reported_as_an_error_of_the_data() -> None:
    with pytest.raises(DataError) as error:
        load("moons:n=3")
    assert str(error.value) == (
        "data: 'moons:n=3': n must be an integer from 20 to 1,000,000, got 3"
    )


def test_a_toy_is_no_table_and_is_learned_as_it_is() -> None:
    toy = load("moons:n=400")
    assert toy.x_test is not None
    assert toy.y_test is not None
    hp = jmlp.Hyperparams(hidden=(16,), learning_rate=0.3, batch_size=16, epochs=40)
    study = jmlp.Study("toy", (jmlp.Experiment("one", hp, {}, (0,), {}),))
    (result,) = (run for progress in jmlp.run_study(study, toy) for run in progress.results)
    logits = jmlp.predict(result.params, result.state, toy.x_test)
    assert np.mean(np.argmax(logits, axis=1) == toy.y_test) > 0.95


@pytest.mark.parametrize("n_in", [4, 16, 64])
def test_networks_of_earlier_versions_keep_what_they_took_flat_numbers_for(n_in: int) -> None:
    x = np.random.default_rng(0).normal(size=(40, n_in)).astype(np.float32)
    arrays: dict[str, NDArray[Any]] = {"x_train": x, "y_train": np.arange(40) % 2}
    assert contract_of(make_dataset("own", arrays, "own")).plane is None
    bright = arrays | {"x_train": np.clip(np.abs(x), 0, 1)}
    assert contract_of(make_dataset("own", bright, "own")).plane == (n_in**0.5, n_in**0.5)
