"""The derivative of each layer, which the backward pass consists of."""

from collections.abc import Callable
from typing import NamedTuple

from jax import Array

from jmlp.nn import activations, batchnorm, cost, dense, dropout
from jmlp.nn.activations import ActivationCache
from jmlp.nn.batchnorm import BatchNormCache, BatchNormParams
from jmlp.nn.cost import CostCache
from jmlp.nn.dense import DenseCache, DenseParams


class Derivatives(NamedTuple):
    """A function per layer, which maps the derivative of its output to that of its input."""

    cost: Callable[[Array | float, CostCache], Array]
    dense: Callable[[Array, DenseCache], tuple[Array, DenseParams]]
    batchnorm: Callable[[Array, BatchNormCache], tuple[Array, BatchNormParams]]
    activation: Callable[[Array, ActivationCache], Array]
    dropout: Callable[[Array, Array], Array]


CORRECT = Derivatives(
    cost.backward, dense.backward, batchnorm.backward, activations.backward, dropout.backward
)
