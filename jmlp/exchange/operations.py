"""A trained network as the operations that predict, in order: what every other program needs.

    dense        Z = A W^T + b                                        (N, n_out)
    batch norm   Y = gamma (Z - mean) / sqrt(var + eps) + beta        (N, n), running statistics
    activation   A = f(Z)                                             (N, n)

Examples are rows here, as in all programs that networks are given to. Dropout has no operation: it
is off when a network predicts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.contract import Contract
from jmlp.errors import ConfigError
from jmlp.nn.tensors import check_network, name_tensors
from jmlp.results.weights import Network
from jmlp.study.config import Hyperparams, per_layer
from jmlp.study.mistakes import made_on_purpose
from jmlp.study.rules import ActivationName

Array = NDArray[np.floating[Any]]  # float32 in jmlp's own networks


@dataclass(frozen=True, eq=False)
class Dense:
    """A linear layer; `b` is None before batch norm, which has a shift of its own."""

    W: Array  # (n_out, n_in)
    b: Array | None  # (n_out,)


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """Batch norm by running statistics; every array is `(n,)`."""

    gamma: Array
    beta: Array
    mean: Array
    var: Array


@dataclass(frozen=True)
class Activation:
    """The activation function of a hidden layer."""

    name: ActivationName


Operation = Dense | BatchNorm | Activation


@dataclass(frozen=True, eq=False)
class Described:
    """A trained network, and what has to be known to use it."""

    operations: tuple[Operation, ...]
    n_in: int
    classes: tuple[str, ...]
    title: str  # such as "784-20-10, run 3a26f0c1"
    origin: str  # "trained by jmlp", or from which file it was read
    inputs: tuple[str, ...]  # sentences that say what the numbers of an example are
    cautions: tuple[str, ...]  # sentences; empty if there is nothing to be careful about


def of_network(network: Network) -> Described:
    """Describes a network of the library, or of a stored run (`weights.of_stored`).

    Raises:
        ConfigError: it has an activation function of the caller's, which has no name elsewhere.
    """
    hp, contract, about = network.hyperparams, network.contract, network.about
    tensors, run_id = name_tensors(network.params, network.state), about.get("run_id")
    check_network(tensors, hp, contract.n_in, contract.n_classes)
    sizes = "-".join(map(str, (contract.n_in, *hp.hidden, contract.n_classes)))
    return Described(
        tuple(_operations(tensors, hp)),
        contract.n_in,
        contract.class_names,
        f"{sizes}, run {run_id[:8]}" if run_id else sizes,
        f"read from {about['read_from']}" if "read_from" in about else "trained by jmlp",
        tuple(_inputs(hp, contract)),
        tuple(
            f"It was trained with a mistake on purpose: {mistake.name}."
            for mistake in made_on_purpose(hp)
        ),
    )


def _operations(tensors: Mapping[str, Array], hp: Hyperparams) -> Iterator[Operation]:
    names: Sequence[ActivationName] = per_layer(hp.activation, hp.hidden)
    for index in range(len(hp.hidden) + 1):
        prefix = f"params[{index}]"
        bias = tensors.get(f"{prefix}.dense.b")
        yield Dense(tensors[f"{prefix}.dense.W"], None if bias is None else bias[:, 0])
        if index == len(hp.hidden):
            return
        if not isinstance(names[index], str):
            raise ConfigError(
                f"hidden layer {index + 1}: its activation function is your own: other programs "
                "know only those of jmlp.Hyperparams"
            )
        norm = None
        if hp.batch_norm:
            place = "batchnorm" if hp.batch_norm_place == "before" else "batchnorm_after"
            columns = (
                *(f"{prefix}.{place}.{name}" for name in ("gamma", "beta")),
                *(f"state[{index}].{name}" for name in ("mean", "var")),
            )
            norm = BatchNorm(*(tensors[name][:, 0] for name in columns))
        if norm is not None and hp.batch_norm_place == "before":
            yield norm
        yield Activation(names[index])
        if norm is not None and hp.batch_norm_place == "after":
            yield norm


def _inputs(hp: Hyperparams, contract: Contract) -> Iterator[str]:
    """What the numbers of an example are."""
    raw = hp.training_fault == "raw_inputs"
    if contract.columns is not None and contract.scale is not None:
        yield f"The {contract.n_in} inputs are those of a row of a table, in this order:"
        columns, scale = contract.columns, contract.scale
        for name, is_number, mean, std in zip(
            columns.inputs, columns.numbers, scale.mean, scale.std, strict=True
        ):
            if not is_number:
                yield f"{name}: 1 if so, else 0"
            elif raw:
                yield f"{name}: its value"
            else:
                yield f"{name}: (value - {mean!r}) / {std!r}" if std else f"{name}: 0"
    elif contract.dtype == "uint8" and not raw:
        yield f"The {contract.n_in} inputs: the pixels of a picture, row by row, divided by 255."
    else:
        span = ""
        if contract.low is not None and contract.high is not None:
            span = f", from {contract.low:g} to {contract.high:g} there"
        yield f"The {contract.n_in} inputs: numbers as in its data, unscaled{span}."
