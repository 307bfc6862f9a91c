"""One forward and one backward pass: the cost of a set of examples and its gradient."""

from collections.abc import Callable
from typing import NamedTuple

from jax import Array
from jax.typing import ArrayLike

from jmlp.nn import cost, model
from jmlp.nn.derivatives import CORRECT, Derivatives


class CostOptions(NamedTuple):
    """What the training cost has in addition to that of an evaluation; None: not in the program."""

    drop_rate: Array | float | tuple[float, ...] | None = None  # a scalar, or (n_hidden_layers,)
    input_drop_rate: Array | float | None = None
    label_smoothing: Array | float | None = None
    class_weights: Array | None = None  # (n_classes,)
    log_softmax: Callable[[Array], Array] | None = None  # a faulty one


def gradient(
    params: model.Params,
    state: model.State,
    x: ArrayLike | model.Columns,
    y: Array,
    key: Array | None,
    options: CostOptions,
    share: float = 1.0,
    derivatives: Derivatives = CORRECT,
    weights: Array | None = None,
) -> tuple[Array, model.Params, model.State]:
    """The mean cost of a set of examples, its gradient, and the new running statistics.

    Args:
        params: as returned by `model.init` or by an update.
        state: as returned by `model.init` or by the previous step.
        x: examples, one per row: `(B, n_in)`, or the result of `model.inputs`.
        y: their labels, `(B,)`.
        key: the PRNG key of this step's dropout; None leaves dropout out of the program.
        options: of the training cost.
        share: the fraction of the mini-batch that these examples make up; scales cost and gradient.
        derivatives: the derivative of each layer.
        weights: of the examples in the cost, `(B,)`; None: all of them count alike.
    """
    drop_rate, input_drop_rate, label_smoothing, class_weights, log_softmax = options
    logits, new_state, caches = model.forward(params, state, x, key, drop_rate, input_drop_rate)
    mean_cost, cost_cache = cost.forward(
        logits, y, label_smoothing, class_weights, log_softmax, weights
    )
    grads = model.backward(derivatives.cost(share, cost_cache), caches, derivatives)
    return share * mean_cost, grads, new_state
