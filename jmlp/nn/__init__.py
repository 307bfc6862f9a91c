"""The layers of the network, one per file, with `forward` and `backward` side by side.

Notation, the same in every file:

    B     examples in a mini-batch
    n_in  input units               n_out  output units             C  classes

Columns are examples: an activation is `(n, B)`, the logits are `(C, B)`, a weight matrix is
`(n_out, n_in)`. `dx` is the derivative of the cost with respect to `x`: it has the shape and the
type of `x`, so the gradient of a `DenseParams` is a `DenseParams`.

    out, cache = layer.forward(params, x)       the cache holds what `backward` needs
    dx, dparams = layer.backward(dout, cache)

Read them in the order of the network: dense, batchnorm, relu, dropout, cost. Each needs only JAX.
`model` puts them together, and `gradient` is one pass through it forward and backward.

The other activations are leaky_relu, tanh, sigmoid, gelu and silu. What an update does besides is
in optimizers and schedules, and in l2, clipping, weight_decay and max_norm, each one equation.
"""

import lazy_loader

# `model` is lazy for `jmlp.model`, and because `tensors` is also imported where JAX is not loaded.
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["model"])
