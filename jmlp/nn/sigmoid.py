"""Logistic sigmoid.

    forward     A  = 1 / (1 + exp(-Z))      (n, B)

    backward    dZ = dA * A * (1 - A)       (n, B)

`lax.logistic` computes the forward equation without overflow. Source: Rumelhart, Hinton & Williams,
"Learning representations by back-propagating errors", Nature 323 (1986), equations 2 (forward) and
5 (backward).
"""

import jax
from jax import Array


def forward(Z: Array) -> tuple[Array, Array]:
    """Maps `Z` `(n, B)` to `A` `(n, B)`; the cache is `A`."""
    A = jax.lax.logistic(Z)
    return A, A


def backward(dA: Array, A: Array) -> Array:
    """Maps `dA` `(n, B)` to `dZ` `(n, B)`."""
    return dA * A * (1 - A)
