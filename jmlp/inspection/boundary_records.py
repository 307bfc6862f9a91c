"""The boundary of a run on data with two numerical inputs: the record, and its cached file.

`boundary` computes it with JAX; reading and showing it needs no JAX. It has the probabilities of
all E stored networks at the points of a grid in the plane of the two inputs, Y values of the second
input by X values of the first, for the C classes of the data; and the line of each of the H units
of the first hidden layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.data.contract import Contract
from jmlp.errors import ConfigError
from jmlp.inspection import records
from jmlp.results import tensor_files

FORMAT = "jmlp-boundary-1"
GRID = 128  # values of each input
UNKNOWN = -1  # in place of a class, where the probabilities are not finite

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Classes = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Boundary:
    """What the networks of one run make of the plane of its two inputs. All arrays are read-only.

    Values of inputs are raw: as in the data, before they are standardised.
    """

    run_id: str
    epochs: tuple[float, ...]  # (E,), increasing
    best: int | None  # the index of the kept network; None if the run diverged
    diverged_at: int | None  # the update; the last network is then the last finite one
    columns: tuple[str, ...]  # (2,): the names of the inputs
    class_names: tuple[str, ...]  # (C,)
    n_training: int  # examples of the training part, of which `points` has at most MOST_POINTS
    n_validation: int  # of the validation part, likewise
    x: Floats  # (X,), increasing: values of the first input, evenly spaced
    y: Floats  # (Y,), of the second input, likewise
    # (E, Y, X, C): the probability of each class at (x, y); NaN where the logits are not all finite
    probability: Singles
    # (E, H, 3): a, b and c of each unit of the first hidden layer, whose pre-activation is
    # Z = a x + b y + c; with batch norm before the activation it is the normalised Z, by the
    # running statistics
    lines: Floats
    points: Floats  # (N, 2): examples whose two values are known, of the training part first
    labels: Classes  # (N,)
    is_training: NDArray[np.bool_]  # (N,): else of the validation part
    predicted: Classes  # (E, N): the class of each example; UNKNOWN if there is none

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    def nearest(self, x: float, y: float) -> tuple[int, int]:
        """The indices in `x` and `y` of the point of the grid that is nearest to a place."""
        return _nearest(self.x, x), _nearest(self.y, y)

    def at(self, ix: int, iy: int) -> tuple[float, float]:
        """The values of the inputs at a point of the grid, given its indices in `x` and `y`."""
        return float(self.x[ix]), float(self.y[iy])

    def index_at(self, epoch: float | None) -> int:
        """The index of the network nearest to an epoch; None: of the kept one, else of the last."""
        return records.network_at(self.epochs, self.best, epoch)


def plane_columns(contract: Contract) -> tuple[str, ...]:
    """The names of the inputs if they are exactly two numbers; else empty: there is no plane."""
    columns = contract.row
    is_plane = len(columns) == 2 and not any(column.levels for column in columns)
    return tuple(column.name for column in columns) if is_plane else ()


def classes(scores: NDArray[np.floating[Any]]) -> Classes:
    """The class `(...)` with the highest probability or logit `(..., C)`; UNKNOWN for NaN."""
    known = np.isfinite(scores).all(axis=-1)
    found = np.where(known[..., None], scores, 0).argmax(axis=-1)
    return np.where(known, found, UNKNOWN).astype(np.int16)


def mean_probability(networks: Sequence[NDArray[np.floating[Any]]]) -> Floats:
    """The mean of the probabilities of several networks at each point: NaN if one is unknown.

    Args:
        networks: the probabilities of each, all of one shape `(..., C)`.
    """
    return np.asarray(np.mean(np.stack(networks).astype(np.float64), axis=0))


def disagreement(networks: Sequence[NDArray[np.floating[Any]]]) -> Floats:
    """The share of networks that don't vote for the class with most votes, `(...)`: 0 if all agree.

    A network whose probabilities are unknown at a point has no vote there, and counts as one that
    disagrees.

    Args:
        networks: the probabilities of each, all of one shape `(..., C)`.
    """
    votes = np.stack([classes(probability) for probability in networks])
    n_classes = networks[0].shape[-1]
    most = np.zeros(votes.shape[1:], np.int64)
    for label in range(n_classes):
        most = np.maximum(most, (votes == label).sum(axis=0))
    return np.asarray(1 - most / len(votes))


def line_across(
    line: Sequence[float], x: tuple[float, float], y: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The two ends of the part of a unit's line, a x + b y + c = 0, within a rectangle.

    Args:
        line: a, b and c.
        x: the lowest and highest value of the first input.
        y: of the second one.

    Returns:
        Two points on the edge of the rectangle; None if the line does not cross it, or if there is
        no line since a and b are 0 or a number is not finite.
    """
    a, b, c = map(float, line)
    if not np.isfinite([a, b, c]).all() or (a == 0 and b == 0):
        return None
    found: list[tuple[float, float]] = []
    if b != 0:
        found += [(at, -(a * at + c) / b) for at in x]
    if a != 0:
        found += [(-(b * at + c) / a, at) for at in y]
    rooms = [1e-9 * (high - low) for low, high in (x, y)]
    inside = [
        (px, py)
        for px, py in found
        if x[0] - rooms[0] <= px <= x[1] + rooms[0] and y[0] - rooms[1] <= py <= y[1] + rooms[1]
    ]
    ends = min(inside, default=None), max(inside, default=None)
    if ends[0] is None or ends[1] is None or ends[0] == ends[1]:
        return None
    return ends[0], ends[1]


def check_same_plane(found: Sequence[Boundary]) -> None:
    """Checks that records are of one grid and the same classes, so that they can be combined.

    Raises:
        ConfigError: they are not.
    """
    first = found[0]
    for other in found[1:]:
        same = (
            first.columns == other.columns
            and first.class_names == other.class_names
            and np.array_equal(first.x, other.x)
            and np.array_equal(first.y, other.y)
        )
        if not same:
            raise ConfigError(
                f"runs {first.run_id[:8]} and {other.run_id[:8]} have boundaries of different "
                "data or grids, which cannot be combined: choose runs of one configuration"
            )


# ---- the file

# Types of the fields in the header; the other fields are arrays.
_HEADER: Mapping[str, Any] = {
    "run_id": str,
    "epochs": tuple[float, ...],
    "best": int | None,
    "diverged_at": int | None,
    "columns": tuple[str, ...],
    "class_names": tuple[str, ...],
    "n_training": int,
    "n_validation": int,
}


def path_of(run_id: str, size: int, key: str) -> Path:
    """The path of a cached boundary.

    Args:
        run_id: id of the run.
        size: values of each input in the grid.
        key: a digest of what it was computed from.
    """
    return records.path_of(run_id, f"boundary{size}", key)


def write(path: Path, boundary: Boundary) -> None:
    """Writes a boundary, atomically.

    Raises:
        StoreError: the file cannot be written.
    """
    values = vars(boundary)
    about = {"format": FORMAT, **{name: values[name] for name in _HEADER}}
    tensor_files.write(path, {n: v for n, v in values.items() if n not in _HEADER}, about)


def read(path: Path) -> Boundary:
    """Reads a boundary.

    Raises:
        CheckpointError: the file is missing, not of this format, or damaged; nothing is read in
            part.
    """
    return records.read_as(Boundary, path, FORMAT, _HEADER, _check)


def _check(found: Boundary) -> None:
    """Checks that all arrays have the shapes and types stated in the record.

    Raises:
        ValueError: one does not.
    """
    E, C, N = len(found.epochs), found.n_classes, len(found.labels)
    X, Y = len(found.x), len(found.y)
    n_units = found.lines.shape[1] if found.lines.ndim > 1 else 0
    if len(found.columns) != 2:
        raise ValueError(f"{len(found.columns)} names of 2 inputs")
    expected: dict[str, tuple[tuple[int, ...], type]] = {
        "x": ((X,), np.float64),
        "y": ((Y,), np.float64),
        "probability": ((E, Y, X, C), np.float32),
        "lines": ((E, n_units, 3), np.float64),
        "points": ((N, 2), np.float64),
        "labels": ((N,), np.int16),
        "is_training": ((N,), np.bool_),
        "predicted": ((E, N), np.int16),
    }
    for name, (shape, kind) in expected.items():
        array = getattr(found, name)
        if array.shape != shape or array.dtype != kind:
            found_kind = f"{array.dtype} {array.shape}"
            raise ValueError(f"{name} is {found_kind}, expected {np.dtype(kind)} {shape}")


def _nearest(values: Floats, value: float) -> int:
    return int(np.abs(values - value).argmin())
