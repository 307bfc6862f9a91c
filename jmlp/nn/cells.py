"""What one number of a trace is computed from: the sum behind a cell, in numbers.

A cell is a number of an operation (`nn.trace.Operation`), by its letter and its place: `Z[2, 0]` is
unit 2 of example 0. `explain` says by which equation it was computed, and from which cells, so that
each of these can be explained in turn: back to the inputs and the parameters in the forward pass,
and to the cost in the backward pass. The terms are computed in float64 from the numbers of the
trace, so their total differs from the traced value by the rounding of the type that was traced.
Imports no JAX.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EPS = 1e-5  # of batch norm
Place = tuple[int, int]
Numbers = Mapping[str, NDArray[np.floating]]


class Factor(NamedTuple):
    """A number in a term: a cell, a function of one such as `exp(S)`, or a constant."""

    letter: str  # or what the function or the constant is, such as `exp(S)` or `1 / B`
    at: Place | None  # None: a constant
    value: float
    of: str = ""  # the letter of the cell that it is a function of

    @property
    def name(self) -> str:
        """Such as `W[0, 3]`, or `(1 / B)`."""
        letter = f"({self.letter})" if " " in self.letter else self.letter
        return letter if self.at is None else f"{letter}[{self.at[0]}, {self.at[1]}]"

    @property
    def cell(self) -> "tuple[str, Place] | None":
        """The letter and the place of the cell in it; None: a constant."""
        return None if self.at is None else (self.of or self.letter, self.at)


class Term(NamedTuple):
    """A product; the terms of a cell add up to it."""

    factors: tuple[Factor, ...]
    value: float


@dataclass(frozen=True)
class Explanation:
    """How a cell was computed."""

    letter: str
    at: Place
    value: float  # as it was traced
    equation: str  # with indices: `Z[i, j] = sum_k W[i, k] A[k, j] + b[i]`; empty: it is given
    terms: tuple[Term, ...]  # in their order; empty: a parameter, an input, a label, a mask

    @property
    def total(self) -> float:
        """The sum of the terms, in float64; the value itself if it is given."""
        return math.fsum(term.value for term in self.terms) if self.terms else self.value

    def __str__(self) -> str:
        """The value and its equation, then a line for each term, the largest first."""
        return "\n".join(self.lines())

    def lines(self, most: int = 8) -> list[str]:
        """The lines of `str`, with at most so many terms one by one."""
        first = f"{self.letter}[{self.at[0]}, {self.at[1]}] = {_text(self.value)}"
        if not self.terms:
            return [f"{first}, as it is given"]
        shown, rest = self.largest_first[:most], self.largest_first[most:]
        rows = [(_text(term.value), " * ".join(map(_factor_text, term.factors))) for term in shown]
        if rest:
            total = math.fsum(term.value for term in rest)
            what = "a smaller term" if len(rest) == 1 else f"{len(rest):,} smaller terms together"
            rows.append((_text(total), what))
        width = max(len(value) for value, _ in rows)
        return [f"{first}, by {self.equation}", *(f"  {v:>{width}} = {text}" for v, text in rows)]

    @property
    def largest_first(self) -> tuple[Term, ...]:
        """The terms, the largest in magnitude first."""
        return tuple(sorted(self.terms, key=lambda term: -abs(term.value)))


def _factor_text(factor: Factor) -> str:
    value = _text(factor.value)
    return value if factor.name == value else f"{factor.name} {value}"


def _text(value: float) -> str:
    return f"{value + 0.0:.6g}"  # 0 rather than -0


def explain(kind: str, name: str, arrays: Numbers, letter: str, at: Place) -> Explanation:
    """Explains one cell.

    Args:
        kind: of the operation.
        name: of the operation: of an activation, such as "relu".
        arrays: its arrays by their letters.
        letter: the letter of the cell's array.
        at: row and column of the cell.

    Raises:
        KeyError: the operation has no such array.
        IndexError: the array has no such place.
    """
    array = arrays[letter]
    i, j = at
    if not (0 <= i < array.shape[0] and 0 <= j < array.shape[1]):
        raise IndexError(f"{letter}[{i}, {j}]: {letter} is {array.shape[0]} by {array.shape[1]}")
    cell = _Cell({k: np.asarray(v, np.float64) for k, v in arrays.items()}, i, j)
    rule = _RULES.get((kind, letter))
    if kind == "activation" and letter in ("A", "dZ"):
        equation, terms = _activation(cell, name, letter)
    else:
        equation, terms = ("", ()) if rule is None else (rule[0], tuple(rule[1](cell)))
        for part, needed in _OPTIONAL.items():
            equation = equation if needed in arrays else equation.replace(part, "")
    return Explanation(letter, at, float(array[i, j]), equation, terms)


class _Cell:
    """The arrays of an operation, and the place (i, j) of the cell in question."""

    def __init__(self, arrays: Numbers, i: int, j: int) -> None:
        self.arrays, self.i, self.j = arrays, i, j

    @property
    def n_examples(self) -> int:
        """B."""
        return int(self.arrays["Z" if "Z" in self.arrays else "logits"].shape[1])

    def has(self, letter: str) -> bool:
        """Whether the operation has such an array."""
        return letter in self.arrays

    def __call__(self, letter: str, i: int, j: int) -> Factor:
        return Factor(letter, (i, j), float(self.arrays[letter][i, j]))


def _term(*factors: Factor) -> Term:
    return Term(factors, math.prod(factor.value for factor in factors))


def _constant(name: str, value: float) -> Factor:
    return Factor(name, None, value)


def _product(left: str, right: str) -> Callable[[_Cell], Iterator[Term]]:
    """Terms of one product, of the same place in both arrays."""
    return lambda c: iter([_term(c(left, c.i, c.j), c(right, c.i, c.j))])


# ---- dense


def _dense_Z(c: _Cell) -> Iterator[Term]:
    for k in range(c.arrays["A"].shape[0]):
        yield _term(c("W", c.i, k), c("A", k, c.j))
    if c.has("b"):
        yield _term(c("b", c.i, 0))


def _dense_dW(c: _Cell) -> Iterator[Term]:
    for example in range(c.arrays["A"].shape[1]):
        yield _term(c("dZ", c.i, example), c("A", c.j, example))


def _dense_db(c: _Cell) -> Iterator[Term]:
    for example in range(c.arrays["dZ"].shape[1]):
        yield _term(c("dZ", c.i, example))


def _dense_dA(c: _Cell) -> Iterator[Term]:
    for k in range(c.arrays["W"].shape[0]):
        yield _term(c("W", k, c.i), c("dZ", k, c.j))


# ---- batch norm


def _inverse_std(c: _Cell) -> Factor:
    value = 1 / math.sqrt(c("var", c.i, 0).value + EPS)
    return Factor("1 / sqrt(var + eps)", (c.i, 0), value, of="var")


def _mean(c: _Cell) -> Iterator[Term]:
    share = _constant("1 / B", 1 / c.n_examples)
    for example in range(c.n_examples):
        yield _term(share, c("Z", c.i, example))


def _var(c: _Cell) -> Iterator[Term]:
    share = _constant("1 / B", 1 / c.n_examples)
    mean = c("mean", c.i, 0).value
    for example in range(c.n_examples):
        value = c("Z", c.i, example).value - mean
        from_mean = Factor("Z - mean", (c.i, example), value, of="Z")
        yield _term(share, from_mean, from_mean)


def _Z_hat(c: _Cell) -> Iterator[Term]:
    inverse = _inverse_std(c)
    yield _term(inverse, c("Z", c.i, c.j))
    yield _term(inverse, _constant("-1", -1), c("mean", c.i, 0))


def _Y(c: _Cell) -> Iterator[Term]:
    yield _term(c("gamma", c.i, 0), c("Z_hat", c.i, c.j))
    yield _term(c("beta", c.i, 0))


def _dgamma(c: _Cell) -> Iterator[Term]:
    for example in range(c.n_examples):
        yield _term(c("dY", c.i, example), c("Z_hat", c.i, example))


def _dbeta(c: _Cell) -> Iterator[Term]:
    for example in range(c.n_examples):
        yield _term(c("dY", c.i, example))


def _running_dZ(c: _Cell) -> Iterator[Term]:
    yield _term(c("gamma", c.i, 0), _inverse_std(c), c("dY", c.i, c.j))


def _bn_dZ(c: _Cell) -> Iterator[Term]:
    gamma, inverse = c("gamma", c.i, 0), _inverse_std(c)
    share = _constant("-1 / B", -1 / c.n_examples)
    yield _term(gamma, inverse, c("dY", c.i, c.j))
    # Sums over the examples; where the scale is not learned, they are not in the trace.
    dY, Z_hat = c.arrays["dY"][c.i], c.arrays["Z_hat"][c.i]
    yield _term(gamma, inverse, share, Factor("dbeta", (c.i, 0), math.fsum(dY)))
    dgamma = Factor("dgamma", (c.i, 0), math.fsum(dY * Z_hat))
    yield _term(gamma, inverse, share, c("Z_hat", c.i, c.j), dgamma)


# ---- activations


def _activation(c: _Cell, name: str, letter: str) -> tuple[str, tuple[Term, ...]]:
    z = c("Z", c.i, c.j)
    if name not in _SLOPES:  # a function of the caller's
        return "", ()
    equation, value, slope = _SLOPES[name]
    if letter == "A":
        return f"A[i, j] = {equation}", (_term(Factor("f(Z)", z.at, value(z.value), of="Z")),)
    factor = Factor("f'(Z)", z.at, slope(z.value), of="Z")
    return "dZ[i, j] = dA[i, j] f'(Z[i, j])", (_term(c("dA", c.i, c.j), factor),)


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def _normal(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


# By the name of an activation: its equation, its value and its slope.
_SLOPES: Mapping[str, tuple[str, Callable[[float], float], Callable[[float], float]]] = {
    "relu": ("max(Z[i, j], 0)", lambda z: max(z, 0.0), lambda z: float(z > 0)),
    "leaky_relu": (
        "Z[i, j] where it is above 0, else 0.01 Z[i, j]",
        lambda z: z if z > 0 else 0.01 * z,
        lambda z: 1.0 if z > 0 else 0.01,
    ),
    "tanh": ("tanh(Z[i, j])", math.tanh, lambda z: 1 - math.tanh(z) ** 2),
    "sigmoid": (
        "1 / (1 + exp(-Z[i, j]))",
        _sigmoid,
        lambda z: _sigmoid(z) * (1 - _sigmoid(z)),
    ),
    "gelu": (
        "Z[i, j] P, with P = (1 + erf(Z[i, j] / sqrt(2))) / 2",
        lambda z: z * _normal(z),
        lambda z: _normal(z) + z * math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    ),
    "silu": (
        "Z[i, j] / (1 + exp(-Z[i, j]))",
        lambda z: z * _sigmoid(z),
        lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z))),
    ),
}


# ---- cost


def _S(c: _Cell) -> Iterator[Term]:
    logits = c.arrays["logits"][:, c.j]
    largest = float(logits.max())
    normaliser = largest + math.log(math.fsum(np.exp(logits - largest)))
    yield _term(c("logits", c.i, c.j))
    yield _term(_constant("-log(sum exp(logits))", -normaliser))


def _P(c: _Cell) -> Iterator[Term]:
    s = c("S", c.i, c.j)
    yield _term(Factor("exp(S)", s.at, math.exp(s.value), of="S"))


def _costs(c: _Cell) -> Iterator[Term]:
    for k in range(c.arrays["S"].shape[0]):
        yield _term(_constant("-1", -1), c("T", k, c.j), c("S", k, c.j))


def _share(c: _Cell) -> tuple[Factor, ...]:
    """The factor 1 / B, and the share of the mini-batch if the trace is of a part of it."""
    one = _constant("1 / B", 1 / c.n_examples)
    return (c("share", 0, 0), one) if c.has("share") else (one,)


def _mean_cost(c: _Cell) -> Iterator[Term]:
    share = _share(c)
    for example in range(c.arrays["costs"].shape[1]):
        weight = (c("w", 0, example),) if c.has("w") else ()
        yield _term(*share, *weight, c("costs", 0, example))


def _dlogits(c: _Cell) -> Iterator[Term]:
    share = _share(c)
    weight = (c("w", 0, c.j),) if c.has("w") else ()
    yield _term(*share, *weight, c("P", c.i, c.j))
    yield _term(_constant("-1", -1), *share, *weight, c("T", c.i, c.j))


# Parts of the equations that are there only with these arrays.
_OPTIONAL = {" + b[i]": "b", "w[j] ": "w", "share ": "share"}

# By kind and letter: the equation, and the terms. What is not here is given.
_RULES: Mapping[tuple[str, str], tuple[str, Callable[[_Cell], Iterator[Term]]]] = {
    ("dense", "Z"): ("Z[i, j] = sum_k W[i, k] A[k, j] + b[i]", _dense_Z),
    ("dense", "dW"): ("dW[i, k] = sum_j dZ[i, j] A[k, j]", _dense_dW),
    ("dense", "db"): ("db[i] = sum_j dZ[i, j]", _dense_db),
    ("dense", "dA"): ("dA[k, j] = sum_i W[i, k] dZ[i, j]", _dense_dA),
    ("batch norm", "mean"): ("mean[i] = sum_j Z[i, j] / B", _mean),
    ("batch norm", "var"): ("var[i] = sum_j (Z[i, j] - mean[i])^2 / B", _var),
    ("batch norm", "Z_hat"): ("Z_hat[i, j] = (Z[i, j] - mean[i]) / sqrt(var[i] + eps)", _Z_hat),
    ("batch norm", "Y"): ("Y[i, j] = gamma[i] Z_hat[i, j] + beta[i]", _Y),
    ("batch norm", "dgamma"): ("dgamma[i] = sum_j dY[i, j] Z_hat[i, j]", _dgamma),
    ("batch norm", "dbeta"): ("dbeta[i] = sum_j dY[i, j]", _dbeta),
    ("batch norm", "dZ"): (
        "dZ[i, j] = gamma[i] / sqrt(var[i] + eps) "
        "(dY[i, j] - (dbeta[i] + Z_hat[i, j] dgamma[i]) / B)",
        _bn_dZ,
    ),
    ("running batch norm", "Z_hat"): (
        "Z_hat[i, j] = (Z[i, j] - mean[i]) / sqrt(var[i] + eps)",
        _Z_hat,
    ),
    ("running batch norm", "Y"): ("Y[i, j] = gamma[i] Z_hat[i, j] + beta[i]", _Y),
    ("running batch norm", "dgamma"): ("dgamma[i] = sum_j dY[i, j] Z_hat[i, j]", _dgamma),
    ("running batch norm", "dbeta"): ("dbeta[i] = sum_j dY[i, j]", _dbeta),
    ("running batch norm", "dZ"): (
        "dZ[i, j] = gamma[i] / sqrt(var[i] + eps) dY[i, j]",
        _running_dZ,
    ),
    ("dropout", "D"): ("D[i, j] = A[i, j] M[i, j]", _product("A", "M")),
    ("dropout", "dA"): ("dA[i, j] = dD[i, j] M[i, j]", _product("dD", "M")),
    ("cost", "S"): ("S[i, j] = logits[i, j] - log(sum_k exp(logits[k, j]))", _S),
    ("cost", "P"): ("P[i, j] = exp(S[i, j])", _P),
    ("cost", "costs"): ("costs[j] = -sum_i T[i, j] S[i, j]", _costs),
    ("cost", "cost"): ("cost = share sum_j w[j] costs[j] / B", _mean_cost),
    ("cost", "dlogits"): ("dlogits[i, j] = share w[j] (P[i, j] - T[i, j]) / B", _dlogits),
}
