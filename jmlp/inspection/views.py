"""What is shown of a step of a network: its operations, numbers and the sums behind them.

These records are computed from an `inspection.step.Step` by `inspection.inside`, and are what the
helper process answers and the command prints as JSON. Imports no JAX.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

AnyPart = Literal["training", "validation", "test"]  # of the data

MOST_TERMS = 40  # of a sum that are listed one by one
MOST_CHANGES = 200  # parameters whose update is listed
# The columns of an operation's table: letters of arrays with a row per unit, forward then backward.
UNIT_LETTERS: Mapping[str, tuple[str, ...]] = {
    "dense": ("b", "Z", "dZ", "db"),
    "batch norm": (
        "Z",
        "mean",
        "var",
        "Z_hat",
        "gamma",
        "beta",
        "Y",
        "dY",
        "dgamma",
        "dbeta",
        "dZ",
    ),
    "running batch norm": ("Z", "mean", "var", "Z_hat", "gamma", "beta", "Y", "dY", "dZ"),
    "activation": ("Z", "A", "dA", "dZ"),
    "dropout": ("A", "M", "D", "dD", "dA"),
    "cost": ("logits", "T", "S", "P", "dlogits"),
}


@dataclass(frozen=True)
class Where:
    """Which step of which network is looked at."""

    run_id: str | None = None  # None: a fresh network, which no store has
    # Of a fresh network, as in a study file.
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    # The index of the stored network; None: the one that is kept. Of a fresh network, the number of
    # updates before this one.
    snapshot: int | None = None
    part: AnyPart | None = None  # None: the next update; else a prediction of an example of it
    example: int = 0  # in the mini-batch, or in the part


@dataclass(frozen=True)
class OperationView:
    """An operation, without its numbers."""

    layer: str  # "inputs", "hidden 1", …, "output", "cost"
    kind: str
    name: str  # of an activation, such as "relu"; otherwise the kind
    equations: str
    shapes: Mapping[str, tuple[int, int]]  # rows and columns of each array by its letter


@dataclass(frozen=True)
class StepView:
    """A step, or a prediction, without the numbers of its operations."""

    where: Where
    snapshot: int  # the index of the network
    epochs: tuple[float, ...]  # of all networks
    epoch: float  # of this one
    best: int | None  # the index of the one that is kept
    update: int | None  # its number, from 1; None: a prediction
    learning_rate: float | None
    n_examples: int  # that can be chosen
    row: int  # the number of the example in the part of the data
    part: AnyPart
    column: int  # the example in the arrays
    label: int
    class_names: tuple[str, ...]
    predicted: int | None  # None: the outputs are not finite
    probability: float  # of the predicted class
    cost: float  # of the example
    batch_cost: float  # of the mini-batch, or of the block of it that is traced
    is_block: bool  # whether the arrays are of a block of the mini-batch
    operations: tuple[OperationView, ...]
    knows_update: bool  # whether the new parameters are known
    input_names: tuple[str, ...]  # (n_in,) if the examples are rows, else empty
    plane: tuple[int, int] | None  # rows and columns of the pictures, if they are such
    mistakes: tuple[str, ...]  # the names of those that the network makes


@dataclass(frozen=True)
class FactorView:
    """A factor of a term."""

    name: str  # such as "W[0, 3]" or "(1 / B)"
    value: float
    operation: int | None = None  # where its cell was computed, or is given; None: a constant
    letter: str = ""
    at: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class TermView:
    """A product; the terms of a cell add up to it."""

    value: float
    factors: tuple[FactorView, ...]


@dataclass(frozen=True)
class CellView:
    """One number, and the sum behind it."""

    operation: int
    layer: str
    place: str  # the layer, with the operation where the layer has several arrays of this letter
    letter: str
    at: tuple[int, int]
    value: float
    equation: str | None  # None: it is given
    terms: tuple[TermView, ...]  # the largest first, at most `MOST_TERMS`
    n_more: int  # further terms
    rest: float  # their sum
    update: "UpdateView | None" = None  # of a parameter
    total: float | None = None  # of all terms, where it is another number, because of a mistake


@dataclass(frozen=True)
class UpdateView:
    """What an update does to one parameter."""

    layer: str
    letter: str
    at: tuple[int, int]
    old: float
    gradient: float  # of the update: with an L2 penalty and clipped, if these are on
    new: float | None  # None: unknown, since the optimiser's moments are not stored


@dataclass(frozen=True)
class WaysView:
    """One derivative by three ways; see `nn.three_ways`."""

    by_hand: float
    by_vjp: float
    by_differences: float
    vjp_error: float
    difference_error: float
    step: float
    type: str  # float32 or float64
    reasons: tuple[str, ...]
    is_mistake: bool


@dataclass(frozen=True)
class ArrayWaysView:
    """The derivatives of one array by three ways."""

    layer: str
    place: str  # as in `CellView`
    letter: str
    size: int
    vjp_error: float
    difference_error: float
    n_checked: int
    reasons: Mapping[str, int]  # the kind of each reason, and of how many numbers it is one
    n_mistakes: int
