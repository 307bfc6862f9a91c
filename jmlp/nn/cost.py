"""Softmax cross-entropy from integer labels.

    forward     T = one-hot columns of the labels                         (C, B)
                S = logits - log(sum over classes of exp(logits))         (C, B), log-softmax
                cost = mean over examples of -(sum over classes of T * S)

    backward    dlogits = dcost * (exp(S) - T) / B                        (C, B)

The log-sum-exp is computed with the largest logit factored out, so it cannot overflow.
Source: Bishop, "Pattern Recognition and Machine Learning" (2006), equations 4.108 (cost) and 4.109
(gradient).

Two options change the cost of training, and never that of an evaluation:

    label smoothing     T = (1 - epsilon) * one-hot + epsilon / C         (C, B)

    class weights       w = the weight of each example's class            (B,)
                        cost = mean over examples of -w * (sum over classes of T * S)
                        dlogits = dcost * w * (exp(S) - T) / B

Sources: Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016 (arXiv:1512.00567),
section 7; `balanced_weights`. As in Keras, an example's weight is that of its label, and the sum is
divided by B. PyTorch divides by the sum of the weights, and with label smoothing it weights each
class of T by itself.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray


class CostCache(NamedTuple):
    """Intermediate results of `forward` that `backward` needs."""

    S: Array  # (C, B), log-softmax
    T: Array  # (C, B), one-hot labels, or smoothed ones
    weights: Array | None = None  # (B,), of the examples


def log_softmax(logits: Array) -> Array:
    """Maps `logits` `(C, B)` to S `(C, B)`."""
    return logits - jax.nn.logsumexp(logits, axis=0, keepdims=True)


def per_example(
    logits: Array, labels: Array, faulty: Callable[[Array], Array] | None = None
) -> tuple[Array, CostCache]:
    """The cross-entropy of each example, in nats: `(B,)`.

    Args:
        logits: `(C, B)`.
        labels: integers 0 to C - 1, `(B,)`.
        faulty: takes the place of `log_softmax`.
    """
    T = one_hot(labels, logits.shape[0], logits.dtype)
    S = (faulty or log_softmax)(logits)
    return -jnp.sum(T * S, axis=0), CostCache(S, T)


def forward(
    logits: Array,
    labels: Array,
    label_smoothing: Array | float | None = None,
    class_weights: Array | None = None,
    faulty: Callable[[Array], Array] | None = None,
    example_weights: Array | None = None,
) -> tuple[Array, CostCache]:
    """The mean cross-entropy of a mini-batch, in nats.

    Args:
        logits: `(C, B)`.
        labels: integers 0 to C - 1, `(B,)`.
        label_smoothing: epsilon, in [0, 1); None leaves it out of the program.
        class_weights: the weight of each class, `(C,)`; None: all of them count alike.
        faulty: takes the place of `log_softmax`.
        example_weights: the weight of each example, `(B,)`, a factor beside that of its class;
            None: all of them count alike.
    """
    costs, cache = per_example(logits, labels, faulty)
    S, T, _ = cache
    if label_smoothing is not None:
        T = (1 - label_smoothing) * T + label_smoothing / T.shape[0]
        costs = -jnp.sum(T * S, axis=0)
    weights = example_weights
    if class_weights is not None:
        of_classes = class_weights[labels]
        weights = of_classes if weights is None else weights * of_classes
    if weights is None:
        return jnp.mean(costs), CostCache(S, T)
    return jnp.mean(weights * costs), CostCache(S, T, weights)


def backward(dcost: Array | float, cache: CostCache) -> Array:
    """Maps `dcost` (1 if the cost itself is minimised) to `dlogits` `(C, B)`."""
    S, T, weights = cache
    if weights is not None:
        dcost = dcost * weights
    return dcost * (jnp.exp(S) - T) / S.shape[1]


def balanced_weights(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights of the classes with which all of them contribute equally to the cost: `(C,)`.

    The weight of a class with n_c of the n examples is n / (K n_c), where K is the number of
    classes with examples; the mean weight of an example is 1. A class without examples has weight
    0, which is never used. It is the formula of "balanced" in scikit-learn (King & Zeng, "Logistic
    Regression in Rare Events Data", Political Analysis 9, 2001).

    Args:
        counts: examples of each class in the training part, `(C,)`.
    """
    present = counts > 0
    share = np.count_nonzero(present) * np.maximum(counts, 1)
    return np.where(present, counts.sum() / share, 0).astype(np.float32)


def one_hot(labels: Array, n_classes: int, dtype: jnp.dtype) -> Array:
    """One-hot columns of integer `labels` `(B,)`: `(C, B)`."""
    classes = jnp.arange(n_classes, dtype=labels.dtype)
    return (labels[None, :] == classes[:, None]).astype(dtype)
