"""Examples a block at a time, so that their pixels stay in the cache of a core.

A mean over examples is a sum over blocks of them: the gradient of a mini-batch, and the cost of an
evaluation. What is computed is the same but for the order of the sums.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.nn import model
from jmlp.nn.gradient import gradient as gradient_of_whole
from jmlp.training.plan import EVALUATION_BLOCK, GRADIENT_BLOCK

Batch = Array | model.Columns  # a mini-batch, one example a row, or transposed and scaled already


class Data(NamedTuple):
    """Every example that a program may read: training set, then test set; on each device."""

    x: Array  # (N, n_in), uint8 or float32
    y: Array  # (N,), int32


def mini_batch(data: Data, rows: Array, params: model.Params) -> tuple[Batch, Array]:
    """Examples and labels of some rows, as `gradient` takes them.

    Args:
        data: all examples.
        rows: `(B,)`.
        params: of a network, or of several: only their structure matters.
    """
    x, y = data.x[rows], data.y[rows]
    # What `gradient` cuts into blocks is scaled there, a block at a time.
    return x if _in_blocks(params, len(rows)) else model.inputs(x, params[0].dense.W.dtype), y


def gradient(
    params: model.Params,
    bn_state: model.State,
    x: Batch,
    y: Array,
    key: Array | None,
    drop_rate: Array | float | tuple[float, ...],
) -> tuple[Array, model.Params, model.State]:
    """`jmlp.nn.gradient` of a mini-batch of any size.

    Args:
        params: of the network.
        bn_state: likewise.
        x: `(B, n_in)`, or as `mini_batch` gives it.
        y: `(B,)`.
        key: this step's dropout key, into which each block folds its number if there are several;
            None leaves dropout out of the program.
        drop_rate: a scalar, or `(n_hidden_layers,)`.
    """
    if isinstance(x, model.Columns) or not _in_blocks(params, len(y)):
        return gradient_of_whole(params, bn_state, x, y, key, drop_rate)

    def add(index: Array | int, total: Any, size: int = GRADIENT_BLOCK) -> Any:
        first = index * GRADIENT_BLOCK
        batch_cost, grads, _ = gradient_of_whole(
            params,
            bn_state,
            jax.lax.dynamic_slice_in_dim(x, first, size),
            jax.lax.dynamic_slice_in_dim(y, first, size),
            None if key is None else jax.random.fold_in(key, index),
            drop_rate,
            share=size / len(y),
        )
        return jax.tree.map(jnp.add, total, (batch_cost, grads))

    n_blocks, rest = divmod(len(y), GRADIENT_BLOCK)
    zero = jnp.zeros((), params[0].dense.W.dtype), jax.tree.map(jnp.zeros_like, params)
    total = jax.lax.fori_loop(0, n_blocks, add, zero)
    batch_cost, grads = add(n_blocks, total, rest) if rest else total
    return batch_cost, grads, bn_state


def _in_blocks(params: model.Params, n: int) -> bool:
    """Whether the gradient of `n` examples is taken in blocks.

    Not with batch norm, where every example depends on all others.
    """
    return n > GRADIENT_BLOCK and all(layer.batchnorm is None for layer in params)


def sum_over(data: Data, rows: Array, add: Callable[..., Any], zero: Any) -> Any:
    """Adds up over some rows of the data, a block at a time.

    Args:
        data: all examples.
        rows: which of them, `(n,)`, one at least.
        add: `add(sums, x, y, counts)` gives the new sums; `counts` says which examples of the
            block `(x, y)` count, for the last block is filled up.
        zero: the sums to begin with.
    """
    n = rows.shape[0]
    size = min(n, EVALUATION_BLOCK)
    n_blocks = -(-n // size)
    blocks = jnp.pad(rows, (0, n_blocks * size - n)).reshape(n_blocks, size)

    def add_block(index: Array, sums: Any) -> Any:
        counts = jnp.arange(size, dtype=jnp.int32) < n - index * size
        x = model.inputs(data.x[blocks[index]], jnp.dtype(jnp.float32))
        return add(sums, x, data.y[blocks[index]], counts)

    return jax.lax.fori_loop(0, n_blocks, add_block, zero)
