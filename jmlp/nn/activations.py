"""The activation functions by name, each from a file of its own.

An `Activation` is part of the structure of a network's parameters, not one of its numbers: whoever
has the parameters can use them without being told which activation they were trained with, and JAX
compiles a program for it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.errors import ConfigError
from jmlp.nn import gelu, leaky_relu, relu, sigmoid, silu, tanh
from jmlp.study.rules import ActivationName


@jax.tree_util.register_static
@dataclass(frozen=True)
class Activation:
    """A function of each unit, and its derivative."""

    name: str
    forward: Callable[[Array], tuple[Array, Any]]  # maps Z (n, B) to A (n, B) and a cache
    backward: Callable[[Array, Any], Array]  # maps dA (n, B) and that cache to dZ (n, B)

    def __str__(self) -> str:
        return self.name


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


@functools.cache  # equal functions are one activation, for which JAX compiles only once
def of_function(function: Callable[[Array], Array]) -> Activation:
    """An activation of the caller's; its derivative is that of `jax.vjp`.

    Args:
        function: maps Z `(n, B)` to A `(n, B)`, unit by unit. It is not held to the strict
            promotion of types that holds for jmlp's own code.

    Raises:
        ConfigError: it is no such function.
    """

    def forward(Z: Array) -> tuple[Array, Array]:
        with jax.numpy_dtype_promotion("standard"):
            return function(Z), Z

    def backward(dA: Array, Z: Array) -> Array:
        with jax.numpy_dtype_promotion("standard"):
            _, pull_back = jax.vjp(function, Z)
            dZ: Array = pull_back(dA)[0]
        return dZ

    Z = jax.ShapeDtypeStruct((3, 2), jnp.float32)  # type: ignore[no-untyped-call]
    try:
        A, _ = jax.eval_shape(forward, Z)
        if (A.shape, A.dtype) == (Z.shape, Z.dtype):
            jax.eval_shape(backward, Z, Z)
    except Exception as error:  # whatever the caller's function raises
        raise ConfigError(f"activation: it fails on an array of float32: {error}") from error
    if (A.shape, A.dtype) != (Z.shape, Z.dtype):
        raise ConfigError(
            "activation: must return an array of the shape and type of its argument, got "
            f"{A.dtype} {A.shape} for {Z.dtype} {Z.shape}"
        )
    return Activation(getattr(function, "__name__", "function"), forward, backward)


def forward(activation: Activation | None, Z: Array) -> tuple[Array, ActivationCache]:
    """Maps `Z` `(n, B)` to `A` `(n, B)`; None is ReLU."""
    A, values = (activation or RELU).forward(Z)
    return A, ActivationCache(activation, values)


def backward(dA: Array, cache: ActivationCache) -> Array:
    """Maps `dA` `(n, B)` to `dZ` `(n, B)`."""
    return (cache.activation or RELU).backward(dA, cache.values)
