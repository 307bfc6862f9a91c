"""Dense (fully connected) layer.

    forward     Z  = W A + b                  (n_out, B) = (n_out, n_in)(n_in, B) + (n_out, 1)

    backward    dW = dZ A^T                   (n_out, n_in)
                db = sum of dZ over examples  (n_out, 1)
                dA = W^T dZ                   (n_in, B)

Source: Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors", Nature
323 (1986), equations 1 (forward), 6 (dW) and 7 (dA). The mean over the mini-batch is taken in
`cost`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.study.rules import Initialization


class DenseParams(NamedTuple):
    """Weights and bias; no bias where batch norm follows (its shift replaces it)."""

    W: Array  # (n_out, n_in)
    b: Array | None  # (n_out, 1)


class DenseCache(NamedTuple):
    """Inputs of `forward` that `backward` needs."""

    params: DenseParams
    A: Array  # (n_in, B)


def init(key: Array, n_in: int, n_out: int, std: Array, *, bias: bool) -> DenseParams:
    """Draws W from a normal distribution of standard deviation `std`; the bias is zero.

    Args:
        key: a PRNG key.
        n_in: number of input units.
        n_out: number of output units.
        std: standard deviation, a scalar; the parameters take its dtype.
        bias: False where batch norm follows.
    """
    W = std * jax.random.normal(key, (n_out, n_in), std.dtype)
    return DenseParams(W, jnp.zeros((n_out, 1), std.dtype) if bias else None)


def he_std(n_in: int) -> float:
    """The standard deviation that preserves the scale of activations through ReLU layers.

    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015 (arXiv:1502.01852), equation 10.
    """
    return math.sqrt(2 / n_in)


def glorot_std(n_in: int, n_out: int) -> float:
    """The standard deviation that compromises between the scales of activations and of gradients.

    Source: Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, equation 12.
    """
    return math.sqrt(2 / (n_in + n_out))


def lecun_std(n_in: int) -> float:
    """The standard deviation that preserves the scale of sums of independent inputs.

    Source: LeCun, Bottou, Orr & Müller, "Efficient BackProp" (1998), equation 16.
    """
    return math.sqrt(1 / n_in)


def initial_std(
    initialization: Initialization, n_in: int, n_out: int, weight_std: Array | float
) -> Array | float:
    """The standard deviation of the initial weights of a layer.

    The distribution is normal and not truncated, as in PyTorch; Keras truncates it at two standard
    deviations.
    """
    match initialization:
        case "he":
            return he_std(n_in)
        case "glorot":
            return glorot_std(n_in, n_out)
        case "lecun":
            return lecun_std(n_in)
        case "normal":
            return weight_std
        case "zero":
            return 0.0


def forward(params: DenseParams, A: Array) -> tuple[Array, DenseCache]:
    """Maps `A` `(n_in, B)` to `Z` `(n_out, B)`."""
    Z = params.W @ A
    if params.b is not None:
        Z = Z + params.b
    return Z, DenseCache(params, A)


def backward(dZ: Array, cache: DenseCache) -> tuple[Array, DenseParams]:
    """Maps `dZ` `(n_out, B)` to `dA` `(n_in, B)` and the gradient of the parameters."""
    (W, b), A = cache
    dW = dZ @ A.T
    db = None if b is None else jnp.sum(dZ, axis=1, keepdims=True)
    dA = W.T @ dZ
    return dA, DenseParams(dW, db)
