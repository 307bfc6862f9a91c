"""Softmax cross-entropy from integer labels. Here one example is a row.

    forward     T = one-hot rows of the labels                            (B, C)
                S = logits - log(sum over classes of exp(logits))         (B, C), log-softmax
                cost = mean over examples of -(sum over classes of T * S)

    backward    dlogits = dcost * (exp(S) - T) / B                        (B, C)

The logarithm of the sum is taken with the largest logit taken out first, so it cannot overflow.
Source: Bishop, "Pattern Recognition and Machine Learning" (2006), equations 4.108 (cost) and 4.109
(gradient).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class CostCache(NamedTuple):
    """What `backward` needs."""

    S: Array  # (B, C)
    T: Array  # (B, C)


def per_example(logits: Array, labels: Array) -> tuple[Array, CostCache]:
    """The cross-entropy of each example, in nats: `(B,)`.

    Args:
        logits: `(B, C)`.
        labels: integers 0 to C - 1, `(B,)`.
    """
    T = one_hot(labels, logits.shape[1], logits.dtype)
    S = logits - jax.nn.logsumexp(logits, axis=1, keepdims=True)
    return -jnp.sum(T * S, axis=1), CostCache(S, T)


def forward(logits: Array, labels: Array) -> tuple[Array, CostCache]:
    """The mean cross-entropy of `logits` `(B, C)` and integer `labels` `(B,)`, in nats."""
    costs, cache = per_example(logits, labels)
    return jnp.mean(costs), cache


def backward(dcost: Array | float, cache: CostCache) -> Array:
    """Maps `dcost` (1, where the cost is what is minimised) to `dlogits` `(B, C)`."""
    S, T = cache
    return dcost * (jnp.exp(S) - T) / S.shape[0]


def one_hot(labels: Array, n_classes: int, dtype: jnp.dtype) -> Array:
    """Rows with a one at the label: `(B, C)`."""
    return (labels[:, None] == jnp.arange(n_classes, dtype=labels.dtype)).astype(dtype)
