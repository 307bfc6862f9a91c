"""A user's arrays: pictures, or the rows of a table.

Floating-point numbers of shape `(N, n)` are a table of n columns, whatever their range: they are
standardised by the training part and split by class, as those of a file are. All else is pictures:
`uint8` of any shape, and numbers of shape `(N, h, w)` or with more axes, which are used unscaled.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.columns import Column, Columns
from jmlp.data.dataset import Dataset, is_float, make_dataset
from jmlp.data.table import LABEL, digest_of
from jmlp.errors import DataError


def is_rows(x: NDArray[Any]) -> bool:
    """Whether examples are the rows of a table, and no pictures."""
    return x.ndim == 2 and is_float(x.dtype)


def own_dataset(
    name: str,
    arrays: Mapping[str, NDArray[Any]],
    source: str,
    *,
    classes: tuple[str, ...] = (),
    display_names: Mapping[str, str] | None = None,
    stratify: bool = True,
) -> Dataset:
    """Validates the arrays of a user, and makes a data set of them.

    Unlike a column of a file, one of an array may be constant: its input is always 0.

    Args:
        name: name of the data set.
        arrays: `x_train` (N, ...), `y_train` (N,), and both of `x_test`, `y_test` or neither.
        source: where they came from; error messages begin with it.
        classes: the names of the classes; empty if they are 0, 1, 2 …
        display_names: the caller's names for arrays, used in error messages.
        stratify: of a table, see `TableOptions`.

    Raises:
        DataError: for the first rule violated, with the array and the numbers.
    """
    of_table = "x_train" in arrays and is_rows(arrays["x_train"])
    dataset = make_dataset(
        name,
        arrays,
        source,
        display_names=display_names,
        # The small differences of large numbers may be their information.
        float_type=np.float64 if of_table else np.float32,
    )
    if not of_table:
        if not stratify:
            raise DataError(
                f"{source}: stratify: is only for tables; pictures are divided whatever their "
                "classes are: leave it out"
            )
        return replace(dataset, classes=classes)
    names = (f"column {number}" for number in range(1, dataset.n_in + 1))
    columns = Columns(tuple(map(Column, names)), LABEL, classes, "error")
    digests = {**dataset.digests, "columns": digest_of(columns, stratify=stratify)}
    return replace(dataset, digests=digests, columns=columns, stratify=stratify)
