"""The activation functions by name, each from a file of its own.

An `Activation` is part of the structure of a network's parameters, not one of its numbers: whoever
has the parameters can use them without being told which activation they were trained with, and JAX
compiles a program for it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jax import Array

from jmlp.nn import gelu, leaky_relu, relu, sigmoid, silu, tanh
from jmlp.study.config import ActivationName


@jax.tree_util.register_static
@dataclass(frozen=True)
class Activation:
    """A function of each unit, and its derivative."""

    name: str
    forward: Callable[[Array], tuple[Array, Any]]  # maps Z (n, B) to A (n, B) and a cache
    backward: Callable[[Array, Any], Array]  # maps dA (n, B) and that cache to dZ (n, B)


class ActivationCache(NamedTuple):
    """The activation of a layer, as in its parameters, and what its `backward` needs."""

    activation: Activation | None
    values: Any


ACTIVATIONS: dict[ActivationName, Activation] = {
    "relu": Activation("relu", relu.forward, relu.backward),
    "leaky_relu": Activation("leaky_relu", leaky_relu.forward, leaky_relu.backward),
    "tanh": Activation("tanh", tanh.forward, tanh.backward),
    "sigmoid": Activation("sigmoid", sigmoid.forward, sigmoid.backward),
    "gelu": Activation("gelu", gelu.forward, gelu.backward),
    "silu": Activation("silu", silu.forward, silu.backward),
}
RELU = ACTIVATIONS["relu"]


def forward(activation: Activation | None, Z: Array) -> tuple[Array, ActivationCache]:
    """Maps `Z` `(n, B)` to `A` `(n, B)`; None is ReLU."""
    A, values = (activation or RELU).forward(Z)
    return A, ActivationCache(activation, values)


def backward(dA: Array, cache: ActivationCache) -> Array:
    """Maps `dA` `(n, B)` to `dZ` `(n, B)`."""
    return (cache.activation or RELU).backward(dA, cache.values)
