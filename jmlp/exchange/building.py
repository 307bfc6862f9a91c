"""A network of jmlp from the operations of another program's: the inverse of `operations`.

What jmlp has in another form is converted here, in float64, and rounded once:

    bias before batch norm    mean' = mean - b, since batch norm subtracts it again
    inputs (x - m) / s        W' = W / s, b' = b - (m / s) times the sum of each row of W
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.contract import Contract
from jmlp.errors import ConfigError
from jmlp.exchange.operations import Activation, BatchNorm, Dense, Operation
from jmlp.nn.tensors import Tensors
from jmlp.study.config import Hyperparams
from jmlp.study.rules import ActivationName, BatchNormPlace


class UnfitError(ValueError):
    """What a file holds is no network of a form that jmlp has; the message says why."""


@dataclass(frozen=True)
class Inputs:
    """The numbers that a network takes, for an input x of jmlp's: (x - mean) / std."""

    mean: float = 0.0
    std: float = 1.0

    @property
    def are_those_of_jmlp(self) -> bool:
        """Whether nothing is to be converted."""
        return self.mean == 0 and abs(self.std - 1) < 1e-6


@dataclass(frozen=True, eq=False)
class _Hidden:
    dense: Dense
    norm: BatchNorm | None
    activation: ActivationName
    place: BatchNormPlace | None  # of its batch norm


def build(
    operations: Sequence[Operation], contract: Contract, inputs: Inputs, *, scaled: bool = True
) -> tuple[Hyperparams, Tensors]:
    """The hyperparameters that describe a network's form, and its arrays by name.

    Args:
        operations: those of the network in order, with floating-point arrays of any precision.
        contract: of the data that it is for.
        inputs: the numbers that it takes.
        scaled: whether its batch norm has learnt a scale and a shift.

    Raises:
        UnfitError: jmlp has no such network, or it does not fit the data.
    """
    hidden, last = _layers(operations)
    if not hidden:
        raise UnfitError("has no hidden layer: a network of jmlp has at least one")
    _check_sizes([*(layer.dense for layer in hidden), last], contract)
    for number, layer in enumerate(hidden, start=1):
        if layer.norm is not None:
            _check_norm(layer.norm, len(layer.dense.W), number)
    places = {layer.place for layer in hidden}
    if len(places) > 1:
        raise UnfitError(
            "batch norm differs between its hidden layers (none, before, or after the activation): "
            "in jmlp it is the same in all"
        )
    place = next(iter(places), None)
    names = tuple(layer.activation for layer in hidden)
    form: dict[str, Any] = {"hidden": tuple(len(layer.dense.W) for layer in hidden)}
    if names:  # one name for equal activations, as in jmlp's own networks
        form["activation"] = names[0] if len(set(names)) == 1 else names
    if place is not None:
        form |= {"batch_norm": True, "batch_norm_place": place, "batch_norm_scale": scaled}
    try:
        hp = Hyperparams(**form)
    except ConfigError as error:  # too many layers or units
        raise UnfitError(f"jmlp has no network of this form: {error}") from error
    return hp, _tensors(hidden, last, inputs)


def _layers(operations: Sequence[Operation]) -> tuple[list[_Hidden], Dense]:
    """The hidden layers and the last one.

    Raises:
        UnfitError: another order of operations than jmlp has.
    """
    hidden: list[_Hidden] = []
    rest = list(operations)
    while rest:
        dense = rest.pop(0)
        if not isinstance(dense, Dense):
            what = f"the activation {dense.name}" if isinstance(dense, Activation) else "batch norm"
            at = f"after hidden layer {len(hidden)}" if hidden else "before the first linear layer"
            raise UnfitError(f"{what} {at}: in jmlp, there is none there")
        if not rest:
            return hidden, dense
        found: dict[type, Any] = {}
        order: list[type] = []
        while rest and not isinstance(rest[0], Dense) and type(rest[0]) not in found:
            found[type(rest[0])] = rest[0]
            order.append(type(rest.pop(0)))
        number = len(hidden) + 1
        if not rest:
            raise UnfitError(
                f"linear layer {number} is the last, but something follows it: the last layer of "
                "jmlp's networks gives the logits"
            )
        if Activation not in found:
            raise UnfitError(
                f"linear layer {number} has no activation function: in jmlp, each but the last has"
            )
        place: BatchNormPlace | None = None
        if BatchNorm in found:
            place = "before" if order[0] is BatchNorm else "after"
        hidden.append(_Hidden(dense, found.get(BatchNorm), found[Activation].name, place))
    raise UnfitError("there is no linear layer")


def _check_sizes(layers: Sequence[Dense], contract: Contract) -> None:
    """Raises `UnfitError` if shapes do not chain, from the inputs of the data to their classes."""
    size, from_ = contract.n_in, f"the data have {contract.n_in} inputs"
    for number, dense in enumerate(layers, start=1):
        if dense.W.ndim != 2 or dense.W.shape[1] != size:
            raise UnfitError(
                f"linear layer {number} has weights of shape {dense.W.shape} (outputs, inputs), "
                f"but {from_}"
            )
        if dense.b is not None and dense.b.shape != dense.W.shape[:1]:
            raise UnfitError(
                f"linear layer {number} has {dense.W.shape[0]} outputs, but a bias of shape "
                f"{dense.b.shape}"
            )
        size, from_ = dense.W.shape[0], f"layer {number} has {dense.W.shape[0]} outputs"
    if size != contract.n_classes:
        raise UnfitError(f"it has {size} outputs, but the data have {contract.n_classes} classes")


def _check_norm(norm: BatchNorm, n: int, number: int) -> None:
    for name in ("gamma", "beta", "mean", "var"):
        if (shape := getattr(norm, name).shape) != (n,):
            raise UnfitError(
                f"the batch norm of hidden layer {number} has {name} of shape {shape}, but the "
                f"layer has {n} units"
            )


def _tensors(hidden: Sequence[_Hidden], last: Dense, inputs: Inputs) -> Tensors:
    """The arrays as named by `nn.tensors`, float32 and checked.

    Raises:
        UnfitError: a number is not finite, or a variance negative.
    """
    tensors: Tensors = {}
    layers = [*(layer.dense for layer in hidden), last]
    if not inputs.are_those_of_jmlp:
        layers[0] = _with_inputs(layers[0], inputs)
    for index, dense in enumerate(layers):
        norm, place = None, None
        if index < len(hidden):
            norm, place = hidden[index].norm, hidden[index].place
        bias = dense.b
        if norm is not None and place == "before" and bias is not None:
            norm = replace(norm, mean=_exact(norm.mean) - _exact(bias))
        named: dict[str, NDArray[Any]] = {f"params[{index}].dense.W": dense.W}
        if norm is None or place == "after":
            bias = np.zeros(len(dense.W), np.float32) if bias is None else bias
            named[f"params[{index}].dense.b"] = bias[:, None]
        if norm is not None:
            part = "batchnorm" if place == "before" else "batchnorm_after"
            for name in ("gamma", "beta"):
                named[f"params[{index}].{part}.{name}"] = getattr(norm, name)[:, None]
            for name in ("mean", "var"):
                named[f"state[{index}].{name}"] = getattr(norm, name)[:, None]
        tensors |= {name: _rounded(array, name, index + 1) for name, array in named.items()}
    return tensors


def _with_inputs(dense: Dense, inputs: Inputs) -> Dense:
    """The layer for inputs of jmlp's."""
    W = _exact(dense.W) / inputs.std
    if inputs.mean == 0:
        return replace(dense, W=W)
    b = np.zeros(len(W)) if dense.b is None else _exact(dense.b)
    return Dense(W, b - inputs.mean * W.sum(axis=1))


def _exact(array: NDArray[Any]) -> NDArray[np.float64]:
    return array.astype(np.float64)


def _rounded(array: NDArray[Any], name: str, layer: int) -> NDArray[np.float32]:
    """The array as float32, if a network with it can predict.

    Raises:
        UnfitError: a number is not finite, or a variance negative.
    """
    what = f"{name.rpartition('.')[2]} of layer {layer}"
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(array).all():
        raise UnfitError(f"{what} holds numbers that are not finite")
    if not np.isfinite(rounded).all():
        raise UnfitError(f"{what} holds numbers that are too large for float32")
    if name.endswith(".var") and array.min() < 0:
        raise UnfitError(f"{what} holds a variance of {array.min():g}")
    return rounded
