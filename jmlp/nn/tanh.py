"""Hyperbolic tangent.

    forward     A  = tanh(Z)            (n, B)

    backward    dZ = dA * (1 - A^2)     (n, B)

Source: LeCun, Bottou, Orr & Müller, "Efficient BackProp" (1998), section 4.4, without its scaling.
"""

import jax.numpy as jnp
from jax import Array


def forward(Z: Array) -> tuple[Array, Array]:
    """Maps `Z` `(n, B)` to `A` `(n, B)`; the cache is `A`."""
    A = jnp.tanh(Z)
    return A, A


def backward(dA: Array, A: Array) -> Array:
    """Maps `dA` `(n, B)` to `dZ` `(n, B)`."""
    return dA * (1 - jnp.square(A))
