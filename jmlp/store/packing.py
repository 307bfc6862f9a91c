"""Packs cost points and snapshots into named arrays, so that a file preserves every bit."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.nn.tensors import Tensors
from jmlp.study.rules import EvaluateEvery
from jmlp.training.records import CostPoint

_HAS_BATCH_COST = "has_batch_cost"  # false if it is None, which an array stores as NaN
# The type of each field's array; that of "epoch" depends on `Evaluations.every`.
_COLUMNS: Mapping[str, type[np.generic]] = {
    **{field.name: np.float64 for field in fields(CostPoint)},
    "step": np.int64,
    _HAS_BATCH_COST: np.bool_,
}


def pack_costs(place: str, costs: Sequence[CostPoint], every: EvaluateEvery) -> Tensors:
    """The fields of the points, each as one array of shape (points,)."""
    packed: Tensors = {}
    types = {**_COLUMNS, "epoch": epoch_type(every)}
    for field in fields(CostPoint):
        values = [getattr(point, field.name) for point in costs]
        if field.name == "batch_cost":
            has = np.array([value is not None for value in values], np.bool_)
            packed[f"{place}.{_HAS_BATCH_COST}"] = has
            values = [math.nan if value is None else value for value in values]
        packed[f"{place}.{field.name}"] = np.array(values, types[field.name])
    return packed


def epoch_type(every: EvaluateEvery) -> type[np.generic]:
    """The type of an array of epochs of a run that is evaluated so often."""
    return np.int32 if every == "epoch" else np.float64


def check_costs(
    place: str, tensors: Mapping[str, NDArray[Any]], most: int, every: EvaluateEvery
) -> None:
    """Checks names, types and lengths of the arrays of at most `most` points, but no values.

    Args:
        place: the prefix of the arrays' names.
        tensors: the arrays.
        most: the largest number of points.
        every: how often the run is evaluated.

    Raises:
        ValueError: an array is missing or unexpected, or has the wrong type or length.
    """
    n = len(_array(tensors, f"{place}.epoch"))
    if n > most:
        raise ValueError(f"{place} has {n:,} points, at most {most:,}")
    for name, kind in {**_COLUMNS, "epoch": epoch_type(every)}.items():
        column = _array(tensors, f"{place}.{name}")
        if column.shape != (n,) or column.dtype != kind:
            wanted = f"wanted {np.dtype(kind)} {(n,)}"
            raise ValueError(f"{place}.{name} is {column.dtype} {column.shape}, {wanted}")
    if odd := sorted(under(place, tensors).keys() - _COLUMNS.keys()):
        raise ValueError(f"{place}.{odd[0]} belongs to no cost point")


def unpack_costs(place: str, tensors: Mapping[str, NDArray[Any]]) -> tuple[CostPoint, ...]:
    """The points that `pack_costs` packed.

    Args:
        place: the prefix of the arrays' names.
        tensors: arrays that have passed `check_costs`.
    """
    columns = {name: tensors[f"{place}.{name}"].tolist() for name in _COLUMNS}
    has = columns.pop(_HAS_BATCH_COST)
    columns["batch_cost"] = [
        cost if is_set else None for cost, is_set in zip(columns["batch_cost"], has, strict=True)
    ]
    return tuple(
        CostPoint(**dict(zip(columns, point, strict=True)))
        for point in zip(*columns.values(), strict=True)
    )


def pack_snapshots(
    place: str,
    epochs: Sequence[float],
    networks: Sequence[Mapping[str, NDArray[Any]]],
    every: EvaluateEvery,
) -> Tensors:
    """The networks' arrays by name, stacked along a first axis of epochs; and the epochs."""
    names = networks[0] if networks else ()
    stacked = {f"{place}.{name}": np.stack([n[name] for n in networks]) for name in names}
    return {f"{place}.epoch": np.array(epochs, epoch_type(every)), **stacked}


def check_snapshots(
    place: str, tensors: Mapping[str, NDArray[Any]], most: int, every: EvaluateEvery
) -> Tensors:
    """Checks epochs and lengths of the arrays of at most `most` networks, but no values.

    Args:
        place: the prefix of the arrays' names.
        tensors: the arrays.
        most: the largest number of networks.
        every: how often the run is evaluated.

    Returns:
        The arrays of the first network by name; empty if there is no network.

    Raises:
        ValueError: the epochs are missing, or an array has the wrong length.
    """
    stacked = under(place, tensors)
    epochs = stacked.pop("epoch", None)
    kind = np.dtype(epoch_type(every))
    if epochs is None or epochs.ndim != 1 or epochs.dtype != kind:
        raise ValueError(f"{place}.epoch is missing, or is not one axis of {kind}")
    if len(epochs) > most:
        raise ValueError(f"{place} has {len(epochs):,} networks, at most {most:,}")
    for name, array in stacked.items():
        if array.shape[:1] != epochs.shape:
            raise ValueError(f"{place}.{name} is {array.shape}, wanted ({len(epochs)}, …)")
    return {name: array[0] for name, array in stacked.items()} if len(epochs) else {}


def unpack_snapshots(
    place: str, tensors: Mapping[str, NDArray[Any]]
) -> tuple[tuple[float, ...], Tensors]:
    """The epochs, and the arrays by name with the epochs as first axis.

    Args:
        place: the prefix of the arrays' names.
        tensors: arrays that have passed `check_snapshots`.
    """
    stacked = under(place, tensors)
    epochs = stacked.pop("epoch")
    return tuple(epochs.tolist()), stacked


def under(place: str, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
    """The arrays whose names begin with `place` and a dot, by the rest of their names."""
    start = f"{place}."
    return {n.removeprefix(start): array for n, array in tensors.items() if n.startswith(start)}


def _array(tensors: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in tensors or tensors[name].ndim == 0:
        raise ValueError(f"{name} is missing, or has no axis")
    return tensors[name]
