"""A multilayer perceptron of your own, for `jmlp gradcheck FILE`.

jmlp calls these functions with small random arrays, and compares what `backward` returns with
central differences of the cost. Replace what they do by your own code; any library may do the work.
Instead of forward and backward, the file may have

    cost_and_gradient(params, X, y) -> (cost, gradient), or
    cost(params, X, y) -> cost, and gradient(params, X, y) -> gradient

and without init, params is {"W1": …, "b1": …, "W2": …}.
"""

from itertools import pairwise

import numpy as np

EXAMPLES = "columns"  # X is (n_inputs, B); with "rows" it is (B, n_inputs)


def init(sizes, rng):
    """The parameters of a network with these numbers of units, such as [5, 4, 4, 3].

    Any dictionary, list or tuple of arrays; jmlp fills them with numbers of its own.
    """
    params = {}
    for layer, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
        params[f"W{layer}"] = rng.normal(size=(n_out, n_in))
        params[f"b{layer}"] = np.zeros((n_out, 1))
    return params


def forward(params, X):
    """The probabilities of the classes, (n_classes, B), and whatever `backward` needs."""
    n_layers = len(params) // 2
    A, cache = X, []
    for layer in range(1, n_layers + 1):
        Z = params[f"W{layer}"] @ A + params[f"b{layer}"]
        cache.append((A, Z))
        A = np.maximum(Z, 0)
    shifted = np.exp(Z - Z.max(axis=0))
    return shifted / shifted.sum(axis=0), cache


def backward(params, X, y, probabilities, cache):
    """The derivative of the mean cross-entropy at each parameter, in the form of `params`."""
    n_layers, B = len(params) // 2, X.shape[1]
    T = np.eye(len(probabilities))[:, y]
    dZ = (probabilities - T) / B
    gradient = {}
    for layer in range(n_layers, 0, -1):
        A, _ = cache[layer - 1]
        gradient[f"W{layer}"] = dZ @ A.T
        gradient[f"b{layer}"] = dZ.sum(axis=1, keepdims=True)
        if layer > 1:
            dA = params[f"W{layer}"].T @ dZ
            Z_before = cache[layer - 2][1]
            dZ = dA * (Z_before > 0)
    return gradient
