"""What a network takes: the form of its training data, which is stored with it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jmlp.data.dataset import MOST_CLASSES, Dataset, unit_of
from jmlp.data.npz import MOST_DIMENSIONS
from jmlp.errors import DataError

DType = Literal["uint8", "float32"]
Range = tuple[float, float, float]  # quantiles of 1, 50 and 99 %
SMALLEST = 8  # pixels of a side in which a digit can be placed
SAMPLE = 500  # pictures that are looked at
QUANTILES = (0.01, 0.5, 0.99)


@dataclass(frozen=True)
class Looks:
    """What pictures look like: of each measure, the range over many of them.

    Lengths are fractions of the longer side of the picture. Ink is what is far from the paper.
    """

    ink: Range  # mean brightness of the ink over the whole picture, 0 to 1
    stroke: Range  # how wide strokes are
    box: Range  # the longer side of the box around the ink
    offset: Range  # how far the ink's centre of mass is from the middle
    paper: Literal["dark", "light"]  # around the ink


@dataclass(frozen=True)
class Contract:
    """The form of a data set's examples, and so of all that a network trained on it can take."""

    image_shape: tuple[int, ...]
    n_classes: int
    dtype: DType | None  # uint8 is scaled to 0-1; None: not known, in files of earlier versions
    low: float | None = None  # the smallest number in training
    high: float | None = None
    looks: Looks | None = None  # None: not known, or no pictures on plain paper

    @property
    def n_in(self) -> int:
        """Numbers of one example."""
        return math.prod(self.image_shape)

    @property
    def plane(self) -> tuple[int, int] | None:
        """Height and width, where an example can be a grey picture. Flat ones may be a square."""
        shape = self.image_shape[:2] if self.image_shape[2:] == (1,) else self.image_shape
        if len(shape) == 2:
            return shape[0], shape[1]
        side = math.isqrt(self.n_in)
        return (side, side) if len(shape) == 1 and side > 1 and side * side == self.n_in else None

    @property
    def like_mnist(self) -> bool:
        """Whether its pictures are strokes on plain paper, in the middle, with a margin.

        Of a network of an earlier version, whose data are not known, it is taken for granted.
        """
        if self.plane is None or min(self.plane) < SMALLEST:
            return False
        if self.looks is None:
            return self.low is None
        return 0.5 <= self.looks.box[1] <= 0.8 and self.looks.offset[2] <= 0.2

    def take(self, pixels: NDArray[np.uint8], what: str) -> NDArray[Any]:
        """Pixels 0 to 255 as the network was trained on them.

        Args:
            pixels: of any shape.
            what: where they come from, for the message.

        Raises:
            DataError: it was trained on other numbers than pixels, or than 0 to 1.
        """
        if self.dtype is None or (self.dtype == "uint8" and (self.high is None or self.high > 127)):
            return pixels
        # Floats up to 255 are refused as well: nothing says that they were pixels, and a network
        # learns so poorly from them that its answer would be worth little.
        if self._white() != 1:
            raise DataError(
                f"{what}: the network was trained on numbers {self._range()}, and pictures are "
                "given to networks as numbers from 0 to 1: train it on pixels of type uint8, which "
                "are scaled to that, or give it a float32 array of its own numbers (.npy), of "
                f"shape {self.image_shape}"
            )
        return pixels / np.float32(255)

    def take_numbers(self, array: NDArray[np.float32], what: str) -> NDArray[Any]:
        """Floating-point numbers as the network was trained on them.

        Raises:
            DataError: they are plainly of another scale than in training.
        """
        low, high = float(array.min()), float(array.max())
        given = unit_of(low, high)
        if self.dtype in ("uint8", None):  # 0 to 1 is what bytes are scaled to
            if low >= 0 and high <= 1:
                return array
            if given == 255 and (array == np.rint(array)).all():
                return array.astype(np.uint8)
            raise DataError(
                f"{what}: numbers from {low:g} to {high:g}, but the network was trained on pixels: "
                "uint8 from 0 to 255, or numbers from 0 to 1"
            )
        if self.low is not None and self.high is not None:
            white = self._white()
            if (given, white) == (255, 1):
                return array / np.float32(255)
            room = self.high - self.low
            too_far = low < self.low - room or high > self.high + room
            if too_far or (given, white) == (1, 255):
                raise DataError(
                    f"{what}: numbers from {low:g} to {high:g}, but the network was trained on "
                    f"numbers {self._range()}: bring them to that scale"
                )
        return array

    def _white(self) -> float | None:
        """What white is in the training data, 1 or 255, where that is plain."""
        if self.low is None or self.high is None:
            return None
        return unit_of(self.low, self.high)

    def _range(self) -> str:
        if self.low is None or self.high is None:
            return "of a type and range that its file does not say"
        return f"from {self.low:g} to {self.high:g}"


def check_contract(contract: Contract) -> None:
    """Whether there can be such data: its types are right already, as `read` takes them.

    Raises:
        ValueError: with what cannot be.
    """
    shape, n_classes = contract.image_shape, contract.n_classes
    if not 1 <= len(shape) <= MOST_DIMENSIONS or min(shape) < 1 or contract.n_in >= 2**31:
        raise ValueError(f"image_shape is {list(shape)[:MOST_DIMENSIONS]}, which no image has")
    if not 2 <= n_classes <= MOST_CLASSES:
        raise ValueError(f"n_classes is {n_classes}, must be from 2 to {MOST_CLASSES}")
    if contract.low is not None and contract.high is not None:
        numbers = [contract.low, contract.high]
        if not all(map(math.isfinite, numbers)) or contract.low >= contract.high:
            raise ValueError(f"its training data cannot range from {numbers[0]} to {numbers[1]}")
    if contract.looks is not None:
        for field in fields(Looks):
            measured = getattr(contract.looks, field.name)
            if field.name != "paper" and not all(map(math.isfinite, measured)):
                raise ValueError(f"looks.{field.name} is {list(measured)}")


def contract_of(dataset: Dataset) -> Contract:
    """What a network trained on this data takes."""
    x = dataset.x_train
    low, high = float(x.min()), float(x.max())
    dtype: DType = "uint8" if x.dtype == np.uint8 else "float32"
    bare = Contract(dataset.image_shape, dataset.n_classes, dtype, low, high)
    return replace(bare, looks=_looks(x, bare.plane, low, high))


def measure(brightness: NDArray[np.floating[Any]]) -> Mapping[str, NDArray[np.float64]]:
    """The measures of `Looks` of pictures `(n, height, width)`: ink is 1, paper is 0."""
    n, *sides = brightness.shape
    longer = max(sides)
    ink = np.asarray(brightness, np.float64)
    mask: NDArray[np.bool_] = np.greater(ink, 0.5)
    area = mask.sum(axis=(1, 2))
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    edges = sum((padded != np.roll(padded, 1, axis)).sum(axis=(1, 2)) for axis in (1, 2))
    box = np.zeros(n)
    offset = np.zeros(n)
    inked = np.where(mask, ink, 0)
    mass = np.maximum(inked.sum(axis=(1, 2)), 1e-9)
    for axis, side in zip((1, 2), sides, strict=True):
        other = 3 - axis
        along = np.asarray(mask.any(axis=other))
        extent = np.where(along.any(axis=1), side - along[:, ::-1].argmax(1) - along.argmax(1), 0)
        box = np.maximum(box, extent)
        centre = inked.sum(axis=other) @ np.arange(side) / mass
        offset = np.maximum(offset, np.abs(centre - (side - 1) / 2))
    return {
        "ink": ink.mean(axis=(1, 2)),
        # A stroke of width w and length l has the area w l, and edges of 2 l or a little more.
        "stroke": 2 * area / np.maximum(edges, 1) / longer,
        "box": box / longer,
        "offset": np.where(area > 0, offset, 0) / longer,
    }


def _looks(x: NDArray[Any], plane: tuple[int, int] | None, low: float, high: float) -> Looks | None:
    if plane is None or min(plane) < 3:
        return None
    rows = np.linspace(0, len(x) - 1, min(len(x), SAMPLE)).astype(np.intp)
    brightness = (x[rows].reshape(-1, *plane).astype(np.float64) - low) / (high - low)
    rim = np.concatenate(
        [brightness[:, 0], brightness[:, -1], brightness[:, :, 0], brightness[:, :, -1]], axis=1
    )
    level = float(np.median(rim))
    if 0.25 < level < 0.75:
        return None
    is_dark = level <= 0.25
    found = measure(brightness if is_dark else 1 - brightness)
    low_, middle, top = np.quantile(np.stack(list(found.values())), QUANTILES, axis=1)
    ranges = {
        name: (float(low_[i]), float(middle[i]), float(top[i])) for i, name in enumerate(found)
    }
    return Looks(**ranges, paper="dark" if is_dark else "light")
