"""Decoupled weight decay: with Adam's update after it, this is AdamW.

    W     = W - eta lambda W                of all dense layers
    theta = Adam's update of theta          whose moments do not know of the decay

eta is the learning rate of this update, as in PyTorch, Keras and optax; the lambda of the paper is
eta times this one. Those libraries decay all parameters unless told otherwise; here biases, and the
scale and shift of batch norm, are not decayed. Source: Loshchilov & Hutter, "Decoupled Weight Decay
Regularization", ICLR 2019 (arXiv:1711.05101), algorithm 2.
"""

from jax import Array

from jmlp.nn import model
from jmlp.nn.model import Params


def decay(params: Params, learning_rate: Array | float, weight_decay: Array | float) -> Params:
    """The parameters after the decay of one update; `weight_decay` is lambda."""
    return model.map_weights(lambda W: W - learning_rate * weight_decay * W, params)
