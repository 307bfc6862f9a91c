"""A multilayer perceptron in NumPy, and its gradient with the mistakes that people make.

    Z_l = W_l A_(l-1) + b_l     A_l = f(Z_l), A_0 = x     P = softmax(Z_L)     T = one-hot labels

    dZ_L = (P - T) / B          dW_l = dZ_l A_(l-1)^T     db_l = sum of dZ_l over examples
                                dA_l = W_(l+1)^T dZ_(l+1) dZ_l = dA_l f'(Z_l)

Columns are examples. A mistake is a change of one of these equations; `MISTAKES` has each with the
words in which it is explained. A user's gradient that equals the gradient with a mistake, in every
parameter, was made by this mistake, or by one with the same effect.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jmlp.study import mistakes as mistakes_in_training

Array = NDArray[np.float64]
RATE = 0.1  # of the update that "updated_weights" makes too early


class Function(NamedTuple):
    """An activation and its slope, both as functions of Z."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def _sigmoid(Z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-Z)))


ACTIVATIONS: Mapping[str, Function] = {
    "relu": Function(lambda Z: np.maximum(Z, 0), lambda Z: np.where(Z > 0, 1.0, 0.0)),
    "tanh": Function(np.tanh, lambda Z: 1 - np.tanh(Z) ** 2),
    "sigmoid": Function(_sigmoid, lambda Z: _sigmoid(Z) * (1 - _sigmoid(Z))),
    "leaky_relu": Function(
        lambda Z: np.where(Z > 0, Z, 0.01 * Z), lambda Z: np.where(Z > 0, 1.0, 0.01)
    ),
}


@dataclass(frozen=True)
class Network:
    """Parameters and a mini-batch: everything from which a gradient is computed."""

    weights: Sequence[Array]  # W_1 … W_L, (n_out, n_in)
    biases: Sequence[Array]  # b_1 … b_L, (n_out, 1)
    x: Array  # (n_in, B)
    labels: NDArray[np.int64]  # (B,)
    activation: str  # of the hidden layers, a key of `ACTIVATIONS`

    @property
    def one_hot(self) -> Array:
        """T, `(C, B)`."""
        classes = np.arange(len(self.biases[-1]))[:, None]
        return np.asarray(self.labels[None, :] == classes, np.float64)

    def forward(self) -> tuple[list[Array], list[Array], Array]:
        """Z_1 … Z_L, A_0 … A_(L-1), and P."""
        A, Z = [self.x], []
        for W, b in zip(self.weights, self.biases, strict=True):
            Z.append(W @ A[-1] + b)
            A.append(ACTIVATIONS[self.activation].value(Z[-1]))
        shifted = np.exp(Z[-1] - Z[-1].max(axis=0))
        return Z, A[:-1], shifted / shifted.sum(axis=0)

    def cost(self) -> float:
        """The mean cross-entropy in nats."""
        *_, P = self.forward()
        return float(-np.mean(np.log(np.sum(P * self.one_hot, axis=0))))


@dataclass(frozen=True)
class Mistake:
    """A mistake, in the words that explain it."""

    name: str
    what: str  # what the code does, as the end of a sentence that begins with "it"
    remedy: str


def _as_in_training(name: str, fault: str) -> Mistake:
    """A mistake that jmlp's own networks can be trained with, in the same words."""
    found = mistakes_in_training.find(fault)
    return Mistake(name, found.what, found.remedy)


MISTAKES: tuple[Mistake, ...] = (
    _as_in_training("summed", "batch_mean"),
    Mistake(
        "mean_twice",
        "divides by the number of examples twice",
        "divide by B only once: in dZ of the output layer, or in dW and db, not in both",
    ),
    Mistake(
        "sign",
        "has the opposite sign",
        "dZ of the output layer is P - T, softmax minus one-hot; the update subtracts the gradient",
    ),
    Mistake(
        "no_one_hot",
        "uses the softmax itself as dZ of the output layer",
        "subtract the one-hot labels: dZ = (P - T) / B",
    ),
    Mistake(
        "labels_shifted",
        "subtracts 1 at the class after the label",
        "count classes from 0 in the one-hot labels, as in the cost",
    ),
    Mistake(
        "labels_before",
        "subtracts 1 at the class before the label",
        "count classes from 0 in the one-hot labels, as in the cost",
    ),
    Mistake(
        "softmax_slope",
        "multiplies P - T by P (1 - P), the slope of a sigmoid",
        "P - T is the derivative of softmax and cross-entropy together: leave the factor out",
    ),
    Mistake(
        "softmax_jacobian",
        "passes P - T back through softmax once more",
        "P - T is the derivative of softmax and cross-entropy together: leave softmax's own out",
    ),
    _as_in_training("no_slope", "relu_mask"),
    Mistake(
        "slope_of_derivative",
        "sets the derivative to 0 where dA is negative, instead of where Z is",
        "ReLU's mask belongs to the forward pass: dZ = dA * (Z > 0)",
    ),
    Mistake(
        "slope_at_output",
        "applies the derivative of the activation at the output layer too",
        "the output layer has softmax, and its derivative is P - T: multiply only hidden layers",
    ),
    Mistake(
        "slope_of_activated",
        "computes the slope f' at A instead of Z: the activation was applied twice",
        "f'(Z) in terms of A is A (1 - A) for a sigmoid, 1 - A^2 for tanh",
    ),
    Mistake(
        "slope_from_z",
        "computes the slope from Z by the formula that is for A",
        "use A in 1 - A^2 (tanh) or A (1 - A) (sigmoid), where A = f(Z)",
    ),
    _as_in_training("bias_of_last", "bias_of_last"),
    Mistake(
        "bias_of_first",
        "has the derivative of one example, the first one, as that of the biases",
        "add up dZ over all examples: db = sum of dZ along the examples",
    ),
    _as_in_training("bias_mean", "bias_mean"),
    Mistake(
        "bias_total",
        "adds up dZ over units as well as examples, so that all biases of a layer get one number",
        "add up along the examples only (axis=1, or axis=0 if examples are rows), keepdims=True",
    ),
    Mistake(
        "bias_zero",
        "does not compute the derivative of the biases",
        "db = sum of dZ along the examples",
    ),
    Mistake(
        "before_activation",
        "multiplies dZ by the Z of the layer before, instead of its A",
        "dW = dZ A^T, with what the layer before passed on: after the activation",
    ),
    Mistake(
        "last_example",
        "is that of the last example of the mini-batch alone",
        "use the whole mini-batch: an assignment in a loop over examples needs +=",
    ),
    Mistake(
        "first_example",
        "is that of the first example of the mini-batch alone",
        "use the whole mini-batch: check for a return within a loop, or an index 0",
    ),
    _as_in_training("weights_transposed", "weights_transposed"),
    _as_in_training("updated_weights", "updated_weights"),
)


def mistakes(network: Network) -> tuple[Mistake, ...]:
    """The mistakes that can be made in a network: `MISTAKES`, and slopes of other activations."""
    others = tuple(
        Mistake(
            f"slope of {name}",
            f"uses the derivative of {name.replace('_', ' ')}, but the activation is "
            f"{network.activation.replace('_', ' ')}",
            "use the derivative of the activation of the forward pass",
        )
        for name in ACTIVATIONS
        if name != network.activation
    )
    return (*MISTAKES, *others)


def gradient(network: Network, mistake: str = "", rate: float = RATE) -> list[Array]:
    """dW_1, db_1, …, dW_L, db_L, with a mistake in one equation.

    Args:
        network: parameters and mini-batch.
        mistake: the name of one of `mistakes`; empty: none.
        rate: the learning rate of "updated_weights".
    """
    Z, A, P = network.forward()
    f = ACTIVATIONS[network.activation]
    dZ = _at_output(network, P, Z[-1], f, mistake)
    gradients: list[Array] = []
    for index in reversed(range(len(network.weights))):
        W = network.weights[index]
        read = Z[index - 1] if mistake == "before_activation" and index else A[index]
        dW, db = _of_layer(dZ, read, mistake)
        gradients[:0] = [dW, db]
        if index == 0:
            break
        passing = W - rate * dW if mistake == "updated_weights" else W
        if mistake == "weights_transposed" and W.shape[0] == W.shape[1]:
            passing = W.T  # others would not fit
        dA = passing.T @ dZ
        dZ = dA * _slope(f, Z[index - 1], dA, mistake)
    return gradients


def _at_output(network: Network, P: Array, Z: Array, f: Function, mistake: str) -> Array:
    """Returns dZ of the output layer."""
    T, n = network.one_hot, P.shape[1]
    match mistake:
        case "summed":
            found = P - T
        case "mean_twice":
            found = (P - T) / n**2
        case "sign":
            found = (T - P) / n
        case "no_one_hot":
            found = P / n
        case "labels_shifted":
            found = (P - np.roll(T, 1, axis=0)) / n
        case "labels_before":
            found = (P - np.roll(T, -1, axis=0)) / n
        case "softmax_slope":
            found = (P - T) * P * (1 - P) / n
        case "softmax_jacobian":
            found = P * ((P - T) - np.sum(P * (P - T), axis=0)) / n
        case "slope_at_output":
            found = (P - T) * f.slope(Z) / n
        case "last_example" | "first_example":
            only = np.zeros(n)
            only[-1 if mistake == "last_example" else 0] = 1
            found = (P - T) * only
        case _:
            found = (P - T) / n
    return np.asarray(found)


def _of_layer(dZ: Array, A: Array, mistake: str) -> tuple[Array, Array]:
    """Returns dW and db of a layer."""
    dW, db = dZ @ A.T, dZ.sum(axis=1, keepdims=True)
    match mistake:
        case "bias_of_last":
            db = dZ[:, -1:]
        case "bias_of_first":
            db = dZ[:, :1]
        case "bias_mean":
            db = dZ.mean(axis=1, keepdims=True)
        case "bias_total":
            db = np.full_like(db, dZ.sum())
        case "bias_zero":
            db = np.zeros_like(db)
    return dW, db


def _slope(f: Function, Z: Array, dA: Array, mistake: str) -> Array:
    match mistake:
        case "no_slope":
            return np.ones_like(Z)
        case "slope_of_derivative":
            return np.where(dA > 0, 1.0, 0.0)
        case "slope_of_activated":
            return f.slope(f.value(Z))
        case "slope_from_z":
            if f is ACTIVATIONS["tanh"]:
                return 1 - Z**2
            if f is ACTIVATIONS["sigmoid"]:
                return Z * (1 - Z)
    other = ACTIVATIONS.get(mistake.removeprefix("slope of "))
    return (other or f).slope(Z)
