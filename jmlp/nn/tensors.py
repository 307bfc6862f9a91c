"""Names for the arrays of a network, such as `params[0].dense.W`, `state[0].mean`; no JAX."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.study.config import Hyperparams

Tensors = dict[str, NDArray[Any]]


def name_tensors(params: Any, state: Any) -> Tensors:
    """Maps the path of each array in `params` and `state` to the array.

    Args:
        params: one `Layer` per layer, as in `jmlp.predict`.
        state: the running statistics of each layer; None for a layer without batch norm.
    """
    named: Tensors = {}
    for index, layer in enumerate(params):
        for part_name, part in layer._asdict().items():
            if part_name not in ("activation", "raw"):  # no arrays
                named |= _fields(f"params[{index}].{part_name}", part)
    for index, layer_state in enumerate(state):
        named |= _fields(f"state[{index}]", layer_state)
    return named


def check_network(
    tensors: Mapping[str, NDArray[Any]], hp: Hyperparams, n_in: int, n_classes: int
) -> None:
    """Checks that `tensors` are exactly the arrays of such a network, all float32.

    Raises:
        ValueError: an array is missing, unexpected, or of the wrong shape or type.
    """
    shapes = _shapes(hp, n_in, n_classes)
    for name, shape in shapes.items():
        if name not in tensors:
            raise ValueError(f"{name} is missing")
        array = tensors[name]
        if array.shape != shape or array.dtype != np.float32:
            raise ValueError(f"{name} is {array.dtype} {array.shape}, expected float32 {shape}")
    if unexpected := sorted(tensors.keys() - shapes.keys()):
        raise ValueError(f"{', '.join(unexpected)} belong to no layer")


def _fields(prefix: str, part: Any) -> Tensors:
    if part is None:
        return {}
    arrays = part._asdict().items()
    return {f"{prefix}.{name}": np.asarray(array) for name, array in arrays if array is not None}


def _shapes(hp: Hyperparams, n_in: int, n_classes: int) -> dict[str, tuple[int, ...]]:
    sizes = (n_in, *hp.hidden, n_classes)
    shapes: dict[str, tuple[int, ...]] = {}
    for index, n_out in enumerate(sizes[1:]):
        prefix = f"params[{index}]"
        shapes[f"{prefix}.dense.W"] = (n_out, sizes[index])
        columns = [f"{prefix}.dense.b"]
        if hp.batch_norm and index < len(hp.hidden):
            before = hp.batch_norm_place == "before"
            norm = "batchnorm" if before else "batchnorm_after"
            columns = [] if before else columns
            columns += [f"{prefix}.{norm}.{name}" for name in ("gamma", "beta")]
            columns += [f"state[{index}].{name}" for name in ("mean", "var")]
        shapes |= dict.fromkeys(columns, (n_out, 1))
    return shapes
