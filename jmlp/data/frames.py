"""Tables in memory: frames of pandas, polars and pyarrow, mappings of columns, and arrays.

Frames are read through narwhals, so that none of their libraries is imported here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.table_file import MISSING, RawColumn, RawTable, Values, as_words, short
from jmlp.errors import DataError

_NOT_READ = "leave it out, or convert it to numbers or text"


def is_frame(value: object) -> bool:
    """Whether a value is a frame of a library that narwhals knows."""
    if isinstance(value, np.ndarray | np.generic | Sequence | Mapping | int | float):
        return False  # without importing narwhals
    from narwhals import dependencies

    return bool(dependencies.is_into_dataframe(value))


def is_columns(value: object) -> bool:
    """Whether a value has named columns: a frame, or a mapping of names to values."""
    return isinstance(value, Mapping) or is_frame(value)


def read_columns(value: Any, source: str) -> RawTable:
    """Reads a frame, or a mapping from names to columns (or to the values of a single row).

    Args:
        value: a frame of pandas, polars or pyarrow, or a mapping.
        source: error messages begin with it.

    Raises:
        DataError: a column is of a type that cannot be read, or names are not unique.
    """
    if not isinstance(value, Mapping):
        return read_frame(value, source)
    columns = [(str(name), _as_column(cells)) for name, cells in value.items()]
    return _table(columns, source)


def read_frame(frame: Any, source: str) -> RawTable:
    """Reads a frame of pandas, polars or pyarrow.

    Raises:
        DataError: a column is of a type that cannot be read, or names are not unique.
    """
    import narwhals

    try:
        wrapped = narwhals.from_native(frame, eager_only=True)
        columns = [(str(name), wrapped.get_column(name)) for name in wrapped.columns]
    except (TypeError, ValueError, narwhals.exceptions.NarwhalsError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{source}: the frame cannot be read: {reason}") from error
    return _table([(name, _of_series(series)) for name, series in columns], source)


def read_array(array: NDArray[Any], source: str, names: Sequence[str] = ()) -> RawTable:
    """A table of the columns of an array `(N, n)`, called `column 1` and so on without names."""
    return _table(
        [
            (names[i] if names else f"column {i + 1}", array[:, i])
            for i in range(array.shape[1] if array.ndim == 2 else 0)
        ],
        source,
    )


def read_values(values: Any, name: str, source: str) -> RawColumn:
    """Reads one column: labels, given as an array, a sequence or a series.

    Raises:
        DataError: it is not one-dimensional, or of a type that cannot be read.
    """
    return _read(name, _as_column(values), source)


def _as_column(cells: Any) -> Any:
    """A column of a mapping as a one-dimensional array; a single value is one row."""
    if not isinstance(cells, np.ndarray) and hasattr(cells, "__array__"):
        cells = _unwrapped(cells)
    if isinstance(cells, np.ndarray):
        return cells.reshape(1) if cells.ndim == 0 else cells
    if not isinstance(cells, Sequence) or isinstance(cells, str):
        cells = [cells]
    array = np.empty(len(cells), object)
    for index, cell in enumerate(cells):
        array[index] = cell
    return array


def _unwrapped(cells: Any) -> Any:
    import narwhals

    try:
        return _of_series(narwhals.from_native(cells, series_only=True))
    except TypeError:
        return np.asarray(cells)


def _of_series(series: Any) -> NDArray[Any]:
    """The values of a narwhals series: float64, or objects with None where one is missing."""
    values = series.to_list()
    if series.dtype.is_numeric():
        return np.array([np.nan if v is None else float(v) for v in values], np.float64)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _table(columns: Sequence[tuple[str, Any]], source: str) -> RawTable:
    names = [name for name, _ in columns]
    if not columns:
        raise DataError(f"{source}: has no columns")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{source}: two columns are called {name}: rename one of them")
    read = [_read(name, cells, source) for name, cells in columns]
    lengths = {len(column.values) for column in read}
    if len(lengths) > 1:
        raise DataError(f"{source}: the columns have {sorted(lengths)} values, not equally many")
    if lengths == {0}:
        raise DataError(f"{source}: has no rows")
    return RawTable(source, tuple(read))


def _read(name: str, cells: NDArray[Any], source: str) -> RawColumn:
    where = f"{source}: column {name}"
    array = np.asarray(cells)
    if array.ndim != 1:
        raise DataError(f"{where}: shape {array.shape}; a column has one value per row, (N,)")
    if array.dtype.kind in "iuf":
        if array.dtype.kind == "f" and np.ma.is_masked(cells):
            return RawColumn(name, np.ma.filled(cells.astype(np.float64), np.nan))
        return RawColumn(name, array.astype(np.float64))
    if array.dtype.kind == "b":
        return RawColumn(name, _words([bool(value) for value in array], where))
    if array.dtype.kind in "SUO":
        return RawColumn(name, _of_objects(array.tolist(), where))
    raise DataError(f"{where}: is of type {array.dtype}, which is not read: {_NOT_READ}")


def _of_objects(cells: list[Any], where: str) -> Values:
    """A column of Python objects: numbers, or words; None and NaN are missing."""
    values = [None if _is_missing(cell) else cell for cell in cells]
    kinds = {type(value) for value in values if value is not None}
    if all(issubclass(kind, int | float | np.number) and kind is not bool for kind in kinds):
        return np.array([np.nan if v is None else float(v) for v in values], np.float64)
    return _words(values, where)


def _is_missing(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # of pandas
        return True
    if isinstance(cell, str):
        return cell.strip() in MISSING
    return isinstance(cell, float | np.floating) and math.isnan(cell)


def _words(values: Sequence[Any], where: str) -> Values:
    words: list[str | None] = []
    for row, value in enumerate(values, start=1):
        if value is None:
            words.append(None)
        elif isinstance(value, bool | np.bool_):
            words.append(str(bool(value)))
        elif isinstance(value, bytes):
            words.append(value.decode("utf-8", "replace").strip())
        elif isinstance(value, str):
            words.append(value.strip())
        elif isinstance(value, int | float | np.number):
            words.append(f"{value:g}" if float(value) != round(float(value)) else f"{value:.0f}")
        else:
            raise DataError(
                f"{where}: row {row} is {short(value)}, of type {type(value).__name__}, which is "
                f"not read: {_NOT_READ}"
            )
    return as_words(words, where)
