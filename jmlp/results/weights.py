"""A trained network, which classifies, and the sealed file that holds one.

The file has parameters, statistics, the input contract and metadata.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from jmlp.data.contract import Contract, check_contract
from jmlp.data.dataset import check_labels
from jmlp.data.digits import SYNTHETIC_DIGESTS
from jmlp.data.mnist import MNIST
from jmlp.errors import CheckpointError, ConfigError, DataError, StoreError
from jmlp.nn.tensors import Tensors, check_network, name_tensors
from jmlp.results import tensor_files
from jmlp.results.serialization import UnreadableError, member
from jmlp.study.config import Hyperparams, check
from jmlp.study.rules import with_kind
from jmlp.system.files import write_atomically
from jmlp.training.records import RunResult

FORMAT = "jmlp-network-3"
PREVIOUS_FORMAT = "jmlp-network-2"  # has only the shape and the number of classes of the data
PART = 10_000  # examples that go through a network together


Score = Literal["accuracy", "cost"]


@dataclass(frozen=True, repr=False)
class Network:
    """A trained network with everything needed to predict.

    `predict`, `predict_proba` and `score` are called as those of scikit-learn's classifiers. They
    take examples as the network was trained on: pixels from 0 to 255, numbers of the same scale, or
    raw rows of a table: a frame, a mapping of names to values, or an array of its features.
    """

    hyperparams: Hyperparams
    contract: Contract  # the form of its inputs, and the number of classes
    params: Any  # NumPy arrays, as for `jmlp.predict`
    state: Any  # likewise
    about: dict[str, Any]  # run id, seed, accuracies, versions; or the file that it was read from

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.contract.image_shape

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return self.contract.n_classes

    def __repr__(self) -> str:
        sizes = (self.contract.n_in, *self.hyperparams.hidden, self.n_classes)
        return f"Network({'-'.join(map(str, sizes))})"

    def predict(self, x: Any) -> NDArray[Any]:
        """The class of each example: that with the highest probability.

        Args:
            x: examples, one per row: `(N, ...)`, or a single one.

        Returns:
            `(N,)`, names of classes, or integers from 0 to C - 1 if these were the labels; of a
            single example an array without axes.

        Raises:
            DataError: `x` is not what the network was trained on.
        """
        chosen = self._logits(x).argmax(axis=-1)
        return np.asarray(np.array(self.contract.class_names)[chosen] if self._named else chosen)

    def predict_proba(self, x: Any) -> NDArray[np.float32]:
        """The probability of each class, `(N, C)`; of a single example, `(C,)`.

        Raises:
            DataError: `x` is not what the network was trained on.
        """
        from scipy.special import softmax

        return np.asarray(softmax(self._logits(x), axis=-1))

    def score(self, x: Any, y: Any = None, what: Score = "accuracy") -> float:
        """How well the network classifies some examples.

        Args:
            x: examples, one per row: `(N, ...)`.
            y: their labels, `(N,)`, as in training. None: they are the label column of a frame.
            what: "accuracy", the share of correct predictions, from 0 to 1; or "cost", the mean
                cross-entropy in nats.

        Raises:
            ConfigError: `what` is neither.
            DataError: `x` or `y` is not what the network was trained on.
        """
        from scipy.special import log_softmax

        from jmlp.data.table import indices_of

        if what not in get_args(Score):
            raise ConfigError(f"score: what: must be 'accuracy' or 'cost', got {with_kind(what)}")
        if y is None:
            y = self._labels_in(x)
        if self._named:
            labels = indices_of(y, self.contract.class_names, "score: y")
        else:
            labels = check_labels(y, "score: y", self.n_classes)
        logits = self._logits(x)
        if logits.ndim != 2 or len(logits) != len(labels):
            raise DataError(
                f"score: {len(labels)} labels in y, but x has {len(logits)} examples"
                if logits.ndim == 2
                else f"score: x: shape {np.shape(x)}: must be one example per row, (N, ...)"
            )
        if what == "accuracy":
            return float(np.mean(logits.argmax(axis=1) == labels))
        shares = log_softmax(logits.astype(np.float64), axis=1)
        return float(-np.mean(shares[np.arange(len(labels)), labels]))

    def save(self, path: str | Path) -> None:
        """Writes the network to a file for `jmlp.load` and `jmlp predict`; replaces an old one.

        Raises:
            ConfigError: it was trained with an optimizer of the caller's.
            StoreError: the file cannot be written.
        """
        if self.about.get("run_id") == "":
            raise ConfigError(
                "save: trained with an optimizer or activation of your own, which a file cannot "
                "record: save the arrays in jax.tree.leaves((params, state)) yourself"
            )
        save(Path(path), self)

    def _labels_in(self, x: Any) -> NDArray[Any]:
        """The label column of a frame."""
        from jmlp.data.frames import is_columns, read_columns

        columns = self.contract.columns
        if columns is None:
            raise DataError("score: y: give the labels of x")
        if is_columns(x):
            for column in read_columns(x, "score: x").columns:
                if column.name == columns.label:
                    return column.values
        raise DataError(
            f"score: y: give the labels of x, or a frame with the column {columns.label} as x"
        )

    @property
    def _named(self) -> bool:
        """Whether the labels were other than 0 to C - 1."""
        return bool(self.contract.given_names)

    def _logits(self, x: Any) -> NDArray[np.float32]:
        """`(N, C)`, or `(C,)` for a single example; `x` is checked by the contract."""
        from jmlp.data.frames import is_columns
        from jmlp.results.examples import as_rows

        if self.contract.is_table:
            rows: Any = self.contract.inputs_of(x, "x")
            is_one = not is_columns(x) and np.ndim(x) == 1
        else:
            rows, is_one = as_rows(x, self.contract.n_in, np.float32, "x")
            rows = self.contract.convert(np.asarray(rows), "x")
        logits = logits_of(self, rows)
        return logits[0] if is_one else logits


def logits_of(network: Network, x: NDArray[Any]) -> NDArray[np.float32]:
    """The logits `(N, C)` of inputs of the network, `(N, n_in)`, which are not checked."""
    from jmlp.nn import model
    from jmlp.system import numerics

    with numerics.pinned():
        # In parts, because every layer's output is in memory at once.
        parts = [
            np.asarray(model.predict(network.params, network.state, x[first : first + PART]))
            for first in range(0, max(len(x), 1), PART)
        ]
    return np.concatenate(parts)


class StoredRun(Protocol):
    """The parts of a run's file that are needed for a network."""

    @property
    def result(self) -> RunResult:
        """The result of the run."""

    @property
    def best(self) -> Tensors:
        """The arrays of the best epoch by name."""

    @property
    def about(self) -> dict[str, Any]:
        """The metadata of the file, including "data" with its digests."""


def save(path: Path, network: Network) -> None:
    """Writes a network, atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    write_atomically(path, _content(path, network, name_tensors(network.params, network.state)))


def save_stored(path: Path, stored: StoredRun, contract: Contract) -> None:
    """Writes the kept network of a stored run, like `save`; needs no JAX.

    Args:
        path: the file.
        stored: a finished run.
        contract: the contract of the data; that of a run on a table is in the run's file.

    Raises:
        StoreError: the network does not fit such data, or the file cannot be written.
    """
    write_atomically(path, stored_content(path, stored, contract))


def stored_content(path: Path, stored: StoredRun, contract: Contract) -> bytes:
    """The bytes of the file that `save_stored` writes.

    Raises:
        StoreError: the network does not fit such data, or is too large for a file.
    """
    run = stored.result
    contract = contract if run.contract is None else run.contract
    try:
        check_network(stored.best, run.hyperparams, contract.n_in, contract.n_classes)
    except ValueError as error:
        raise StoreError(f"run {run.run_id} does not fit its data: {error}") from error
    about = _about(run, stored.about["data"]["digests"])
    network = Network(run.hyperparams, contract, None, None, about)
    return _content(path, network, stored.best)


def network_of(run: RunResult, contract: Contract, digests: Mapping[str, str]) -> Network:
    """The kept network of a finished run.

    Args:
        run: the result.
        contract: the contract of the data that it was trained on.
        digests: the digests of these data.
    """
    return Network(run.hyperparams, contract, run.params, run.state, _about(run, digests))


def _about(run: RunResult, digests: Mapping[str, str]) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "seed": run.seed,
        "validation_accuracy": run.validation_accuracy,
        "test_accuracy": run.test_accuracy,
        "data": dict(digests),
        "versions": dict(run.provenance.versions),
    }


def of_stored(stored: StoredRun, contract: Contract) -> Network:
    """The kept network of a stored run.

    Args:
        stored: a finished run.
        contract: the contract of the data; that of a run on a table is in the run's file.

    Raises:
        StoreError: the network does not fit such data.
    """
    run = stored.result
    contract = contract if run.contract is None else run.contract
    try:
        params, state = restore(stored.best, run.hyperparams, contract.n_in, contract.n_classes)
    except ValueError as error:
        raise StoreError(f"run {run.run_id} does not fit its data: {error}") from error
    return Network(run.hyperparams, contract, params, state, {"run_id": run.run_id})


def _content(path: Path, network: Network, tensors: Tensors) -> bytes:
    header = {
        "format": FORMAT,
        "hyperparams": asdict(network.hyperparams),
        "contract": asdict(network.contract),
        "about": network.about,
    }
    return tensor_files.content(path, tensors, header)


def load(path: str | Path) -> Network:
    """Reads a network from a file of `jmlp train`, `jmlp export`, `jmlp import` or of `save`.

    Raises:
        CheckpointError: the file is missing, not of this format, or damaged; nothing is loaded in
            part.
    """
    path = Path(path)
    tensors, header = _read(path)
    try:
        hp, contract, about = _read_header(header)
        params, state = restore(tensors, hp, contract.n_in, contract.n_classes)
        _check_numbers(tensors)
    except (ConfigError, UnreadableError, ValueError) as error:
        raise _misfit(path, error) from error
    return Network(hp, contract, params, state, about)


def _read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    def check_shapes(outline: Tensors, header: dict[str, Any]) -> None:
        """Refuses what is not such a network before gigabytes of it are read."""
        try:
            hp, contract, _ = _read_header(header)
            check_network(outline, hp, contract.n_in, contract.n_classes)
        except (ConfigError, UnreadableError, ValueError) as error:
            raise _misfit(path, error) from error

    try:
        return tensor_files.read(path, FORMAT, follow_links=True, check=check_shapes)
    except tensor_files.OtherFormatError as error:
        try:
            return tensor_files.read(path, PREVIOUS_FORMAT, follow_links=True, check=check_shapes)
        except tensor_files.OtherFormatError:
            raise CheckpointError(
                f"{error}; write one with `jmlp train --save FILE`, or by `jmlp import` from a "
                "file of another program"
            ) from error


def _read_header(header: dict[str, Any]) -> tuple[Hyperparams, Contract, dict[str, Any]]:
    """Hyperparameters, contract and metadata of a network from the header of its file.

    Raises:
        ConfigError: the hyperparameters are not allowed.
        UnreadableError: something is missing or has another type.
        ValueError: such data cannot exist.
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
    """The contract of a network; for the previous format, as much as is known.

    Raises:
        UnreadableError: it is missing or has other types.
    """
    if header["format"] == FORMAT:
        return member(header, "contract", Contract)
    is_known = about.get("data") in (MNIST.digests, SYNTHETIC_DIGESTS)
    return Contract(
        member(header, "image_shape", tuple[int, ...]),
        member(header, "n_classes", int),
        "uint8" if is_known else None,
    )


def _check_numbers(tensors: Tensors) -> None:
    """Checks that a network with these numbers can predict.

    Raises:
        ValueError: a number is not finite, or a variance is negative.
    """
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not finite")
        if name.endswith(".var") and array.min() < 0:
            raise ValueError(f"{name} holds a variance of {array.min():g}")


def restore(tensors: Tensors, hp: Hyperparams, n_in: int, n_classes: int) -> tuple[Any, Any]:
    """Rebuilds parameters and state from arrays named by `name_tensors`.

    Raises:
        ValueError: they are not exactly the arrays of such a network.
    """
    from jmlp.nn.batchnorm import BatchNormParams, BatchNormState
    from jmlp.nn.dense import DenseParams
    from jmlp.nn.model import Layer, activations_of, raw_inputs_of

    check_network(tensors, hp, n_in, n_classes)
    params, state = [], []
    for index, activation in enumerate(activations_of(hp)):
        dense = DenseParams(*_select(tensors, f"params[{index}].dense", DenseParams._fields))
        norms: dict[str, Any] = {"batchnorm": None}
        bn_state = None
        if hp.batch_norm and index < len(hp.hidden):
            name = "batchnorm" if hp.batch_norm_place == "before" else "batchnorm_after"
            arrays = _select(tensors, f"params[{index}].{name}", BatchNormParams._fields)
            norms[name] = BatchNormParams(*arrays)
            bn_state = BatchNormState(*_select(tensors, f"state[{index}]", BatchNormState._fields))
        raw = raw_inputs_of(hp) if index == 0 else None
        params.append(Layer(dense, **norms, activation=activation, raw=raw))
        state.append(bn_state)
    return tuple(params), tuple(state)


def _select(tensors: Tensors, prefix: str, names: tuple[str, ...]) -> list[Any]:
    return [tensors.get(f"{prefix}.{name}") for name in names]
