"""How far rounding may move each derivative of a trace: a bound for every number.

The backward pass is gone through once more, with the error E of each array in place of the array.
With u a few roundings of a number near 1, and n the number of terms of a sum:

    cost         E(dlogits) = u share w (P (1 + max |logits|) + T) / B
    dense        E(dA) = |W|^T (E(dZ) + n u |dZ|)        E(dW) = (E(dZ) + n u |dZ|) |A|^T
    activation   E(dZ) = max |f'| E(dA) + u |dA|
    dropout      E(dA) = M (E(dD) + u |dD|)
    batch norm   E(dZ): dY by its error, and each difference in it by the sum of what is subtracted

Above all it is P - T that rounding moves: where the network is sure, P is near 1, and the
difference has few digits, or none. Source: the running error analysis of Higham, "Accuracy and
Stability of Numerical Algorithms", 2nd ed. (2002), section 3.3.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from jmlp.nn.batchnorm import EPS
from jmlp.nn.trace import INPUTS, Kind, Trace

ROUNDINGS = 8  # in a number that is no sum
STEEPEST = 1.13  # slope of an activation: GELU's

Numbers = NDArray[np.float64]
Arrays = Mapping[str, Numbers]


def bounds(found: Trace) -> tuple[dict[str, Numbers], ...]:
    """The bounds of what each operation computes on the way back, by its letter.

    Args:
        found: the trace; its type is that of the computation.
    """
    type_ = np.finfo(found.inputs.dtype)
    u = ROUNDINGS * float(type_.eps)
    error: Numbers = np.zeros(0)
    backward = []
    for operation in reversed(found.operations):
        sizes = {name: np.abs(np.asarray(a, np.float64)) for name, a in operation.arrays.items()}
        errors = _RULES[operation.kind](sizes, error, u)
        error = errors[f"d{INPUTS[operation.kind]}"]
        backward.append({name: array + float(type_.tiny) for name, array in errors.items()})
    return tuple(reversed(backward))


def _cost(a: Arrays, _: Numbers, u: float) -> dict[str, Numbers]:
    share = (a["share"][0, 0] if "share" in a else 1.0) / a["T"].shape[1]
    share = share * a["w"] if "w" in a else share
    largest = a["logits"].max(axis=0, keepdims=True)
    return {"dlogits": u * share * (a["P"] * (1 + largest) + a["T"])}


def _dense(a: Arrays, E: Numbers, u: float) -> dict[str, Numbers]:
    over_units, over_examples = (E + n * u * a["dZ"] for n in a["dZ"].shape)
    return {
        "dW": over_examples @ a["A"].T,
        "db": over_examples.sum(axis=1, keepdims=True),
        "dA": a["W"].T @ over_units,
    }


def _activation(a: Arrays, E: Numbers, u: float) -> dict[str, Numbers]:
    return {"dZ": STEEPEST * E + u * a["dA"]}


def _dropout(a: Arrays, E: Numbers, u: float) -> dict[str, Numbers]:
    return {"dA": a["M"] * (E + u * a["dD"])}


def _batchnorm(a: Arrays, E: Numbers, u: float) -> dict[str, Numbers]:
    n = a["Z"].shape[1]
    slope = a["gamma"] / np.sqrt(a["var"] + EPS)
    terms = (a["Z"] + a["mean"]) / np.sqrt(a["var"] + EPS)  # whose difference is Z_hat
    errors = E + n * u * (1 + terms) * a["dY"]
    dgamma, dbeta = ((errors * x).sum(axis=1, keepdims=True) for x in (1 + terms, np.ones(1)))
    return {"dgamma": dgamma, "dbeta": dbeta, "dZ": slope * (errors + (dbeta + terms * dgamma) / n)}


def _running_batchnorm(a: Arrays, E: Numbers, u: float) -> dict[str, Numbers]:
    errors = _batchnorm(a, E, u)
    slope = a["gamma"] / np.sqrt(a["var"] + EPS)
    return errors | {"dZ": slope * (E + u * a["dY"])}


_RULES: Mapping[Kind, Callable[[Arrays, Numbers, float], dict[str, Numbers]]] = {
    "dense": _dense,
    "batch norm": _batchnorm,
    "running batch norm": _running_batchnorm,
    "activation": _activation,
    "dropout": _dropout,
    "cost": _cost,
}
