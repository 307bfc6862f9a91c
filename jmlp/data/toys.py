"""Toys: points in the plane that jmlp draws, with the same bytes on every machine.

Each class is a curve or a region, within about -1 to 1 in both directions; then noise is added to
both coordinates. `noise` is its standard deviation, in the units of the coordinates.

Only +, -, *, / and rounding are used, element by element, which IEEE 754 fixes exactly: sines and
normal variates of libraries may differ between machines in the last digit.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import NDArray

from jmlp.data.dataset import Dataset, make_dataset
from jmlp.study.data_names import DataName

Numbers = NDArray[np.float64]
Labels = NDArray[np.uint8]

TURNS = 1.5  # of a spiral's arm
CORE = 0.1  # where an arm begins: its distance from the centre
RING = 0.7  # distance of the centres of blobs from the origin
N_UNIFORM = 12  # uniform numbers whose sum has variance 1
TERMS = 13  # of the series of sine and cosine, up to half a turn: an error below 1e-13

TOY_SUMMARIES = {
    "moons": "two half-moons of points",
    "circles": "circles of points, one in another",
    "spirals": "the arms of a spiral of points",
    "xor": "points of a square, XOR of two signs",
    "blobs": "round clouds of points",
}
# Of the toys with default parameters.
TOY_DIGESTS: Mapping[str, Mapping[str, str]] = {
    "moons": {
        "x_train": "c277269f45c38a99d8b8d944d4ff86787d41c3c219e82b4766815cb68a0c255b",
        "y_train": "d183b630a62ba40edf2ab551b31b49408f888e5e47e8106e805f9dcfa656355d",
        "x_test": "f1d38d897d7903dbe1f2dfaa63e68cc1c8a0173c5d873ab1cf1479833b31f5f6",
        "y_test": "9ad282f0adb34109bfcb520fa23ba374d7bf0f0eba0f748e3404de6cb0ec125c",
    },
    "circles": {
        "x_train": "a60f883886d4c2f5281f07ce6b09cdb61394ea908c04e5713b648004b71c6f13",
        "y_train": "d183b630a62ba40edf2ab551b31b49408f888e5e47e8106e805f9dcfa656355d",
        "x_test": "21eb95060537b951d0be79217fe76e063954e73ac7d233109021fb6d042f9a66",
        "y_test": "9ad282f0adb34109bfcb520fa23ba374d7bf0f0eba0f748e3404de6cb0ec125c",
    },
    "spirals": {
        "x_train": "63651592b933cb23186616765e57e62fd96f0909a5ef077518973aa57f4c8ddc",
        "y_train": "d183b630a62ba40edf2ab551b31b49408f888e5e47e8106e805f9dcfa656355d",
        "x_test": "667eea11b0ca01cb2351b1314ed9a17226d811a40678ae49618a333c97cb1f3e",
        "y_test": "9ad282f0adb34109bfcb520fa23ba374d7bf0f0eba0f748e3404de6cb0ec125c",
    },
    "xor": {
        "x_train": "9481aa97b9c61146c10a9d6d84f6b31469c6a07b1fd5991df0b3668187bcd7aa",
        "y_train": "d183b630a62ba40edf2ab551b31b49408f888e5e47e8106e805f9dcfa656355d",
        "x_test": "75d1b6f3f29b2e63ba0e0c32f8a36bf1cc0cc04b1a288f9939bfc14138de04c9",
        "y_test": "9ad282f0adb34109bfcb520fa23ba374d7bf0f0eba0f748e3404de6cb0ec125c",
    },
    "blobs": {
        "x_train": "86314f5eabebb63434d137bc2e004d86e92fb78014f84aa4bbb1a251a86e9a33",
        "y_train": "91732fb6388b8e65d24d34d030005ef94361f238ae5d9f525d0e0bc73de19ff3",
        "x_test": "58dc8f66d4a8d34a70601fc223ab273a3d87032dc271cfea9a3aaa5b7cf2a584",
        "y_test": "23fafef4341cbd469144924d17291b8fc6d7579133d57496b59326f0a668e8aa",
    },
}


def draw(toy: DataName) -> Dataset:
    """Draw a toy, with as many points for the test as for training and validation together.

    Args:
        toy: its name and parameters, as read by `study.data_names.parse_name`: `n` points of each
            part, as many of each class as `n` allows; `noise`; `seed`; where there may be more
            than two classes, `classes`.

    Returns:
        Points of 2 `float32`, named by the canonical text.
    """
    parameters = toy.parameters
    n, n_classes = int(parameters["n"]), int(parameters.get("classes", 2))
    arrays: dict[str, NDArray[Any]] = {}
    for purpose, part in enumerate(("train", "test")):
        key = np.array([parameters["seed"], purpose], np.uint64)
        random = Generator(Philox(key=key))
        labels = random.permutation(np.arange(n) % n_classes).astype(np.uint8)
        points = SHAPES[toy.name](random, labels, n_classes)
        points += parameters["noise"] * _normal(random, points.shape)
        arrays[f"x_{part}"], arrays[f"y_{part}"] = points.astype(np.float32), labels
    return make_dataset(str(toy), arrays, f"{toy.name}, drawn with seed {parameters['seed']}")


def _moons(random: Generator, labels: Labels, n_classes: int) -> Numbers:
    """Two half circles, each around an end of the other."""
    x, y = _circle(random.random(len(labels)) / 2)
    lower = labels == 1
    x, y = np.where(lower, 1 - x, x), np.where(lower, 0.5 - y, y)
    return np.stack((x - 0.5, y - 0.25), axis=1) / 1.5


def _circles(random: Generator, labels: Labels, n_classes: int) -> Numbers:
    """Circles around the origin, at equal distances."""
    radius = (labels + 1.0) / n_classes
    x, y = _circle(random.random(len(labels)))
    return np.stack((radius * x, radius * y), axis=1)


def _spirals(random: Generator, labels: Labels, n_classes: int) -> Numbers:
    """The arms of a spiral, turned against each other by equal angles."""
    along = random.random(len(labels))
    radius = CORE + (1 - CORE) * along
    x, y = _circle(TURNS * along + labels / n_classes)
    return np.stack((radius * x, radius * y), axis=1)


def _xor(random: Generator, labels: Labels, n_classes: int) -> Numbers:
    """The quadrants of a square: class 1 where the signs of the coordinates differ."""
    x, y = random.random((2, len(labels)))
    right = random.random(len(labels)) < 0.5
    above = right ^ (labels == 1)
    return np.stack((np.where(right, x, -x), np.where(above, y, -y)), axis=1)


def _blobs(random: Generator, labels: Labels, n_classes: int) -> Numbers:
    """Points on a ring, at equal distances; noise makes them clouds."""
    x, y = _circle(labels / n_classes)
    return RING * np.stack((x, y), axis=1)


SHAPES: Mapping[str, Callable[[Generator, Labels, int], Numbers]] = {
    "moons": _moons,
    "circles": _circles,
    "spirals": _spirals,
    "xor": _xor,
    "blobs": _blobs,
}


def _circle(turns: Numbers) -> tuple[Numbers, Numbers]:
    """Cosine and sine of angles in turns, by their Taylor series around 0."""
    angle = 2 * math.pi * (turns - np.rint(turns))
    square = angle * angle
    cosine = np.zeros_like(angle)
    sine = np.zeros_like(angle)
    for k in reversed(range(TERMS)):
        sign = (-1) ** k
        cosine = cosine * square + sign / math.factorial(2 * k)
        sine = sine * square + sign / math.factorial(2 * k + 1)
    return cosine, sine * angle


def _normal(random: Generator, shape: tuple[int, ...]) -> Numbers:
    """Nearly normal numbers: the sum of twelve uniform ones, of mean 0 and variance 1."""
    total = random.random(shape)
    for _ in range(N_UNIFORM - 1):
        total += random.random(shape)
    return total - N_UNIFORM / 2
