"""The library's function that reads another program's network, and what the command says of it."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from jmlp import data as datasets
from jmlp.data.contract import Contract, contract_of
from jmlp.data.dataset import Dataset
from jmlp.errors import CheckpointError, ConfigError
from jmlp.exchange import keras_file, numpy_file, state_dict
from jmlp.exchange.building import Inputs, UnfitError, build
from jmlp.exchange.found import Axis, Found, Reading, Told
from jmlp.results.tensor_files import MAX_BYTES
from jmlp.results.weights import Network, logits_of, restore
from jmlp.study.rules import (
    HYPERPARAMETERS,
    ActivationName,
    BatchNormPlace,
    Refused,
    python_number,
    with_kind,
)
from jmlp.system.files import NotRegularError, open_regular

READ = ".safetensors, .pt or .pth (a state dict of PyTorch), .keras (Keras), .npz (NumPy)"
# What is said of files that are not read, by the ends of their names.
INSTEAD = {
    ".h5": "save it in the form of Keras 3: model.save('net.keras')",
    ".hdf5": "save it in the form of Keras 3: model.save('net.keras')",
    ".npy": "an array alone is no network: save all of them: numpy.savez('net.npz', W1=W1, b1=b1)",
    ".pkl": "pickles can run code: save the arrays: numpy.savez('net.npz', W1=W1, b1=b1)",
    ".pickle": "pickles can run code: save the arrays: numpy.savez('net.npz', W1=W1, b1=b1)",
    ".joblib": "pickles can run code: save the arrays: numpy.savez('net.npz', W1=W1, b1=b1)",
    ".onnx": "save the network where it was trained, in one of these forms",
}


@dataclass(frozen=True, eq=False)
class Imported:
    """A network that was read, and how."""

    network: Network
    program: str
    readings: tuple[Reading, ...]
    notes: tuple[str, ...]
    dataset: Dataset  # whose contract it has


@dataclass(frozen=True)
class Scored:
    """How well a network classifies data."""

    n: int
    part: str  # of the data: "test" or "training"
    accuracy: float
    cost: float  # the mean cross-entropy in nats
    most_frequent: float  # the share of the most frequent class

    @property
    def is_doubtful(self) -> bool:
        """Whether it is nearer to always naming the most frequent class than to no mistake."""
        return self.accuracy < (1 + self.most_frequent) / 2


def read_network(
    path: str | Path,
    data: str | Path | Dataset,
    *,
    activation: ActivationName | Sequence[ActivationName] | None = None,
    batch_norm_place: BatchNormPlace | None = None,
    examples: Axis | None = None,
    raw: bool = False,
    mean: float = 0.0,
    std: float = 1.0,
) -> Network:
    """Reads a network of PyTorch, Keras or NumPy: linear layers, batch norm, activations.

    The result predicts, is traced, saved and exported as one that jmlp trained; its `about` has the
    name and SHA-256 of the file, and under "notes" what was converted or assumed. Compare its
    `score` with what the other program gave: a file does not say everything.

    Args:
        path: `.safetensors`, `.pt` or `.pth`: a state dict of `Linear` and `BatchNorm1d` modules
            (for the last two, PyTorch must be installed; no code of the file is run). `.keras`:
            a sequence of `Dense`, `BatchNormalization` and activation layers. `.npz`: weights and
            biases, W1, b1, W2, b2 and so on.
        data: the data that the network is for: a data set, or its name or path as for studies. They
            give the number of inputs, what an example is, and the names of the classes.
        activation: of the hidden layers, one name or one per layer. Needed for all files but
            `.keras`, which say it themselves.
        batch_norm_place: whether batch norm is before the activation or after it; by default as the
            numbers of the modules of an `nn.Sequential` say, and otherwise before. Only for
            PyTorch, whose eps is taken to be the default, 1e-5.
        examples: only for `.npz`: whether examples are "rows" in it (Z = X W) or "columns"
            (Z = W X). Needed only if all weights are square.
        raw: the network takes the numbers of the data as they are: pixels from 0 to 255 and not
            from 0 to 1, the values of a table and not standardised ones.
        mean: the network takes (x - mean) / std, as after `transforms.Normalize`; this becomes part
            of the first layer.
        std: likewise.

    Raises:
        CheckpointError: the file is missing, damaged, or holds a network that jmlp does not have or
            that does not fit the data.
        ConfigError: an argument is wrong, or needed.
        DataError: the data cannot be loaded.
    """
    names = activation if activation is None or isinstance(activation, str) else tuple(activation)
    told = Told(names, batch_norm_place, examples)
    return read(Path(path), data, told, raw=raw, mean=mean, std=std).network


def read(
    path: Path,
    data: str | Path | Dataset,
    told: Told,
    *,
    raw: bool = False,
    mean: float = 0.0,
    std: float = 1.0,
) -> Imported:
    """Like `read_network`, and how each array was read.

    Raises:
        CheckpointError: see `read_network`.
        ConfigError: likewise.
        DataError: likewise.
    """
    check_told(path, told, raw=raw, mean=mean, std=std)
    content = _content(path)
    if not isinstance(data, Dataset):
        data = datasets.load(data)
    contract = contract_of(data)
    if contract.columns is not None:
        contract = replace(contract, scale=_scale(data, raw=False))
    try:
        found = _found(path, content, contract, told)
        contract, inputs = _inputs(data, contract, found, raw=raw, mean=mean, std=std)
        hp, tensors = build(found.operations, contract, inputs, scaled=found.scaled)
    except UnfitError as error:
        raise CheckpointError(f"{path}: {error}") from error
    notes = (*found.notes, *_input_notes(found, contract, inputs, raw=raw))
    params, state = restore(tensors, hp, contract.n_in, contract.n_classes)
    about = {
        "read_from": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "program": found.program,
        "notes": list(notes),
    }
    network = Network(hp, contract, params, state, about)
    return Imported(network, found.program, found.readings, notes, data)


def score(imported: Imported) -> Scored:
    """How well the network classifies the test part of its data, or all if there is none.

    Raises:
        CheckpointError: an output is not finite.
    """
    from scipy.special import log_softmax

    network, data = imported.network, imported.dataset
    if network.contract.scale is not None:
        data = data.scaled(network.contract.scale)
    x, y, part = data.x_test, data.y_test, "test"
    if x is None or y is None:
        x, y, part = data.x_train, data.y_train, "training"
    logits = logits_of(network, x)
    if not np.isfinite(logits).all():
        raise CheckpointError(
            f"{network.about['read_from']}: outputs for the {part} examples of {data.name} are not "
            "finite: its parameters are too large"
        )
    shares = log_softmax(logits.astype(np.float64), axis=1)
    return Scored(
        len(y),
        part,
        float(np.mean(logits.argmax(axis=1) == y)),
        float(-np.mean(shares[np.arange(len(y)), y])),
        float(np.bincount(y).max() / len(y)),
    )


def check_told(path: Path, told: Told, *, raw: object, mean: Any, std: Any) -> None:
    """Checks what the caller says, before anything is read.

    Raises:
        ConfigError: a value is not allowed, or has no effect on such a file.
    """
    problems = []
    suffix = path.suffix.lower()
    if told.activation is not None:
        if suffix == ".keras":
            problems.append("activation: a .keras file says it itself: leave it out")
        rule = HYPERPARAMETERS["activation"]
        names = told.activation
        try:
            rule.read(list(names) if isinstance(names, tuple) else names)
        except Refused as refused:
            problems.append(f"activation: must be {rule.wanted}, got {refused}")
    for name, value, allowed, suffixes in (
        (
            "batch_norm_place",
            told.batch_norm_place,
            BatchNormPlace,
            (".safetensors", ".pt", ".pth"),
        ),
        ("examples", told.examples, Axis, (".npz",)),
    ):
        if value is None:
            continue
        if value not in get_args(allowed):
            words = " or ".join(map(repr, get_args(allowed)))
            problems.append(f"{name}: must be {words}, got {with_kind(value)}")
        elif suffix not in suffixes:
            problems.append(f"{name}: only for {', '.join(suffixes)}: leave it out")
    if not isinstance(raw, bool):
        problems.append(f"raw: must be true or false, got {with_kind(raw)}")
    for name, value in (("mean", mean), ("std", std)):
        number = python_number(value)
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or not math.isfinite(number) or (name == "std" and number <= 0):
            wanted = "a finite number > 0" if name == "std" else "a finite number"
            problems.append(f"{name}: must be {wanted}, got {with_kind(value)}")
    if problems:
        raise ConfigError(problems)


def _content(path: Path) -> bytes:
    """The bytes of the file.

    Raises:
        CheckpointError: it is missing, too large, or no file.
    """
    try:
        with open_regular(path) as (file, size):
            if size > MAX_BYTES:
                raise CheckpointError(f"{path}: {size:,} bytes, at most {MAX_BYTES:,}")
            return file.read(size + 1)  # 1 more, in case it grew
    except NotRegularError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def _found(path: Path, content: bytes, contract: Contract, told: Told) -> Found:
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        arrays = state_dict.from_safetensors(content, path)
        return state_dict.network_in(arrays, contract, told, keeps_order=False)
    if suffix in (".pt", ".pth"):
        arrays = state_dict.from_torch(content, path)
        return state_dict.network_in(arrays, contract, told, keeps_order=True)
    if suffix == ".keras":
        return keras_file.network_in(content, str(path))
    if suffix == ".npz":
        return numpy_file.network_in(numpy_file.read(content, str(path)), contract, told)
    instead = f"; {INSTEAD[suffix]}" if suffix in INSTEAD else ""
    raise CheckpointError(f"{path}: files of networks end in {READ}{instead}")


def _inputs(
    data: Dataset, contract: Contract, found: Found, *, raw: bool, mean: float, std: float
) -> tuple[Contract, Inputs]:
    """The contract, and the numbers that the network takes for an input of it.

    Raises:
        ConfigError: what is said of the inputs cannot be said of these data.
    """
    if found.rescaling is not None:
        if raw or (mean, std) != (0, 1):
            raise ConfigError(
                "raw, mean, std: the file has a layer that scales its inputs: leave them out"
            )
        scale, offset = found.rescaling
        raw, mean, std = True, -offset / scale, 1 / scale
    elif raw and contract.columns is None and contract.dtype != "uint8":
        raise ConfigError(
            f"raw: the inputs of {data.name} are used unscaled as they are: leave it out"
        )
    if contract.columns is not None and raw:
        contract = replace(contract, scale=_scale(data, raw=True))
    elif contract.columns is not None and (mean, std) != (0, 1):
        raise ConfigError(
            "mean, std: the columns of a table are standardised, each by itself: leave them out, "
            "or add raw"
        )
    unit = 255 if raw and contract.dtype == "uint8" else 1
    return contract, Inputs(float(mean) / unit, float(std) / unit)


def _scale(data: Dataset, *, raw: bool) -> Any:
    """By which a table is standardised: that of its training examples; or none."""
    if raw and np.isnan(data.x_train).any():
        raise ConfigError(
            f"raw: {data.name} has missing values, which are replaced by a mean only where columns "
            'are standardised: leave their rows out (missing = "drop")'
        )
    return data.scale(np.arange(len(data.y_train)), raw=raw)


def _input_notes(found: Found, contract: Contract, inputs: Inputs, *, raw: bool) -> list[str]:
    notes = []
    if contract.columns is not None:
        raw = raw or found.rescaling is not None
        how = "unscaled" if raw else "standardised by the training examples of the data"
        notes.append(f"the columns of a table are taken {how}")
    if not inputs.are_those_of_jmlp:
        x = f"(x - {inputs.mean:.6g})" if inputs.mean else "x"
        notes.append(
            f"its inputs are {x} / {inputs.std:.6g} for inputs x of jmlp's: that became part of "
            "the first layer"
        )
    return notes
