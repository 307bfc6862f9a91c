"""Dropout: which units a key drops, and the mean over keys against no dropout.

The masks are those of the run's own keys: of the next update after a stored network, and of the
updates after it. The mean over keys is that of the class probabilities of the network as it
predicts, with batch norm by the running statistics, but with dropout as in training. Weight
scaling, which is what `predict` does, only approximates that mean (Srivastava et al., "Dropout",
JMLR 15, 2014, section 7.5; Gal & Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016,
arXiv:1506.02142, section 3). It is exact for the logits of a network without hidden nonlinearity.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jmlp.data.contract import contract_of
from jmlp.data.dataset import Dataset
from jmlp.errors import ConfigError
from jmlp.inspection.microscope.samples import split_of
from jmlp.inspection.microscope.views import DropoutView, MasksView
from jmlp.inspection.updates import Update, update_after
from jmlp.nn import cost, dropout, model
from jmlp.nn.gradient import CostOptions
from jmlp.nn.trace import Masks, compose, trace
from jmlp.store.networks import Networks
from jmlp.study.config import per_layer
from jmlp.system import numerics
from jmlp.training import blocks, single_run
from jmlp.training.program import root_key

N_UPDATES = 6  # whose masks are shown
N_KEYS = 200
SAMPLE = 256  # validation examples


@numerics.pinned_call
def dropout_view(stored: Networks, dataset: Dataset, index: int, example: int = 0) -> DropoutView:
    """Looks at the dropout of a run after one of its networks.

    Args:
        stored: the networks of the run.
        dataset: the data that the run was trained on.
        index: which of the networks.
        example: the number of the example in each mini-batch, from 0.

    Raises:
        ConfigError: the run has no dropout or no such example, or no update follows the network.
    """
    hp = stored.hyperparams
    rates = _rates(stored)
    if not rates:
        raise ConfigError(
            "the run has no dropout: look at one that was trained with --drop-rate or "
            "--input-drop-rate"
        )
    if not 0 <= example < hp.batch_size:
        raise ConfigError(
            f"--example: the mini-batch has examples 0 to {hp.batch_size - 1:,}, got {example}"
        )
    updates = [update_after(stored, dataset, index, later) for later in range(N_UPDATES)]
    first = updates[0]
    split = split_of(stored, dataset)
    sample = split.first(split.validation, SAMPLE)
    keys = _keys(stored, first.number, N_KEYS)
    found = over_keys(
        first.params,
        first.state,
        first.x[example : example + 1],
        sample.x,
        sample.y,
        keys,
        first.hp.drop_rate,
        first.hp.input_drop_rate,
    )
    of_example = np.asarray(found.example, np.float64)
    P, mean = np.asarray(found.without, np.float64), np.asarray(found.mean, np.float64)
    y = np.asarray(sample.y)
    return DropoutView(
        epoch=stored.epochs[index],
        updates=tuple(update.number for update in updates),
        example=example,
        layers=_masks(updates, example, rates),
        class_names=contract_of(dataset).class_names,
        row=int(first.order[example]),
        label=int(first.y[example]),
        n_keys=N_KEYS,
        without=_floats(found.example_without),
        mean=_floats(of_example.mean(axis=0)),
        spread=_floats(of_example.std(axis=0)),
        n_sample=len(y),
        difference=float(np.mean(np.abs(mean - P))),
        accuracy_without=_accuracy(P, y),
        accuracy_single=float(found.accuracy),
        accuracy_mean=_accuracy(mean, y),
        cost_without=float(found.cost_without),
        cost_single=float(found.cost),
        cost_mean=_cost(mean, y),
    )


def _rates(stored: Networks) -> dict[str, float]:
    """The drop rate of each layer that has one."""
    hp = stored.hyperparams
    named = {"inputs": hp.input_drop_rate or 0.0}
    for k, rate in enumerate(per_layer(hp.drop_rate, hp.hidden)):
        named[f"hidden {k + 1}"] = float(rate)
    return {layer: rate for layer, rate in named.items() if rate > 0}


def _keys(stored: Networks, first: int, n: int) -> Array:
    """The dropout keys of consecutive updates."""
    root = jax.random.wrap_key_data(jnp.asarray(root_key(stored.seed)), impl="threefry2x32")
    steps = jnp.arange(first, first + n, dtype=jnp.int32)
    return jax.vmap(lambda step: single_run.dropout_key(root, step))(steps)


# ---- which units


def _masks(updates: list[Update], example: int, rates: dict[str, float]) -> tuple[MasksView, ...]:
    """The masks of the layers, in the block of each mini-batch that has the example."""
    passes = []
    is_repeated = dict.fromkeys(rates, True)
    for update in updates:
        block, key = blocks.block_of(update.params, len(update.y), example, update.key)
        part = slice(block.start, block.stop)
        options = CostOptions(update.hp.drop_rate, update.hp.input_drop_rate)
        found = _masks_of_pass(
            update.params, update.state, update.x[part], update.y[part], key, options
        )
        in_pass = {layer: np.asarray(found[layer]) for layer in rates}
        for layer, M in in_pass.items():
            again = _mask_of_key(key, M.shape[0], M.shape[1], layer, rates[layer])
            is_repeated[layer] = is_repeated[layer] and np.array_equal(M, again)
        passes.append((in_pass, example - block.start))
    views = []
    for layer, rate in rates.items():
        masks = [in_pass[layer] for in_pass, _ in passes]
        dropped = [
            tuple(map(int, np.flatnonzero(M[:, column] == 0)))
            for M, (_, column) in zip(masks, passes, strict=True)
        ]
        n_drawn = sum(M.size for M in masks)
        views.append(
            MasksView(
                layer=layer,
                rate=rate,
                n_units=len(masks[0]),
                dropped=tuple(dropped),
                share=sum(int(np.sum(M == 0)) for M in masks) / n_drawn,
                n_drawn=n_drawn,
                is_repeated=is_repeated[layer],
            )
        )
    return tuple(views)


@jax.jit
def _masks_of_pass(
    params: model.Params,
    state: model.State,
    x: Array,
    y: Array,
    key: Array,
    options: CostOptions,
) -> dict[str, Array]:
    """The multipliers that a pass in training uses, by layer; all else is left out of it."""
    found = trace(params, state, x, y, key, options)
    masks = {}
    if found.input_dropout is not None:
        masks["inputs"] = found.input_dropout["M"]
    for layer in found.layers:
        for operation in layer.operations:
            if operation.kind == "dropout":
                masks[layer.name] = operation["M"]
    return masks


def _mask_of_key(
    key: Array | None, n: int, n_examples: int, layer: str, rate: float
) -> NDArray[np.float32]:
    """The multipliers drawn again, from the key of the update alone, without a network."""
    assert key is not None
    number = model.INPUTS if layer == "inputs" else int(layer.removeprefix("hidden ")) - 1
    ones = jnp.ones((n, n_examples), jnp.float32)
    _, M = dropout.forward(ones, jax.random.fold_in(key, number), jnp.float32(rate))
    return np.asarray(M)


# ---- the mean over keys


class OverKeys(NamedTuple):
    """Passes with dropout under each of K keys, and one without."""

    example: Array  # (K, C): probabilities of the example under each key
    example_without: Array  # (C,)
    mean: Array  # (n, C): mean over the keys of the sample's probabilities
    without: Array  # (n, C)
    accuracy: Array  # of a pass with dropout, mean over the keys
    cost: Array
    cost_without: Array


@jax.jit
def over_keys(
    params: model.Params,
    state: model.State,
    example: Array,
    x: Array,
    y: Array,
    keys: Array,
    drop_rate: Any,
    input_drop_rate: Any,
) -> OverKeys:
    """Predicts with dropout under each key, and without it.

    Args:
        params: parameters of the network.
        state: its running statistics, by which batch norm normalises.
        example: the example whose probabilities are kept, `(1, n_in)`.
        x: the examples of a sample, `(n, n_in)`.
        y: their labels, `(n,)`.
        keys: of dropout, `(K,)`.
        drop_rate: as in `masks_of`.
        input_drop_rate: as in `masks_of`.
    """
    dtype = params[-1].dense.W.dtype
    A_example, A = model.inputs(example, dtype).A, model.inputs(x, dtype).A

    def logits(A: Array, key: Array | None) -> Array:
        masks = Masks() if key is None else masks_of(params, A, key, drop_rate, input_drop_rate)
        return compose(params, state, A, masks, running=True)[0]

    def costs(logits: Array) -> Array:
        return jnp.mean(cost.per_example(logits, y)[0])

    def correct(logits: Array) -> Array:
        return jnp.mean((jnp.argmax(logits, axis=0) == y).astype(dtype))

    def one(sums: tuple[Array, Array, Array], key: Array) -> tuple[Any, Array]:
        Z = logits(A, key)
        found = jax.nn.softmax(Z, axis=0), correct(Z), costs(Z)
        sums = jax.tree.map(jnp.add, sums, found)
        return sums, jax.nn.softmax(logits(A_example, key), axis=0)[:, 0]

    plain = logits(A, None)
    zero = jnp.zeros((), dtype)
    (total, n_correct, total_cost), of_example = jax.lax.scan(
        one, (jnp.zeros_like(plain), zero, zero), keys
    )
    n = len(keys)
    return OverKeys(
        of_example,
        jax.nn.softmax(logits(A_example, None), axis=0)[:, 0],
        (total / n).T,
        jax.nn.softmax(plain, axis=0).T,
        n_correct / n,
        total_cost / n,
        costs(plain),
    )


def masks_of(
    params: model.Params, A: Array, key: Array, drop_rate: Any, input_drop_rate: Any
) -> Masks:
    """The multipliers of a pass under a key, drawn as `model.forward` draws them.

    Args:
        params: parameters of the network.
        A: its inputs, `(n_in, B)`.
        key: of dropout.
        drop_rate: of the hidden layers: a scalar, or `(n_hidden_layers,)`; None: nothing is
            dropped there.
        input_drop_rate: of the inputs, likewise.
    """

    def drawn(n: int, number: int, rate: Array) -> Array:
        ones = jnp.ones((n, A.shape[1]), A.dtype)
        return dropout.forward(ones, jax.random.fold_in(key, number), rate)[1]

    of_inputs = None
    if input_drop_rate is not None:
        of_inputs = drawn(len(A), model.INPUTS, jnp.asarray(input_drop_rate, A.dtype))
    if drop_rate is None:
        return Masks(of_inputs)
    n_hidden = len(params) - 1
    rates = jnp.broadcast_to(jnp.asarray(drop_rate, A.dtype), (n_hidden,))
    hidden = [drawn(len(layer.dense.W), k, rates[k]) for k, layer in enumerate(params[:n_hidden])]
    return Masks(of_inputs, tuple(hidden))


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(np.asarray(values, np.float64).tolist())


def _accuracy(P: NDArray[np.float64], y: NDArray[Any]) -> float:
    return float(np.mean(P.argmax(axis=1) == y))


def _cost(P: NDArray[np.float64], y: NDArray[Any]) -> float:
    with np.errstate(divide="ignore"):  # a probability of 0 costs infinitely much
        return float(np.mean(-np.log(P[np.arange(len(y)), y])))
