"""Small networks of every kind, whose passes are traced in tests."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmlp.nn import model
from jmlp.nn.activations import ACTIVATIONS
from jmlp.nn.cost import balanced_weights
from jmlp.nn.gradient import CostOptions
from jmlp.study.config import Hyperparams, unchecked

B, N_IN, N_CLASSES = 7, 6, 3
KEY = jax.random.key(3)
rng = np.random.default_rng(0)
X = rng.normal(size=(B, N_IN)).astype(np.float32)
Y = jnp.arange(B, dtype=jnp.int32) % N_CLASSES

NETWORKS: dict[str, tuple[dict[str, Any], CostOptions]] = {
    "plain": ({}, CostOptions()),
    "no hidden layer": ({"hidden": ()}, CostOptions()),
    "square": ({"hidden": (5, 5)}, CostOptions()),
    "dropout": ({}, CostOptions(0.4, 0.3)),
    "batch norm": ({"batch_norm": True}, CostOptions(0.4)),
    "batch norm after": ({"batch_norm": True, "batch_norm_place": "after"}, CostOptions(0.4)),
    "options of the cost": (
        {},
        CostOptions(
            label_smoothing=0.2, class_weights=jnp.asarray(balanced_weights(np.array([5, 1, 1])))
        ),
    ),
    **{name: ({"activation": name}, CostOptions()) for name in ACTIVATIONS},
}


def network(**changes: Any) -> tuple[model.Params, model.State]:
    hp = unchecked({**Hyperparams().__dict__, "hidden": (5, 4), **changes})
    params, state = model.init(hp, N_IN, N_CLASSES, jax.random.key(0))
    # Biases, scales and shifts start at 0 or 1, where a wrong factor could go unnoticed.
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [
        leaf + 0.3 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, moved), state
