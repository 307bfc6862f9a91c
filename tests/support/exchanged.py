"""Networks with every kind of operation, for the tests of what other programs make of them."""

import math
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jmlp.data.contract import Contract
from jmlp.nn import model
from jmlp.results.weights import Network
from jmlp.study.config import Hyperparams

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu")
PLACES = (None, "before", "after")
N_IN = 7


def network(activation: Any, place: Any, **contract: Any) -> Network:
    """A network 7-6-5-3 whose biases and statistics are not those of a new one."""
    hp = Hyperparams(
        hidden=(6, 5),
        activation=activation,
        batch_norm=place is not None,
        **({} if place is None else {"batch_norm_place": place}),
    )
    rng = np.random.default_rng(3)

    def drawn(leaf: Any) -> NDArray[np.float32]:
        return np.asarray(rng.normal(0.5, 1, leaf.shape), np.float32)

    n_in = math.prod(contract.get("image_shape", (N_IN,)))
    params, state = model.init(hp, n_in, 3, jax.random.key(0))
    params = jax.tree.map(drawn, params)
    state = jax.tree.map(lambda leaf: np.abs(drawn(leaf)) + 0.1, state)
    form = Contract(**{"image_shape": (N_IN,), "n_classes": 3, "dtype": "uint8", **contract})
    return Network(hp, form, params, state, {"run_id": "3a26f0c1" * 8})


def examples(n: int = 50) -> NDArray[np.float32]:
    """Inputs `(n, 7)`, positive and negative."""
    return np.random.default_rng(4).normal(0, 2, (n, N_IN)).astype(np.float32)


def logits(found: Network, x: Any) -> NDArray[np.float32]:
    """What jmlp itself computes."""
    return np.asarray(model.predict(found.params, found.state, x))
