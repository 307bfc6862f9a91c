"""L2 penalty on the weights.

    cost        penalty = lambda / 2 * sum of W^2 over all dense layers    W (n_out, n_in)

    gradient    dW      = dW + lambda W

Biases, and the scale and shift of batch norm, are not penalised. Keras adds lambda * sum of W^2, so
its lambda is half of this one. `weight_decay` of PyTorch's SGD and Adam, and optax's
`add_decayed_weights` before them, are this gradient for all parameters, biases included. With
adaptive optimisers the penalty is not the same as `weight_decay`. Source: Krogh & Hertz, "A Simple
Weight Decay Can Improve Generalization", NIPS 1991, equation 1.
"""

import jax.numpy as jnp
from jax import Array

from jmlp.nn import model
from jmlp.nn.model import Params


def penalty(params: Params, l2: Array | float) -> Array:
    """The penalty, a scalar; `l2` is lambda."""
    squares = [jnp.sum(jnp.square(layer.dense.W)) for layer in params]
    return l2 / 2 * sum(squares[1:], squares[0])


def add_gradient(grads: Params, params: Params, l2: Array | float) -> Params:
    """Adds the gradient of the penalty to that of the cost."""
    return model.map_weights(lambda dW, W: dW + l2 * W, grads, params)
