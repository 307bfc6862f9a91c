"""The layers of the network, one file each: `forward` and `backward` are neighbours.

Letters, declared once for all files:

    B     examples of a mini-batch
    n_in  units that come in        n_out  units that go out        C  classes

Columns are examples: an activation is `(n, B)`, the logits are `(C, B)`, a weight matrix is
`(n_out, n_in)`. `dx` is the derivative of the cost with respect to `x`: it has the shape and the
type of `x`, so the gradient of a `DenseParams` is a `DenseParams`.

    out, cache = layer.forward(params, x)       the cache holds what the way back needs
    dx, dparams = layer.backward(dout, cache)

Read them in the order of the network: dense, batchnorm, relu, dropout, cost. Each needs only JAX.
`model` puts them together, and `gradient` is one pass through it forward and backward.
"""

import lazy_loader

# For `jmlp.model`: the names of arrays (`tensors`) are used where there is no JAX.
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["model"])
