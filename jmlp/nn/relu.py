"""Rectified linear unit.

    forward     A  = max(Z, 0)                (n, B)

    backward    dZ = dA where Z > 0, else 0   (n, B)

At Z = 0 the derivative is taken to be 0. Source: Nair & Hinton, "Rectified linear units improve
restricted Boltzmann machines", ICML 2010.
"""

import jax.numpy as jnp
from jax import Array


def forward(Z: Array) -> tuple[Array, Array]:
    """Maps `Z` `(n, B)` to `A` `(n, B)`; the cache is `Z`."""
    return jnp.maximum(Z, 0), Z


def backward(dA: Array, Z: Array) -> Array:
    """Maps `dA` `(n, B)` to `dZ` `(n, B)`."""
    return jnp.where(Z > 0, dA, 0)
