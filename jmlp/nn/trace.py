"""Every number of one forward and one backward pass, by its letter in the equations of its layer.

`trace` runs the passes of `model` and `cost`, and records what each operation read, computed and
passed back. `trace_prediction` does the same with a network as it predicts: without dropout, and
with the running statistics of batch norm, which are constants. An operation is what one file of
this package describes, so its arrays are named as in the equations at the top of that file
(`Operation.equations`):

    dense        A, W, b -> Z                     dZ -> dW, db, dA
    batch norm   Z, gamma, beta -> mean, var,     dY -> dgamma, dbeta, dZ
                 Z_hat, Y
    activation   Z -> A                           dA -> dZ
    dropout      A, M -> D                        dD -> dA
    cost         logits -> T, S, P, costs, cost   dlogits

What an operation computes is what the next one reads, under the letter that it has there. Columns
are examples, as everywhere in this package.
"""

import inspect
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jmlp.nn import (
    activations,
    batchnorm,
    cells,
    cost,
    dense,
    dropout,
    gelu,
    leaky_relu,
    model,
    relu,
    sigmoid,
    silu,
    tanh,
)
from jmlp.nn.activations import RELU
from jmlp.nn.batchnorm import BatchNormCache, BatchNormParams, BatchNormState
from jmlp.nn.derivatives import CORRECT, Derivatives
from jmlp.nn.gradient import CostOptions

Kind = Literal["dense", "batch norm", "running batch norm", "activation", "dropout", "cost"]

_MODULES: dict[str, ModuleType] = {
    "dense": dense,
    "batch norm": batchnorm,
    "running batch norm": batchnorm,
    "dropout": dropout,
    "cost": cost,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "gelu": gelu,
    "silu": silu,
}


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation on a mini-batch of B examples, forward and backward."""

    kind: Kind
    name: str  # of an activation, such as "relu"; otherwise the kind
    arrays: dict[str, Array]  # by their letters; (n, B), or (n, 1) for what belongs to a unit

    def __getitem__(self, letter: str) -> Array:
        """The array with this letter in the equations."""
        return self.arrays[letter]

    def explain(self, letter: str, i: int, j: int) -> cells.Explanation:
        """How the number at row `i` and column `j` of an array was computed: its sum, in numbers.

        `print` shows it; `terms` has each product, and the cells that it consists of.

        Raises:
            KeyError: the operation has no array with this letter.
            IndexError: the array has no such place.
        """
        numbers = {name: np.asarray(array) for name, array in self.arrays.items()}
        return cells.explain(self.kind, self.name, numbers, letter, (i, j))

    @property
    def equations(self) -> str:
        """Its equations, with shapes, from the documentation of its file.

        Empty for an activation of the caller's.
        """
        module = _MODULES.get(self.name)
        if module is None:
            return ""
        wanted = ["forward", "backward"]
        if self.kind == "running batch norm":
            wanted = ["predict"]
        elif "w" in self.arrays:
            wanted.append("class weights")
        blocks = inspect.cleandoc(module.__doc__ or "").split("\n\n")
        texts = [inspect.cleandoc("\n" + block) for block in blocks if block.startswith("    ")]
        return "\n\n".join(text for text in texts if text.startswith(tuple(wanted)))


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """The operations of one layer, in the order of the forward pass."""

    name: str  # "hidden 1", …, "output"
    operations: tuple[Operation, ...]


@dataclass(frozen=True, eq=False)
class Trace:
    """All numbers of one forward and one backward pass."""

    inputs: Array  # (n_in, B): the examples, scaled; before dropout
    input_dropout: Operation | None
    layers: tuple[LayerTrace, ...]
    cost: Operation
    gradient: model.Params  # of the mean cost, as `model.backward` returns it
    state: model.State  # the new running statistics

    @property
    def operations(self) -> tuple[Operation, ...]:
        """All operations, in the order of the forward pass."""
        first = () if self.input_dropout is None else (self.input_dropout,)
        of_layers = (op for layer in self.layers for op in layer.operations)
        return (*first, *of_layers, self.cost)


def trace(
    params: model.Params,
    state: model.State,
    x: ArrayLike | model.Columns,
    y: Array,
    key: Array | None = None,
    options: CostOptions = CostOptions(),  # noqa: B008 - immutable
    derivatives: Derivatives = CORRECT,
    share: float = 1.0,
) -> Trace:
    """Makes one forward and one backward pass in training, and records all of it.

    Arguments as for `gradient.gradient`, of which this is the record: cost, gradient and state are
    the same.
    """
    A = model.inputs(x, params[-1].dense.W.dtype, params[0].raw).A
    logits, new_state, caches = model.forward(
        params, state, model.Columns(A), key, options.drop_rate, options.input_drop_rate
    )
    found = _record(params, A, (logits, caches), y, options, derivatives, share)
    at_input = None
    if key is not None and options.input_drop_rate is not None:
        rate = jnp.asarray(options.input_drop_rate, A.dtype)
        _, M = dropout.forward(A, jax.random.fold_in(key, model.INPUTS), rate)
        dD, D = found.layers[0].operations[0]["dA"], caches[0].dense.A
        at_input = _operation("dropout", A=A, M=M, D=D, dD=dD, dA=derivatives.dropout(dD, M))
    return replace(found, input_dropout=at_input, state=new_state)


def trace_prediction(
    params: model.Params, state: model.State, x: ArrayLike | model.Columns, y: Array
) -> Trace:
    """Records how a network predicts, and the gradient of the mean cost of these predictions.

    Args:
        params: as returned by `model.init` or by an update.
        state: as returned by `model.init` or by the previous step.
        x: examples, one per row: `(B, n_in)`, or the result of `model.inputs`.
        y: their labels, `(B,)`.
    """
    first = A = model.inputs(x, params[-1].dense.W.dtype, params[0].raw).A
    caches: list[model.LayerCache] = []
    for layer, bn_state in zip(params, state, strict=True):
        before = after = activated = None
        Z, dense_cache = dense.forward(layer.dense, A)
        if layer.batchnorm is not None and bn_state is not None:
            Z, before = _normalise_by(bn_state, layer.batchnorm, Z)
        A = Z
        if len(caches) < len(params) - 1:
            A, activated = activations.forward(layer.activation, Z)
        if layer.batchnorm_after is not None and bn_state is not None:
            A, after = _normalise_by(bn_state, layer.batchnorm_after, A)
        caches.append(model.LayerCache(dense_cache, before, activated, None, after))
    derivatives = CORRECT._replace(batchnorm=_running_batchnorm)
    found = _record(params, first, (A, tuple(caches)), y, CostOptions(), derivatives, 1.0, state)
    return replace(found, state=state)


def _normalise_by(
    state: BatchNormState, params: BatchNormParams, Z: Array
) -> tuple[Array, BatchNormCache]:
    """Batch norm by the running statistics, with a cache as that of a training pass."""
    inverse_std = 1 / jnp.sqrt(state.var + batchnorm.EPS)
    cache = BatchNormCache(params.gamma, (Z - state.mean) * inverse_std, inverse_std)
    return batchnorm.predict(params, state, Z), cache


def _running_batchnorm(dY: Array, cache: BatchNormCache) -> tuple[Array, BatchNormParams]:
    """The derivative of batch norm whose statistics are constants."""
    gamma, Z_hat, inverse_std = cache
    dgamma = jnp.sum(dY * Z_hat, axis=1, keepdims=True)
    dbeta = jnp.sum(dY, axis=1, keepdims=True)
    return dY * gamma * inverse_std, BatchNormParams(dgamma, dbeta)


def _record(
    params: model.Params,
    A: Array,
    forward: tuple[Array, model.Caches],
    y: Array,
    options: CostOptions,
    derivatives: Derivatives,
    share: float,
    running: model.State | None = None,
) -> Trace:
    """Makes the backward pass after a forward pass, and records both.

    Args:
        params: parameters of the network.
        A: the scaled inputs, `(n_in, B)`.
        forward: the logits and caches of the forward pass.
        y: `(B,)`.
        options: of the cost.
        derivatives: the derivative of each layer.
        share: the fraction of the mini-batch that these examples make up.
        running: the running statistics, if batch norm used them.
    """
    logits, caches = forward
    mean_cost, cost_cache = cost.forward(
        logits, y, options.label_smoothing, options.class_weights, options.log_softmax
    )
    dlogits = derivatives.cost(share, cost_cache)
    passed = _Passed(derivatives)
    gradient = model.backward(dlogits, caches, passed.recording)
    layers = []
    for index, (layer, cache) in enumerate(zip(params, caches, strict=True)):
        operations = _layer(layer, cache, None if running is None else running[index])
        is_last = index == len(params) - 1
        layers.append(LayerTrace("output" if is_last else f"hidden {index + 1}", tuple(operations)))
    _add_derivatives(
        [op for layer in reversed(layers) for op in reversed(layer.operations)], passed
    )
    S, T, weights = cost_cache
    costs = -jnp.sum(T * S, axis=0, keepdims=True)
    arrays: dict[str, Any] = {"logits": logits, "T": T, "S": S, "P": jnp.exp(S), "costs": costs}
    if weights is not None:
        arrays["w"] = weights[None]  # (1, B)
    arrays |= {"cost": jnp.reshape(share * mean_cost, (1, 1)), "dlogits": dlogits}
    if share != 1:
        arrays["share"] = jnp.full((1, 1), share)
    return Trace(A, None, tuple(layers), _operation("cost", **arrays), gradient, ())


def _operation(kind: Kind, called: str = "", **arrays: Any) -> Operation:
    return Operation(kind, called or kind, {k: v for k, v in arrays.items() if v is not None})


def _layer(
    layer: model.Layer, cache: model.LayerCache, running: BatchNormState | None
) -> "list[Operation]":
    """The operations of a layer, with what the forward pass computed."""
    (W, b), A = cache.dense
    Z, _ = dense.forward(layer.dense, A)
    operations = [_operation("dense", A=A, W=W, b=b, Z=Z)]
    if layer.batchnorm is not None and cache.batchnorm is not None:
        operations.append(_normalised(layer.batchnorm, running, Z, cache.batchnorm))
        Z = operations[-1]["Y"]
    if cache.activation is None:
        return operations
    activation = layer.activation or RELU
    A, _ = activation.forward(Z)
    operations.append(_operation("activation", activation.name, Z=Z, A=A))
    if layer.batchnorm_after is not None and cache.batchnorm_after is not None:
        operations.append(_normalised(layer.batchnorm_after, running, A, cache.batchnorm_after))
        A = operations[-1]["Y"]
    if cache.dropout is not None:
        operations.append(_operation("dropout", A=A, M=cache.dropout, D=A * cache.dropout))
    return operations


def _normalised(
    params: BatchNormParams, running: BatchNormState | None, Z: Array, cache: BatchNormCache
) -> Operation:
    if running is None:
        mean = jnp.mean(Z, axis=1, keepdims=True)
        var = jnp.mean(jnp.square(Z - mean), axis=1, keepdims=True)
        Y = params.gamma * cache.Z_hat + params.beta
    else:
        mean, var = running
        Y = batchnorm.predict(params, running, Z)
    return _operation(
        "batch norm" if running is None else "running batch norm",
        Z=Z,
        gamma=params.gamma,
        beta=params.beta,
        mean=mean,
        var=var,
        Z_hat=cache.Z_hat,
        Y=Y,
    )


class _Passed:
    """Derivatives that record what they are given and what they return, in the backward order."""

    def __init__(self, derivatives: Derivatives) -> None:
        self.calls: list[tuple[Array, Array, Any]] = []  # dOutput, dInput, gradient of parameters
        self.recording = derivatives._replace(
            dense=self._with_params(derivatives.dense),
            batchnorm=self._with_params(derivatives.batchnorm),
            activation=self._plain(derivatives.activation),
            dropout=self._plain(derivatives.dropout),
        )

    def _with_params(self, function: Any) -> Any:
        def recorded(d: Array, cache: Any) -> Any:
            d_input, gradient = function(d, cache)
            self.calls.append((d, d_input, gradient))
            return d_input, gradient

        return recorded

    def _plain(self, function: Any) -> Any:
        def recorded(d: Array, cache: Any) -> Array:
            d_input: Array = function(d, cache)
            self.calls.append((d, d_input, None))
            return d_input

        return recorded


# The letters of the derivatives of an operation's output and input.
_DERIVATIVES: dict[Kind, tuple[str, str]] = {
    "dense": ("dZ", "dA"),
    "batch norm": ("dY", "dZ"),
    "running batch norm": ("dY", "dZ"),
    "activation": ("dA", "dZ"),
    "dropout": ("dD", "dA"),
}


def _add_derivatives(operations: "list[Operation]", passed: _Passed) -> None:
    """Adds what the backward pass computed to the operations, which are in its order."""
    for operation, (d_output, d_input, gradient) in zip(operations, passed.calls, strict=True):
        at_output, at_input = _DERIVATIVES[operation.kind]
        operation.arrays[at_output] = d_output
        if gradient is not None:
            named = {f"d{name}": value for name, value in gradient._asdict().items()}
            operation.arrays.update({k: v for k, v in named.items() if v is not None})
        operation.arrays[at_input] = d_input
