"""What readers of other programs' files find, and what they are told by the caller."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jmlp.data.dataset import is_float
from jmlp.errors import ConfigError
from jmlp.exchange.building import UnfitError
from jmlp.exchange.operations import Activation, BatchNorm, Dense, Operation
from jmlp.study.rules import ActivationName, BatchNormPlace

Axis = Literal["rows", "columns"]
MOST_SHOWN = 8  # names in a message


@dataclass(frozen=True)
class Told:
    """What the caller says of a network, as far as its file does not."""

    activation: ActivationName | tuple[ActivationName, ...] | None = None
    batch_norm_place: BatchNormPlace | None = None
    examples: Axis | None = None


@dataclass(frozen=True)
class Reading:
    """How one array was read."""

    name: str  # in the file
    shape: tuple[int, ...]
    dtype: str
    meaning: str  # such as "W of layer 1"


@dataclass(frozen=True, eq=False)
class Found:
    """The network in a file."""

    program: str  # such as "PyTorch"
    operations: tuple[Operation, ...]
    readings: tuple[Reading, ...]
    notes: tuple[str, ...]  # sentences about what was converted, left out or assumed
    scaled: bool = True  # whether batch norm has learnt a scale and a shift
    # Of an input layer that scales raw numbers: these are multiplied, and then added to.
    rescaling: tuple[float, float] | None = None


def reading(name: str, array: NDArray[Any], meaning: str) -> Reading:
    """The record of an array that was read."""
    return Reading(name, array.shape, str(array.dtype), meaning)


def natural(text: str) -> list[Any]:
    """A key that sorts names as people do: layer2 before layer10."""
    parts = re.split(r"([0-9]+)", text)  # every second one is a number
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]


def check_float(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array, if its numbers are of a floating-point type.

    Raises:
        UnfitError: they are not.
    """
    if not is_float(array.dtype):
        raise UnfitError(
            f"{name} is of type {array.dtype}: parameters must be floating-point numbers (a "
            "quantised network is none of jmlp's)"
        )
    # bfloat16, which NumPy does not have itself, is exact in float32.
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def listed(names: Sequence[str]) -> str:
    """Names in a message, not too many."""
    shown = ", ".join(name if name.isprintable() else repr(name) for name in names[:MOST_SHOWN])
    return f"{shown} and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else shown


def precision_notes(arrays: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """What is said of other types than float32."""
    wide = sorted({str(array.dtype) for array in arrays.values() if array.dtype.itemsize > 4})
    if wide:
        yield f"{', '.join(wide)} was rounded to float32"


def with_activations(
    layers: Sequence[Dense],
    norms: Sequence[BatchNorm],
    place: BatchNormPlace,
    activation: ActivationName | tuple[ActivationName, ...] | None,
) -> tuple[Operation, ...]:
    """The operations of a network whose file does not say its activation function.

    Args:
        layers: the linear layers in order.
        norms: a batch norm for each hidden layer, or none.
        place: of batch norm.
        activation: as said by the caller.

    Raises:
        ConfigError: it is not said, or not once for each hidden layer.
    """
    n_hidden = len(layers) - 1
    if activation is None and n_hidden:
        raise ConfigError(
            "activation: the file does not say the activation function of the hidden layers: give "
            "it, as in relu, or one per hidden layer"
        )
    names = (activation,) * n_hidden if isinstance(activation, str) else activation or ()
    if len(names) != n_hidden:
        raise ConfigError(
            f"activation: {len(names)} are given, but the network has {n_hidden} hidden "
            f"layer{'' if n_hidden == 1 else 's'}: give one for all, or one for each"
        )
    operations: list[Operation] = []
    for index, layer in enumerate(layers[:-1]):
        middle: list[Operation] = [Activation(names[index])]
        if norms:
            middle.insert(0 if place == "before" else 1, norms[index])
        operations += [layer, *middle]
    return (*operations, layers[-1])
