"""Finds the mistakes that give a user's gradient, going backward from the cost.

In each layer, the derivatives that the user computed are compared with those of `reference`, given
what was found in the layers after it: first without a further mistake, then with each that can be
made in one of the layer's equations. So every layer is judged by itself, and a mistake of one layer
is found as well as one of all, or several at once. Where only one of a layer's two derivatives can
be explained, in several ways, the layers before it decide.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jmlp.own_network import reference
from jmlp.own_network.records import Array
from jmlp.own_network.reference import Equation, Mistake, Network, Site

DERIVATIVES = {"passing": "dA", "slope": "dZ", "bias": "db", "weights": "dW"}
MOST_HYPOTHESES = 8  # that are pursued at once

Alternatives = Mapping[Site, tuple[Mistake, ...]]  # any of which gives the same numbers there


@dataclass(frozen=True)
class Finding:
    """A mistake in one or more layers."""

    mistakes: tuple[Mistake, ...]  # any of which gives these numbers, the most likely first
    # In which it is made, from the last. Empty: at the output, or in all layers where it can be.
    layers: tuple[int, ...]
    # Parameters whose wrong gradients are the user's with it and the findings before it.
    explains: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The beginning of a sentence: `It`, or with `layers` such as `In dZ of layer 1, it`."""
        if not self.layers:
            return "It"
        *most, last = map(str, self.layers)
        layers = f"layers {', '.join(most)} and {last}" if most else f"layer {last}"
        return f"In {DERIVATIVES[self.mistakes[0].equation]} of {layers}, it"


@dataclass(frozen=True)
class _Hypothesis:
    """How the gradient came about, from the last layer to one of the others."""

    made: Alternatives
    n_equal: int  # of the gradients of these layers, how many are the user's
    rate: float = reference.RATE  # of "updated_weights"

    @property
    def names(self) -> dict[Site, str]:
        """The mistakes; of alternatives the first."""
        return {site: mistakes[0].name for site, mistakes in self.made.items()}

    @property
    def goodness(self) -> tuple[int, int]:
        """As much as possible is to be explained by as few mistakes as possible."""
        return self.n_equal, -len(set(self.names.values()))


class Search:
    """The search for the mistakes of one user."""

    def __init__(
        self,
        network: Network,
        found: Sequence[Array | None],
        known: Sequence[Mistake],
        same: float,
    ) -> None:
        """Searches nothing yet.

        Args:
            network: the user's network.
            found: the user's gradient in the form of `reference.gradient`; None: there is none.
            known: the mistakes that are considered, the most likely first.
            same: relative difference up to which two gradients are the same.
        """
        self._network, self._found, self._same = network, found, same
        self._size = float(np.linalg.norm(reference.gradient(network)[-1]))
        self._possible: dict[Site, list[Mistake]] = {}
        for mistake in known:
            for site in reference.sites(network, mistake):
                self._possible.setdefault(site, []).append(mistake)

    def findings(self, names: Sequence[str], wrong: Sequence[str]) -> Iterator[Finding]:
        """The mistakes, in the order in which they are to be mended.

        Args:
            names: of the parameters, in the order of the gradient.
            wrong: names of those whose gradient is wrong.
        """
        best = self._best()
        remaining, left = dict(best.made), set(wrong)
        mended: dict[Site, str] = {}
        while remaining:
            mistakes, places = _most_common(remaining)
            remaining = {site: them for site, them in remaining.items() if site not in places}
            mended |= dict.fromkeys(places, mistakes[0].name)
            gradient = reference.gradient(self._network, mended, best.rate)
            same = map(self._is, self._found, gradient)
            explains = [
                name for name, is_same in zip(names, same, strict=True) if is_same and name in left
            ]
            left.difference_update(explains)
            yield Finding(mistakes, self._layers(mistakes[0], places), tuple(reversed(explains)))

    def _layers(self, mistake: Mistake, places: Sequence[Site]) -> tuple[int, ...]:
        everywhere = len(places) > 1 and set(places) == set(reference.sites(self._network, mistake))
        if everywhere or mistake.equation == "output":
            return ()
        return tuple(site.layer for site in places)

    def _best(self) -> _Hypothesis:
        """The hypothesis that explains the most."""
        hypotheses = [_Hypothesis({}, 0)]
        for layer in range(len(self._network.weights), 0, -1):
            longer = [new for old in hypotheses for new in self._continued(old, layer)]
            longer.sort(key=lambda one: one.goodness, reverse=True)
            hypotheses = longer[:MOST_HYPOTHESES]
        return hypotheses[0]

    def _continued(self, before: _Hypothesis, layer: int) -> list[_Hypothesis]:
        """The same with one layer more; several if none gives both of its gradients."""
        if "updated_weights" not in before.names.values():
            before = _Hypothesis(before.made, before.n_equal, self._rate(before, layer))
        found = [self._with_leaves(before, layer, None)]
        at_output = layer == len(self._network.weights)
        equations: tuple[Equation, ...] = ("output",) if at_output else ("passing", "slope")
        if found[0].n_equal < before.n_equal + 2 or len(found[0].made) > len(before.made):
            for equation in equations:
                site = Site(equation, layer)
                found += [
                    self._with_leaves(before, layer, (site, mistake))
                    for mistake in self._possible.get(site, ())
                ]
        complete = [one for one in found if one.n_equal == before.n_equal + 2]
        if not complete:
            return [found[0], *(one for one in found[1:] if one.n_equal > before.n_equal)]
        first = max(complete, key=lambda one: one.goodness)
        return [_with_alternatives(first, complete)]

    def _with_leaves(
        self, before: _Hypothesis, layer: int, entering: tuple[Site, Mistake] | None
    ) -> _Hypothesis:
        """The same with a mistake in dZ of a layer, or none, and those in its dW and db."""
        made, n_equal = dict(before.made), before.n_equal
        if entering is not None:
            made[entering[0]] = (entering[1],)
        names = _Hypothesis(made, 0).names
        right = reference.gradient(self._network, names, before.rate)
        equations: tuple[tuple[Equation, int], ...] = (
            ("bias", 2 * layer - 1),
            ("weights", 2 * layer - 2),
        )
        for equation, leaf in equations:
            site = Site(equation, layer)
            if self._is(self._found[leaf], right[leaf]):
                n_equal += 1
                continue
            fitting = []
            for mistake in self._possible.get(site, ()):
                faulty = {**names, site: mistake.name}
                gradient = reference.gradient(self._network, faulty, before.rate)
                if self._is(self._found[leaf], gradient[leaf]):
                    fitting.append(mistake)
            if fitting:
                n_equal += 1
                made[site] = tuple(fitting)
        return _Hypothesis(made, n_equal, before.rate)

    def _rate(self, before: _Hypothesis, layer: int) -> float:
        """The learning rate of an update that was made before dA of a layer, if it was.

        The error of the layer's gradients is proportional to it.
        """
        site = Site("passing", layer)
        if site not in self._possible:
            return reference.RATE
        right = reference.gradient(self._network, before.names)
        unit = reference.gradient(self._network, {**before.names, site: "updated_weights"}, 1.0)
        for leaf in (2 * layer - 2, 2 * layer - 1):
            found, change = self._found[leaf], unit[leaf] - right[leaf]
            norm = float(np.sum(change * change))
            if found is not None and norm:
                rate = float(np.sum((found - right[leaf]) * change)) / norm
                if self._is(found, right[leaf] + rate * change):
                    return rate
        return reference.RATE

    def _is(self, found: Array | None, expected: Array) -> bool:
        """Whether a gradient of the user's is the same as one of `reference`."""
        if found is None:
            return False
        size = float(np.linalg.norm(expected)) + 1e-3 * self._size
        return float(np.linalg.norm(found - expected)) <= self._same * size


def _with_alternatives(first: _Hypothesis, others: Sequence[_Hypothesis]) -> _Hypothesis:
    """A hypothesis with the mistakes that explain the same at the same places."""
    made = {
        site: tuple(
            dict.fromkeys(
                mistake
                for one in (first, *others)
                if one.made.keys() == first.made.keys()
                for mistake in one.made[site]
            )
        )
        for site in first.made
    }
    return _Hypothesis(made, first.n_equal, first.rate)


def _most_common(made: Alternatives) -> tuple[tuple[Mistake, ...], list[Site]]:
    """The mistakes at the first place that are made in the most places, and these places."""
    covered = {
        mistake: [site for site, others in made.items() if mistake in others]
        for mistake in next(iter(made.values()))
    }
    most = max(covered.values(), key=len)
    return tuple(mistake for mistake, places in covered.items() if places == most), most
