"""The one form that all data takes, and what must hold of it."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.errors import DataError

Pixels = NDArray[np.uint8] | NDArray[np.float32]
Labels = NDArray[np.int32]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MOST_CLASSES = 1000
MOST_IMAGES = 2**31 - 1  # they are counted by int32


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels in memory, checked. The arrays cannot be written to.

    `uint8` pixels are scaled to 0-1 where they are used; floating-point ones are used as they are.
    """

    name: str
    x_train: Pixels  # (N, n_in)
    y_train: Labels  # (N,), 0 to n_classes - 1
    x_test: Pixels | None  # (N_test, n_in)
    y_test: Labels | None  # (N_test,)
    n_classes: int
    image_shape: tuple[int, ...]  # of one image before it was flattened, such as (28, 28)
    digests: Mapping[str, str]  # by array name: SHA-256 of its bytes, see `digest`
    source: str  # where it came from, for people

    @property
    def n_in(self) -> int:
        """Inputs of a network for this data."""
        return math.prod(self.image_shape)


def digest(array: NDArray[Any]) -> str:
    """SHA-256 of the numbers in their own type, little-endian, in C order, as hexadecimal."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()


def changed_arrays(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The names of the arrays whose digests differ, those that only one side has included."""
    names = sorted(wanted.keys() | found.keys())
    return [name for name in names if wanted.get(name) != found.get(name)]


def make_dataset(
    name: str,
    arrays: Mapping[str, NDArray[Any]],
    source: str,
    digests: Mapping[str, str] | None = None,
) -> Dataset:
    """Check raw arrays and bring them into the one form.

    Args:
        name: What to call the data set.
        arrays: `x_train` (N, ...), `y_train` (N,), and both of `x_test`, `y_test` or neither.
        source: Where they came from; messages begin with it.
        digests: Those of the arrays, where they were computed already.

    Raises:
        DataError: For the first rule that is broken, with the array and the numbers.
    """
    for missing in ({"x_train", "y_train"} | _partner(arrays)) - set(arrays):
        raise DataError(
            f"{source}: {missing} is missing; there must be x_train and y_train, and both x_test "
            "and y_test or neither"
        )
    image_shape = arrays["x_train"].shape[1:]
    parts = [part for part in ("train", "test") if f"x_{part}" in arrays]
    flat: dict[str, Pixels] = {}
    labels: dict[str, Labels] = {}
    for part in parts:
        where = f"{source}: x_{part}"
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        _check_counts(x, y, source, part)
        if x.shape[1:] != image_shape:
            raise DataError(
                f"{where}: images of shape {x.shape[1:]}, but those of x_train are {image_shape}"
            )
        flat[part] = _pixels(x, where)
        labels[part] = _labels(y, f"{source}: y_{part}")
    if flat["train"].min() == flat["train"].max():
        raise DataError(f"{source}: x_train: all pixels are {flat['train'].flat[0]:g}: no images")
    n_classes = _count_classes(labels["train"], f"{source}: y_train")
    if "test" in labels and labels["test"].max() >= n_classes:
        raise DataError(
            f"{source}: y_test: label {labels['test'].max()}, but those of y_train are 0 to "
            f"{n_classes - 1}"
        )
    for array in (*flat.values(), *labels.values()):
        array.flags.writeable = False
    return Dataset(
        name=name,
        x_train=flat["train"],
        y_train=labels["train"],
        x_test=flat.get("test"),
        y_test=labels.get("test"),
        n_classes=n_classes,
        image_shape=image_shape,
        digests=digests or {key: digest(arrays[key]) for key in ARRAYS if key in arrays},
        source=source,
    )


def _partner(arrays: Mapping[str, NDArray[Any]]) -> set[str]:
    test = {"x_test", "y_test"}
    return test if test & set(arrays) else set()


def _check_counts(x: NDArray[Any], y: NDArray[Any], source: str, part: str) -> None:
    if x.ndim < 2:
        raise DataError(f"{source}: x_{part}: shape {x.shape}; one image a row is wanted")
    if y.ndim != 1:
        raise DataError(f"{source}: y_{part}: shape {y.shape}; one label an image is wanted, (N,)")
    if len(x) != len(y):
        raise DataError(f"{source}: {len(x):,} images in x_{part}, {len(y):,} labels in y_{part}")
    if x.size == 0:
        hint = "; leave both arrays out for no test set" if part == "test" else ""
        raise DataError(f"{source}: x_{part}: shape {x.shape}: no images{hint}")
    if len(x) > MOST_IMAGES:
        raise DataError(f"{source}: x_{part}: {len(x):,} images, at most {MOST_IMAGES:,}")


def _pixels(x: NDArray[Any], where: str) -> Pixels:
    flat = x.reshape(len(x), -1)
    if x.dtype == np.uint8:
        return np.ascontiguousarray(flat, np.uint8)
    if x.dtype.kind != "f":
        raise DataError(f"{where}: type {x.dtype}; allowed are uint8 (0 to 255) and float32")
    with np.errstate(over="ignore"):
        pixels = np.ascontiguousarray(flat, np.float32)
    finite = np.isfinite(pixels).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{where}: {np.count_nonzero(~finite):,} images hold numbers that are not finite in "
            f"float32, the first is image {finite.argmin()}"
        )
    return pixels


def _labels(y: NDArray[Any], where: str) -> Labels:
    if y.dtype.kind not in "iu":
        raise DataError(f"{where}: type {y.dtype}; labels are integers, 0 for the first class")
    if y.min() < 0 or y.max() >= MOST_CLASSES:
        wrong = y.min() if y.min() < 0 else y.max()
        raise DataError(f"{where}: label {wrong}; labels are 0 to K - 1, K at most {MOST_CLASSES}")
    return y.astype(np.int32)


def _count_classes(y: Labels, where: str) -> int:
    counts = np.bincount(y)
    n_classes = len(counts)
    if n_classes < 2 or np.count_nonzero(counts) < 2:
        raise DataError(f"{where}: every label is {y[0]}; at least 2 classes are needed")
    if not counts.all():
        raise DataError(
            f"{where}: no image of class {counts.argmin()}, but labels up to {n_classes - 1}; "
            "labels are 0 to K - 1, each with at least one image: number them so"
        )
    return n_classes
