"""The inspection of a run: a record of its networks over its epochs, and the cached file.

`compute` creates it with JAX; reading and showing it needs no JAX. An inspection covers E networks
(at the epochs of the run's snapshots, including the kept and the last one) with L dense layers, on
the N examples of one part of the data, which has C classes.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from jmlp.data.columns import Column, row_texts
from jmlp.errors import CheckpointError, ConfigError, StoreError
from jmlp.nn.tensors import Tensors
from jmlp.results import tensor_files
from jmlp.results.serialization import UnreadableError, member
from jmlp.system.files import cache_dir, names

T = TypeVar("T")

FORMAT = "jmlp-inspection-2"
MOST_FILES = 200  # in the cache; most are one or two megabytes
WITHIN = 99.0  # per cent of the weights that the colour scale of pictures covers

Part = Literal["validation", "test"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Inspection:
    """Measurements on the networks of one run; unknown values are NaN. All arrays are read-only.

    A layer is a dense layer with the batch norm that follows it.
    """

    run_id: str
    part: Part
    epochs: tuple[float, ...]  # (E,), increasing
    best: int | None  # the index of the kept network; None if the run diverged
    diverged_at: int | None  # the update; the last network is then the last finite one
    image_shape: tuple[int, ...]
    n_classes: int
    layers: tuple[str, ...]  # (L,): "hidden 1", …, "output"
    activations: tuple[str, ...]  # (L - 1,): of the hidden layers
    update_words: str  # one sentence: how `update_ratio` was computed
    gradient_norm: Floats  # (E, L): ‖g‖/√n over the n parameters of a layer
    update_ratio: Floats  # (E, L): ‖Δθ‖/‖θ‖ of one update
    n_units: NDArray[np.int64]  # (L - 1,): of the hidden layers
    # (E, L - 1): ReLU units that are 0 for every example of the part; 0 for other activations
    dead_units: NDArray[np.int64]
    weights: Singles  # (E, units, inputs): of the first units of the first layer
    cost: Floats  # (E,): mean cross-entropy on the part, nats
    accuracy: Floats  # (E,): 0 to 1
    labels: NDArray[np.int16]  # (N,)
    predicted: NDArray[np.int16]  # (E, N): a class; -1 where the logits are not all finite
    confidence: Singles  # (E, N): probability of the predicted class; NaN if there is none
    examples: NDArray[np.int64]  # (M,), increasing: the examples of the part that are kept
    images: NDArray[np.uint8]  # (M, *image_shape); (0, *image_shape) if the examples are rows
    rows: Floats  # (M, n_in), raw, NaN where a value is missing; (0, n_in) if they are pictures
    class_names: tuple[str, ...] = ()  # (C,); empty: they are called 0, 1, 2 …
    columns: tuple[Column, ...] = ()  # of the rows; empty: the examples are pictures

    @property
    def what(self) -> str:
        """What an example is called: `image` or `row`."""
        return "row" if self.columns else "image"

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs if the examples are rows: `(n_in,)`, or empty."""
        return tuple(name for column in self.columns for name in column.inputs)

    @property
    def is_plane(self) -> bool:
        """Whether the inputs are exactly two numbers, so that the networks have a boundary."""
        return len(self.columns) == 2 and not any(column.levels for column in self.columns)

    @property
    def relu_layers(self) -> tuple[int, ...]:
        """The indices of the hidden layers whose activation is ReLU: only their units can die."""
        return tuple(k for k, name in enumerate(self.activations) if name == "relu")

    def index_at(self, epoch: float | None) -> int:
        """The index of the network nearest to an epoch; None: of the kept one, else of the last."""
        return network_at(self.epochs, self.best, epoch)

    def name_of(self, label: int) -> str:
        """The name of a class."""
        return self.class_names[label] if self.class_names else str(label)

    def confusion(self, e: int) -> NDArray[np.int64]:
        """The confusion matrix of network `e`: rows are true classes, columns are predictions."""
        known = self.predicted[e] >= 0
        pairs = self.labels[known].astype(np.int64) * self.n_classes + self.predicted[e][known]
        counts = np.bincount(pairs, minlength=self.n_classes**2)
        return counts.reshape(self.n_classes, self.n_classes)

    def weight_scale(self, e: int) -> float:
        """The size of a weight of network `e` that is drawn in full; NaN if none is finite.

        Pictures have the size that `WITHIN` per cent of the weights do not exceed, tables that of
        the largest weight.
        """
        weights = self.weights[e].astype(np.float64)
        finite = np.abs(weights[np.isfinite(weights)])
        within = 100.0 if self.columns else WITHIN
        return float(np.percentile(finite, within)) if finite.size else math.nan

    def mistakes(self, e: int) -> NDArray[np.int64]:
        """The examples that network `e` misclassifies, the most confident first."""
        wrong = (self.predicted[e] >= 0) & (self.predicted[e] != self.labels)
        indices = np.flatnonzero(wrong)
        return indices[np.argsort(-self.confidence[e][indices], kind="stable")]

    def image_of(self, example: int) -> NDArray[np.uint8] | None:
        """The picture of an example; None if it is not kept."""
        at = self._place(example, self.images)
        return None if at is None else cast(NDArray[np.uint8], self.images[at])

    def row_of(self, example: int) -> tuple[str | None, ...] | None:
        """The values of a row by column, as they stood in the table; None if it is not kept.

        A value that is missing is None.
        """
        at = self._place(example, self.rows)
        return None if at is None else row_texts(self.columns, self.rows[at])

    def _place(self, example: int, kept: NDArray[Any]) -> int | None:
        """The index of an example among those that are kept, as pictures or as rows."""
        at = int(np.searchsorted(self.examples, example))
        return at if at < len(kept) and self.examples[at] == example else None


# Types of the fields in the header; the other fields are arrays.
_HEADER: Mapping[str, Any] = {
    "run_id": str,
    "part": Part,
    "epochs": tuple[float, ...],
    "best": int | None,
    "diverged_at": int | None,
    "image_shape": tuple[int, ...],
    "n_classes": int,
    "layers": tuple[str, ...],
    "activations": tuple[str, ...],
    "update_words": str,
    "class_names": tuple[str, ...],
    "columns": tuple[Column, ...],
}
_NAME = re.compile(r"[^.].*\.safetensors")


def network_at(epochs: Sequence[float], best: int | None, epoch: float | None) -> int:
    """The index of the network nearest to an epoch.

    Args:
        epochs: of the networks.
        best: the index of the kept one; None if the run diverged.
        epoch: None: the kept network is wanted, else the last one.

    Raises:
        ConfigError: the epoch is negative.
    """
    if epoch is None:
        return len(epochs) - 1 if best is None else best
    if not epoch >= 0:
        raise ConfigError(f"epoch: must be at least 0, got {epoch:g}")
    return min(range(len(epochs)), key=lambda index: abs(epochs[index] - epoch))


def path_of(run_id: str, what: str, key: str) -> Path:
    """The path of a cached inspection.

    Args:
        run_id: id of the run.
        what: the part of the data, or the name of what was computed, without `-`.
        key: a digest of what it was computed from.
    """
    return folder() / f"{run_id}-{what}-{key}.safetensors"


def folder() -> Path:
    """The folder of cached inspections, which can be recomputed."""
    return cache_dir() / "inspections"


def tidy(path: Path) -> None:
    """Removes inspections that this one replaces, and the oldest ones beyond `MOST_FILES`.

    Args:
        path: the file of an inspection that was just written.

    Raises:
        StoreError: the cache cannot be read, or a file in it cannot be removed.
    """
    run_and_part = path.name.rpartition("-")[0]
    found = [path.parent / name for name in names(path.parent) if _NAME.fullmatch(name)]
    others = [p for p in found if p != path]
    replaced = [p for p in others if p.name.rpartition("-")[0] == run_and_part]
    kept = {p: _modified(p) for p in others if p not in replaced}
    for old in (*replaced, *sorted(kept, key=kept.__getitem__)[: -MOST_FILES + 1]):
        try:
            old.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{old}: cannot be removed: {error.strerror or error}") from error


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # removed by another process
        return 0


def write(path: Path, inspection: Inspection) -> None:
    """Writes an inspection, atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    values = vars(inspection)
    about = {"format": FORMAT, **{name: values[name] for name in _HEADER}}
    about["columns"] = [asdict(column) for column in inspection.columns]
    tensor_files.write(path, {n: v for n, v in values.items() if n not in _HEADER}, about)


def read(path: Path) -> Inspection:
    """Reads an inspection.

    Raises:
        CheckpointError: the file is missing, not of this format, or damaged; nothing is read in
            part.
    """
    return read_as(Inspection, path, FORMAT, _HEADER, _check)


def read_as(
    kind: Callable[..., T],
    path: Path,
    form: str,
    header: Mapping[str, Any],
    check: Callable[[T], None],
) -> T:
    """Reads a record whose arrays are tensors and whose other fields are in the file's header.

    Args:
        kind: the record.
        path: its file.
        form: the format of the file.
        header: the types of the fields in the header.
        check: raises a `ValueError` if the arrays do not fit the header.

    Raises:
        CheckpointError: the file is missing, not of this format, or damaged; nothing is read in
            part.
    """

    def make(tensors: Tensors, about: dict[str, Any]) -> T:
        try:
            values = {name: member(about, name, hint) for name, hint in header.items()}
            record = kind(**values | tensors)
            check(record)
        except (TypeError, UnreadableError, ValueError) as error:
            problem = f"{path}: its header does not fit its numbers: {error}"
            raise CheckpointError(problem) from error
        return record

    # Shapes are checked before the arrays, so that gigabytes of other data are never read.
    return make(*tensor_files.read(path, form, check=make))


def _check(i: Inspection) -> None:
    """Checks that all arrays have the shapes and types stated in the record.

    Raises:
        ValueError: one does not.
    """
    E, L, N, M = len(i.epochs), len(i.layers), len(i.labels), len(i.examples)
    n_in = int(np.prod(i.image_shape))
    n_images, n_rows = (0, M) if i.columns else (M, 0)
    n_units = i.weights.shape[1] if i.weights.ndim > 1 else 0
    expected: dict[str, tuple[tuple[int, ...], type]] = {
        "gradient_norm": ((E, L), np.float64),
        "update_ratio": ((E, L), np.float64),
        "n_units": ((L - 1,), np.int64),
        "dead_units": ((E, L - 1), np.int64),
        "weights": ((E, n_units, n_in), np.float32),
        "cost": ((E,), np.float64),
        "accuracy": ((E,), np.float64),
        "labels": ((N,), np.int16),
        "predicted": ((E, N), np.int16),
        "confidence": ((E, N), np.float32),
        "examples": ((M,), np.int64),
        "images": ((n_images, *i.image_shape), np.uint8),
        "rows": ((n_rows, n_in), np.float64),
    }
    if len(i.activations) != L - 1:
        raise ValueError(f"{len(i.activations)} activations of {L - 1} hidden layers")
    if i.columns and len(i.input_names) != n_in:
        raise ValueError(f"{len(i.input_names)} inputs have names, expected {n_in}")
    for name, (shape, kind) in expected.items():
        array = getattr(i, name)
        if array.shape != shape or array.dtype != kind:
            found = f"{array.dtype} {array.shape}"
            raise ValueError(f"{name} is {found}, expected {np.dtype(kind)} {shape}")
