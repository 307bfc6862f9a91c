"""Encodes tables: the values of columns become numbers, labels become classes.

Categories are one-hot, with the levels of the whole training file in sorted order. Numbers stay as
they are: they are standardised by the training part, which depends on the split (`columns`).
"""

import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.columns import Column, Columns, named
from jmlp.data.dataset import ARRAYS, MOST_CLASSES, Dataset, Labels, digest
from jmlp.data.files import shown
from jmlp.data.frames import read_values
from jmlp.data.order import random_split, stratified_split
from jmlp.data.table_file import RawColumn, RawTable, read_table, short
from jmlp.errors import DataError
from jmlp.study.rules import Missing

LARGEST = float(np.finfo(np.float32).max)  # of a number in a table
MOST_LEVELS = 1000  # of a category
# The share of rows with a value of their own from which a category identifies rows, and a label is
# no class.
TOO_MANY_DIFFERENT = 0.5
FEWEST_COUNTED = 10  # rows, for numbers that count them not to be a coincidence
FEW_ROWS = 20  # of so few, more may differ
MOST_INPUTS = 100_000
LABEL = "label"  # the name of a label column, if labels are given by themselves
HOLD_OUT_SEED = 2**63  # of the split into test set and the rest, which is the same for all runs
ENCODING = 1  # part of the digest; raised when equal tables are encoded otherwise than before
_TIME = r"([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?Z|[+-]\d{2}:?\d{2})?)?"
_DATE = re.compile(
    rf"(\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\d{{1,2}}[-/.](\d{{4}}|\d{{2}})){_TIME}"
    r"|\d{1,2}:\d{2}(:\d{2})?"
)


@dataclass(frozen=True)
class TableOptions:
    """How to read a table: everything that a study says about it besides its path."""

    label: str = ""  # the name of the label column
    missing: Missing | None = None  # None: that of the data; an error, if they have none
    leave_out: tuple[str, ...] = ()  # names of columns that are not features
    header: bool | None = None  # whether the first line has names; None: find out
    test: str | float = ""  # path of a table with the test examples, or the fraction to hold out
    stratify: bool = True  # whether all parts have the same shares of the classes


def load_table(path: Path, options: TableOptions) -> Dataset:
    """Reads and encodes a table, and the table with its test examples if there is one.

    Raises:
        DataError: it cannot be read, or not be trained on.
    """
    training = read_table(path, options.header)
    test = None
    if isinstance(options.test, str) and options.test:
        test = read_table(Path(os.path.expanduser(options.test)), options.header)
    return encode(training, options, shown(path.name), test)


def stored_options(table: Mapping[str, Any]) -> TableOptions:
    """The options that `dataclasses.asdict` made JSON of.

    An earlier version, which did not know `stratify`, wrote "error" where nothing was said.
    """
    said = {**table, "leave_out": tuple(table.get("leave_out", ()))}
    if "stratify" not in table and said.get("missing") == "error":
        said["missing"] = None
    return TableOptions(**said)


def encode(
    table: RawTable, options: TableOptions, name: str, test: RawTable | None = None
) -> Dataset:
    """Makes a data set of a table, with the raw values of its columns.

    Args:
        table: the training and validation examples.
        options: its label, and what to do about missing values.
        name: of the data set.
        test: the test examples, with the same columns.

    Raises:
        DataError: with the place and a remedy.
    """
    columns, x, y = _encode_training(table, options)
    x_test, y_test = (None, None) if test is None else encode_examples(columns, test)
    n_training, n_test = len(y), 0 if y_test is None else len(y_test)
    if isinstance(options.test, float):
        divide = stratified_split if options.stratify else random_split
        rest, held_out = divide(y, HOLD_OUT_SEED, options.test, "test")
        rest, held_out = np.sort(rest), np.sort(held_out)
        x, x_test, y, y_test = x[rest], x[held_out], y[rest], y[held_out]
    arrays = dict(zip(ARRAYS, (x, y, x_test, y_test), strict=True))
    digests = {key: digest(array) for key, array in arrays.items() if array is not None}
    for array in (x, y, x_test, y_test):
        if array is not None:
            array.flags.writeable = False
    return Dataset(
        name=name,
        x_train=x,
        y_train=y,
        x_test=x_test,
        y_test=y_test,
        n_classes=len(columns.classes),
        image_shape=(x.shape[1],),
        digests={**digests, "columns": digest_of(columns, stratify=options.stratify)},
        source=table.source,
        columns=columns,
        stratify=options.stratify,
        n_left_out=table.n_rows - n_training + (0 if test is None else test.n_rows - n_test),
    )


def digest_of(columns: Columns, *, stratify: bool) -> str:
    """SHA-256 of what a network trained on a table accepts and answers, and of how it is split.

    Names are part of it, because a network takes the values of a row by their names.
    """
    split = "stratified" if stratify else "random"
    record = {"encoding": ENCODING, "split": split, **asdict(columns)}
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


# ---- training examples


def _encode_training(
    table: RawTable, options: TableOptions
) -> tuple[Columns, NDArray[np.float64], Labels]:
    features, label = _choose(table, options)
    missing = options.missing or "error"
    kept = _complete_rows(table.source, features, label, missing)
    features = [RawColumn(column.name, column.values[kept]) for column in features]
    label = RawColumn(label.name, label.values[kept])
    rows = np.flatnonzero(kept) + 1
    columns = []
    for feature in features:
        where = f"{table.source}: column {feature.name}"
        if feature.is_text:
            columns.append(Column(feature.name, _levels(feature, where)))
        else:
            _check_numbers(feature, where, rows)
            columns.append(Column(feature.name))
    keys, classes = _classes(label, table.source, rows)
    made = Columns(tuple(columns), label.name, classes, missing)
    n_in = len(made.inputs)
    if n_in > MOST_INPUTS:
        raise DataError(
            f"{table.source}: {n_in:,} inputs, one for each level of its categories; at most "
            f"{MOST_INPUTS:,}: leave categories with many levels out"
        )
    x = _matrix(made, features, table.source, rows)
    return made, x, keys


def _choose(table: RawTable, options: TableOptions) -> tuple[list[RawColumn], RawColumn]:
    """The feature columns and the label column."""
    there = f"its columns are {named(table.names)}"
    if not options.label:
        raise DataError(
            f"{table.source}: which column is the label, the one to predict? Name it, as label = "
            f'"NAME" in a study or --label NAME: {there}'
        )
    by_name = {column.name: column for column in table.columns}
    for what, names in (("label", (options.label,)), ("leave_out", options.leave_out)):
        for name in names:
            if name not in by_name:
                raise DataError(f"{table.source}: {what}: there is no column {name!r}; {there}")
    if options.label in options.leave_out:
        raise DataError(f"{table.source}: leave_out: {options.label!r} is the label")
    features = [
        column
        for column in table.columns
        if column.name != options.label and column.name not in options.leave_out
    ]
    if not features:
        raise DataError(f"{table.source}: has no column besides the label: no features")
    for feature in features:
        _check_no_counter(feature, table.source)
    return features, by_name[options.label]


def _check_no_counter(column: RawColumn, source: str) -> None:
    """Refuses a column that counts the rows: in a sorted table it would give the label away."""
    values = column.values
    if column.is_text or len(values) < FEWEST_COUNTED:
        return
    if values[0] in (0, 1) and (np.diff(values) == 1).all():
        raise DataError(
            f"{source}: column {column.name} only counts the rows: {_leave_out(column)}"
        )


def _complete_rows(
    source: str, features: Sequence[RawColumn], label: RawColumn, missing: Missing
) -> NDArray[np.bool_]:
    """Which rows are used."""
    complete = np.ones(len(label.values), np.bool_)
    for column in (*features, label):
        absent = column.missing
        if not absent.any():
            continue
        if absent.all():
            raise DataError(f"{source}: column {column.name}: has no values: {_leave_out(column)}")
        if missing == "drop":
            complete &= ~absent
    if missing == "error":
        _check_present(source, features, FILL_IN)
    if missing != "drop":
        _check_present(source, [label], DROP, "label")
    if not complete.any():
        raise DataError(f"{source}: every row has a missing value: nothing is left to train on")
    return complete


FILL_IN = (
    'fill in what is missing, or choose missing = "mean" (the mean of the training part in its '
    'place) or "drop" (such rows are left out)'
)
DROP = 'missing = "drop" leaves such rows out'


def _check_present(
    source: str, columns: Sequence[RawColumn], remedy: str, what: str = "value"
) -> None:
    """Refuses missing values, with the first row that lacks one, and their number."""
    lacking = {column.name: column.missing for column in columns if column.missing.any()}
    if not lacking:
        return
    rows = np.any(list(lacking.values()), axis=0)
    row, n = int(rows.argmax()), np.count_nonzero(rows)
    name = next(name for name, absent in lacking.items() if absent[row])
    others = f", and {n:,} of {rows.size:,} rows lack one ({named([*lacking])})" if n > 1 else ""
    raise DataError(
        f"{source}: row {row + 1}, column {name}: the {what} is missing{others}: {remedy}"
    )


def _leave_out(column: RawColumn) -> str:
    return f"leave it out (leave_out = [{column.name!r}], or --leave-out {column.name})"


def _numbers(
    column: RawColumn, where: str, rows: NDArray[np.intp], remedy: str = ""
) -> NDArray[np.float64]:
    """The numbers of a column, all of which float32 can hold; NaN where one is missing."""
    values = column.values.astype(np.float64, copy=False)
    with np.errstate(invalid="ignore"):
        large = np.abs(values) > LARGEST
    if large.any():
        at = large.argmax()
        text = f"{where}: row {rows[at]} is {values[at]:g}, and numbers must be"
        if math.isinf(values[at]):
            raise DataError(f"{text} finite: correct it, or leave the cell empty (see missing)")
        raise DataError(f"{text} below {LARGEST:.2g}{remedy}")
    return values


def _check_numbers(column: RawColumn, where: str, rows: NDArray[np.intp]) -> None:
    remedy = ": correct it, or use other units (such as the logarithm)"
    values = _numbers(column, where, rows, remedy)
    present = values[~np.isnan(values)]
    if present.min() == present.max():
        raise DataError(
            f"{where}: is {present[0]:g} in every row, so nothing can be learned from it: "
            f"{_leave_out(column)}"
        )


def _levels(column: RawColumn, where: str) -> tuple[str, ...]:
    counts = Counter(value for value in column.values.tolist() if value is not None)
    leave_out = _leave_out(column)
    if sum(_DATE.fullmatch(word) is not None for word in counts) > len(counts) / 2:
        example = next(word for word in counts if _DATE.fullmatch(word))
        raise DataError(
            f"{where}: holds dates or times, as in {short(example)}: convert them to numbers "
            f"(days since a date, month, hour), or {leave_out}"
        )
    if len(counts) == 1:
        raise DataError(
            f"{where}: is {short(next(iter(counts)))} in every row, so nothing can be learned from "
            f"it: {leave_out}"
        )
    n = counts.total()
    if len(counts) > MOST_LEVELS or (n > FEW_ROWS and len(counts) > TOO_MANY_DIFFERENT * n):
        example = next(iter(counts))
        raise DataError(
            f"{where}: {len(counts):,} different words in {n:,} rows, as in {short(example)}: they "
            f"are no categories: {leave_out}, or make numbers of them (without units)"
        )
    return tuple(sorted(counts))


def _classes(
    column: RawColumn, source: str, rows: NDArray[np.intp]
) -> tuple[Labels, tuple[str, ...]]:
    """The class of each row, and the names of the classes: sorted, numbers by value."""
    where = f"{source}: label {column.name}"
    values = column.values
    if not column.is_text:
        numbers = values.astype(np.float64, copy=False)
        if (odd := numbers != np.rint(numbers)).any():
            at = odd.argmax()
            raise DataError(
                f"{where}: row {rows[at]} is {numbers[at]:g}: labels that are not whole numbers "
                "look like regression, and jmlp predicts classes: make classes of them (low, "
                "middle, high)"
            )
        if (np.abs(numbers) >= 2**53).any():
            raise DataError(f"{where}: holds numbers beyond 2^53: use words, or 1, 2, 3 …")
        kinds, keys = np.unique(numbers, return_inverse=True)
        classes = tuple(f"{int(number)}" for number in kinds)
    else:
        words = sorted(set(values.tolist()))
        at_word = {word: index for index, word in enumerate(words)}
        keys = np.fromiter((at_word[value] for value in values), np.intp, len(values))
        classes = tuple(words)
    n, n_classes = len(values), len(classes)
    if n_classes == 1:
        raise DataError(f"{where}: every label is {classes[0]}: at least 2 classes are needed")
    if n_classes > MOST_CLASSES or (n_classes > TOO_MANY_DIFFERENT * n and n > 3):
        looks = "regression, and jmlp predicts classes" if not column.is_text else "names of rows"
        raise DataError(
            f"{where}: {n_classes:,} different labels in {n:,} rows: they look like {looks}: "
            "choose another label, or make fewer classes of them"
        )
    return keys.astype(np.int32), classes


def as_classes(labels: NDArray[Any], where: str) -> tuple[Labels, tuple[str, ...]]:
    """The classes of the labels of an array, and their names; no names for 0 to K - 1.

    Args:
        labels: `(N,)`: numbers, or objects.
        where: error messages begin with it.

    Raises:
        DataError: the labels are no classes.
    """
    if labels.dtype.kind in "iu" and len(labels):
        kinds = np.unique(labels)
        if np.array_equal(kinds, np.arange(len(kinds))):
            return labels, ()
    column = read_values(labels, "y", where)
    if (absent := column.missing).any():
        raise DataError(f"{where}: row {absent.argmax() + 1}: the label is missing")
    return _classes(column, where, np.arange(len(labels)) + 1)


# ---- further examples


def indices_of(labels: object, classes: Sequence[str], where: str) -> Labels:
    """The indices of the classes that some labels of any kind name, `(N,)`.

    Raises:
        DataError: a label names no class.
    """
    values = read_values(labels, "y", where).values
    at_name = {name: index for index, name in enumerate(classes)}
    names = list(map(class_name, values))
    unknown = next((row for row, name in enumerate(names) if name not in at_name), None)
    if unknown is not None:
        raise DataError(
            f"{where}: row {unknown + 1}: {short(names[unknown])} is no class of the training data "
            f"({named(classes)})"
        )
    return np.array([at_name[name] for name in names], np.int32)


def encode_examples(columns: Columns, table: RawTable) -> tuple[NDArray[np.float64], Labels]:
    """Encodes the examples of another table with their labels: a test set.

    Rows with missing values are left out if such rows were left out in training.

    Raises:
        DataError: a column, level or class is not one of the training table.
    """
    x, kept = _encode_rows(columns, table, with_label=True)
    label = next((c for c in table.columns if c.name == columns.label), None)
    assert label is not None
    at_name = {name: index for index, name in enumerate(columns.classes)}
    keys = []
    for row in np.flatnonzero(kept):
        name = class_name(label.values[row])
        if name not in at_name:
            raise DataError(
                f"{table.source}: row {row + 1}, label {columns.label}: {short(name)} is no class "
                f"of the training table ({named(columns.classes)})"
            )
        keys.append(at_name[name])
    return x, np.array(keys, np.int32)


def encode_rows(columns: Columns, table: RawTable) -> NDArray[np.float64]:
    """Encodes rows without their labels, for prediction: `(N, n_in)`.

    Raises:
        DataError: a column is missing, a value is missing or no number, or a level is unknown.
    """
    x, kept = _encode_rows(columns, table, with_label=False)
    if not kept.all():
        row = int((~kept).argmax())
        raise DataError(
            f"{table.source}: row {row + 1} has a missing value, and the network was trained "
            "without such rows: fill it in, or leave the row out"
        )
    return x


def class_name(value: object) -> str:
    """The name of the class of a label."""
    if isinstance(value, float | np.floating):
        return f"{int(value)}" if math.isfinite(value) and value == round(value) else f"{value:g}"
    return str(value)


def _encode_rows(
    columns: Columns, table: RawTable, *, with_label: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The encoded rows that are used, and which of all rows they are."""
    by_name = {column.name: column for column in table.columns}
    wanted = [column.name for column in columns.features] + [columns.label] * with_label
    if absent := [name for name in wanted if name not in by_name]:
        raise DataError(
            f"{table.source}: has no column {named(absent)}; its columns are {named(table.names)}"
        )
    features = [by_name[column.name] for column in columns.features]
    labels = [by_name[columns.label]] if with_label else []
    complete = np.ones(table.n_rows, np.bool_)
    if columns.missing == "drop":
        for column in (*features, *labels):
            complete &= ~column.missing
    elif columns.missing == "error":
        remedy = "the network was trained without missing values: fill it in"
        _check_present(table.source, features, FILL_IN if with_label else remedy)
    if labels and columns.missing != "drop":
        _check_present(table.source, labels, DROP, "label")
    features = [RawColumn(column.name, column.values[complete]) for column in features]
    x = _matrix(columns, features, table.source, np.flatnonzero(complete) + 1)
    if with_label and not len(x):
        raise DataError(f"{table.source}: every row has a missing value: no examples are left")
    return x, complete


def _matrix(
    columns: Columns, features: Sequence[RawColumn], source: str, rows: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The raw inputs `(N, n_in)`: numbers, and 0 or 1 for levels; NaN where a value is missing."""
    x = np.zeros((len(rows), len(columns.inputs)), np.float64)
    start = 0
    for column, feature in zip(columns.features, features, strict=True):
        where = f"{source}: column {column.name}"
        if column.levels:
            _one_hot(column, feature, where, rows, x[:, start : start + len(column.levels)])
        else:
            x[:, start] = _as_numbers(feature, where, rows)
        start += len(column.inputs)
    return x


def _as_numbers(feature: RawColumn, where: str, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    if feature.is_text:
        bad = next((i for i, value in enumerate(feature.values) if value is not None), None)
        if bad is None:
            return np.full(len(rows), np.nan)
        raise DataError(
            f"{where}: row {rows[bad]} is {short(feature.values[bad])}, and the network was "
            "trained on numbers there"
        )
    return _numbers(feature, where, rows)


def _one_hot(
    column: Column,
    feature: RawColumn,
    where: str,
    rows: NDArray[np.intp],
    out: NDArray[np.float64],
) -> None:
    at_level: Mapping[str, int] = {level: index for index, level in enumerate(column.levels)}
    values = feature.values.tolist()
    for index, value in enumerate(values):
        if value is None or value != value:  # NaN
            out[index] = np.nan
            continue
        level = class_name(value)
        if level not in at_level:
            raise DataError(
                f"{where}: row {rows[index]} is {short(level)}, which the training table does not "
                f"have; its levels are {named(column.levels)}"
            )
        out[index, at_level[level]] = 1
