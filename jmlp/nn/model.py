"""The network: a loop over layers.

    x -> [ dense -> batch norm (if on) -> activation -> dropout ] x hidden layers -> dense -> logits

Batch norm may also come after the activation, and dropout may also act on x.

`forward` trains: it needs a PRNG key for dropout, uses the statistics of the mini-batch, and
returns what `backward` needs. `predict` uses the running statistics, without a key or dropout. Both
are pure functions of the parameters (learned by gradient descent) and the state (the running
statistics of batch norm).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jmlp.nn import activations as activation_functions
from jmlp.nn import batchnorm, dense, dropout
from jmlp.nn.activations import ACTIVATIONS, RELU, Activation, ActivationCache
from jmlp.nn.batchnorm import BatchNormCache, BatchNormParams, BatchNormState
from jmlp.nn.dense import DenseCache, DenseParams
from jmlp.nn.derivatives import CORRECT, Derivatives
from jmlp.study.config import Hyperparams, per_layer

INPUTS = 2**32 - 1  # stands for the inputs where dropout's keys are numbered by layer


@jax.tree_util.register_static
@dataclass(frozen=True)
class RawInputs:
    """Marks the first layer of a network whose bytes are not scaled, on purpose (`nn.faults`).

    Like an activation, it is part of the structure of the parameters: whoever has them gives the
    network the inputs that it was trained on.
    """


class Layer(NamedTuple):
    """The parameters of one layer."""

    dense: DenseParams
    batchnorm: BatchNormParams | None  # None in the last layer, and where batch norm is off
    batchnorm_after: BatchNormParams | None = None  # in place of `batchnorm`, after the activation
    activation: Activation | None = None  # None: ReLU; the last layer has none
    raw: RawInputs | None = None  # None: bytes are scaled

    @property
    def normalises(self) -> bool:
        """Whether the layer has batch norm."""
        return self.batchnorm is not None or self.batchnorm_after is not None


class LayerCache(NamedTuple):
    """The caches of one layer for `backward`; the last layer has only `dense`."""

    dense: DenseCache
    batchnorm: BatchNormCache | None
    activation: ActivationCache | None
    dropout: Array | None
    batchnorm_after: BatchNormCache | None = None
    raw: RawInputs | None = None  # as in the parameters


class Columns(NamedTuple):
    """Examples that are already transposed and scaled, so several networks can share them."""

    A: Array  # (n_in, B)


Params = tuple[Layer, ...]
State = tuple[BatchNormState | None, ...]  # as long as Params
Caches = tuple[LayerCache, ...]


def init(
    hp: Hyperparams,
    n_in: int,
    n_classes: int,
    key: Array,
    dtype: jnp.dtype | type[jnp.floating] = jnp.float32,
) -> tuple[Params, State]:
    """Draws the parameters of a new network and initialises its state.

    The weights of layer l depend on the key, l and their shape, and on no other hyperparameter: two
    networks initialised from the same key are equal wherever their shapes agree.

    Args:
        hp: hyperparameters; uses `hidden`, `activation`, `batch_norm`, `batch_norm_place`,
            `initialization`, `weight_std` and `training_fault`.
        n_in: number of inputs, 784 for MNIST.
        n_classes: number of outputs, 10 for MNIST.
        key: a PRNG key.
        dtype: dtype of parameters and state.
    """
    sizes = (n_in, *hp.hidden, n_classes)
    layer_activations = activations_of(hp)
    params, state = [], []
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        normalised = hp.batch_norm and layer < len(hp.hidden)
        before = normalised and hp.batch_norm_place == "before"
        std = dense.initial_std(hp.initialization, fan_in, fan_out, hp.weight_std)
        layer_key = jax.random.fold_in(key, layer)
        dense_params = dense.init(
            layer_key, fan_in, fan_out, jnp.asarray(std, dtype), bias=not before
        )
        bn_params, bn_state = (
            batchnorm.init(fan_out, jnp.dtype(dtype)) if normalised else (None, None)
        )
        before_bn, after_bn = (bn_params, None) if before else (None, bn_params)
        activation, raw = layer_activations[layer], raw_inputs_of(hp) if layer == 0 else None
        params.append(Layer(dense_params, before_bn, after_bn, activation, raw))
        state.append(bn_state)
    return tuple(params), tuple(state)


def raw_inputs_of(hp: Hyperparams) -> RawInputs | None:
    """The mark of the first layer, as in `Layer`."""
    return RawInputs() if hp.training_fault == "raw_inputs" else None


def activations_of(hp: Hyperparams) -> tuple[Activation | None, ...]:
    """The activation of each layer, as in `Layer`."""
    names = per_layer(hp.activation, hp.hidden)
    own = [name if isinstance(name, Activation) else ACTIVATIONS[name] for name in names]
    return (*(None if activation is RELU else activation for activation in own), None)


def forward(
    params: Params,
    state: State,
    x: ArrayLike | Columns,
    key: Array | None,
    drop_rate: Array | float | tuple[float, ...] | None,
    input_drop_rate: Array | float | None = None,
) -> tuple[Array, State, Caches]:
    """The forward pass in training.

    Args:
        params: as returned by `init` or by an update.
        state: as returned by `init` or by the previous step.
        x: a mini-batch, one example per row: `(B, n_in)`, `uint8` (scaled to 0–1 here) or
            floating-point; or the result of `inputs`.
        key: the PRNG key of this step's dropout; None leaves dropout out of the program.
        drop_rate: the fraction of hidden units set to zero: a scalar, or `(n_hidden_layers,)`; None
            leaves dropout of hidden units out of the program.
        input_drop_rate: the fraction of inputs set to zero, a scalar; None likewise.

    Returns:
        logits `(n_classes, B)`, the new state, and the caches for `backward`.
    """
    *hidden, last = params
    A = inputs(x, last.dense.W.dtype, params[0].raw).A
    if key is not None and input_drop_rate is not None:
        rate = jnp.asarray(input_drop_rate, A.dtype)
        A, _ = dropout.forward(A, jax.random.fold_in(key, INPUTS), rate)
    if key is not None and drop_rate is not None:
        rates = jnp.broadcast_to(jnp.asarray(drop_rate, A.dtype), (len(hidden),))
    new_state, caches = [], []
    for index, (layer, bn_state) in enumerate(zip(hidden, state, strict=False)):
        new_bn_state = bn_cache = after_cache = dropout_cache = None
        Z, dense_cache = dense.forward(layer.dense, A)
        if layer.batchnorm is not None and bn_state is not None:
            Z, new_bn_state, bn_cache = batchnorm.forward(layer.batchnorm, bn_state, Z)
        A, activation_cache = activation_functions.forward(layer.activation, Z)
        if layer.batchnorm_after is not None and bn_state is not None:
            A, new_bn_state, after_cache = batchnorm.forward(layer.batchnorm_after, bn_state, A)
        if key is not None and drop_rate is not None:
            A, dropout_cache = dropout.forward(A, jax.random.fold_in(key, index), rates[index])
        new_state.append(new_bn_state)
        caches.append(
            LayerCache(
                dense_cache, bn_cache, activation_cache, dropout_cache, after_cache, layer.raw
            )
        )
    Z, dense_cache = dense.forward(last.dense, A)
    caches.append(LayerCache(dense_cache, None, None, None, raw=last.raw))
    return Z, (*new_state, None), tuple(caches)


def backward(dlogits: Array, caches: Caches, derivatives: Derivatives = CORRECT) -> Params:
    """The backward pass: the gradient of the cost, with the structure of the parameters.

    Args:
        dlogits: `(n_classes, B)`, as returned by `cost.backward`.
        caches: as returned by `forward`.
        derivatives: the derivative of each layer.
    """
    *hidden, last = caches
    dA, d_last = derivatives.dense(dlogits, last.dense)
    grads = [Layer(d_last, None, raw=last.raw)]
    for cache in reversed(hidden):
        d_bn = d_after = None
        if cache.dropout is not None:
            dA = derivatives.dropout(dA, cache.dropout)
        if cache.batchnorm_after is not None:
            dA, d_after = derivatives.batchnorm(dA, cache.batchnorm_after)
        assert cache.activation is not None
        dZ = derivatives.activation(dA, cache.activation)
        if cache.batchnorm is not None:
            dZ, d_bn = derivatives.batchnorm(dZ, cache.batchnorm)
        dA, d_dense = derivatives.dense(dZ, cache.dense)
        grads.append(Layer(d_dense, d_bn, d_after, cache.activation.activation, cache.raw))
    return tuple(reversed(grads))


def map_weights(function: Callable[..., Array], params: Params, *others: Params) -> Params:
    """Applies a function to the weights of each dense layer; everything else stays as it is.

    Args:
        function: takes W of a layer `(n_out, n_in)`, and that of `others`; returns the new W.
        params: the parameters, or their gradient.
        others: of the same structure.
    """

    def of_layer(layer: Layer, *same: Layer) -> Layer:
        W = function(layer.dense.W, *(other.dense.W for other in same))
        return layer._replace(dense=layer.dense._replace(W=W))

    return tuple(map(of_layer, params, *others))


def predict(params: Params, state: State, x: ArrayLike | Columns) -> Array:
    """Logits `(B, n_classes)` of examples `x` `(B, n_in)`: no dropout, running statistics."""
    Z, _ = dense.forward(params[-1].dense, activations(params, state, x)[-1])
    return Z.T


def activations(params: Params, state: State, x: ArrayLike | Columns) -> tuple[Array, ...]:
    """The inputs `(n_in, B)` and each hidden layer's output `(n, B)`, as `predict` computes them.

    Args:
        params: parameters of the network.
        state: running statistics of the network.
        x: examples, one per row: `(B, n_in)`.
    """
    *hidden, last = params
    outputs = [inputs(x, last.dense.W.dtype, params[0].raw).A]
    for layer, layer_state in zip(hidden, state, strict=False):
        A = activated(layer, layer_state, outputs[-1])
        if layer.batchnorm_after is not None and layer_state is not None:
            A = batchnorm.predict(layer.batchnorm_after, layer_state, A)
        outputs.append(A)
    return tuple(outputs)


def activated(layer: Layer, layer_state: BatchNormState | None, A: Array) -> Array:
    """What the activation of a hidden layer returns `(n, B)`, as `predict` computes it.

    It is the output of the layer, unless batch norm comes after the activation.

    Args:
        layer: its parameters.
        layer_state: its running statistics.
        A: its inputs `(n_in, B)`.
    """
    Z, _ = dense.forward(layer.dense, A)
    if layer.batchnorm is not None and layer_state is not None:
        Z = batchnorm.predict(layer.batchnorm, layer_state, Z)
    A, _ = activation_functions.forward(layer.activation, Z)
    return A


def inputs(x: ArrayLike | Columns, dtype: jnp.dtype, raw: RawInputs | None = None) -> Columns:
    """Transposes examples from `(B, n_in)` to `(n_in, B)` and scales bytes to 0–1.

    This is the only place where pixels are scaled; training, evaluation and prediction all use it.
    A `Columns` is returned unchanged.

    Args:
        x: examples, one per row.
        dtype: the type of the network's parameters.
        raw: that of the first layer; bytes are not scaled if there is one.
    """
    if isinstance(x, Columns):
        return x
    rows = jnp.asarray(x)
    is_scaled = rows.dtype == jnp.uint8 and raw is None
    scaled = rows.astype(dtype) / 255 if is_scaled else rows.astype(dtype)
    return Columns(scaled.T)
