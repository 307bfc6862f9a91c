"""The common form of all data sets, and its validation."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.columns import Columns, Scale, no_scale, scale_of, standardise
from jmlp.data.order import random_split, stratified_split
from jmlp.errors import DataError

# float64: the values of a table before they are standardised; a network is given one of the others.
Pixels = NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.float64]
Labels = NDArray[np.int32]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MOST_CLASSES = 1000
MOST_IMAGES = 2**31 - 1  # counted by int32


def plane_of(image_shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Height and width if an example can be a grey picture; a flat one may be a square."""
    shape = image_shape[:2] if image_shape[2:] == (1,) else image_shape
    if len(shape) == 2:
        return shape[0], shape[1]
    n_in = math.prod(image_shape)
    side = math.isqrt(n_in)
    return (side, side) if len(shape) == 1 and side > 1 and side * side == n_in else None


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images and labels in memory, validated. The arrays are read-only.

    `uint8` pixels are scaled to 0-1 on use; floating-point pixels are used unchanged. The examples
    of a table have the raw values of its columns (float64, NaN where one is missing), which
    `standardised` scales by the training part of a split.
    """

    name: str
    x_train: Pixels  # (N, n_in)
    y_train: Labels  # (N,), 0 to n_classes - 1
    x_test: Pixels | None  # (N_test, n_in)
    y_test: Labels | None  # (N_test,)
    n_classes: int
    image_shape: tuple[int, ...]  # of one image before flattening, such as (28, 28)
    digests: Mapping[str, str]  # by array name: SHA-256 of its bytes, see `digest`
    source: str  # where it came from, as shown to users
    columns: Columns | None = None  # of a table; None for pictures and other arrays
    classes: tuple[str, ...] = ()  # their names, unless it is a table or they are 0, 1, 2 …
    stratify: bool = True  # of a table: whether the parts of a split have equal shares of classes
    # Of the examples in every cost, `(N,)`; None: all count alike. Their mean over the training
    # part is 1. Accuracies know no weights.
    weights: NDArray[np.float32] | None = None
    n_left_out: int = 0  # rows of a table that are not used, since they have missing values

    @property
    def n_in(self) -> int:
        """Number of inputs of a network for this data."""
        return math.prod(self.image_shape)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes; empty if they are 0, 1, 2 and so on."""
        return self.classes if self.columns is None else self.columns.classes

    def split(
        self, split_seed: int, validation_fraction: float
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The rows of the training and the validation part.

        Those of a table are stratified unless its `stratify` is false.

        Args:
            split_seed: 0 to 2**64 - 1; equal seeds give equal splits.
            validation_fraction: between 0 and 1.

        Raises:
            DataError: one of the parts would be empty.
        """
        divide = stratified_split if self.columns is not None and self.stratify else random_split
        return divide(self.y_train, split_seed, validation_fraction)

    def scale(self, training: NDArray[Any], *, raw: bool = False) -> Scale | None:
        """Mean and standard deviation of a table's training part; None for other data.

        Args:
            training: the rows of the training part.
            raw: whether the table is not to be scaled, on purpose.

        Raises:
            DataError: a column has no value in the training part; or a value is missing, but the
                table is not to be scaled.
        """
        if self.columns is None:
            return None
        if raw:
            if np.isnan(self.x_train).any() or (
                self.x_test is not None and np.isnan(self.x_test).any()
            ):
                raise DataError(
                    f"{self.source}: the training fault raw_inputs needs a table without missing "
                    'values: use missing = "drop"'
                )
            return no_scale(self.n_in)
        return scale_of(self.columns, self.x_train.astype(np.float64, copy=False), training)

    def standardised(self, training: NDArray[Any], *, raw: bool = False) -> "Dataset":
        """The data with the inputs of a network: a table scaled by its training part.

        Args:
            training: the rows of the training part.
            raw: whether a table is not to be scaled, on purpose.

        Raises:
            DataError: a column of the table has no value in the training part.
        """
        scale = self.scale(training, raw=raw)
        return self if scale is None else self.scaled(scale)

    def scaled(self, scale: Scale) -> "Dataset":
        """A table standardised by a known scale."""
        assert self.columns is not None
        x, x_test = (
            None
            if part is None
            else standardise(self.columns, scale, part.astype(np.float64, copy=False))
            for part in (self.x_train, self.x_test)
        )
        assert x is not None
        return replace(self, x_train=x, x_test=x_test)

    def __repr__(self) -> str:
        n_test = 0 if self.y_test is None else len(self.y_test)
        return (
            f"Dataset({self.name}: {len(self.y_train):,} examples and {n_test:,} to test, "
            f"{self.x_train.dtype} of {self.image_shape}, {self.n_classes} classes)"
        )


def as_array(value: object, where: str) -> NDArray[Any]:
    """Converts the examples or labels given by a caller to an array of numbers.

    Raises:
        DataError: It is not an array of numbers: ragged, masked, text, Python objects.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(
            f"{where}: {np.count_nonzero(np.ma.getmaskarray(value)):,} values are masked; fill "
            "them (x.filled(0)), or leave those examples out"
        )
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged, or its own conversion fails
        raise DataError(f"{where}: cannot be converted to an array of numbers: {error}") from error
    if array.dtype.kind in "OSUVmM" and not is_float(array.dtype):
        hint = ""
        if array.dtype.kind in "SU":
            hint = ": for text labels, use numpy.unique(labels, return_inverse=True)[1]"
        raise DataError(f"{where}: type {array.dtype}; must be numbers{hint}")
    if array.dtype.kind == "V":
        return array.astype(np.float32)
    # Wider floats cannot have a digest: their bytes differ between machines.
    return array.astype(np.float64) if array.dtype == np.longdouble else array


def is_float(dtype: Any) -> bool:
    """Whether numbers of this type can be used unscaled, as float32."""
    # bfloat16 and similar types, which JAX adds to NumPy, report kind "V". The type of JAX's
    # random keys is not a NumPy dtype.
    kind = getattr(dtype, "kind", "")
    return kind == "f" or (kind == "V" and "float" in dtype.name)


def check_pixel_type(dtype: np.dtype[Any], where: str) -> None:
    """Reject a type for which it is unclear whether to scale the numbers.

    Raises:
        DataError: The type is neither `uint8` nor floating-point.
    """
    if dtype != np.uint8 and not is_float(dtype):
        raise DataError(
            f"{where}: type {dtype}; allowed are uint8 (0 to 255) and float32: convert pixels to "
            "uint8, and numbers to be used unscaled to float32"
        )


def digest(array: NDArray[Any]) -> str:
    """SHA-256 of the numbers in their own type, little-endian, in C order, as hexadecimal."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.data).hexdigest()


def changed_arrays(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The names of the arrays whose digests differ, including those only one side has."""
    names = sorted(wanted.keys() | found.keys())
    return [name for name in names if wanted.get(name) != found.get(name)]


def make_dataset(
    name: str,
    arrays: Mapping[str, NDArray[Any]],
    source: str,
    digests: Mapping[str, str] | None = None,
    display_names: Mapping[str, str] | None = None,
    float_type: type[np.floating[Any]] = np.float32,
) -> Dataset:
    """Validate raw arrays and convert them to a `Dataset`.

    Args:
        name: Name of the data set.
        arrays: `x_train` (N, ...), `y_train` (N,), and both of `x_test`, `y_test` or neither.
        source: Where they came from; error messages begin with it.
        digests: Digests of the arrays, if already computed.
        display_names: The caller's names for arrays, used in error messages.
        float_type: The type in which examples that are not `uint8` are kept.

    Raises:
        DataError: For the first rule violated, with the array and the numbers.
    """
    for missing in ({"x_train", "y_train"} | _partner(arrays)) - set(arrays):
        raise DataError(
            f"{source}: {missing} is missing; there must be x_train and y_train, and both x_test "
            "and y_test or neither"
        )
    names = {key: key for key in ARRAYS} | dict(display_names or {})
    image_shape = arrays["x_train"].shape[1:]
    parts = [part for part in ("train", "test") if f"x_{part}" in arrays]
    flat: dict[str, Pixels] = {}
    labels: dict[str, Labels] = {}
    for part in parts:
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        name_x, name_y = names[f"x_{part}"], names[f"y_{part}"]
        where = f"{source}: {name_x}"
        if part == "test" and x.size == 0 and x.ndim >= 2:
            raise DataError(
                f"{where}: shape {x.shape}: no images; leave both arrays out for no test set"
            )
        check_examples(x, y, source, name_x, name_y)
        if x.shape[1:] != image_shape:
            raise DataError(
                f"{where}: images of shape {x.shape[1:]}, but those of {names['x_train']} are "
                f"{image_shape}"
            )
        flat[part] = _pixels(x, where, float_type)
        labels[part] = _labels(y, f"{source}: {name_y}")
    x_train, y_train = names["x_train"], names["y_train"]
    if flat["train"].min() == flat["train"].max():
        raise DataError(f"{source}: {x_train}: all pixels are {flat['train'].flat[0]:g}: no images")
    if flat["train"].dtype == np.uint8 and flat["train"].max() == 1:
        raise DataError(
            f"{source}: {x_train}: uint8 of 0 and 1 only; uint8 is scaled from 0-255 to 0-1, and "
            "almost nothing would be left: multiply it by 255, or pass it as float32"
        )
    n_classes = _count_classes(labels["train"], f"{source}: {y_train}")
    if "test" in labels:
        check_scale(flat["test"], flat["train"], f"{source}: {names['x_test']}", x_train)
        if labels["test"].max() >= n_classes:
            raise DataError(
                f"{source}: {names['y_test']}: label {labels['test'].max()}, but those of "
                f"{y_train} are 0 to {n_classes - 1}"
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


def check_examples(x: NDArray[Any], y: NDArray[Any], source: str, name_x: str, name_y: str) -> None:
    """Check that there are examples, and one label for each.

    Raises:
        DataError: With the shapes.
    """
    where = f"{source}: {name_x}"
    if x.ndim < 2:
        raise DataError(f"{where}: shape {x.shape}; must be one image per row, (N, ...)")
    if y.ndim != 1:
        raise DataError(
            f"{source}: {name_y}: shape {y.shape}; must be one label per image, (N,)"
            f"{_reshape_hint(y, x)}"
        )
    if len(x) != len(y):
        raise DataError(f"{source}: {len(x):,} images in {name_x}, {len(y):,} labels in {name_y}")
    if x.size == 0:
        raise DataError(f"{where}: shape {x.shape}: no images")
    if len(x) > MOST_IMAGES:
        raise DataError(f"{where}: {len(x):,} images, at most {MOST_IMAGES:,}")


def _reshape_hint(y: NDArray[Any], x: NDArray[Any]) -> str:
    """How to convert labels of another shape, if that is clear."""
    if y.shape == (len(x), 1):
        return ": use the only column, y[:, 0]"
    return ": for one-hot rows, use y.argmax(axis=1)" if y.ndim == 2 and len(y) == len(x) else ""


def check_scale(x: NDArray[Any], training: NDArray[Any], where: str, training_name: str) -> None:
    """Reject examples on another scale than the training examples.

    Raises:
        DataError: Only one of the two is `uint8`, or one is clearly 0-1 and the other 0-255.
    """
    if (x.dtype == np.uint8) != (training.dtype == np.uint8):
        raise DataError(
            f"{where}: {x.dtype} numbers, but those of {training_name} are {training.dtype}: uint8 "
            "is scaled to 0-1, floating-point numbers are used unscaled: convert both to one type"
        )
    white_levels = {white_level(float(part.min()), float(part.max())) for part in (x, training)}
    if white_levels == {1.0, 255.0}:
        raise DataError(
            f"{where}: numbers from {x.min():g} to {x.max():g}, but those of {training_name} are "
            f"from {training.min():g} to {training.max():g}: bring both to one scale"
        )


def white_level(low: float, high: float) -> float | None:
    """The value of white, 1 or 255, if numbers from `low` to `high` are clearly brightness from 0.

    None if it is unclear: they were centred or standardised, or are not brightness at all.
    """
    if low < 0:
        return None
    if 0.5 < high <= 1:
        return 1.0
    return 255.0 if 128 <= high <= 255 else None


def _pixels(x: NDArray[Any], where: str, float_type: type[np.floating[Any]]) -> Pixels:
    check_pixel_type(x.dtype, where)
    flat = x.reshape(len(x), -1)
    if x.dtype == np.uint8:
        return np.ascontiguousarray(flat, np.uint8)
    with np.errstate(over="ignore"):
        finite = np.isfinite(flat.astype(np.float32, copy=False)).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{where}: {np.count_nonzero(~finite):,} images hold numbers that are not finite in "
            f"float32, the first is image {finite.argmin()}"
        )
    return np.ascontiguousarray(flat, float_type)


def check_labels(y: object, where: str, n_classes: int) -> Labels:
    """The labels of examples for a network of so many classes, `(N,)`.

    Raises:
        DataError: they are not one integer from 0 to `n_classes` - 1 per example.
    """
    array = as_array(y, where)
    if array.ndim != 1:
        raise DataError(f"{where}: shape {array.shape}; must be one label per example, (N,)")
    if array.size == 0:
        raise DataError(f"{where}: no labels")
    labels = _labels(array, where)
    if labels.max() >= n_classes:
        raise DataError(
            f"{where}: label {labels.max()}, but those of the network are 0 to {n_classes - 1}"
        )
    return labels


def _labels(y: NDArray[Any], where: str) -> Labels:
    if y.dtype.kind not in "iu":
        raise DataError(
            f"{where}: type {y.dtype}; labels must be integers, 0 for the first class: convert "
            "them to integers"
        )
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
            "labels are 0 to K - 1, each with at least one image: renumber them"
        )
    return n_classes
