"""A trained network as one sealed file: parameters, running statistics, and what describes them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jmlp.data import mnist
from jmlp.data.contract import Contract, check_contract
from jmlp.data.digits import SYNTHETIC_DIGESTS
from jmlp.errors import CheckpointError, ConfigError, StoreError
from jmlp.nn.tensors import Tensors, check_network, name_tensors
from jmlp.results import tensor_files
from jmlp.results.serialization import UnreadableError, member
from jmlp.study.config import Hyperparams
from jmlp.study.rules import check
from jmlp.system.files import write_atomically
from jmlp.training.records import RunResult

FORMAT = "jmlp-network-3"
BEFORE = "jmlp-network-2"  # of its data it knew the shape and the classes


@dataclass(frozen=True)
class Network:
    """What is needed to predict."""

    hyperparams: Hyperparams
    contract: Contract  # what it takes, and how many classes it answers with
    params: Any  # as `jmlp.predict` takes them, of NumPy arrays
    state: Any
    about: dict[str, Any]  # run id, seed, accuracies, versions: for people

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of one example."""
        return self.contract.image_shape

    @property
    def n_classes(self) -> int:
        """That it tells apart."""
        return self.contract.n_classes


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


def save_stored(path: Path, stored: StoredRun, contract: Contract) -> None:
    """Writes the kept network of a stored run as `save` does; needs no JAX.

    Args:
        path: the file.
        stored: a run that finished.
        contract: of the data, which the run's file does not know.

    Raises:
        StoreError: the network is not one for such data, or the file cannot be written.
    """
    write_atomically(path, stored_content(path, stored, contract))


def stored_content(path: Path, stored: StoredRun, contract: Contract) -> bytes:
    """The bytes of the file that `save_stored` writes.

    Raises:
        StoreError: the network is not one for such data, or is too large for a file.
    """
    run = stored.result
    try:
        check_network(stored.best, run.hyperparams, contract.n_in, contract.n_classes)
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
    network = Network(run.hyperparams, contract, None, None, about)
    return _content(path, network, stored.best)


def _content(path: Path, network: Network, tensors: Tensors) -> bytes:
    header = {
        "format": FORMAT,
        "hyperparams": asdict(network.hyperparams),
        "contract": asdict(network.contract),
        "about": network.about,
    }
    return tensor_files.content(path, tensors, header)


def load(path: Path) -> Network:
    """Reads a network that `save` wrote.

    Raises:
        CheckpointError: it is not there, not such a file, or damaged; nothing is loaded in part.
    """
    tensors, header = _read(path)
    try:
        hp, contract, about = _described(header)
        params, state = restore(tensors, hp, contract.n_in, contract.n_classes)
        _check_numbers(tensors)
    except (ConfigError, UnreadableError, ValueError) as error:
        raise _misfit(path, error) from error
    return Network(hp, contract, params, state, about)


def _read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    def check_shapes(outline: Tensors, header: dict[str, Any]) -> None:
        """What cannot be such a network is refused before gigabytes of it are read."""
        try:
            hp, contract, _ = _described(header)
            check_network(outline, hp, contract.n_in, contract.n_classes)
        except (ConfigError, UnreadableError, ValueError) as error:
            raise _misfit(path, error) from error

    try:
        return tensor_files.read(path, FORMAT, follow_links=True, check=check_shapes)
    except tensor_files.OtherFormatError as error:
        try:
            return tensor_files.read(path, BEFORE, follow_links=True, check=check_shapes)
        except tensor_files.OtherFormatError:
            raise CheckpointError(f"{error}; write one with `jmlp train --save FILE`") from error


def _described(header: dict[str, Any]) -> tuple[Hyperparams, Contract, dict[str, Any]]:
    """What a header says of its network.

    Raises:
        ConfigError: hyperparameters that are not allowed.
        UnreadableError: something is not there, or of another type.
        ValueError: there can be no such data.
    """
    hp = member(header, "hyperparams", Hyperparams)
    check(hp)
    about = member(header, "about", dict[str, Any])
    contract = _contract(header, about)
    check_contract(contract)
    return hp, contract, about


def _misfit(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: its header does not fit its numbers: {error}")


def _contract(header: dict[str, Any], about: dict[str, Any]) -> Contract:
    """What a network takes; of a file of the format before, as much as is known.

    Raises:
        UnreadableError: it is not there, or of other types.
    """
    if header["format"] == FORMAT:
        return member(header, "contract", Contract)
    known = about.get("data") in (mnist.DIGESTS, SYNTHETIC_DIGESTS)
    return Contract(
        member(header, "image_shape", tuple[int, ...]),
        member(header, "n_classes", int),
        "uint8" if known else None,
    )


def _check_numbers(tensors: Tensors) -> None:
    """Whether a network of these numbers can answer.

    Raises:
        ValueError: a number is not finite, or a variance is negative.
    """
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not finite")
        if name.endswith(".var") and array.min() < 0:
            raise ValueError(f"{name} holds a variance of {array.min():g}")


def restore(tensors: Tensors, hp: Hyperparams, n_in: int, n_classes: int) -> tuple[Any, Any]:
    """Parameters and state from the arrays that `name_tensors` named.

    Raises:
        ValueError: they are not exactly those of such a network.
    """
    from jmlp.nn.batchnorm import BatchNormParams, BatchNormState
    from jmlp.nn.dense import DenseParams
    from jmlp.nn.model import Layer

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
