"""The input contract of a network: the form of its training data, which is stored with it.

A raw picture or row goes in, and a class with a name comes out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jmlp.data.columns import (
    Column,
    Columns,
    Scale,
    check_columns,
    no_scale,
    standardise,
    unnamed,
)
from jmlp.data.dataset import MOST_CLASSES, Dataset, plane_of, white_level
from jmlp.data.npz import MOST_DIMENSIONS
from jmlp.errors import DataError

DType = Literal["uint8", "float32"]
Range = tuple[float, float, float]  # the 1, 50 and 99 % quantiles
SMALLEST = 8  # pixels per side, at least, for a digit to be placed
SAMPLE = 500  # pictures that are measured
QUANTILES = (0.01, 0.5, 0.99)
# What tells pictures of strokes that are placed alike from others, see `has_placed_strokes`:
THICKEST = 0.3  # median width of the strokes, as a fraction of the box; a solid square has 0.5
FULLEST = 0.4  # median share of ink in a square as large as the box; digits have 0.25 to 0.3
SMALLEST_BOX = 0.5  # median longer side of the box, as a fraction of the picture's
FARTHEST = 0.2  # distance of the centre of mass from the middle, as a fraction of the picture's
FAR = 10  # standard deviations from the mean of the training part


@dataclass(frozen=True)
class Looks:
    """What the pictures of a data set look like: for each measure, its range over a sample.

    Lengths are fractions of the longer side of the picture. Ink is what differs clearly from paper.
    """

    ink: Range  # mean brightness of the ink over the whole picture, 0 to 1
    stroke: Range  # width of the strokes
    box: Range  # the longer side of the ink's bounding box
    offset: Range  # distance of the ink's centre of mass from the picture's centre
    paper: Literal["dark", "light"]  # brightness of the paper around the ink


@dataclass(frozen=True)
class Contract:
    """The form of a data set's examples, and so of every input to a network trained on it."""

    image_shape: tuple[int, ...]
    n_classes: int
    dtype: DType | None  # uint8 is scaled to 0-1; None: unknown, in files of earlier versions
    low: float | None = None  # the smallest value in the training data
    high: float | None = None  # the largest
    looks: Looks | None = None  # None: unknown, or no pictures on plain paper
    # Names of the classes of pictures and arrays; empty: they are called 0, 1, 2 …
    classes: tuple[str, ...] = field(default=(), metadata={"added": True})
    columns: Columns | None = field(default=None, metadata={"added": True})  # of a table
    # By which a table is standardised; None: not known yet, since it depends on the split.
    scale: Scale | None = field(default=None, metadata={"added": True})

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class."""
        return self.given_names or tuple(map(str, range(self.n_classes)))

    @property
    def given_names(self) -> tuple[str, ...]:
        """The names of the classes; empty if they are 0, 1, 2 and so on."""
        return self.classes if self.columns is None else self.columns.classes

    @property
    def is_table(self) -> bool:
        """Whether an example is a row with named columns."""
        return self.columns is not None

    def inputs_of(self, rows: Any, source: str = "rows") -> NDArray[np.float32]:
        """The inputs of the network, `(N, n_in)`, for rows of a table.

        Args:
            rows: a frame of pandas, polars or pyarrow; a mapping of names to columns, or to the
                values of a single row; an array `(N, number of features)` in the order of the
                features; or a `RawTable`. Further columns are ignored.
            source: error messages begin with it.

        Raises:
            DataError: the network was not trained on a table, a column is missing, or a value is
                not one that the network was trained on.
        """
        if self.columns is None or self.scale is None:
            raise DataError(
                f"{source}: the network was not trained on a table: it takes arrays of "
                f"{self.image_shape} numbers"
            )
        from jmlp.data.frames import is_columns, read_array, read_columns
        from jmlp.data.table import encode_rows
        from jmlp.data.table_file import RawTable

        if isinstance(rows, RawTable):
            table = rows
        elif is_columns(rows):
            table = read_columns(rows, source)
        else:
            names = [column.name for column in self.columns.features]
            array = np.asarray(rows)
            array = array[None] if array.ndim == 1 else array
            if array.ndim != 2 or array.shape[1] != len(names):
                raise DataError(
                    f"{source}: shape {array.shape}; the network was trained on {len(names)} "
                    f"columns ({', '.join(names[:8])}{' …' if len(names) > 8 else ''}): give one "
                    "row per example, (N, columns), or a frame with these columns"
                )
            table = read_array(array, source, names)
        return standardise(self.columns, self.scale, encode_rows(self.columns, table))

    def unusual(self, inputs: NDArray[np.float32]) -> list[str]:
        """What is far from everything that the network was trained on, in one sentence per column.

        Args:
            inputs: rows of a table as returned by `inputs_of`, `(N, n_in)`.
        """
        if self.columns is None or self.scale == no_scale(self.n_in):  # no deviations are known
            return []
        found = []
        for name, is_number, z in zip(
            self.columns.inputs, self.columns.numbers, np.abs(inputs).T, strict=True
        ):
            rows = np.flatnonzero(z > FAR)
            if not is_number or not len(rows):
                continue
            others = f", and {len(rows) - 1:,} other rows are far from it" if len(rows) > 1 else ""
            found.append(
                f"{name} of row {rows[0] + 1} is {z[rows[0]]:,.3g} standard deviations from the "
                f"mean of the training part{others}: such a prediction is worth little"
            )
        return found

    @property
    def n_in(self) -> int:
        """Values per example."""
        return math.prod(self.image_shape)

    @property
    def plane(self) -> tuple[int, int] | None:
        """Height and width if an example can be a grey picture; a flat one may be a square.

        A row of a table is no picture. Flat numbers are a table, too (`data.arrays`), but networks
        of earlier versions were trained on them unscaled: as pictures if they were brightness.
        """
        if self.is_table:
            return None
        is_flat = len(self.image_shape) == 1
        if is_flat and self.dtype == "float32" and self.low is not None and not self._white_level():
            return None
        return plane_of(self.image_shape)

    @property
    def row(self) -> tuple[Column, ...]:
        """The columns of an example if it is a row, of a table or of flat numbers, else none."""
        if self.columns is not None:
            return self.columns.features
        is_flat = len(self.image_shape) == 1
        return unnamed(self.n_in) if is_flat and self.plane is None else ()

    @property
    def has_placed_strokes(self) -> bool:
        """Whether the pictures are strokes on plain paper, all of nearly one size and in one place.

        Then a user's digit can be placed like them. That is so if most strokes are at least a pixel
        wide and at most `THICKEST` of the box around the ink, which is not filled by them
        (`FULLEST`); and if the boxes are large, the smallest at least half as large as the largest
        one, and the centres of mass near the middle.

        Assumed for a network of an earlier version, whose data are unknown.
        """
        if self.plane is None or min(self.plane) < SMALLEST:
            return False
        if self.looks is None:
            return self.low is None
        looks, (_, box, _) = self.looks, self.looks.box
        strokes = 1 / max(self.plane) <= looks.stroke[1] <= THICKEST * box
        of_one_size = box >= SMALLEST_BOX and looks.box[0] >= looks.box[2] / 2
        in_one_place = looks.offset[2] <= FARTHEST
        return strokes and looks.ink[1] <= FULLEST * box**2 and of_one_size and in_one_place

    def convert(self, x: NDArray[Any], what: str) -> NDArray[Any]:
        """Converts examples, pixels or numbers, to the type and scale of the training data.

        Args:
            x: `uint8` or floating-point numbers, `(N, n_in)`.
            what: what they are, for the error message.

        Raises:
            DataError: their scale clearly differs from that of the training data.
        """
        if x.size == 0:
            return x
        if x.dtype == np.uint8:
            return self.convert_pixels(x, what)
        return self.convert_numbers(x.astype(np.float32, copy=False), what)

    def convert_pixels(self, pixels: NDArray[np.uint8], what: str) -> NDArray[Any]:
        """Converts pixels 0 to 255 to the type and scale of the training data.

        Args:
            pixels: an array of any shape.
            what: where they come from, for the error message.

        Raises:
            DataError: the network was trained neither on pixels nor on numbers from 0 to 1.
        """
        if self.dtype is None or (self.dtype == "uint8" and (self.high is None or self.high > 127)):
            return pixels
        # Floats up to 255 are refused as well: they need not have been pixels, and a network trains
        # so poorly on them that its prediction would be worth little.
        if self._white_level() != 1:
            raise DataError(
                f"{what}: the network was trained on numbers {self._range()}, and pictures are "
                "given to networks as numbers from 0 to 1: train it on pixels of type uint8, which "
                "are scaled to that, or give it a float32 array of its own numbers (.npy), of "
                f"shape {self.image_shape}"
            )
        return pixels / np.float32(255)

    def convert_numbers(self, array: NDArray[np.float32], what: str) -> NDArray[Any]:
        """Converts floating-point numbers to the type and scale of the training data.

        Raises:
            DataError: their scale clearly differs from that of the training data.
        """
        low, high = float(array.min()), float(array.max())
        given = white_level(low, high)
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
            white = self._white_level()
            if (given, white) == (255, 1):
                return array / np.float32(255)
            span = self.high - self.low
            out_of_range = low < self.low - span or high > self.high + span
            if out_of_range or (given, white) == (1, 255):
                raise DataError(
                    f"{what}: numbers from {low:g} to {high:g}, but the network was trained on "
                    f"numbers {self._range()}: bring them to that scale"
                )
        return array

    def _white_level(self) -> float | None:
        """The value of white in the training data, 1 or 255; None if it is unclear."""
        if self.low is None or self.high is None:
            return None
        return white_level(self.low, self.high)

    def _range(self) -> str:
        if self.low is None or self.high is None:
            return "of a type and range that its file does not state"
        return f"from {self.low:g} to {self.high:g}"


def check_contract(contract: Contract) -> None:
    """Checks that such data can exist; the types have already been checked by the reader.

    Raises:
        ValueError: with the first impossible value.
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
        for measure_ in fields(Looks):
            measured = getattr(contract.looks, measure_.name)
            if measure_.name != "paper" and not all(map(math.isfinite, measured)):
                raise ValueError(f"looks.{measure_.name} is {list(measured)}")
    if len(contract.class_names) != n_classes:
        raise ValueError(f"there are {len(contract.class_names)} names of {n_classes} classes")
    if contract.columns is not None:
        check_columns(contract.columns, contract.scale)
        if len(contract.columns.inputs) != contract.n_in:
            raise ValueError(f"its columns are not those of {contract.n_in} inputs")
    elif contract.scale is not None:
        raise ValueError("there is a scale without columns")


def contract_of(dataset: Dataset) -> Contract:
    """The input contract of a network trained on this data; that of a table has no scale yet."""
    x = dataset.x_train
    if dataset.columns is not None:
        return Contract(dataset.image_shape, dataset.n_classes, "float32", columns=dataset.columns)
    low, high = float(x.min()), float(x.max())
    dtype: DType = "uint8" if x.dtype == np.uint8 else "float32"
    contract = Contract(dataset.image_shape, dataset.n_classes, dtype, low, high)
    looks = _looks(x, contract.plane, low, high)
    return replace(contract, looks=looks, classes=dataset.classes)


def measure(brightness: NDArray[np.floating[Any]]) -> Mapping[str, NDArray[np.float64]]:
    """The measures in `Looks` of each picture `(n, height, width)`, where ink is 1 and paper 0."""
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
        # A stroke of width w and length l has area w l, and edges of 2 l or slightly more.
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
    measures = measure(brightness if is_dark else 1 - brightness)
    low_, middle, top = np.quantile(np.stack(list(measures.values())), QUANTILES, axis=1)
    ranges = {
        name: (float(low_[i]), float(middle[i]), float(top[i])) for i, name in enumerate(measures)
    }
    return Looks(**ranges, paper="dark" if is_dark else "light")
