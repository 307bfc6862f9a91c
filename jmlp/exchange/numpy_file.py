"""The network in a NumPy file, `.npz`: weights and biases of any usual names; no pickles.

    W1, b1, W2, b2                 weights_0, biases_0             layer1.weight, layer1.bias
    arr_0, arr_1, arr_2, arr_3     in the order W, b, W, b, or weights alone

The axes of weights are (inputs, outputs) where examples are rows, and (outputs, inputs) where they
are columns. The sizes of the data and of the layers decide it, unless all weights are square.
"""

import io
import re
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from jmlp.data.contract import Contract
from jmlp.data.npz import read_npz_stream
from jmlp.errors import CheckpointError, ConfigError, DataError
from jmlp.exchange.building import UnfitError
from jmlp.exchange.found import (
    Axis,
    Found,
    Reading,
    Told,
    check_float,
    listed,
    natural,
    precision_notes,
    reading,
    with_activations,
)
from jmlp.exchange.operations import Dense

Arrays = dict[str, NDArray[Any]]
Named = list[tuple[str, NDArray[Any]]]

WEIGHTS = {"w", "weight", "weights", "kernel", "coef", "coefs", "theta"}
BIASES = {"b", "bias", "biases", "intercept", "intercepts"}
UNNAMED = re.compile(r"arr_[0-9]+")


def read(content: bytes, source: str) -> Arrays:
    """The arrays of an `.npz` file.

    Raises:
        CheckpointError: it is none, or it has arrays of Python objects.
    """
    try:
        return read_npz_stream(io.BytesIO(content), len(content), source)
    except DataError as error:
        raise CheckpointError(str(error)) from error


def network_in(arrays: Arrays, contract: Contract, told: Told) -> Found:
    """The network that these arrays are.

    Raises:
        ConfigError: something that the file does not say is not said.
        UnfitError: they are no weights and biases, or do not fit each other.
    """
    arrays = {name: check_float(name, array) for name, array in arrays.items()}
    weights, biases = _pairs(arrays)
    axis, why = _axis([array for _, array in weights], contract, told.examples)
    notes = [f"examples are {axis} in it, {why}"] if why else []
    layers: list[Dense] = []
    readings: list[Reading] = []
    for index, (name, W) in enumerate(weights):
        turned = ", transposed" if axis == "rows" else ""
        readings.append(reading(name, W, f"W of layer {index + 1}{turned}"))
        b = None
        if (found := biases[index]) is not None:
            bias, array = found
            readings.append(reading(bias, array, f"b of layer {index + 1}"))
            if array.ndim > 2 or array.size != max(array.shape, default=1):
                raise UnfitError(f"{bias} has shape {array.shape}: a bias has one number per unit")
            b = array.reshape(-1)
        else:
            notes.append(f"layer {index + 1} has no bias: it is 0")
        layers.append(Dense(W.T if axis == "rows" else W, b))
    notes += precision_notes(arrays)
    operations = with_activations(layers, (), "before", told.activation)
    return Found("NumPy", operations, tuple(readings), tuple(notes))


def _pairs(arrays: Arrays) -> tuple[Named, list[tuple[str, NDArray[Any]] | None]]:
    """The weights in order, and the bias of each.

    Raises:
        UnfitError: an array is neither, or a bias has no weights.
    """
    if arrays and all(UNNAMED.fullmatch(name) for name in arrays):
        return _unnamed(arrays)
    weights: dict[str, tuple[str, NDArray[Any]]] = {}
    biases: dict[str, tuple[str, NDArray[Any]]] = {}
    others = []
    for name, array in arrays.items():
        words = [w for w in re.finditer("[A-Za-z]+", name) if w[0].lower() in WEIGHTS | BIASES]
        if len(words) != 1:
            others.append(name)
            continue
        (word,) = words
        kind = weights if word[0].lower() in WEIGHTS else biases
        rest = name[: word.start()] + name[word.end() :]
        if rest in kind:
            raise UnfitError(f"{kind[rest][0]} and {name} are both of the same layer")
        kind[rest] = name, array
    if others:
        raise UnfitError(
            f"{listed(others)}: neither weights nor biases by its name: jmlp reads W1, b1, W2, b2 "
            "…, weights_0, biases_0 …, and arr_0, arr_1 …"
        )
    if not weights:
        raise UnfitError("holds no weights: jmlp reads W1, b1, W2, b2 … and arr_0, arr_1 …")
    if alone := [biases[rest][0] for rest in biases if rest not in weights]:
        raise UnfitError(f"{listed(alone)}: there are no weights of that layer")
    order = sorted(weights, key=natural)
    return [weights[rest] for rest in order], [biases.get(rest) for rest in order]


def _unnamed(arrays: Arrays) -> tuple[Named, list[tuple[str, NDArray[Any]] | None]]:
    """Likewise for arrays that have only numbers: W, b, W, b …, or weights alone."""
    named = [(name, arrays[name]) for name in sorted(arrays, key=natural)]
    if all(array.ndim == 2 and min(array.shape) > 1 for _, array in named):
        return named, [None] * len(named)
    if len(named) % 2 or any(array.ndim != 2 for _, array in named[::2]):
        raise UnfitError(
            f"{', '.join(f'{name} {array.shape}' for name, array in named[:8])}: arrays without "
            "names must be weights and biases in turn, W1, b1, W2, b2 …"
        )
    return named[::2], [*named[1::2]]


def _axis(
    weights: Sequence[NDArray[Any]], contract: Contract, told: Axis | None
) -> tuple[Axis, str]:
    """Whether examples are rows or columns, and how that is known.

    Raises:
        ConfigError: both would fit, and it is not said.
        UnfitError: none fits.
    """
    wrong = [array.shape for array in weights if array.ndim != 2]
    if wrong:
        raise UnfitError(f"weights of shape {wrong[0]}: they must have two axes")
    pairs = {
        "rows": [array.shape for array in weights],
        "columns": [array.shape[::-1] for array in weights],
    }
    fits: list[Axis] = []
    for axis in ("rows", "columns"):
        sizes = [contract.n_in, *(n_out for _, n_out in pairs[axis])]
        chains = all(n_in == size for (n_in, _), size in zip(pairs[axis], sizes, strict=False))
        if chains and sizes[-1] == contract.n_classes:
            fits.append("rows" if axis == "rows" else "columns")
    if not fits or (told is not None and told not in fits):
        shapes = ", ".join(str(array.shape) for array in weights[:8])
        as_told = f" with examples as {told}" if fits else ""
        raise UnfitError(
            f"its weights {shapes} do not lead from the {contract.n_in} inputs of the data to "
            f"their {contract.n_classes} classes{as_told}"
        )
    if told is not None:
        return told, "as told"
    if len(fits) == 2:
        raise ConfigError(
            "examples: all weights are square, so their shapes do not say whether the examples are "
            "rows (Z = X W) or columns (Z = W X) in it: give rows or columns"
        )
    return fits[0], "as the shapes say"
