"""Mistakes that people make, for studies about them.

Each fault in the backward pass replaces the derivative of one layer by a twin with the mistake.
Nothing uses them unless the hyperparameter `backward_fault` names one. `gradcheck` finds them all.

    batch_norm          dZ = dY: batch norm is left out on the way back
    dropout_mask        dA = dD: the units that were dropped are forgotten
    relu_mask           dZ = dA: the derivative of the activation is forgotten, ReLU's mask
    batch_mean          dlogits = exp(S) - T: a sum over the examples instead of their mean
    updated_weights     dA = (W - eta dW)^T dZ: the weights are updated before they are used
    weights_transposed  dA = W dZ, where W is square; the shapes of others do not fit
    bias_of_last        db = dZ of the last example, instead of the sum over the examples
    bias_mean           db = mean of dZ over the examples: divided by B twice

The others, of the hyperparameter `training_fault`, leave the gradient of the cost as it is, so that
no check of it finds them:

    step_sign           W = W + eta dW: the step goes up the slope
    raw_softmax         S = log(exp(logits) / sum of exp(logits)), which overflows
    labels_off_by_one   T = one-hot of (y - 1) mod C, as of labels that count from 1
    no_shuffle          every epoch visits the examples in the order of the data
                        (`data.order.unshuffled`)
    raw_inputs          pixels stay 0 to 255, tables are not standardised (`model.RawInputs`,
                        `data.columns.no_scale`)

Zero weights at the start, another mistake, are a value of `initialization`.

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
from jmlp.study.rules import BackwardFault, TrainingFault

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
        case "weights_transposed":
            found = found._replace(dense=_with_weights_transposed)
        case "bias_of_last":
            found = found._replace(dense=_with_bias_of_last)
        case "bias_mean":
            found = found._replace(dense=_with_bias_mean)
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


def _with_weights_transposed(dZ: Array, cache: DenseCache) -> tuple[Array, DenseParams]:
    dA, d_params = dense.backward(dZ, cache)
    W = cache.params.W
    return (W @ dZ if W.shape[0] == W.shape[1] else dA), d_params


def _with_bias_of_last(dZ: Array, cache: DenseCache) -> tuple[Array, DenseParams]:
    dA, (dW, db) = dense.backward(dZ, cache)
    return dA, DenseParams(dW, None if db is None else dZ[:, -1:])


def _with_bias_mean(dZ: Array, cache: DenseCache) -> tuple[Array, DenseParams]:
    dA, (dW, db) = dense.backward(dZ, cache)
    return dA, DenseParams(dW, None if db is None else jnp.mean(dZ, axis=1, keepdims=True))


def _without_scale(
    found: Derivatives,
) -> Callable[[Array, BatchNormCache], tuple[Array, BatchNormParams]]:
    def backward(dY: Array, cache: BatchNormCache) -> tuple[Array, BatchNormParams]:
        dZ, d_params = found.batchnorm(dY, cache)
        return dZ, jax.tree.map(jnp.zeros_like, d_params)

    return backward


# ---- outside the backward pass


def labels(fault: TrainingFault, y: Array, n_classes: int) -> Array:
    """The labels `(B,)` of a mini-batch, as training uses them.

    Before 0 comes the last class: NumPy and JAX take an index of -1 for it, without an error.
    """
    return (y - 1) % n_classes if fault == "labels_off_by_one" else y


def log_softmax(fault: TrainingFault) -> Callable[[Array], Array] | None:
    """What takes the place of `cost.log_softmax` in the cost of training; None: nothing does."""
    return _raw_log_softmax if fault == "raw_softmax" else None


def _raw_log_softmax(logits: Array) -> Array:
    powers = jnp.exp(logits)
    return jnp.log(powers / jnp.sum(powers, axis=0, keepdims=True))


def step(fault: TrainingFault, grads: Any) -> Any:
    """The gradient as the update subtracts it."""
    return jax.tree.map(jnp.negative, grads) if fault == "step_sign" else grads
