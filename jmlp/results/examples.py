"""Examples given by a caller, as the rows that `model` takes: checked, in any shape that fits."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from numpy.typing import NDArray

from jmlp.data.dataset import as_array, check_pixel_type
from jmlp.errors import DataError


def as_rows(x: Any, n_in: int, dtype: Any, where: str) -> tuple[Array | NDArray[Any], bool]:
    """Examples as rows `(N, n_in)`, and whether `x` was a single one without an example axis.

    Args:
        x: `(N, ...)` with `n_in` numbers after the first axis, or one example of `n_in` numbers;
            `uint8` or floating-point.
        n_in: number of inputs of the network.
        dtype: dtype of its parameters, in which the numbers must be finite.
        where: error messages begin with it.

    Raises:
        DataError: `x` is not an array of numbers, has another shape or type, or is not finite.
            Values traced by JAX are not checked.
    """
    if isinstance(x, Array):
        array: Array | NDArray[Any] = x
    elif any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x)):  # a list of traced values
        array = jnp.asarray(x)
    else:
        array = as_array(x, where)
    check_pixel_type(array.dtype, where)
    shape = array.shape
    if len(shape) > 1 and math.prod(shape[1:]) == n_in:
        is_one = False
    elif math.prod(shape) == n_in and shape:
        is_one = True
    else:
        raise DataError(
            f"{where}: shape {shape}; the network expects {n_in} numbers per example: (N, {n_in}), "
            f"or (N, ...) with {n_in} numbers after the first axis, or one example of {n_in}"
        )
    rows = array.reshape((1 if is_one else shape[0], n_in))
    if not isinstance(rows, Tracer) and rows.dtype != np.uint8:
        check_finite(np.asarray(rows), dtype, where)
    return rows, is_one


def check_finite(rows: NDArray[Any], dtype: Any, where: str) -> None:
    """Checks that all numbers of some rows are finite in a dtype.

    Raises:
        DataError: with the first example that has one that is not.
    """
    with np.errstate(over="ignore"):
        finite = np.isfinite(rows.astype(dtype, copy=False)).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{where}: {np.count_nonzero(~finite):,} of {len(rows):,} examples hold numbers that "
            f"are not finite in {np.dtype(dtype).name}, the first is example {finite.argmin()}"
        )
