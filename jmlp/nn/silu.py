"""Sigmoid-weighted linear unit, also called swish.

    forward     S  = 1 / (1 + exp(-Z))                (n, B)
                A  = Z * S                            (n, B)

    backward    dZ = dA * S * (1 + Z * (1 - S))       (n, B)

Source: Elfwing, Uchibe & Doya, "Sigmoid-Weighted Linear Units for Neural Network Function
Approximation in Reinforcement Learning", Neural Networks 107 (2018), equations 9 (forward) and 10
(backward).
"""

from typing import NamedTuple

import jax
from jax import Array


class SiluCache(NamedTuple):
    """Intermediate results of `forward` that `backward` needs."""

    Z: Array  # (n, B)
    S: Array  # (n, B)


def forward(Z: Array) -> tuple[Array, SiluCache]:
    """Maps `Z` `(n, B)` to `A` `(n, B)`."""
    S = jax.lax.logistic(Z)
    return Z * S, SiluCache(Z, S)


def backward(dA: Array, cache: SiluCache) -> Array:
    """Maps `dA` `(n, B)` to `dZ` `(n, B)`."""
    Z, S = cache
    return dA * S * (1 + Z * (1 - S))
