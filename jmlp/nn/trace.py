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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any, Literal, NamedTuple

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

# The letters of what an operation reads, and of what it computes.
INPUTS: Mapping[Kind, str] = {
    "dense": "A",
    "batch norm": "Z",
    "running batch norm": "Z",
    "activation": "Z",
    "dropout": "A",
    "cost": "logits",
}
OUTPUTS: Mapping[Kind, str] = {
    "dense": "Z",
    "batch norm": "Y",
    "running batch norm": "Y",
    "activation": "A",
    "dropout": "D",
    "cost": "cost",
}
# The letters of the derivatives of its output and of its input.
_DERIVATIVES: Mapping[Kind, tuple[str, str]] = {
    kind: (f"d{OUTPUTS[kind]}", f"d{letter}") for kind, letter in INPUTS.items()
}
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
    def title(self) -> str:
        """Its name in words, such as "leaky relu"."""
        return self.name.replace("_", " ")

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


# A dictionary as a pytree would lose the order of its letters.
jax.tree_util.register_pytree_node(
    Operation,
    lambda op: (tuple(op.arrays.values()), (op.kind, op.name, tuple(op.arrays))),
    lambda about, arrays: Operation(about[0], about[1], dict(zip(about[2], arrays, strict=True))),
)


@partial(jax.tree_util.register_dataclass, data_fields=["operations"], meta_fields=["name"])
@dataclass(frozen=True, eq=False)
class LayerTrace:
    """The operations of one layer, in the order of the forward pass."""

    name: str  # "hidden 1", …, "output"
    operations: tuple[Operation, ...]


class Link(NamedTuple):
    """A number in a chain."""

    operation: int  # its index in `Trace.operations`
    explanation: cells.Explanation


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Trace:
    """All numbers of one forward and one backward pass; a pytree, so `trace` can be compiled."""

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

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The name of the layer of each operation: "inputs", "hidden 1", …, "output", "cost"."""
        first = () if self.input_dropout is None else ("inputs",)
        of_layers = (layer.name for layer in self.layers for _ in layer.operations)
        return (*first, *of_layers, "cost")

    def place(self, index: int, letter: str) -> str:
        """What stands before the letter in the name of an array.

        It is the layer, as in `hidden 1.dW`; with the operation where the layer computes several
        arrays with this letter, as in `hidden 1 dense.dA` and `hidden 1 dropout.dA`. An array that
        another layer computed has its name there, and what is given to the network is `inputs.A`.

        Args:
            index: of an operation in `operations`.
            letter: of an array of this operation.
        """
        index, letter = self.origin(index, letter)
        if (index, letter) == (0, INPUTS[self.operations[0].kind]):
            return "inputs"
        layer = self.layer_names[index]
        alike = [
            operation.name
            for k, operation in enumerate(self.operations)
            if self.layer_names[k] == layer
            and letter in operation.arrays
            and self.origin(k, letter) == (k, letter)
            and (k, letter) != (0, INPUTS[operation.kind])
        ]
        return layer if len(alike) == 1 else f"{layer} {self.operations[index].title}"

    def name(self, index: int, letter: str) -> str:
        """The name of an array where it was computed, such as `hidden 1.dW`; see `place`."""
        return f"{self.place(index, letter)}.{self.origin(index, letter)[1]}"

    def origin(self, index: int, letter: str) -> tuple[int, str]:
        """The operation that computed an array, and its letter there.

        What an operation reads was computed by the one before it, and the derivative of its output
        by the one after it. Any other array belongs to the operation itself.

        Args:
            index: of an operation in `operations`.
            letter: of an array of this operation.
        """
        operations = self.operations
        kind = operations[index].kind
        if letter == INPUTS[kind] and index > 0:
            return index - 1, OUTPUTS[operations[index - 1].kind]
        if kind != "cost" and letter == _DERIVATIVES[kind][0]:
            return index + 1, f"d{INPUTS[operations[index + 1].kind]}"
        return index, letter

    def chain(self, index: int, letter: str, i: int, j: int) -> tuple[Link, ...]:
        """How a number depends on the cost, or on the inputs, one factor after the other.

        Of each sum the largest term is followed: of a derivative to the derivative in it, back to
        that of the logits; of any other number to the inputs or a parameter.

        Args:
            index: of an operation in `operations`.
            letter: of an array of this operation.
            i: row of the number.
            j: its column.

        Raises:
            KeyError: the operation has no array with this letter.
            IndexError: the array has no such place.
        """
        links = []
        is_derivative = letter.startswith("d")
        while True:
            index, letter = self.origin(index, letter)
            found = self.operations[index].explain(letter, i, j)
            links.append(Link(index, found))
            if not found.terms or letter == "dlogits":
                return tuple(links)
            followed = [
                factor.cell
                for factor in found.largest_first[0].factors
                if factor.cell is not None
                and factor.letter.startswith("d") == is_derivative
                and self._is_computed(index, factor.cell[0])
            ]
            if not followed:
                return tuple(links)
            letter, (i, j) = followed[0]

    def _is_computed(self, index: int, letter: str) -> bool:
        """Whether an array is computed, rather than given as a parameter, an input or a label."""
        index, letter = self.origin(index, letter)
        operation = self.operations[index]
        computes = cells.computes(operation.kind, operation.name, letter)
        return letter in operation.arrays and computes


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
    M = None
    if key is not None and options.input_drop_rate is not None:
        rate = jnp.asarray(options.input_drop_rate, A.dtype)
        _, M = dropout.forward(A, jax.random.fold_in(key, model.INPUTS), rate)
    forward = logits, caches
    found = record(params, A, forward, y, options, derivatives, share, input_mask=M)
    return replace(found, state=new_state)


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
    A = model.inputs(x, params[-1].dense.W.dtype, params[0].raw).A
    forward = compose(params, state, A, running=True)
    return replace(record(params, A, forward, y, running=state), state=state)


class Masks(NamedTuple):
    """The multipliers of dropout in a pass; None: nothing is dropped there."""

    inputs: Array | None = None
    hidden: tuple[Array | None, ...] = ()  # one per hidden layer, or none at all


def compose(
    params: model.Params,
    state: model.State,
    A: Array,
    masks: Masks = Masks(),  # noqa: B008 - immutable
    *,
    running: bool = False,
    taps: Sequence[Array] | None = None,
) -> tuple[Array, model.Caches]:
    """A forward pass with given masks of dropout, to which numbers can be added on its way.

    Args:
        params: parameters of the network.
        state: its running statistics.
        A: the scaled inputs, `(n_in, B)`.
        masks: of dropout.
        running: whether batch norm uses the running statistics, as in a prediction.
        taps: added to the inputs, then to what each operation before the cost computes, each of the
            same shape; None: nothing is added.

    Returns:
        logits `(n_classes, B)`, and the caches for `model.backward`.
    """
    added = iter(()) if taps is None else iter(taps)

    def tap(computed: Array) -> Array:
        return computed if taps is None else computed + next(added)

    def normalise(params: BatchNormParams, bn_state: BatchNormState, Z: Array) -> Any:
        if running:
            Y, cache = _normalise_by(bn_state, params, Z)
        else:
            Y, _, cache = batchnorm.forward(params, bn_state, Z)
        return tap(Y), cache

    A = tap(A)
    if masks.inputs is not None:
        A = tap(A * masks.inputs)
    caches: list[model.LayerCache] = []
    n_hidden = len(params) - 1
    dropped = masks.hidden or (None,) * n_hidden
    for layer, bn_state, M in zip(params[:-1], state, dropped, strict=False):
        before = after = None
        Z, dense_cache = dense.forward(layer.dense, A)
        Z = tap(Z)
        if layer.batchnorm is not None and bn_state is not None:
            Z, before = normalise(layer.batchnorm, bn_state, Z)
        A, activated = activations.forward(layer.activation, Z)
        A = tap(A)
        if layer.batchnorm_after is not None and bn_state is not None:
            A, after = normalise(layer.batchnorm_after, bn_state, A)
        if M is not None:
            A = tap(A * M)
        caches.append(model.LayerCache(dense_cache, before, activated, M, after, layer.raw))
    logits, dense_cache = dense.forward(params[-1].dense, A)
    caches.append(model.LayerCache(dense_cache, None, None, None, raw=params[-1].raw))
    return tap(logits), tuple(caches)


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


def record(
    params: model.Params,
    A: Array,
    forward: tuple[Array, model.Caches],
    y: Array,
    options: CostOptions = CostOptions(),  # noqa: B008 - immutable
    derivatives: Derivatives = CORRECT,
    share: float = 1.0,
    *,
    input_mask: Array | None = None,
    running: model.State | None = None,
) -> Trace:
    """Makes the backward pass after a forward pass, and records both.

    Args:
        params: parameters of the network.
        A: the scaled inputs, `(n_in, B)`, before dropout.
        forward: the logits and caches of the forward pass.
        y: `(B,)`.
        options: of the cost.
        derivatives: the derivative of each layer.
        share: the fraction of the mini-batch that these examples make up.
        input_mask: the multiplier of dropout of the inputs, `(n_in, B)`.
        running: the running statistics, if batch norm used them.
    """
    logits, caches = forward
    if running is not None:
        derivatives = derivatives._replace(batchnorm=_running_batchnorm)
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
    at_input = None
    if input_mask is not None:
        dD, M = layers[0].operations[0]["dA"], input_mask
        dropped = caches[0].dense.A
        at_input = _operation("dropout", A=A, M=M, D=dropped, dD=dD, dA=derivatives.dropout(dD, M))
    return Trace(A, at_input, tuple(layers), _operation("cost", **arrays), gradient, ())


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


def _add_derivatives(operations: "list[Operation]", passed: _Passed) -> None:
    """Adds what the backward pass computed to the operations, which are in its order."""
    for operation, (d_output, d_input, gradient) in zip(operations, passed.calls, strict=True):
        at_output, at_input = _DERIVATIVES[operation.kind]
        operation.arrays[at_output] = d_output
        if gradient is not None:
            named = {f"d{name}": value for name, value in gradient._asdict().items()}
            operation.arrays.update({k: v for k, v in named.items() if v is not None})
        operation.arrays[at_input] = d_input
