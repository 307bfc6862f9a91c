"""A trained network as one sealed file: parameters, running statistics, and what describes them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jmlp import sealed
from jmlp.checks import check
from jmlp.config import Hyperparams
from jmlp.errors import CheckpointError, ConfigError, StoreError
from jmlp.places import write_atomically
from jmlp.records import UnreadableError, member
from jmlp.results import RunResult
from jmlp.tensors import Tensors, check_network, name_tensors

FORMAT = "jmlp-network-2"


@dataclass(frozen=True)
class Network:
    """What is needed to predict."""

    hyperparams: Hyperparams
    image_shape: tuple[int, ...]
    n_classes: int
    params: Any  # as `jmlp.predict` takes them, of NumPy arrays
    state: Any
    about: dict[str, Any]  # run id, seed, accuracies, versions: for people


class StoredRun(Protocol):
    """The parts of a run's file that make a network."""

    @property
    def result(self) -> RunResult:
        """What became of the run."""

    @property
    def best(self) -> Tensors:
        """The kept arrays by name."""

    @property
    def about(self) -> dict[str, Any]:
        """The rest of the file: "data" with its digests."""


def save(path: Path, network: Network) -> None:
    """Writes a network, atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    write_atomically(path, _content(path, network, name_tensors(network.params, network.state)))


def save_stored(
    path: Path, stored: StoredRun, image_shape: tuple[int, ...], n_classes: int
) -> None:
    """Writes the kept network of a stored run as `save` does; needs no JAX.

    Args:
        path: the file.
        stored: a run that finished.
        image_shape: of the data, which the run's file does not know.
        n_classes: of the data.

    Raises:
        StoreError: the network is not one for such data, or the file cannot be written.
    """
    write_atomically(path, stored_content(path, stored, image_shape, n_classes))


def stored_content(
    path: Path, stored: StoredRun, image_shape: tuple[int, ...], n_classes: int
) -> bytes:
    """The bytes of the file that `save_stored` writes.

    Raises:
        StoreError: the network is not one for such data, or is too large for a file.
    """
    run = stored.result
    try:
        check_network(stored.best, run.hyperparams, int(np.prod(image_shape)), n_classes)
    except ValueError as error:
        raise StoreError(f"run {run.run_id} does not fit its data: {error}") from error
    about = {
        "run_id": run.run_id,
        "seed": run.seed,
        "validation_accuracy": run.validation_accuracy,
        "test_accuracy": run.test_accuracy,
        "data": dict(stored.about["data"]["digests"]),
        "versions": dict(run.provenance.versions),
    }
    network = Network(run.hyperparams, image_shape, n_classes, None, None, about)
    return _content(path, network, stored.best)


def _content(path: Path, network: Network, tensors: Tensors) -> bytes:
    header = {
        "format": FORMAT,
        "hyperparams": asdict(network.hyperparams),
        "image_shape": network.image_shape,
        "n_classes": network.n_classes,
        "about": network.about,
    }
    return sealed.content(path, tensors, header)


def load(path: Path) -> Network:
    """Reads a network that `save` wrote.

    Raises:
        CheckpointError: it is not there, not such a file, or damaged; nothing is loaded in part.
    """
    try:
        tensors, header = sealed.read(path, FORMAT, follow_links=True)
    except sealed.OtherFormatError as error:
        raise CheckpointError(f"{error}; write one with `jmlp train --save FILE`") from error
    try:
        hp = member(header, "hyperparams", Hyperparams)
        check(hp)
        image_shape = tuple(int(n) for n in header["image_shape"])
        n_classes = int(header["n_classes"])
        about = dict(header["about"])
        params, state = restore(tensors, hp, int(np.prod(image_shape)), n_classes)
    except (ConfigError, KeyError, TypeError, UnreadableError, ValueError) as error:
        raise CheckpointError(f"{path}: its header does not fit its numbers: {error}") from error
    return Network(hp, image_shape, n_classes, params, state, about)


def restore(tensors: Tensors, hp: Hyperparams, n_in: int, n_classes: int) -> tuple[Any, Any]:
    """Parameters and state from the arrays that `name_tensors` named.

    Raises:
        ValueError: they are not exactly those of such a network.
    """
    from jmlp.layers.batchnorm import BatchNormParams, BatchNormState
    from jmlp.layers.dense import DenseParams
    from jmlp.model import Layer

    check_network(tensors, hp, n_in, n_classes)
    params, state = [], []
    for index in range(len(hp.hidden) + 1):
        dense = DenseParams(*_take(tensors, f"params[{index}].dense", DenseParams._fields))
        bn = bn_state = None
        if hp.batch_norm and index < len(hp.hidden):
            place = f"params[{index}].batchnorm"
            bn = BatchNormParams(*_take(tensors, place, BatchNormParams._fields))
            bn_state = BatchNormState(*_take(tensors, f"state[{index}]", BatchNormState._fields))
        params.append(Layer(dense, bn))
        state.append(bn_state)
    return tuple(params), tuple(state)


def _take(tensors: Tensors, place: str, names: tuple[str, ...]) -> list[Any]:
    return [tensors.get(f"{place}.{name}") for name in names]
