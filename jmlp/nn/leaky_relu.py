"""Leaky rectified linear unit, of slope a = 0.01 below 0.

    forward     A  = Z where Z > 0, else a Z      (n, B)

    backward    dZ = dA where Z > 0, else a dA    (n, B)

At Z = 0 the derivative is taken to be a, as in PyTorch. Source: Maas, Hannun & Ng, "Rectifier
Nonlinearities Improve Neural Network Acoustic Models", ICML 2013, section 2. Other libraries have
other slopes: that of Keras is 0.3.
"""

import jax.numpy as jnp
from jax import Array

SLOPE = 0.01


def forward(Z: Array) -> tuple[Array, Array]:
    """Maps `Z` `(n, B)` to `A` `(n, B)`; the cache is `Z`."""
    return jnp.where(Z > 0, Z, SLOPE * Z), Z


def backward(dA: Array, Z: Array) -> Array:
    """Maps `dA` `(n, B)` to `dZ` `(n, B)`."""
    return jnp.where(Z > 0, dA, SLOPE * dA)
