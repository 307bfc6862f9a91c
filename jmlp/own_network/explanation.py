"""Finds the mistakes that give a user's gradient, going backward from the cost.

In each layer, the derivatives that the user computed are compared with those of `reference`, given
what was found in the layers after it: first without a further mistake, then with each that can be
made in one of the layer's equations. So every layer is judged by itself, and a mistake of one layer
is found as well as one of all, or several at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jmlp.own_network import reference
from jmlp.own_network.records import Array
from jmlp.own_network.reference import Equation, Mistake, Network, Site

DERIVATIVES = {"passing": "dA", "slope": "dZ", "bias": "db", "weights": "dW"}


@dataclass(frozen=True)
class Finding:
    """A mistake in one or more layers."""

    mistakes: tuple[Mistake, ...]  # any of which gives these numbers, the most likely first
    layers: tuple[int, ...]  # in which it is made, from the last; empty: wherever it can be
    # Parameters whose wrong gradients are the user's with it and the findings before it.
    explains: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Such as `In dZ of layer 1, `; empty where it is made wherever it can be."""
        if not self.layers:
            return ""
        *most, last = map(str, self.layers)
        layers = f"layers {', '.join(most)} and {last}" if most else f"layer {last}"
        return f"In {DERIVATIVES[self.mistakes[0].equation]} of {layers}, "


class _Layer(NamedTuple):
    """How the gradient of one layer's parameters comes about."""

    n_equal: int  # of its two gradients, how many are the user's
    made: dict[Site, tuple[Mistake, ...]]  # the mistakes for it, alternatives for each equation


class Search:
    """The search for the mistakes of one user."""

    def __init__(
        self,
        network: Network,
        found: Sequence[Array | None],
        known: Sequence[Mistake],
        same: float,
    ) -> None:
        """Searches.

        Args:
            network: the user's network.
            found: the user's gradient in the form of `reference.gradient`; None: there is none.
            known: the mistakes that are considered, the most likely first.
            same: relative difference up to which two gradients are the same.
        """
        self._network, self._found, self._known, self._same = network, found, known, same
        self._size = float(np.linalg.norm(reference.gradient(network)[-1]))
        self._made: dict[Site, tuple[Mistake, ...]] = {}
        self._rate = reference.RATE  # of "updated_weights"
        for layer in range(len(network.weights), 0, -1):
            if layer < len(network.weights) and "updated_weights" not in self._names().values():
                self._rate = self._rate_of(layer)
            self._made.update(self._explained(layer).made)

    def findings(self, names: Sequence[str], wrong: Sequence[str]) -> Iterator[Finding]:
        """The mistakes, in the order in which they are to be mended.

        Args:
            names: of the parameters, in the order of the gradient.
            wrong: names of those whose gradient is wrong.
        """
        remaining = dict(self._made)
        mended: dict[Site, str] = {}
        left = list(wrong)
        while remaining:
            first = next(iter(remaining))
            covered = {
                mistake: [site for site, others in remaining.items() if mistake in others]
                for mistake in remaining[first]
            }
            most = max(map(len, covered.values()))
            mistakes = tuple(one for one, places in covered.items() if len(places) == most)
            places = covered[mistakes[0]]
            mended |= dict.fromkeys(places, mistakes[0].name)
            remaining = {site: o for site, o in remaining.items() if site not in places}
            gradient = self._gradient(mended)
            explains = tuple(
                name
                for name, leaf, expected in zip(names, self._found, gradient, strict=True)
                if name in left and self._is(leaf, expected)
            )
            left = [name for name in left if name not in explains]
            everywhere = set(places) == set(reference.sites(self._network, mistakes[0]))
            layers = () if everywhere else tuple(site.layer for site in places)
            yield Finding(mistakes, layers, explains[::-1])

    def _explained(self, layer: int) -> _Layer:
        """The fewest mistakes for as many of a layer's two gradients as possible."""
        at_output = layer == len(self._network.weights)
        best = self._with_leaves(layer, {})
        if best.n_equal == 2 and not best.made:
            return best
        for equation in ("output",) if at_output else ("passing", "slope"):
            site = Site(equation, layer)
            for mistake in self._possible(site):
                one = self._with_leaves(layer, {site: (mistake,)})
                if _goodness(one) > _goodness(best):
                    best = one
                elif _goodness(one) == _goodness(best) and site in best.made:
                    best.made[site] += (mistake,)
        return best if best.n_equal else _Layer(0, {})

    def _with_leaves(self, layer: int, entering: dict[Site, tuple[Mistake, ...]]) -> _Layer:
        """The mistakes in dW and db, given one in dZ."""
        made, n_equal = dict(entering), 0
        names = {site: mistakes[0].name for site, mistakes in entering.items()}
        right = self._gradient({**self._names(), **names})
        equations: tuple[tuple[Equation, int], ...] = (
            ("bias", 2 * layer - 1),
            ("weights", 2 * layer - 2),
        )
        for equation, leaf in equations:
            site = Site(equation, layer)
            if self._is(self._found[leaf], right[leaf]):
                n_equal += 1
            elif fitting := tuple(
                mistake
                for mistake in self._possible(site)
                if self._is(
                    self._found[leaf],
                    self._gradient({**self._names(), **names, site: mistake.name})[leaf],
                )
            ):
                n_equal += 1
                made[site] = fitting
        return _Layer(n_equal, made)

    def _possible(self, site: Site) -> Iterator[Mistake]:
        for mistake in self._known:
            if site in reference.sites(self._network, mistake):
                yield mistake

    def _names(self) -> dict[Site, str]:
        """What was found so far, of alternatives the first."""
        return {site: mistakes[0].name for site, mistakes in self._made.items()}

    def _gradient(self, made: dict[Site, str]) -> list[Array]:
        return reference.gradient(self._network, made, self._rate)

    def _rate_of(self, layer: int) -> float:
        """The learning rate of an update that was made before dA of a layer, if it was.

        The error of the layer's gradients is proportional to it.
        """
        right = reference.gradient(self._network, self._names())
        updated = {**self._names(), Site("passing", layer): "updated_weights"}
        unit = reference.gradient(self._network, updated, 1.0)
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


def _goodness(layer: _Layer) -> tuple[int, int]:
    return layer.n_equal, -len(layer.made)
