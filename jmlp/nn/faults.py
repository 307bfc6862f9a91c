"""Faulty derivatives, for studies about mistakes in the backward pass.

Each fault replaces the derivative of one layer by a twin with a mistake that people make. Nothing
uses them unless the hyperparameter `backward_fault` names one. `gradcheck` finds them all.

    batch_norm       dZ = dY: batch norm is left out on the way back
    dropout_mask     dA = dD: the units that were dropped are forgotten
    relu_mask        dZ = dA: the derivative of the activation is forgotten, ReLU's mask
    batch_mean       dlogits = exp(S) - T: a sum over the examples instead of their mean
    updated_weights  dA = (W - eta dW)^T dZ: the weights are updated before they are used

The other hyperparameter here, `batch_norm_scale`, is no mistake: without it, the scale and shift of
batch norm are not learned and stay 1 and 0.
"""

from collections.abc import Callable
from typing import Any, get_args

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.nn import batchnorm, dense
from jmlp.nn.batchnorm import BatchNormCache, BatchNormParams
from jmlp.nn.cost import CostCache
from jmlp.nn.dense import DenseCache, DenseParams
from jmlp.nn.derivatives import CORRECT, Derivatives
from jmlp.study.rules import BackwardFault

NAMES: tuple[BackwardFault, ...] = tuple(n for n in get_args(BackwardFault) if n != "none")


def derivatives(
    fault: BackwardFault, *, learn_scale: bool = True, rate: Array | float = 0.0
) -> Derivatives:
    """The derivatives for a backward pass.

    Args:
        fault: the mistake in them; "none": they are correct.
        learn_scale: whether the scale and shift of batch norm are learned.
        rate: the learning rate of this step, for "updated_weights".
    """
    found = CORRECT
    match fault:
        case "batch_norm":
            found = found._replace(batchnorm=_ignored_batchnorm)
        case "dropout_mask":
            found = found._replace(dropout=_unmasked)
        case "relu_mask":
            found = found._replace(activation=_unmasked)
        case "batch_mean":
            found = found._replace(cost=_summed_cost)
        case "updated_weights":
            found = found._replace(dense=_with_updated_weights(rate))
    return found if learn_scale else found._replace(batchnorm=_without_scale(found))


def _ignored_batchnorm(dY: Array, cache: BatchNormCache) -> tuple[Array, BatchNormParams]:
    """The derivatives of scale and shift are correct."""
    _, d_params = batchnorm.backward(dY, cache)
    return dY, d_params


def _unmasked(d_output: Array, _: Any) -> Array:
    return d_output


def _summed_cost(_: Array | float, cache: CostCache) -> Array:
    dlogits = jnp.exp(cache.S) - cache.T
    return dlogits if cache.weights is None else cache.weights * dlogits


def _with_updated_weights(
    rate: Array | float,
) -> Callable[[Array, DenseCache], tuple[Array, DenseParams]]:
    def backward(dZ: Array, cache: DenseCache) -> tuple[Array, DenseParams]:
        _, d_params = dense.backward(dZ, cache)
        return (cache.params.W - rate * d_params.W).T @ dZ, d_params

    return backward


def _without_scale(
    found: Derivatives,
) -> Callable[[Array, BatchNormCache], tuple[Array, BatchNormParams]]:
    def backward(dY: Array, cache: BatchNormCache) -> tuple[Array, BatchNormParams]:
        dZ, d_params = found.batchnorm(dY, cache)
        return dZ, jax.tree.map(jnp.zeros_like, d_params)

    return backward
