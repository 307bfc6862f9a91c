"""Clipping of the gradient by its norm.

    norm = sqrt(sum of g^2 over all parameters of the network)
    g    = g * min(1, c / norm)

The gradient keeps its direction, and no update is longer than that of a gradient of norm c. An L2
penalty is part of the gradient that is clipped, as in Keras (PyTorch's `weight_decay` is added
after clipping). Source: Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural
networks", ICML 2013 (arXiv:1211.5063), algorithm 1.
"""

from functools import reduce

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.nn.model import Params


def clip(grads: Params, clip_norm: Array | float) -> Params:
    """Scales a gradient that is longer than `clip_norm`, which is c."""
    squares = [jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(grads)]
    norm = jnp.sqrt(reduce(jnp.add, squares))
    # A norm that overflows would make the gradient 0; `0 * norm` makes it NaN, so the run diverges.
    scale = jnp.minimum(1, clip_norm / norm) + 0 * norm
    clipped: Params = jax.tree.map(lambda g: g * scale, grads)
    return clipped
