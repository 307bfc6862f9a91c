"""Softmax cross-entropy from integer labels.

    forward     T = one-hot columns of the labels                         (C, B)
                S = logits - log(sum over classes of exp(logits))         (C, B), log-softmax
                cost = mean over examples of -(sum over classes of T * S)

    backward    dlogits = dcost * (exp(S) - T) / B                        (C, B)

The log-sum-exp is computed with the largest logit factored out, so it cannot overflow.
Source: Bishop, "Pattern Recognition and Machine Learning" (2006), equations 4.108 (cost) and 4.109
(gradient).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class CostCache(NamedTuple):
    """Intermediate results of `forward` that `backward` needs."""

    S: Array  # (C, B), log-softmax
    T: Array  # (C, B), one-hot labels


def per_example(logits: Array, labels: Array) -> tuple[Array, CostCache]:
    """The cross-entropy of each example, in nats: `(B,)`.

    Args:
        logits: `(C, B)`.
        labels: integers 0 to C - 1, `(B,)`.
    """
    T = one_hot(labels, logits.shape[0], logits.dtype)
    S = logits - jax.nn.logsumexp(logits, axis=0, keepdims=True)
    return -jnp.sum(T * S, axis=0), CostCache(S, T)


def forward(logits: Array, labels: Array) -> tuple[Array, CostCache]:
    """The mean cross-entropy of `logits` `(C, B)` and integer `labels` `(B,)`, in nats."""
    costs, cache = per_example(logits, labels)
    return jnp.mean(costs), cache


def backward(dcost: Array | float, cache: CostCache) -> Array:
    """Maps `dcost` (1 if the cost itself is minimised) to `dlogits` `(C, B)`."""
    S, T = cache
    return dcost * (jnp.exp(S) - T) / S.shape[1]


def one_hot(labels: Array, n_classes: int, dtype: jnp.dtype) -> Array:
    """One-hot columns of integer `labels` `(B,)`: `(C, B)`."""
    classes = jnp.arange(n_classes, dtype=labels.dtype)
    return (labels[None, :] == classes[:, None]).astype(dtype)
