"""Processes examples in blocks, so that their pixels stay in the cache of a core.

The gradient of a mini-batch and the cost of an evaluation are means over examples, computed as sums
over blocks. Apart from the order of summation the results are the same, except that with dropout
each block of a mini-batch draws its own masks. The sizes are in `plan`, which estimates memory
without JAX.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.nn import model
from jmlp.nn.derivatives import CORRECT, Derivatives
from jmlp.nn.gradient import CostOptions
from jmlp.nn.gradient import gradient as gradient_of_block
from jmlp.training.plan import EVALUATION_BLOCK, GRADIENT_BLOCK

Batch = Array | model.Columns  # a mini-batch: one example per row, or already transposed and scaled


class Data(NamedTuple):
    """All examples, training set then test set, copied to each device."""

    x: Array  # (N, n_in), uint8 or float32
    y: Array  # (N,), int32
    weights: Array | None = None  # (N,), of the examples in every cost; None: all count alike


def mini_batch(
    data: Data,
    rows: Array,
    params: model.Params,
    augment: Callable[[Array], Array] | None = None,
) -> tuple[Batch, Array]:
    """Examples and labels of the given rows, as inputs for `gradient`.

    Args:
        data: all examples.
        rows: `(B,)`.
        params: parameters of one or several networks; only their structure matters.
        augment: changes the pictures `(B, n_in)`, in their own type; None leaves them as they are.
    """
    x, y = data.x[rows], data.y[rows]
    if augment is not None:
        x = augment(x)
    if _needs_blocks(params, len(rows)):  # `gradient` scales each block
        return x, y
    return model.inputs(x, params[0].dense.W.dtype, params[0].raw), y


def gradient(
    params: model.Params,
    bn_state: model.State,
    x: Batch,
    y: Array,
    key: Array | None,
    options: CostOptions,
    derivatives: Derivatives = CORRECT,
    weights: Array | None = None,
) -> tuple[Array, model.Params, model.State]:
    """`jmlp.nn.gradient` of a mini-batch of any size.

    Args:
        params: parameters of the network.
        bn_state: running statistics of the network.
        x: `(B, n_in)`, or the result of `mini_batch`.
        y: `(B,)`.
        key: this step's dropout key; if there are several blocks, each folds in its index. None
            leaves dropout out of the program.
        options: of the training cost.
        derivatives: the derivative of each layer.
        weights: of the examples in the cost, `(B,)`; None: all of them count alike.
    """
    if isinstance(x, model.Columns) or not _needs_blocks(params, len(y)):
        return gradient_of_block(
            params, bn_state, x, y, key, options, derivatives=derivatives, weights=weights
        )

    def add(index: Array | int, total: Any, size: int = GRADIENT_BLOCK) -> Any:
        first = index * GRADIENT_BLOCK
        block_cost, grads, _ = gradient_of_block(
            params,
            bn_state,
            jax.lax.dynamic_slice_in_dim(x, first, size),
            jax.lax.dynamic_slice_in_dim(y, first, size),
            None if key is None else jax.random.fold_in(key, index),
            options,
            share=size / len(y),
            derivatives=derivatives,
            weights=None if weights is None else jax.lax.dynamic_slice_in_dim(weights, first, size),
        )
        return jax.tree.map(jnp.add, total, (block_cost, grads))

    n_blocks, remainder = divmod(len(y), GRADIENT_BLOCK)
    zero = jnp.zeros((), params[0].dense.W.dtype), jax.tree.map(jnp.zeros_like, params)
    total = jax.lax.fori_loop(0, n_blocks, add, zero)
    batch_cost, grads = add(n_blocks, total, remainder) if remainder else total
    return batch_cost, grads, bn_state


def block_of(
    params: model.Params, n: int, example: int, key: Array | None
) -> tuple[range, Array | None]:
    """The block in which `gradient` processes an example of a mini-batch, and its dropout key.

    Args:
        params: parameters of the network; only their structure matters.
        n: examples in the mini-batch.
        example: the number of the example, from 0.
        key: the step's dropout key.
    """
    if not _needs_blocks(params, n):
        return range(n), key
    index = example // GRADIENT_BLOCK
    first = index * GRADIENT_BLOCK
    block_key = None if key is None else jax.random.fold_in(key, index)
    return range(first, min(first + GRADIENT_BLOCK, n)), block_key


def _needs_blocks(params: model.Params, n: int) -> bool:
    """Whether the gradient of `n` examples is computed in blocks.

    Never with batch norm, where each example depends on all others.
    """
    return n > GRADIENT_BLOCK and not any(layer.normalises for layer in params)


def sum_over(
    data: Data,
    rows: Array,
    add: Callable[..., Any],
    zero: Any,
    raw: model.RawInputs | None = None,
) -> Any:
    """Accumulates sums over the given rows of the data, one block at a time.

    Args:
        data: all examples.
        rows: rows of `data`, `(n,)`, at least one.
        add: `add(sums, x, y, mask, weights)` returns the new sums; `mask` masks the examples of the
            block `(x, y)`, because the last block is padded; `weights` may be None.
        zero: the initial sums.
        raw: that of the network's first layer.
    """
    n = rows.shape[0]
    size = min(n, EVALUATION_BLOCK)
    n_blocks = -(-n // size)
    blocks = jnp.pad(rows, (0, n_blocks * size - n)).reshape(n_blocks, size)

    def add_block(index: Array, sums: Any) -> Any:
        mask = jnp.arange(size, dtype=jnp.int32) < n - index * size
        x = model.inputs(data.x[blocks[index]], jnp.dtype(jnp.float32), raw)
        weights = None if data.weights is None else data.weights[blocks[index]]
        return add(sums, x, data.y[blocks[index]], mask, weights)

    return jax.lax.fori_loop(0, n_blocks, add_block, zero)


def total_weight(data: Data, rows: Array) -> Array | int:
    """The sum of the weights of some examples: without weights, their number."""
    return len(rows) if data.weights is None else jnp.sum(data.weights[rows])
