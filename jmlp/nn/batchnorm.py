"""Batch normalisation.

    forward     mean  = mean of Z over the examples                      (n, 1)
                var   = mean of (Z - mean)^2 over the examples           (n, 1), biased
                Z_hat = (Z - mean) / sqrt(var + eps)                     (n, B)
                Y     = gamma * Z_hat + beta                             (n, B)
                state = momentum * state + (1 - momentum) * (mean, var)  running statistics

    backward    dgamma = sum of dY * Z_hat over the examples             (n, 1)
                dbeta  = sum of dY over the examples                     (n, 1)
                dZ     = gamma / sqrt(var + eps) * (dY - (dbeta + Z_hat * dgamma) / B)

    predict     Y  = gamma * (Z - state.mean) / sqrt(state.var + eps) + beta
                dZ = gamma / sqrt(state.var + eps) * dY, as the running statistics are constants

dbeta and dgamma appear in dZ because `mean` and `var` depend on Z too: dbeta / B is the mean of dY,
dgamma / B that of dY * Z_hat (derived step by step in docs/explanation/backpropagation.md).
`momentum` is the weight of the *old* running value, and the running variance is the biased one, as
in Keras (PyTorch does the opposite in both). Source: Ioffe & Szegedy, "Batch Normalization",
ICML 2015 (arXiv:1502.03167), algorithm 1 (forward) and section 3 (backward, here simplified).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

EPS = 1e-5
MOMENTUM = 0.9


class BatchNormParams(NamedTuple):
    """Learned scale and shift."""

    gamma: Array  # (n, 1), starts at 1
    beta: Array  # (n, 1), starts at 0


class BatchNormState(NamedTuple):
    """Running statistics, used by `predict`."""

    mean: Array  # (n, 1), starts at 0
    var: Array  # (n, 1), starts at 1


class BatchNormCache(NamedTuple):
    """Intermediate results of `forward` that `backward` needs."""

    gamma: Array  # (n, 1)
    Z_hat: Array  # (n, B)
    inverse_std: Array  # (n, 1)


def init(n: int, dtype: jnp.dtype) -> tuple[BatchNormParams, BatchNormState]:
    """Returns scale 1, shift 0, running mean 0 and running variance 1 for `n` units."""
    ones, zeros = jnp.ones((n, 1), dtype), jnp.zeros((n, 1), dtype)
    return BatchNormParams(ones, zeros), BatchNormState(zeros, ones)


def forward(
    params: BatchNormParams, state: BatchNormState, Z: Array
) -> tuple[Array, BatchNormState, BatchNormCache]:
    """Normalises `Z` `(n, B)` by its batch statistics and updates the running statistics."""
    mean = jnp.mean(Z, axis=1, keepdims=True)
    var = jnp.mean(jnp.square(Z - mean), axis=1, keepdims=True)
    inverse_std = 1 / jnp.sqrt(var + EPS)
    Z_hat = (Z - mean) * inverse_std
    Y = params.gamma * Z_hat + params.beta
    state = BatchNormState(
        mean=MOMENTUM * state.mean + (1 - MOMENTUM) * mean,
        var=MOMENTUM * state.var + (1 - MOMENTUM) * var,
    )
    return Y, state, BatchNormCache(params.gamma, Z_hat, inverse_std)


def backward(dY: Array, cache: BatchNormCache) -> tuple[Array, BatchNormParams]:
    """Maps `dY` `(n, B)` to `dZ` `(n, B)` and the gradient of scale and shift."""
    gamma, Z_hat, inverse_std = cache
    dgamma = jnp.sum(dY * Z_hat, axis=1, keepdims=True)
    dbeta = jnp.sum(dY, axis=1, keepdims=True)
    dZ = gamma * inverse_std * (dY - (dbeta + Z_hat * dgamma) / dY.shape[1])
    return dZ, BatchNormParams(dgamma, dbeta)


def predict(params: BatchNormParams, state: BatchNormState, Z: Array) -> Array:
    """Normalises `Z` `(n, B)` by the running statistics, each example on its own."""
    return params.gamma * (Z - state.mean) / jnp.sqrt(state.var + EPS) + params.beta
