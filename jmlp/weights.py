"""A trained network as one safetensors file: no code in it, and other tools read it too.

Tensors are named by their place, such as `params[0].dense.W`; the names of running statistics begin
with `state`. The header holds the hyperparameters, the shape of an image and the number of classes,
and a SHA-256 over all numbers, so that a damaged file is refused.
"""

import hashlib
import json
import stat
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.checks import check
from jmlp.config import Hyperparams
from jmlp.errors import CheckpointError, ConfigError
from jmlp.places import write_atomically

FORMAT = "jmlp-network-1"
MAX_BYTES = 4_000_000_000

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Network:
    """What is needed to predict."""

    hyperparams: Hyperparams
    image_shape: tuple[int, ...]
    n_classes: int
    params: Any  # as `jmlp.predict` takes them, of NumPy arrays
    state: Any
    about: dict[str, Any]  # run id, seed, accuracies, versions: for people


def save(path: Path, network: Network) -> None:
    """Writes a network, atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    tensors = name_tensors(network.params, network.state)
    header = {
        "format": FORMAT,
        "hyperparams": json.dumps(asdict(network.hyperparams)),
        "image_shape": json.dumps(network.image_shape),
        "n_classes": json.dumps(network.n_classes),
        "about": json.dumps(network.about),
        "sha256": digest(tensors),
    }
    write_atomically(path, to_bytes(tensors, header))


def load(path: Path) -> Network:
    """Reads a network that `save` wrote.

    Raises:
        CheckpointError: it is not there, not such a file, or damaged; nothing is loaded in part.
    """
    tensors, header = _read(path)
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: not a network saved by this version of jmlp (format "
            f"{header.get('format')!r}, wanted {FORMAT!r}); write one with `jmlp train --save FILE`"
        )
    if header.get("sha256") != digest(tensors):
        raise CheckpointError(f"{path}: damaged: the SHA-256 of its numbers is not the stored one")
    try:
        hp = Hyperparams(**_tuples(json.loads(header["hyperparams"])))
        check(hp)
        image_shape = tuple(int(n) for n in json.loads(header["image_shape"]))
        n_classes = int(json.loads(header["n_classes"]))
        about = dict(json.loads(header["about"]))
        params, state = _restore(tensors, hp, int(np.prod(image_shape)), n_classes)
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its header does not fit its numbers: {error}") from error
    return Network(hp, image_shape, n_classes, params, state, about)


def name_tensors(params: Any, state: Any) -> Tensors:
    """Every array under the name of its place."""
    named: Tensors = {}
    for index, layer in enumerate(params):
        for part_name, part in layer._asdict().items():
            named |= _fields(f"params[{index}].{part_name}", part)
    for index, layer_state in enumerate(state):
        named |= _fields(f"state[{index}]", layer_state)
    return named


def digest(tensors: Tensors) -> str:
    """SHA-256 over names, types, shapes and numbers."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _fields(place: str, part: Any) -> Tensors:
    if part is None:
        return {}
    return {
        f"{place}.{name}": np.ascontiguousarray(array)
        for name, array in part._asdict().items()
        if array is not None
    }


def _read(path: Path) -> tuple[Tensors, dict[str, str]]:
    """The tensors and the header of any safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path}: not a regular file")
        if status.st_size > MAX_BYTES:
            raise CheckpointError(f"{path}: {status.st_size:,} bytes, at most {MAX_BYTES:,}")
        data = path.read_bytes()
        tensors = from_bytes(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"{path}: cannot be read: {reason}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error
    return tensors, header


def _restore(tensors: Tensors, hp: Hyperparams, n_in: int, n_classes: int) -> tuple[Any, Any]:
    """Builds parameters and state, every shape checked against the hyperparameters."""
    from jmlp.layers.batchnorm import BatchNormParams, BatchNormState
    from jmlp.layers.dense import DenseParams
    from jmlp.model import Layer

    left = dict(tensors)

    def take(name: str, shape: tuple[int, ...]) -> Any:
        array = left.pop(name)
        if array.shape != shape or array.dtype != np.float32:
            raise ValueError(f"{name} is {array.dtype} {array.shape}, wanted float32 {shape}")
        return array

    sizes = (n_in, *hp.hidden, n_classes)
    params, state = [], []
    for index, n_out in enumerate(sizes[1:]):
        place, column = f"params[{index}]", (n_out, 1)
        normalised = hp.batch_norm and index < len(hp.hidden)
        W = take(f"{place}.dense.W", (n_out, sizes[index]))
        b = None if normalised else take(f"{place}.dense.b", column)
        names = (f"{place}.batchnorm", f"state[{index}]")
        bn = bn_state = None
        if normalised:
            bn = BatchNormParams(
                *(take(f"{names[0]}.{f}", column) for f in BatchNormParams._fields)
            )
            bn_state = BatchNormState(
                *(take(f"{names[1]}.{f}", column) for f in BatchNormState._fields)
            )
        params.append(Layer(DenseParams(W, b), bn))
        state.append(bn_state)
    if left:
        raise ValueError(f"{', '.join(sorted(left))} belong to no layer")
    return tuple(params), tuple(state)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples that they were."""
    known = {f.name for f in fields(Hyperparams)}
    if set(values) != known:
        raise ValueError(f"hyperparameters {sorted(values)}, wanted {sorted(known)}")
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
