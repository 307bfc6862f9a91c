"""What is measured of a user's network, as it goes from one process to the other."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# The numbers of inputs, of the units of each layer, and of classes. Two layers have the same size,
# so that weights that were not transposed go unnoticed by their shape alone.
SIZES = (5, 4, 4, 3)
FUNCTIONS = ("cost_and_gradient", "cost", "gradient", "forward", "backward")


@dataclass(frozen=True)
class Precision:
    """How well the gradients of a network can be compared, by the type in which it computes.

    The error of a central difference is the smallest for a step of about the cube root of the
    type's resolution. `tolerance` is far above the error that remains.
    """

    name: str
    step: float  # of the central differences
    tolerance: float  # of the relative error of a gradient
    same: float  # relative difference up to which two gradients are the same
    least: float  # a gradient that is smaller, relative to all of them, is compared with this


# Measured with each activation, for `SIZES` and up to four hidden layers or 32 units: the errors
# of right gradients are up to 1e-9 in float64, and up to 1e-3 in float32.
PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("float64", 1e-5, 1e-5, 1e-6, 1e-5),
        Precision("float32", 5e-3, 5e-3, 1e-4, 1e-2),
    )
}


@dataclass(frozen=True)
class Progress:
    """How far the check has come. It begins when the file has been read."""

    n_calls: int = 0  # of the user's functions, that have returned
    n_needed: int = 0  # 0: not yet known
    seconds: float = 0.0  # that the calls took


@dataclass(frozen=True)
class Leaf:
    """One array of parameters, and its gradient."""

    name: str  # such as `W1`
    value: Array
    differences: Array  # the central differences of the cost
    gradient: Array | None  # as the user computed it; None: there is none
    problem: str = ""  # what the user returned in place of an array of numbers


@dataclass(frozen=True)
class Measured:
    """A user's network on one mini-batch."""

    sizes: tuple[int, ...]
    x: Array  # (n_in, B)
    y: NDArray[np.int64]  # (B,)
    columns: bool  # whether the user's functions have examples as columns
    precision: Precision  # of the user's cost and gradient, whichever is lower
    cost: float
    leaves: tuple[Leaf, ...]  # in the order of the parameters
    repeats: bool  # whether the gradient is the same if it is computed again
    changes_params: bool  # whether computing it changed the parameters
    overflows: bool  # whether the cost is NaN where the logits are large


def from_answer(answer: dict[str, Any]) -> Measured:
    """Reads the answer of `helper`."""
    gradient = dict(answer["gradient"])
    leaves = []
    for (name, value), differences in zip(answer["params"], answer["differences"], strict=True):
        found = gradient.get(name, gradient.get(of_derivative(name)))
        problem = found if isinstance(found, str) else ""
        leaves.append(
            Leaf(
                name,
                np.array(value, np.float64),
                np.array(differences, np.float64),
                None if found is None or problem else np.array(found, np.float64),
                problem,
            )
        )
    return Measured(
        tuple(answer["sizes"]),
        np.array(answer["x"], np.float64),
        np.array(answer["y"], np.int64),
        answer["columns"],
        PRECISIONS[answer["precision"]],
        answer["cost"],
        tuple(leaves),
        answer["repeats"],
        answer["changes_params"],
        answer["overflows"],
    )


def of_derivative(name: str) -> str:
    """The name of a derivative, such as `dW1` of `W1`."""
    *path, last = name.split(".")
    return ".".join([*path, f"d{last}"])
