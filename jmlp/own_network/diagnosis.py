"""Says which gradients of a user's network are wrong, in what way, and by which mistake.

First the gradient is compared with central differences, parameter by parameter. If the network is
a multilayer perceptron with softmax, its gradient is also computed by `reference`, with each of the
usual mistakes: a mistake that gives the user's numbers, in all parameters that are wrong, explains
them. Otherwise the pattern of the error is described: a constant factor, a transpose, single rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from jmlp.own_network import reference
from jmlp.own_network.records import Array, Leaf, Measured
from jmlp.own_network.reference import Mistake, Network

TOLERANCE = 1e-5  # of a relative error; central differences in float64 have about 1e-9
SAME = 1e-6  # relative difference up to which two gradients are the same


@dataclass(frozen=True)
class LeafCheck:
    """The gradient of one parameter."""

    name: str
    shape: tuple[int, ...]
    error: float | None  # relative to the larger norm; None: it cannot be compared
    pattern: str  # what is wrong, in one sentence; empty: nothing, or no pattern was recognised

    @property
    def ok(self) -> bool:
        """Whether it is within tolerance; NaN never is."""
        return self.error is not None and self.error <= TOLERANCE


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about a user's network."""

    leaves: tuple[LeafCheck, ...]  # in the order of the parameters
    first_wrong: str  # the first parameter that is wrong, going backward from the cost; or empty
    mistakes: tuple[Mistake, ...]  # that explain all that is wrong, the most likely first
    activation: str  # of the hidden layers, if the network is one that `reference` knows
    remarks: tuple[str, ...]  # on what no gradient can show

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(leaf.ok for leaf in self.leaves)


def diagnose(measured: Measured) -> Diagnosis:
    """Compares the gradients of a user's network, and explains what is wrong with them."""
    total = float(np.sqrt(sum(np.sum(leaf.differences**2) for leaf in measured.leaves)))
    checks = [_check(leaf, total, len(measured.y)) for leaf in measured.leaves]
    wrong = [check.name for check in checks if not check.ok]
    network = _as_reference(measured)
    mistakes = tuple(_explanations(measured, network, checks)) if wrong and network else ()
    backwards = [leaf.name for leaf in reversed(_by_layer(measured) or measured.leaves)]
    return Diagnosis(
        tuple(checks),
        next((name for name in backwards if name in wrong), ""),
        mistakes,
        network.activation if network else "",
        tuple(_remarks(measured, network)),
    )


# ---- one parameter


def _check(leaf: Leaf, total: float, n_examples: int) -> LeafCheck:
    expected = leaf.differences
    if leaf.gradient is None:
        what = f"is {leaf.problem}, not an array of numbers" if leaf.problem else "is missing"
        return LeafCheck(leaf.name, expected.shape, None, f"it {what}")
    found = leaf.gradient
    if found.size == expected.size and _flat_shape(found) == _flat_shape(expected):
        found = found.reshape(expected.shape)  # (n,), (n, 1) and (1, n) are one
    if found.shape != expected.shape:
        pattern = _of_shape(found, expected, n_examples)
        return LeafCheck(leaf.name, expected.shape, None, pattern)
    error = _error(found, expected, total)
    pattern = "" if error <= TOLERANCE else _pattern(found, leaf, total, n_examples)
    return LeafCheck(leaf.name, expected.shape, error, pattern)


def _error(found: Array, expected: Array, total: float) -> float:
    norms = float(np.linalg.norm(found)), float(np.linalg.norm(expected))
    scale = max(*norms, 1e-8 * total, 1e-300)
    return float(np.linalg.norm(found - expected) / scale)


def _flat_shape(array: Array) -> tuple[int, ...]:
    return tuple(n for n in array.shape if n != 1)


def _is(found: Array, expected: Array, total: float) -> bool:
    return found.shape == expected.shape and _error(found, expected, total) <= TOLERANCE


def _of_shape(found: Array, expected: Array, n_examples: int) -> str:
    """What is wrong with a gradient of another shape."""
    shapes = f"its shape is {found.shape}, that of the parameter {expected.shape}"
    total = float(np.linalg.norm(expected))
    if found.ndim == 2 and _is(found.T, expected, total):
        return f"{shapes}: it is transposed"
    n = expected.size
    if found.size == 1:
        return f"{shapes}: it is added up over the units as well as the examples"
    if found.size == n * n_examples:
        for axis in range(found.ndim):
            summed = found.sum(axis=axis)
            if summed.size == n and _is(summed.reshape(expected.shape), expected, total):
                return f"{shapes}: it is not summed over the {n_examples} examples"
        return f"{shapes}: it seems not to be summed over the {n_examples} examples"
    return shapes


def _pattern(found: Array, leaf: Leaf, total: float, n_examples: int) -> str:
    """The pattern of the error of a gradient of the right shape."""
    expected = leaf.differences
    if not np.isfinite(found).all():
        return f"{np.count_nonzero(~np.isfinite(found))} of its numbers are not finite"
    if not found.any():
        return "it is 0 everywhere"
    if found.ndim == 2 and found.shape[0] == found.shape[1] and _is(found.T, expected, total):
        return "it is transposed"
    factor = float(np.sum(found * expected) / max(np.sum(expected * expected), 1e-300))
    if factor and _is(found / factor, expected, total):
        return f"it is {_factor_text(factor, n_examples)} times the right one everywhere"
    if text := _missing_penalty(found, leaf, total):
        return text
    if text := _of_single_lines(found, expected, total):
        return text
    wrong = ~np.isclose(found, expected, rtol=1e-4, atol=1e-8 * total)
    if (found[wrong] == 0).all():
        return f"{wrong.sum()} of its {wrong.size} numbers are 0 and should not be"
    if (np.abs(expected[wrong]) <= 1e-8 * total).all():
        return f"{wrong.sum()} of its {wrong.size} numbers should be 0 and are not"
    if np.allclose(np.abs(found), np.abs(expected), rtol=1e-4, atol=1e-8 * total):
        return f"{wrong.sum()} of its {wrong.size} numbers have the wrong sign"
    n = "all" if wrong.all() else f"{wrong.sum()}"
    return f"{n} of its {wrong.size} numbers are wrong, without a common factor"


def _factor_text(factor: float, n_examples: int) -> str:
    """A factor, and what it may be: `7 = B, the number of examples,`."""
    known = {
        n_examples: "B, the number of examples,",
        1 / n_examples: "1 / B, where B is the number of examples,",
        n_examples**2: "B squared, where B is the number of examples,",
        -1: "the opposite sign:",
        2: "a factor of 2:",
        0.5: "a factor of 1/2:",
    }
    for value, words in known.items():
        if abs(factor / value - 1) < 1e-5:
            return f"{words} {value:.4g}" if words.endswith(":") else f"{value:.4g} ({words[:-1]})"
    return f"{factor:.4g}"


def _missing_penalty(found: Array, leaf: Leaf, total: float) -> str:
    """Whether the error is a multiple of the parameter: an L2 penalty that only the cost has."""
    lack = leaf.differences - found
    rate = float(np.sum(lack * leaf.value) / max(np.sum(leaf.value**2), 1e-300))
    if abs(rate) > 1e-6 and _error(found + rate * leaf.value, leaf.differences, total) <= TOLERANCE:
        if rate > 0:
            return f"it lacks {rate:.4g} times the parameter: the derivative of an L2 penalty"
        return f"it has {-rate:.4g} times the parameter too much, as of an L2 penalty"
    return ""


def _of_single_lines(found: Array, expected: Array, total: float) -> str:
    """Whether all that is wrong is in one row or column, or in the rows of some units."""
    if found.ndim != 2 or min(found.shape) < 2:
        return ""
    wrong = ~np.isclose(found, expected, rtol=1e-4, atol=1e-8 * total)
    for axis, line in ((1, "row"), (0, "column")):
        lines = np.flatnonzero(wrong.any(axis=axis))
        if len(lines) == 1 and found.shape[1 - axis] > 1:
            return f"only {line} {lines[0]} is wrong"
    return ""


# ---- the whole gradient


def _by_layer(measured: Measured) -> tuple[Leaf, ...]:
    """W_1, b_1, …, W_L, b_L; empty if the parameters are not those of such a network."""
    pairs = list(pairwise(measured.sizes))
    weights = [leaf for leaf in measured.leaves if len(_flat_shape(leaf.value)) == 2]
    biases = [leaf for leaf in measured.leaves if len(_flat_shape(leaf.value)) == 1]
    shapes = [leaf.value.shape for leaf in weights]
    if min(measured.sizes) < 2 or shapes not in (pairs, [(b, a) for a, b in pairs]):
        return ()
    if [leaf.value.size for leaf in biases] != [b for _, b in pairs]:
        return ()
    return tuple(leaf for pair in zip(weights, biases, strict=True) for leaf in pair)


def _is_transposed(measured: Measured) -> bool:
    """Whether weights are `(n_in, n_out)`."""
    first = _by_layer(measured)[0].value
    return first.shape == measured.sizes[:2] and first.shape[0] != first.shape[1]


def _networks(measured: Measured) -> Iterator[Network]:
    """The user's network with each activation."""
    leaves = _by_layer(measured)
    if not leaves:
        return
    transposed = _is_transposed(measured)
    W = [leaf.value.T if transposed else leaf.value for leaf in leaves[::2]]
    b = [leaf.value.reshape(-1, 1) for leaf in leaves[1::2]]
    for activation in reference.ACTIVATIONS:
        yield Network(W, b, measured.x, measured.y, activation)


def _as_reference(measured: Measured) -> Network | None:
    """The same network as one of `reference`; None if it is another kind of network."""
    found = (n for n in _networks(measured) if _scale(measured, n) is not None)
    return next(found, None)


def _scale(measured: Measured, network: Network) -> float | None:
    """The user's cost as a multiple of the reference's: 1, or B if it is a sum; None: neither."""
    for scale in (1.0, float(len(measured.y))):
        if abs(measured.cost - scale * network.cost()) <= SAME * abs(measured.cost):
            return scale
    return None


def _explanations(
    measured: Measured, network: Network, checks: Sequence[LeafCheck]
) -> Iterator[Mistake]:
    """The mistakes that give the user's numbers wherever they are wrong.

    If some of them give all of the user's numbers, only these: a mistake that was made in one place
    alone explains less.
    """
    leaves = _by_layer(measured)
    if any(leaf.gradient is None or leaf.gradient.size != leaf.value.size for leaf in leaves):
        return
    wrong = {check.name for check in checks if not check.ok}
    scale = _scale(measured, network) or 1.0
    found = [_gradient_of(leaf, measured) / scale for leaf in leaves]
    right = reference.gradient(network)
    explaining: list[tuple[int, Mistake]] = []  # with the number of parameters that it gives
    for mistake in reference.mistakes(network):
        faulty = reference.gradient(network, mistake.name, _rate(network, found, right))
        if all(_same(a, b, right) for a, b in zip(faulty, right, strict=True)):
            continue  # it changes nothing in this network
        matches = [_same(a, b, right) for a, b in zip(found, faulty, strict=True)]
        if all(m or leaf.name not in wrong for m, leaf in zip(matches, leaves, strict=True)):
            explaining.append((sum(matches), mistake))
    whole = [mistake for n, mistake in explaining if n == len(leaves)]
    partly = [mistake for _, mistake in sorted(explaining, key=lambda pair: -pair[0])]
    yield from whole or partly


def _gradient_of(leaf: Leaf, measured: Measured) -> Array:
    """The user's gradient in the form of `reference`: `(n_out, n_in)`, `(n_out, 1)`."""
    assert leaf.gradient is not None
    array = leaf.gradient.reshape(leaf.value.shape)
    if len(_flat_shape(leaf.value)) == 1:
        return array.reshape(-1, 1)
    return array.T if _is_transposed(measured) else array


def _same(found: Array, expected: Array, right: Sequence[Array]) -> bool:
    size = float(np.linalg.norm(expected)) + 1e-3 * float(np.linalg.norm(right[-1]))
    return float(np.linalg.norm(found - expected)) <= SAME * size


def _rate(network: Network, found: Sequence[Array], right: Sequence[Array]) -> float:
    """The learning rate of an update that was made too early, if that is the mistake.

    The error of the last hidden layer's weights is proportional to it.
    """
    if len(network.weights) < 2:
        return reference.RATE
    at = 2 * len(network.weights) - 4
    unit = reference.gradient(network, "updated_weights", 1.0)[at] - right[at]
    norm = float(np.sum(unit * unit))
    return float(np.sum((found[at] - right[at]) * unit)) / norm if norm else reference.RATE


# ---- what no gradient shows


def _remarks(measured: Measured, network: Network | None) -> Iterator[str]:
    if not measured.repeats:
        yield (
            "The gradient is another one when it is computed again: something random, such as "
            "dropout, must be off, or have a fixed seed, for a comparison."
        )
    if measured.changes_params:
        yield (
            "Computing the cost and the gradient changes the parameters: they must stay as they "
            "are until the update."
        )
    if measured.overflows:
        yield (
            "With large logits the cost is NaN, because exp overflows: subtract the largest logit "
            "of each example before exp, which does not change the softmax."
        )
    if network is None:
        yield from _forward_remarks(measured)
    elif _scale(measured, network) != 1:
        yield (
            f"The cost is the sum over the {len(measured.y)} examples, not their mean: the step "
            "then grows with the size of the mini-batch."
        )


def _forward_remarks(measured: Measured) -> Iterator[str]:
    """What the forward pass seems to do differently from a multilayer perceptron."""
    for words, cost in _other_costs(measured):
        if abs(measured.cost - cost) <= SAME * abs(measured.cost):
            yield words
            return


def _other_costs(measured: Measured) -> Iterator[tuple[str, float]]:
    """The costs of networks with a mistake in the forward pass, and its words."""
    n_classes = measured.sizes[-1]
    for network in _networks(measured):
        without = replace(network, biases=[np.zeros_like(b) for b in network.biases])
        yield "The forward pass does not add the biases: Z = W A + b.", without.cost()
        for shift, way in ((1, "after"), (-1, "before")):
            labels = (measured.y + shift) % n_classes
            yield (
                f"The cost is that of the class {way} the label: classes are counted from 0.",
                replace(network, labels=labels).cost(),
            )
        yield (
            "The cost takes logarithms to base 2; cross-entropy in nats has the natural one.",
            network.cost() / np.log(2),
        )
        yield (
            "The cost takes logarithms to base 10; cross-entropy in nats has the natural one.",
            network.cost() / np.log(10),
        )
        Z, _, P = network.forward()
        activated = reference.ACTIVATIONS[network.activation].value(Z[-1])
        yield (
            "The activation is applied to the output layer too: softmax needs Z itself.",
            _cross_entropy(_softmax(activated, 0), network.one_hot),
        )
        for shifted in (Z[-1], Z[-1] - Z[-1].max(axis=0)):
            yield (
                "Softmax is taken over the examples instead of the classes: sum over the other "
                "axis.",
                _cross_entropy(_softmax(shifted, 1), network.one_hot),
            )
        yield (
            "The cost is half of the squared error, and not the cross-entropy of softmax.",
            float(np.sum((P - network.one_hot) ** 2) / 2 / len(measured.y)),
        )


def _softmax(Z: Array, axis: int) -> Array:
    shifted = np.exp(Z - Z.max(axis=axis, keepdims=True))
    found: NDArray[np.float64] = shifted / shifted.sum(axis=axis, keepdims=True)
    return found


def _cross_entropy(P: Array, T: Array) -> float:
    return float(-np.mean(np.log(np.sum(P * T, axis=0))))
