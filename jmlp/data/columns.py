"""The columns of a table, and how their values become the inputs of a network.

A number becomes one input, standardised with mean and standard deviation of the training part. A
category becomes one input per level: 1 for its own level, 0 for the others (one-hot).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.errors import DataError
from jmlp.study.rules import Missing

ROWS_AT_ONCE = 1000  # standardised together, so that what is between fits in a cache


@dataclass(frozen=True)
class Column:
    """A feature of a table."""

    name: str
    levels: tuple[str, ...] = ()  # of a category, in the order of its inputs; empty for a number

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of its inputs to a network."""
        return tuple(f"{self.name} = {level}" for level in self.levels) or (self.name,)


def unnamed(n: int) -> tuple[Column, ...]:
    """The columns of rows of `n` numbers that have no names: input 0, input 1 and so on."""
    return tuple(Column(f"input {k}") for k in range(n))


def row_texts(
    features: Sequence[Column], inputs: NDArray[np.floating[Any]]
) -> tuple[str | None, ...]:
    """The values of a row as they stood in the table: one per feature, None where it is missing.

    Args:
        features: the columns of the table.
        inputs: the raw inputs of the row `(n_in,)`: numbers, 0 or 1 for levels, NaN if missing.
    """
    texts: list[str | None] = []
    start = 0
    for column in features:
        part = inputs[start : start + len(column.inputs)]
        start += len(part)
        if np.isnan(part).any():
            texts.append(None)
        elif column.levels:
            texts.append(column.levels[int(part.argmax())])
        else:
            texts.append(number_text(float(part[0])))
    return tuple(texts)


def number_text(value: float) -> str:
    """The shortest text of a number: of the `float32` if it is one; whole numbers without a point.

    Numbers that were stored as `float32` have no further digits: 0.1, not 0.10000000149011612.
    """
    with np.errstate(over="ignore"):
        single = np.float32(value)
    text = str(single) if float(single) == value else repr(value)
    return text.removesuffix(".0")


@dataclass(frozen=True)
class Columns:
    """The features and classes of a table: what a network trained on it accepts and answers."""

    features: tuple[Column, ...]
    label: str  # the name of the label column
    classes: tuple[str, ...]  # empty: they are called 0, 1, 2 …
    missing: Missing

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the network's inputs, in order."""
        return tuple(name for column in self.features for name in column.inputs)

    @property
    def numbers(self) -> NDArray[np.bool_]:
        """Which inputs are numbers, and so are standardised: `(n_in,)`."""
        return np.array([not column.levels for column in self.features for _ in column.inputs])

    def sentence(self, n_classes: int) -> str:
        """What a table of so many classes consists of: `3 classes, 7 features: 5 numbers …`."""
        n_numbers = sum(not column.levels for column in self.features)
        n_categories = len(self.features) - n_numbers
        parts = []
        if n_numbers:
            what = _count(n_numbers, "number", "numbers")
            parts.append(f"{what} standardised by the training part")
        if n_categories:
            parts.append(f"{_count(n_categories, 'category', 'categories')} one-hot")
        features = _count(len(self.features), "feature", "features")
        return f"{n_classes} classes, {features}: {', '.join(parts)}"


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of each input over the training part of one split.

    A standard deviation of 0 belongs to a column that is constant in the training part: the network
    cannot learn from it, and its input is always 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


def scale_of(columns: Columns, raw: NDArray[np.float64], training: NDArray[Any]) -> Scale:
    """Measures the training part of a table.

    Sums are exact (`math.fsum`), so that equal tables have equal scales on every machine.

    Args:
        columns: the table's columns.
        raw: its values `(N, n_in)`; NaN where one is missing.
        training: the rows of the training part.

    Raises:
        DataError: a column has no value in the training part.
    """
    means, deviations = [], []
    for values, name, is_number in zip(raw.T, columns.inputs, columns.numbers, strict=True):
        part = values[training]
        present = part[~np.isnan(part)]
        if not len(present):
            raise DataError(
                f"column {name}: all values in the training part are missing, so there is no mean "
                "to put in their place: leave the column out, or use another split_seed"
            )
        mean = math.fsum(present.tolist()) / len(present)
        means.append(mean)
        if not is_number:
            deviations.append(1.0)
        elif present.min() == present.max():
            deviations.append(0.0)
        else:
            # Relative to the largest one, whose square might be 0 in float64.
            distances = np.abs(present - mean)
            largest = float(distances.max())
            squares = math.fsum(((distances / largest) ** 2).tolist())
            deviations.append(largest * math.sqrt(squares / len(present)))
    return Scale(tuple(means), tuple(deviations))


def no_scale(n_in: int) -> Scale:
    """The scale with which numbers stay as they are; there must be no missing values."""
    return Scale((0.0,) * n_in, (1.0,) * n_in)


def standardise(columns: Columns, scale: Scale, raw: NDArray[np.float64]) -> NDArray[np.float32]:
    """The inputs of a network, `(N, n_in)`: z = (x - mean) / std for numbers; levels stay 0 and 1.

    A missing value is replaced by the mean: 0 for a number, for a category the share of each level.

    Args:
        columns: the table's columns.
        scale: as returned by `scale_of`.
        raw: values `(N, n_in)`; NaN where one is missing.
    """
    mean, std = np.array(scale.mean), np.array(scale.std)
    numbers = columns.numbers
    inputs = np.empty(raw.shape, np.float32)
    for first in range(0, len(raw), ROWS_AT_ONCE):
        part = raw[first : first + ROWS_AT_ONCE]
        filled = np.where(np.isnan(part), mean, part)
        scaled = np.where(std > 0, (filled - mean) / np.where(std > 0, std, 1), 0)
        with np.errstate(over="ignore"):
            inputs[first : first + ROWS_AT_ONCE] = np.where(numbers, scaled, filled)
    return inputs


def check_columns(columns: Columns, scale: Scale | None) -> None:
    """Checks that such a table can exist; the types have already been checked by the reader.

    Raises:
        ValueError: with the first impossible value.
    """
    names = [*(column.name for column in columns.features), columns.label]
    if len(set(names)) < len(names):
        raise ValueError("two columns have the same name")
    for what, words in (
        ("classes", columns.classes),
        *((column.name, column.levels) for column in columns.features),
    ):
        if len(set(words)) < len(words):
            raise ValueError(f"{what}: a name occurs twice")
    if scale is not None:
        n_in = len(columns.inputs)
        if not len(scale.mean) == len(scale.std) == n_in:
            raise ValueError(f"its scale is not that of {n_in} inputs")
        if not all(map(math.isfinite, (*scale.mean, *scale.std))) or min(scale.std) < 0:
            raise ValueError("its scale is not one that a table can have")


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def named(names: Sequence[str], most: int = 12) -> str:
    """Names for an error message; of more than `most`, the first ones and the last one."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])}, … {names[-1]} ({len(names)} in all)"
    return ", ".join(names)
