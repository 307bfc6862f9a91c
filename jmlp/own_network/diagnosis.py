"""Says which gradients of a user's network are wrong, in what way, and by which mistake.

First the gradient is compared with central differences, parameter by parameter, and the pattern of
an error is described: a constant factor, a transpose, single rows. If the network is a multilayer
perceptron with softmax, `explanation` also finds the mistakes that give the user's numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from jmlp.own_network import reference
from jmlp.own_network.explanation import Finding, Search
from jmlp.own_network.notation import Notation
from jmlp.own_network.patterns import Comparison, LeafCheck, flat_shape
from jmlp.own_network.records import PRECISIONS, Array, Leaf, Measured, Precision
from jmlp.own_network.reference import Network


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about a user's network."""

    leaves: tuple[LeafCheck, ...]  # in the order of the parameters
    first_wrong: str  # the first parameter that is wrong, going backward from the cost; or empty
    findings: tuple[Finding, ...]  # the mistakes, in the order in which they are to be mended
    activation: str  # of the hidden layers, if the network is one that `reference` knows
    precision: Precision  # of the comparison
    remarks: tuple[str, ...]  # on what no gradient can show

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(leaf.ok for leaf in self.leaves)

    @property
    def unexplained(self) -> tuple[str, ...]:
        """The parameters whose gradient is wrong for a reason that was not found."""
        explained = {name for finding in self.findings for name in finding.explains}
        return tuple(
            leaf.name for leaf in self.leaves if not leaf.ok and leaf.name not in explained
        )


def diagnose(measured: Measured) -> Diagnosis:
    """Compares the gradients of a user's network, and explains what is wrong with them."""
    total = float(np.sqrt(sum(np.sum(leaf.differences**2) for leaf in measured.leaves)))
    comparison = Comparison(total, len(measured.y), measured.precision)
    checks = [comparison.check(leaf) for leaf in measured.leaves]
    wrong = [check.name for check in checks if not check.ok]
    known = _as_reference(measured)
    findings = tuple(_findings(measured, *known, wrong)) if wrong and known else ()
    backwards = [leaf.name for leaf in reversed(_by_layer(measured) or measured.leaves)]
    return Diagnosis(
        tuple(checks),
        next((name for name in backwards if name in wrong), ""),
        findings,
        known[0].activation if known else "",
        measured.precision,
        tuple(_remarks(measured, known[0] if known else None)),
    )


# ---- the whole gradient


def _by_layer(measured: Measured) -> tuple[Leaf, ...]:
    """W_1, b_1, …, W_L, b_L; empty if the parameters are not those of such a network."""
    pairs = list(pairwise(measured.sizes))
    weights = [leaf for leaf in measured.leaves if len(flat_shape(leaf.value)) == 2]
    biases = [leaf for leaf in measured.leaves if len(flat_shape(leaf.value)) == 1]
    shapes = [leaf.value.shape for leaf in weights]
    if min(measured.sizes) < 2 or shapes not in (pairs, [(b, a) for a, b in pairs]):
        return ()
    if [leaf.value.size for leaf in biases] != [b for _, b in pairs]:
        return ()
    return tuple(leaf for pair in zip(weights, biases, strict=True) for leaf in pair)


def _notations(measured: Measured) -> Iterator[Notation]:
    """How the user's arrays may be stored; two ways if all weights are square."""
    leaves = _by_layer(measured)
    if not leaves:
        return
    shapes = [leaf.value.shape for leaf in leaves[::2]]
    flat = leaves[1].value.ndim == 1
    pairs = list(pairwise(measured.sizes))
    # What is usual in the file's convention comes first.
    for outputs_first in (measured.columns, not measured.columns):
        if shapes == ([(b, a) for a, b in pairs] if outputs_first else pairs):
            yield Notation(measured.columns, outputs_first, flat)


def _networks(measured: Measured) -> Iterator[tuple[Network, Notation]]:
    """The user's network with each activation."""
    leaves = _by_layer(measured)
    b = [leaf.value.reshape(-1, 1) for leaf in leaves[1::2]]
    for notation in _notations(measured):
        W = [leaf.value if notation.outputs_first else leaf.value.T for leaf in leaves[::2]]
        for activation in reference.ACTIVATIONS:
            yield Network(W, b, measured.x, measured.y, activation), notation


def _as_reference(measured: Measured) -> tuple[Network, Notation] | None:
    """The same network as one of `reference`; None if it is another kind of network."""
    found = (pair for pair in _networks(measured) if _scale(measured, pair[0]) is not None)
    return next(found, None)


def _scale(measured: Measured, network: Network) -> float | None:
    """The user's cost as a multiple of the reference's: 1, or B if it is a sum; None: neither."""
    for scale in (1.0, float(len(measured.y))):
        if _is_cost(measured, scale * network.cost()):
            return scale
    return None


def _is_cost(measured: Measured, cost: float) -> bool:
    return abs(measured.cost - cost) <= measured.precision.same * abs(measured.cost)


def _findings(
    measured: Measured, network: Network, notation: Notation, wrong: Sequence[str]
) -> Iterator[Finding]:
    """The mistakes that give the user's numbers."""
    leaves = _by_layer(measured)
    scale = _scale(measured, network) or 1.0
    found = [_gradient_of(leaf, notation, scale) for leaf in leaves]
    known = reference.mistakes(network, notation, cost_is_sum=scale != 1)
    search = Search(network, found, known, measured.precision.same)
    return search.findings([leaf.name for leaf in leaves], wrong)


def _gradient_of(leaf: Leaf, notation: Notation, scale: float) -> Array | None:
    """The user's gradient in the form of `reference`: `(n_out, n_in)`, `(n_out, 1)`.

    None: it has another shape, or numbers that are not finite.
    """
    found, is_bias = leaf.gradient, len(flat_shape(leaf.value)) == 1
    if found is not None and is_bias and found.size == 1:
        found = np.full(leaf.value.shape, found.item())  # as an update would broadcast it
    if found is None or flat_shape(found) != flat_shape(leaf.value) or not np.isfinite(found).all():
        return None
    if is_bias:
        return found.reshape(-1, 1) / scale
    found = found.reshape(leaf.value.shape) / scale
    return found if notation.outputs_first else found.T


# ---- what no gradient shows


def _remarks(measured: Measured, network: Network | None) -> Iterator[str]:
    float64 = PRECISIONS["float64"]
    if measured.precision != float64:
        yield (
            "The cost or the gradient is computed in float32, which has 7 digits: the differences "
            f"take a step of {measured.precision.step:g}, and errors of less than "
            f"{measured.precision.tolerance:.1%} of a gradient go unnoticed. In float64, the "
            f"type of the arrays that are passed, it would be {float64.tolerance:.3%}."
        )
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
        if _is_cost(measured, cost):
            yield words
            return


def _other_costs(measured: Measured) -> Iterator[tuple[str, float]]:
    """The costs of networks with a mistake in the forward pass, and its words."""
    n_classes = measured.sizes[-1]
    for network, notation in _networks(measured):
        without = replace(network, biases=[np.zeros_like(b) for b in network.biases])
        yield f"The forward pass does not add the biases: Z = {notation.Z}.", without.cost()
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
