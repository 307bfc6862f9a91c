"""What is measured of a user's network, as it goes from one process to the other."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# The numbers of inputs, of the units of each layer, and of classes. Two layers have the same size,
# so that weights that were not transposed go unnoticed by their shape alone.
SIZES = (5, 4, 4, 3)
STEP = 1e-5  # of the central differences
FUNCTIONS = ("cost_and_gradient", "cost", "gradient", "forward", "backward")


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
