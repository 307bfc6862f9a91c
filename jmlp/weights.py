"""A trained network as one safetensors file: no code in it, and other tools read it too.

Tensors are named by their place, such as `params[0].dense.W`; the names of running statistics begin
with `state`. The header holds the hyperparameters, the shape of an image and the number of classes,
and a SHA-256 of the whole file, so that a damaged one is refused.
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
UNSEALED = "0" * 64  # in place of the SHA-256, while that is computed

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
        "sha256": UNSEALED,
    }
    data = to_bytes(tensors, header)
    write_atomically(path, data.replace(UNSEALED.encode(), digest(data, UNSEALED).encode(), 1))


def load(path: Path) -> Network:
    """Reads a network that `save` wrote.

    Raises:
        CheckpointError: it is not there, not such a file, or damaged; nothing is loaded in part.
    """
    tensors, header = _read(path)
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


def digest(data: bytes, seal: str) -> str:
    """SHA-256 of a file's bytes, those of the SHA-256 in it, the `seal`, taken for zeros."""
    found = seal.encode("utf-8", "replace")  # that of a damaged file may be any text
    return hashlib.sha256(data.replace(found, UNSEALED.encode(), 1)).hexdigest()


def _fields(place: str, part: Any) -> Tensors:
    if part is None:
        return {}
    return {
        f"{place}.{name}": np.ascontiguousarray(array)
        for name, array in part._asdict().items()
        if array is not None
    }


def _read(path: Path) -> tuple[Tensors, dict[str, str]]:
    """The tensors and the header of a file that `save` wrote, and nobody changed."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path}: not a regular file")
        if status.st_size > MAX_BYTES:
            raise CheckpointError(f"{path}: {status.st_size:,} bytes, at most {MAX_BYTES:,}")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"{path}: cannot be read: {reason}") from error
    header = _read_header(data, path)
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: not a network saved by this version of jmlp (format "
            f"{header.get('format')!r}, wanted {FORMAT!r}); write one with `jmlp train --save FILE`"
        )
    seal = header.get("sha256", "")
    if digest(data, seal) != seal:
        raise CheckpointError(f"{path}: damaged: its SHA-256 is not the one stored in it")
    try:
        return from_bytes(data), header
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error


def _read_header(data: bytes, path: Path) -> dict[str, str]:
    """What people and programs may add to any safetensors file: strings by name."""
    length = int.from_bytes(data[:8], "little")
    try:
        table = json.loads(data[8 : 8 + length])
        texts = table.get("__metadata__", {})
        return {name: text for name, text in texts.items() if isinstance(text, str)}
    except (AttributeError, RecursionError, ValueError) as error:
        raise CheckpointError(
            f"{path}: damaged, or not a safetensors file: its header cannot be read"
        ) from error


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
