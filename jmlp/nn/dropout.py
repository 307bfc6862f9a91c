"""Inverted dropout.

    forward     M  = 1 / (1 - drop_rate) where U >= drop_rate, else 0    U uniform in [0, 1), (n, B)
                D  = A * M                                               (n, B)

    backward    dA = dD * M                                              (n, B)

`drop_rate` is the fraction of units that are set to zero. Each unit of each example is kept or
dropped independently. Because the kept units are scaled up, the expectation of D is A, and
prediction uses A unchanged. Source: Srivastava et al., "Dropout", JMLR 15 (2014), section 4
(forward) and section 10 (scaling in training).
"""

import jax
import jax.numpy as jnp
from jax import Array


def forward(A: Array, key: Array, drop_rate: Array) -> tuple[Array, Array]:
    """Drops units of `A` `(n, B)`; the cache is the multiplier `M` `(n, B)`.

    Args:
        A: activations.
        key: the PRNG key that alone decides which units are dropped.
        drop_rate: a scalar in [0, 1) of the type of `A`. At 0 the output is `A` exactly.
    """
    U = jax.random.uniform(key, A.shape, A.dtype)
    M = jnp.where(drop_rate <= U, 1 / (1 - drop_rate), 0)
    return A * M, M


def backward(dD: Array, M: Array) -> Array:
    """Maps `dD` `(n, B)` to `dA` `(n, B)`."""
    return dD * M
