"""Compares the gradient of one parameter with central differences, and says how it is wrong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jmlp.own_network.records import Array, Leaf, Precision


@dataclass(frozen=True)
class LeafCheck:
    """The gradient of one parameter."""

    name: str
    shape: tuple[int, ...]
    error: float | None  # relative to the larger norm; None: it cannot be compared
    ok: bool  # whether it is within tolerance; NaN never is
    pattern: str  # what is wrong, in one sentence; empty: nothing


def flat_shape(array: Array) -> tuple[int, ...]:
    """The shape without axes of length 1: `(n,)`, `(n, 1)` and `(1, n)` are one."""
    return tuple(n for n in array.shape if n != 1)


@dataclass(frozen=True)
class Comparison:
    """That with which each parameter of a network is compared."""

    total: float  # the norm of the whole gradient
    n_examples: int
    precision: Precision

    def check(self, leaf: Leaf) -> LeafCheck:
        """Compares the gradient of one parameter."""
        expected = leaf.differences
        if leaf.gradient is None:
            what = f"is {leaf.problem}, not an array of numbers" if leaf.problem else "is missing"
            return LeafCheck(leaf.name, expected.shape, None, False, f"it {what}")
        found = leaf.gradient
        if found.size == expected.size and flat_shape(found) == flat_shape(expected):
            found = found.reshape(expected.shape)  # (n,), (n, 1) and (1, n) are one
        if found.shape != expected.shape:
            pattern = self._of_shape(found, expected)
            return LeafCheck(leaf.name, expected.shape, None, False, pattern)
        error = self._error(found, expected)
        ok = error <= self.precision.tolerance
        pattern = "" if ok else self._pattern(found, leaf)
        return LeafCheck(leaf.name, expected.shape, error, ok, pattern)

    def _error(self, found: Array, expected: Array) -> float:
        norms = float(np.linalg.norm(found)), float(np.linalg.norm(expected))
        scale = max(*norms, self.precision.least * self.total, 1e-300)
        return float(np.linalg.norm(found - expected) / scale)

    @property
    def _negligible(self) -> float:
        """Up to which a single number is 0."""
        return 1e-3 * self.precision.tolerance * self.total

    def _differing(self, found: Array, expected: Array) -> NDArray[np.bool_]:
        """Which numbers differ."""
        relative = 10 * self.precision.tolerance
        return ~np.isclose(found, expected, rtol=relative, atol=self._negligible)

    def _is(self, found: Array, expected: Array) -> bool:
        if found.shape != expected.shape:
            return False
        return self._error(found, expected) <= self.precision.tolerance

    def _of_shape(self, found: Array, expected: Array) -> str:
        """What is wrong with a gradient of another shape."""
        shapes = f"its shape is {found.shape}, that of the parameter {expected.shape}"
        if found.ndim == 2 and self._is(found.T, expected):
            return f"{shapes}: it is transposed"
        n = expected.size
        if flat_shape(found) == (self.n_examples,) and flat_shape(expected) == (n,):
            return f"{shapes}: it is summed over units instead of the {self.n_examples} examples"
        if found.size == 1:
            return f"{shapes}: it is added up over the units as well as the examples"
        if found.size == n * self.n_examples:
            for axis in range(found.ndim):
                summed = found.sum(axis=axis)
                if summed.size == n and self._is(summed.reshape(expected.shape), expected):
                    return f"{shapes}: it is not summed over the {self.n_examples} examples"
            return f"{shapes}: it seems not to be summed over the {self.n_examples} examples"
        return shapes

    def _pattern(self, found: Array, leaf: Leaf) -> str:
        """The pattern of the error of a gradient of the right shape."""
        expected = leaf.differences
        if not np.isfinite(found).all():
            return f"{np.count_nonzero(~np.isfinite(found))} of its numbers are not finite"
        if not found.any():
            return "it is 0 everywhere"
        if found.ndim == 2 and found.shape[0] == found.shape[1] and self._is(found.T, expected):
            return "it is transposed"
        factor = float(np.sum(found * expected) / max(np.sum(expected * expected), 1e-300))
        if factor and self._is(found / factor, expected):
            return f"it is {self._factor_text(factor)} times the right one everywhere"
        if text := self._missing_penalty(found, leaf):
            return text
        if text := self._of_single_lines(found, expected):
            return text
        wrong = self._differing(found, expected)
        if (found[wrong] == 0).all():
            return f"{wrong.sum()} of its {wrong.size} numbers are 0 and should not be"
        if (np.abs(expected[wrong]) <= self._negligible).all():
            return f"{wrong.sum()} of its {wrong.size} numbers should be 0 and are not"
        if not self._differing(np.abs(found), np.abs(expected)).any():
            return f"{wrong.sum()} of its {wrong.size} numbers have the wrong sign"
        n = "all" if wrong.all() else f"{wrong.sum()}"
        return f"{n} of its {wrong.size} numbers are wrong, without a common factor"

    def _factor_text(self, factor: float) -> str:
        """A factor, and what it may be: `7 = B, the number of examples,`."""
        known = {
            self.n_examples: "B, the number of examples,",
            1 / self.n_examples: "1 / B, where B is the number of examples,",
            self.n_examples**2: "B squared, where B is the number of examples,",
            -1: "the opposite sign:",
            -self.n_examples: "-B, where B is the number of examples,",
            2: "a factor of 2:",
            0.5: "a factor of 1/2:",
        }
        for value, words in known.items():
            if abs(factor / value - 1) < self.precision.tolerance:
                number = f"{value:.4g}"
                return f"{words} {number}" if words.endswith(":") else f"{number} ({words[:-1]})"
        return f"{factor:.4g}"

    def _missing_penalty(self, found: Array, leaf: Leaf) -> str:
        """Whether the error is a multiple of the parameter: an L2 penalty of the cost alone."""
        lack = leaf.differences - found
        rate = float(np.sum(lack * leaf.value) / max(np.sum(leaf.value**2), 1e-300))
        if abs(rate) <= 1e-6 or not self._is(found + rate * leaf.value, leaf.differences):
            return ""
        if rate > 0:
            return f"it lacks {rate:.4g} times the parameter: the derivative of an L2 penalty"
        return f"it has {-rate:.4g} times the parameter too much, as of an L2 penalty"

    def _of_single_lines(self, found: Array, expected: Array) -> str:
        """Whether all that is wrong is in one row or column, or in the rows of some units."""
        if found.ndim != 2 or min(found.shape) < 2:
            return ""
        wrong = self._differing(found, expected)
        for axis, line in ((1, "row"), (0, "column")):
            lines = np.flatnonzero(wrong.any(axis=axis))
            if len(lines) == 1 and found.shape[1 - axis] > 1:
                return f"only {line} {lines[0]} is wrong"
        return ""
