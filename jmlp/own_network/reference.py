"""A multilayer perceptron in NumPy, and its gradient with the mistakes that people make.

    Z_l = W_l A_(l-1) + b_l     A_l = f(Z_l), A_0 = x     P = softmax(Z_L)     T = one-hot labels

    dZ_L = (P - T) / B          dW_l = dZ_l A_(l-1)^T     db_l = sum of dZ_l over examples
                                dA_l = W_(l+1)^T dZ_(l+1) dZ_l = dA_l f'(Z_l)

Columns are examples. A mistake is a change of one of these equations, in one layer or in several:
a `Site` is an equation of a layer, and `gradient` is computed with any mistakes at any sites.
`MISTAKES` has each with the words in which it is explained.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jmlp.own_network.notation import Notation
from jmlp.study import mistakes as mistakes_in_training

Array = NDArray[np.float64]
RATE = 0.1  # of the update that "updated_weights" makes too early
# The equations, in the order in which they are used: of dZ_L, of dA and dZ of a hidden layer, and
# of the two derivatives of a layer's parameters, from which nothing else is computed.
Equation = Literal["output", "passing", "slope", "bias", "weights"]


class Site(NamedTuple):
    """An equation of one layer, where a mistake is made."""

    equation: Equation
    layer: int  # from 1


Made = Mapping[Site, str]  # the name of the mistake that is made there


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
    """A mistake in one equation, in the words that explain it."""

    name: str
    equation: Equation  # that it changes
    what: str  # what the code does, as the end of a sentence that begins with "it"
    remedy: str


def _as_in_training(name: str, equation: Equation, fault: str) -> Mistake:
    """A mistake that jmlp's own networks can be trained with, in the same words."""
    found = mistakes_in_training.find(fault)
    return Mistake(name, equation, found.what, found.remedy)


# The most likely first. Equations in braces are replaced by those of the file, see `Notation`.
MISTAKES: tuple[Mistake, ...] = (
    _as_in_training("summed", "output", "batch_mean"),
    Mistake(
        "mean_twice",
        "output",
        "divides by the number of examples twice",
        "divide by B only once: in dZ of the output layer, or in dW and db, not in both",
    ),
    Mistake(
        "sign",
        "output",
        "has the opposite sign",
        "dZ of the output layer is P - T, softmax minus one-hot; the update subtracts the gradient",
    ),
    Mistake(
        "no_one_hot",
        "output",
        "uses the softmax itself as dZ of the output layer",
        "subtract the one-hot labels: dZ = (P - T) / B",
    ),
    Mistake(
        "labels_shifted",
        "output",
        "subtracts 1 at the class after the label",
        "count classes from 0 in the one-hot labels, as in the cost",
    ),
    Mistake(
        "labels_before",
        "output",
        "subtracts 1 at the class before the label",
        "count classes from 0 in the one-hot labels, as in the cost",
    ),
    Mistake(
        "softmax_slope",
        "output",
        "multiplies P - T by P (1 - P), the slope of a sigmoid",
        "P - T is the derivative of softmax and cross-entropy together: leave the factor out",
    ),
    Mistake(
        "softmax_jacobian",
        "output",
        "passes P - T back through softmax once more",
        "P - T is the derivative of softmax and cross-entropy together: leave softmax's own out",
    ),
    _as_in_training("no_slope", "slope", "relu_mask"),
    Mistake(
        "slope_inverted",
        "slope",
        "sets the derivative to 0 where Z is positive, instead of where it is negative",
        "the slope of ReLU is 1 where Z > 0: dZ = dA * (Z > 0)",
    ),
    Mistake(
        "slope_is_z",
        "slope",
        "multiplies dA by Z itself, instead of by the slope f'(Z)",
        "multiply by f'(Z): for ReLU that is the comparison Z > 0, which is 0 or 1",
    ),
    Mistake(
        "slope_is_a",
        "slope",
        "multiplies dA by A, instead of by the slope f'(Z)",
        "multiply by f'(Z): for ReLU that is the comparison Z > 0, which is 0 or 1",
    ),
    Mistake(
        "slope_of_derivative",
        "slope",
        "sets the derivative to 0 where dA is negative, instead of where Z is",
        "ReLU's mask belongs to the forward pass: dZ = dA * (Z > 0)",
    ),
    Mistake(
        "slope_at_output",
        "output",
        "applies the derivative of the activation at the output layer too",
        "the output layer has softmax, and its derivative is P - T: multiply only hidden layers",
    ),
    Mistake(
        "slope_of_activated",
        "slope",
        "computes the slope f' at A instead of Z: the activation was applied twice",
        "f'(Z) in terms of A is A (1 - A) for a sigmoid, 1 - A^2 for tanh",
    ),
    Mistake(
        "slope_from_z",
        "slope",
        "computes the slope from Z by the formula that is for A",
        "use A in 1 - A^2 (tanh) or A (1 - A) (sigmoid), where A = f(Z)",
    ),
    _as_in_training("bias_of_last", "bias", "bias_of_last"),
    Mistake(
        "bias_of_first",
        "bias",
        "has the derivative of one example, the first one, as that of the biases",
        "add up dZ over all examples: db = sum of dZ along the examples",
    ),
    _as_in_training("bias_mean", "bias", "bias_mean"),
    Mistake(
        "bias_total",
        "bias",
        "adds up dZ over units as well as examples, so that all biases of a layer get one number",
        "add up along the examples only ({along})",
    ),
    Mistake(
        "bias_zero",
        "bias",
        "does not compute the derivative of the biases",
        "db = sum of dZ along the examples",
    ),
    Mistake(
        "bias_summed",
        "bias",
        "does not divide the derivative of the biases by the number of examples",
        "db has the factor 1 / B as well as dW: best in dZ of the output layer, for both",
    ),
    Mistake(
        "bias_over_units",
        "bias",
        "divides the derivative of the biases by the number of units of their layer",
        "db is the sum of dZ along the examples, and the only factor is the 1 / B in dZ",
    ),
    Mistake(
        "bias_over_inputs",
        "bias",
        "divides the derivative of the biases by the number of inputs of their layer",
        "db is the sum of dZ along the examples, and the only factor is the 1 / B in dZ",
    ),
    Mistake(
        "bias_over_next",
        "bias",
        "divides the derivative of the biases by the number of units of the next layer",
        "db is the sum of dZ along the examples, and the only factor is the 1 / B in dZ",
    ),
    Mistake(
        "bias_over_classes",
        "bias",
        "divides the derivative of the biases by the number of classes",
        "db is the sum of dZ along the examples, and the only factor is the 1 / B in dZ",
    ),
    Mistake(
        "before_activation",
        "weights",
        "multiplies dZ by the Z of the layer before, instead of its A",
        "dW = {dW}, with what the layer before passed on: after the activation",
    ),
    Mistake(
        "own_activation",
        "weights",
        "multiplies dZ by the A of its own layer, instead of the layer before",
        "dW = {dW}, with what the layer before passed on",
    ),
    Mistake(
        "weights_mean",
        "weights",
        "divides the derivative of the weights by the number of examples twice",
        "dZ has the factor 1 / B already: dW = {dW}",
    ),
    Mistake(
        "weights_summed",
        "weights",
        "does not divide the derivative of the weights by the number of examples",
        "dW has the factor 1 / B as well as db: best in dZ of the output layer, for both",
    ),
    Mistake(
        "last_example",
        "output",
        "is that of the last example of the mini-batch alone",
        "use the whole mini-batch: an assignment in a loop over examples needs +=",
    ),
    Mistake(
        "first_example",
        "output",
        "is that of the first example of the mini-batch alone",
        "use the whole mini-batch: check for a return within a loop, or an index 0",
    ),
    Mistake(
        "weights_transposed", "passing", "multiplies dZ by {not_W} instead of {W}", "dA = {dA}"
    ),
    Mistake(
        "mean_again",
        "passing",
        "divides by the number of examples once more in a hidden layer",
        "the factor 1 / B of the output layer is in every dZ already: dA = {dA}",
    ),
    _as_in_training("updated_weights", "passing", "updated_weights"),
)

# In other words where the cost is the sum over examples.
OF_A_SUM: Mapping[str, tuple[str, str]] = {
    "mean_twice": (
        "divides by the number of examples, although the cost is their sum",
        "let the cost be the mean too: that keeps the step from growing with the mini-batch",
    ),
    "bias_mean": (
        "takes the mean of dZ for the biases, although the cost is the sum over examples",
        "db = sum of dZ along the examples",
    ),
    "weights_mean": (
        "divides the derivative of the weights by B, although the cost is the sum over examples",
        "dW = {dW}",
    ),
}


def mistakes(
    network: Network, notation: Notation, cost_is_sum: bool = False
) -> tuple[Mistake, ...]:
    """The mistakes that can be made in a network: `MISTAKES`, and slopes of others.

    Args:
        network: their number of layers and activation decide which slopes there are.
        notation: of the file, in which the remedies are written.
        cost_is_sum: whether the user's cost is the sum over examples, not the mean.
    """
    found = [*MISTAKES, *_other_layers(network), *_other_activations(network)]
    if cost_is_sum:
        found = [_of_a_sum(mistake) for mistake in found]
    return tuple(
        replace(one, what=notation.written(one.what), remedy=notation.written(one.remedy))
        for one in found
    )


def _of_a_sum(mistake: Mistake) -> Mistake:
    what, remedy = OF_A_SUM.get(mistake.name, (mistake.what, mistake.remedy))
    return replace(mistake, what=what, remedy=remedy)


def _other_activations(network: Network) -> Iterator[Mistake]:
    for name in ACTIVATIONS:
        if name != network.activation:
            yield Mistake(
                f"slope of {name}",
                "slope",
                f"uses the derivative of {name.replace('_', ' ')}, but the activation is "
                f"{network.activation.replace('_', ' ')}",
                "use the derivative of the activation of the forward pass",
            )


def _other_layers(network: Network) -> Iterator[Mistake]:
    """The slope at another layer's Z; how far away that layer is makes the mistake."""
    n_layers = len(network.weights)
    for away in sorted((*range(1 - n_layers, 0), *range(1, n_layers)), key=abs):
        way = "before" if away < 0 else "after"
        which = f"the layer {way}" if abs(away) == 1 else f"{abs(away)} layers {way}"
        yield Mistake(
            f"slope at layer {away:+}",
            "slope",
            f"computes the slope at the Z of {which}, instead of at that of its own layer",
            "the Z in dZ = dA * f'(Z) is that of the same layer as dA and dZ",
        )


def sites(network: Network, mistake: Mistake) -> tuple[Site, ...]:
    """Where a mistake can be made in a network, going backward from the cost."""
    n_layers = len(network.weights)
    layers = {
        "output": range(n_layers, n_layers - 1, -1),
        "passing": range(n_layers - 1, 0, -1),
        "slope": range(n_layers - 1, 0, -1),
        "bias": range(n_layers, 0, -1),
        "weights": range(n_layers, 0, -1),
    }[mistake.equation]
    return tuple(
        Site(mistake.equation, layer) for layer in layers if _fits(network, mistake.name, layer)
    )


def _fits(network: Network, name: str, layer: int) -> bool:
    """Whether the arrays of a mistake in a layer have shapes that fit."""
    W, units = network.weights, [len(network.x), *map(len, network.biases)]
    if name == "weights_transposed":
        return len(W[layer]) == units[layer]
    if name.startswith("slope at layer"):
        other = layer + int(name.rsplit(" ", 1)[1])
        return 0 <= other < len(units) and units[other] == units[layer]
    if name == "before_activation":
        return layer > 1
    if name == "own_activation":
        return layer < len(W) and units[layer] == units[layer - 1]
    if name == "bias_over_next":
        return layer < len(W)
    return True


def everywhere(network: Network, mistake: Mistake) -> Made:
    """A mistake wherever it can be made."""
    return dict.fromkeys(sites(network, mistake), mistake.name)


def gradient(network: Network, made: Made | None = None, rate: float = RATE) -> list[Array]:
    """dW_1, db_1, …, dW_L, db_L, with mistakes.

    Args:
        network: parameters and mini-batch.
        made: the mistakes, by the equations that they change; None: none.
        rate: the learning rate of "updated_weights".
    """
    made = made or {}
    Z, A, P = network.forward()
    n_layers = len(network.weights)
    dZ = _at_output(network, P, Z[-1], made.get(Site("output", n_layers), ""))
    gradients: list[Array] = []
    for layer in range(n_layers, 0, -1):
        dW = _of_weights(dZ, layer, Z, A, made.get(Site("weights", layer), ""))
        db = _of_biases(network, dZ, layer, made.get(Site("bias", layer), ""))
        gradients[:0] = [dW, db]
        if layer > 1:
            W = network.weights[layer - 1]
            dA = _passed(W, dZ, dW, rate, made.get(Site("passing", layer - 1), ""))
            dZ = dA * _slope(network, dA, layer - 1, Z, made.get(Site("slope", layer - 1), ""))
    return gradients


def _at_output(network: Network, P: Array, Z: Array, mistake: str) -> Array:
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
            found = (P - T) * ACTIVATIONS[network.activation].slope(Z) / n
        case "last_example" | "first_example":
            only = np.zeros(n)
            only[-1 if mistake == "last_example" else 0] = 1
            found = (P - T) * only
        case _:
            found = (P - T) / n
    return np.asarray(found)


def _of_weights(
    dZ: Array, layer: int, Z: Sequence[Array], A: Sequence[Array], mistake: str
) -> Array:
    """Returns dW of a layer."""
    match mistake:
        case "before_activation":
            read = Z[layer - 2]
        case "own_activation":
            read = A[layer]
        case _:
            read = A[layer - 1]
    factor = {"weights_mean": 1 / dZ.shape[1], "weights_summed": dZ.shape[1]}.get(mistake, 1)
    return np.asarray(dZ @ read.T * factor)


def _of_biases(network: Network, dZ: Array, layer: int, mistake: str) -> Array:
    """Returns db of a layer, (n_out, 1)."""
    n_out, n_in = network.weights[layer - 1].shape
    db = dZ.sum(axis=1, keepdims=True)
    match mistake:
        case "bias_of_last":
            db = dZ[:, -1:]
        case "bias_of_first":
            db = dZ[:, :1]
        case "bias_mean":
            db = db / dZ.shape[1]
        case "bias_total":
            db = np.full_like(db, dZ.sum())
        case "bias_zero":
            db = np.zeros_like(db)
        case "bias_summed":
            db = db * dZ.shape[1]
        case "bias_over_units":
            db = db / n_out
        case "bias_over_inputs":
            db = db / n_in
        case "bias_over_next":
            db = db / len(network.biases[layer])
        case "bias_over_classes":
            db = db / len(network.biases[-1])
    return np.asarray(db)


def _passed(W: Array, dZ: Array, dW: Array, rate: float, mistake: str) -> Array:
    """Returns dA of the layer before."""
    match mistake:
        case "weights_transposed":
            dA = W @ dZ
        case "updated_weights":
            dA = (W - rate * dW).T @ dZ
        case "mean_again":
            dA = W.T @ dZ / dZ.shape[1]
        case _:
            dA = W.T @ dZ
    return np.asarray(dA)


def _slope(network: Network, dA: Array, layer: int, Z: Sequence[Array], mistake: str) -> Array:
    """Returns that by which dA of a hidden layer is multiplied."""
    f, own = ACTIVATIONS[network.activation], Z[layer - 1]
    if mistake.startswith("slope at layer"):
        return f.slope([network.x, *Z][layer + int(mistake.rsplit(" ", 1)[1])])
    match mistake:
        case "no_slope":
            return np.ones_like(own)
        case "slope_inverted":
            return f.slope(-own)
        case "slope_is_z":
            return own
        case "slope_is_a":
            return f.value(own)
        case "slope_of_derivative":
            return np.where(dA > 0, 1.0, 0.0)
        case "slope_of_activated":
            return f.slope(f.value(own))
        case "slope_from_z":
            if f is ACTIVATIONS["tanh"]:
                return 1 - own**2
            if f is ACTIVATIONS["sigmoid"]:
                return own * (1 - own)
    other = ACTIVATIONS.get(mistake.removeprefix("slope of "))
    return (other or f).slope(own)
