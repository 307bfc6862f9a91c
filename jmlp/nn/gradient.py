"""One pass forward and one backward: the cost of some examples and its gradient."""

from jax import Array
from jax.typing import ArrayLike

from jmlp.nn import cost, model


def gradient(
    params: model.Params,
    state: model.State,
    x: ArrayLike | model.Columns,
    y: Array,
    key: Array | None,
    drop_rate: Array | float | tuple[float, ...],
    share: float = 1.0,
) -> tuple[Array, model.Params, model.State]:
    """The mean cost of some examples, its gradient, and the new running statistics.

    Args:
        params: of `model.init`.
        state: of `model.init`, or of the step before.
        x: examples, one a row: `(B, n_in)`, or as `model.inputs` gives them.
        y: their labels, `(B,)`.
        key: the PRNG key of this step's dropout; None leaves dropout out of the program.
        drop_rate: a scalar, or `(n_hidden_layers,)`.
        share: a factor of cost and gradient: the share of a mini-batch that these examples are.
    """
    logits, new_state, caches = model.forward(params, state, x, key, drop_rate)
    mean_cost, cost_cache = cost.forward(logits, y)
    grads = model.backward(cost.backward(share, cost_cache), caches)
    return share * mean_cost, grads, new_state
