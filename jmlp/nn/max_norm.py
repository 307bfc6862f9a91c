"""Max-norm: a limit for the weights of each hidden unit.

    norm = sqrt(sum of W^2 over the inputs of the unit)      (n_out, 1), a unit's weights are a row
    W    = W * min(1, c / norm)

It is applied after each update; the bias, and the weights of the output layer, have no limit.
Source: Srivastava et al., "Dropout", JMLR 15 (2014), section 5.1.
"""

import jax.numpy as jnp
from jax import Array

from jmlp.nn import model
from jmlp.nn.model import Params


def constrain(params: Params, max_norm: Array | float) -> Params:
    """Scales the weights of hidden units that are longer than `max_norm`, which is c."""
    *hidden, last = params
    return (*model.map_weights(lambda W: _constrain(W, max_norm), tuple(hidden)), last)


def _constrain(W: Array, max_norm: Array | float) -> Array:
    norm = jnp.sqrt(jnp.sum(jnp.square(W), axis=1, keepdims=True))
    return W * jnp.minimum(1, max_norm / norm)
