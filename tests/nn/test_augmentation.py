"""Random shifts, rotations and distortions of pictures: by hand, and against SciPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import BSpline

from jmlp.nn.augmentation import (
    INTERVALS,
    Augmentation,
    augmentation_of,
    displacements,
    move,
    spline_basis,
    turn_and_move,
)
from jmlp.study.config import Hyperparams

PICTURE = np.array(
    [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 10, 11, 12],
        [13, 14, 15, 16],
    ],
    np.uint8,
)
DOWN_ONE_LEFT_TWO = np.array(
    [
        [0, 0, 0, 0],
        [3, 4, 0, 0],
        [7, 8, 0, 0],
        [11, 12, 0, 0],
    ],
    np.uint8,
)
COUNTER_CLOCKWISE = np.array(
    [
        [4, 8, 12, 16],
        [3, 7, 11, 15],
        [2, 6, 10, 14],
        [1, 5, 9, 13],
    ],
    np.uint8,
)


jitted = jax.jit(turn_and_move)


def turned(x: NDArray[Any], degrees: float, shift: tuple[int, int] = (0, 0)) -> NDArray[Any]:
    angle = np.float64(np.deg2rad(degrees))
    with jax.enable_x64(True):
        return np.asarray(jitted(x, np.array(shift, np.int32), np.cos(angle), np.sin(angle)))


def by_scipy(x: NDArray[Any], degrees: float, shift: tuple[int, int]) -> NDArray[np.float64]:
    angle, centre = np.deg2rad(degrees), (np.array(x.shape) - 1) / 2
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    found: NDArray[np.float64] = ndimage.affine_transform(
        x.astype(np.float64),
        matrix,
        offset=centre - matrix @ (centre + shift),
        order=1,
        mode="grid-constant",  # zeros around the picture take part in the interpolation
    )
    return found


def pictures(n: int, shape: tuple[int, int], dtype: Any = np.uint8) -> NDArray[Any]:
    drawn = np.random.Generator(np.random.Philox(3)).integers(0, 256, (n, *shape))
    return drawn.astype(dtype)


def test_a_picture_is_moved_down_and_right_and_zeros_follow() -> None:
    found = move(jnp.asarray(PICTURE), jnp.array([1, -2], jnp.int32), most=3)
    np.testing.assert_array_equal(found, DOWN_ONE_LEFT_TWO)
    np.testing.assert_array_equal(turned(PICTURE, 0, (1, -2)), DOWN_ONE_LEFT_TWO)


def test_a_positive_right_angle_turns_counter_clockwise() -> None:
    np.testing.assert_array_equal(turned(PICTURE, 90), COUNTER_CLOCKWISE)
    np.testing.assert_array_equal(turned(PICTURE, -90), np.rot90(PICTURE, -1))


def test_a_picture_is_turned_before_it_is_moved() -> None:
    expected = np.zeros_like(PICTURE)
    expected[1:, :2] = COUNTER_CLOCKWISE[:3, 2:]
    np.testing.assert_array_equal(turned(PICTURE, 90, (1, -2)), expected)


@pytest.mark.parametrize("shape", [(7, 7), (4, 9), (28, 28)])
def test_a_turned_picture_is_that_of_scipy(shape: tuple[int, int]) -> None:
    x = pictures(1, shape, np.float64)[0]
    for degrees in (-180.0, -90.0, -37.0, 0.0, 0.5, 15.0, 45.0, 120.0):
        for shift in [(0, 0), (2, -3), (-1, 0)]:
            found = turned(x, degrees, shift)
            np.testing.assert_allclose(found, by_scipy(x, degrees, shift), rtol=0, atol=1e-9)


@pytest.mark.parametrize("n", [2, 5, 28, 41])
def test_displacements_are_a_cubic_spline_with_knots_beyond_the_picture(n: int) -> None:
    knots = np.arange(-3, INTERVALS + 4)
    at = np.linspace(0, INTERVALS, n) - 1e-12  # at a knot, the value from the left
    expected = BSpline(knots, np.eye(INTERVALS + 3), 3, extrapolate=True)(np.abs(at))
    np.testing.assert_allclose(spline_basis(n), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(spline_basis(n).sum(axis=1), 1)


@pytest.mark.parametrize("plane", [(28, 28), (8, 12)])
def test_the_spread_of_displacements_is_as_asked_everywhere_and_independent_in_both_directions(
    plane: tuple[int, int],
) -> None:
    d = np.asarray(displacements(plane, 4000, 1.5, jax.random.key(0)), np.float64)
    assert d.shape == (4000, 2, *plane)
    spread = d.std(axis=0)
    assert np.sqrt(np.mean(spread**2)) == pytest.approx(1.5, rel=0.05)
    # By hand: at a knot the sum of the squared splines is 1/36 + 16/36 + 1/36 = 1/2.
    np.testing.assert_allclose(spread[:, 0, 0], 1.5 * 315 / 151 / 2, rtol=0.05)
    assert np.abs(d.mean(axis=0)).max() < 5 * 1.6 / np.sqrt(4000)
    assert abs(np.corrcoef(d[:, 0].ravel(), d[:, 1].ravel())[0, 1]) < 0.01


@pytest.mark.parametrize("shape", [(7, 7), (4, 9), (28, 28)])
def test_a_distorted_picture_is_that_of_scipy(shape: tuple[int, int]) -> None:
    x = pictures(1, shape, np.float64)[0]
    for degrees, shift in [(0.0, (0, 0)), (25.0, (1, -2))]:
        d = np.asarray(displacements(shape, 1, 2.0, jax.random.key(4)), np.float64)[0]
        angle, centre = np.deg2rad(degrees), (np.array(shape)[:, None, None] - 1) / 2
        p = np.mgrid[: shape[0], : shape[1]] - centre - np.array(shift)[:, None, None]
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        q = np.einsum("ab,bhw->ahw", turn, p) + centre + d
        expected = ndimage.map_coordinates(x, q, order=1, mode="grid-constant")
        with jax.enable_x64(True):
            found = jitted(x, np.array(shift, np.int32), np.cos(angle), np.sin(angle), d)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_elastic_distortion_leaves_the_angles_and_shifts_of_a_key_as_they_are() -> None:
    x = pictures(5, (12, 12))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "jmlp.nn.augmentation.displacements", lambda plane, n, *_: jnp.zeros((n, 2, *plane))
        )
        still = applied(Augmentation((12, 12), 2, 33.0, 1.0), x)
    np.testing.assert_array_equal(still, applied(Augmentation((12, 12), 2, 33.0), x))
    assert not np.array_equal(still, applied(Augmentation((12, 12), 2, 33.0, 1.0), x))
    assert not np.array_equal(x, applied(Augmentation((12, 12), 0, 0.0, 1.0), x))


@pytest.mark.parametrize("most", [1, 3])
def test_a_moved_picture_is_that_of_scipy(most: int) -> None:
    x = pictures(1, (5, 8))[0]
    for shift in [(0, 0), (most, -most), (-most, most), (1, 0)]:
        found = move(jnp.asarray(x), jnp.array(shift, jnp.int32), most)
        np.testing.assert_array_equal(found, ndimage.shift(x, shift, order=0, mode="constant"))


def test_bytes_are_rounded_to_bytes() -> None:
    x = pictures(1, (9, 9))[0]
    found = turned(x, 20)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.rint(turned(x.astype(np.float64), 20)))


def applied(how: Augmentation, x: NDArray[Any], seed: int = 0) -> NDArray[Any]:
    flat = jnp.asarray(x.reshape(len(x), -1))
    found = np.asarray(how.apply(flat, jax.random.key(seed)))
    assert (found.dtype, found.shape) == (flat.dtype, flat.shape)
    return found.reshape(x.shape)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_picture_has_a_shift_of_its_own_within_the_limit(dtype: Any) -> None:
    one = np.zeros((400, 7, 7), dtype)
    one[:, 3, 3] = 9
    found = applied(Augmentation((7, 7), 2, 0.0), one)
    assert (found.sum(axis=(1, 2)) == 9).all()  # moved as a whole
    counts = found.astype(np.int64).sum(axis=0)[1:6, 1:6] // 9
    # 16 of each of the 25 shifts are expected, give or take 4.
    assert counts.min() >= 3
    assert counts.max() <= 35


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_picture_has_an_angle_of_its_own_within_the_limit(dtype: Any) -> None:
    # The far end of a hand that points to the right, at a distance of 20 pixels.
    hand = np.zeros((300, 41, 41), dtype)
    hand[:, 20, 20:] = 200
    found = applied(Augmentation((41, 41), 0, 30.0), hand).astype(np.float64)
    weight = np.hypot(*(np.mgrid[:41, :41] - 20)) > 15
    mass = (found * weight).sum(axis=(1, 2))
    row = (found * weight * (20 - np.arange(41))[:, None]).sum(axis=(1, 2)) / mass
    column = (found * weight * (np.arange(41) - 20)).sum(axis=(1, 2)) / mass
    angles = np.rad2deg(np.arctan2(row, column))
    assert -30.5 < angles.min() < -28
    assert 28 < angles.max() < 30.5
    assert abs(angles.mean()) < 4  # 4 standard errors of a uniform mean are 4
    assert abs(angles.std() - 60 / np.sqrt(12)) < 1.5


def test_the_same_key_gives_the_same_pictures_and_another_key_others() -> None:
    x, how = pictures(20, (6, 5)), Augmentation((6, 5), 1, 40.0)
    np.testing.assert_array_equal(applied(how, x), applied(how, x))
    assert not np.array_equal(applied(how, x), applied(how, x, seed=1))


@pytest.mark.parametrize(
    "how",
    [
        Augmentation((6, 5), 2, 0.0),
        Augmentation((6, 5), 2, 33.0),
        Augmentation((6, 5), 1, 10.0, 0.7),
    ],
)
def test_pictures_one_by_one_are_those_of_all_at_once(how: Augmentation) -> None:
    # `platform_dependent` takes the other branch on an accelerator.
    x = pictures(9, (6, 5)).reshape(9, -1)
    in_turn = how.apply(jnp.asarray(x), jax.random.key(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.lax, "platform_dependent", lambda *arrays, cpu, default: default(*arrays))
        at_once = how.apply(jnp.asarray(x), jax.random.key(2))
    np.testing.assert_array_equal(in_turn, at_once)


@pytest.mark.parametrize(
    ("changes", "plane", "expected"),
    [
        ({}, (4, 5), None),
        ({}, None, None),
        ({"shift": 1}, (4, 5), Augmentation((4, 5), 1, 0.0)),
        ({"rotation": 3.0}, (4, 5), Augmentation((4, 5), 0, 3.0)),
        ({"elastic": 0.5}, (4, 5), Augmentation((4, 5), 0, 0.0, 0.5)),
    ],
)
def test_a_run_that_changes_no_picture_has_no_augmentation(
    changes: dict[str, Any], plane: tuple[int, int] | None, expected: Augmentation | None
) -> None:
    assert augmentation_of(Hyperparams(**changes), plane) == expected
