"""One file a run that ended, with all that there is to know about it.

Arrays: the kept parameters and batch-norm state (`best.params[0].dense.W`), those that training
left (`last.…`), the snapshots stacked on an axis of epochs (`snapshots.epoch`,
`snapshots.params[0].dense.W`), and the cost points (`costs.step`). All else is in the header.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp import sealed
from jmlp.errors import CheckpointError
from jmlp.places import names
from jmlp.records import UnreadableError, run_from_table, run_table, strict
from jmlp.records import read as read_value
from jmlp.results import RunResult
from jmlp.store.packing import pack_costs, pack_snapshots, under, unpack_costs, unpack_snapshots
from jmlp.store.paths import RUN_FORMAT, path_of
from jmlp.store.rows import check_toml, data_from, hardware_from
from jmlp.tensors import Tensors, check_network, name_tensors

__all__ = ["FORMAT", "StoredRun", "numbers_of", "path_of", "read", "write"]

FORMAT = RUN_FORMAT
FOLDER = "runs"

_NAME = re.compile(r"[^.].*\.safetensors")


@dataclass(frozen=True)
class _Event:
    at: int
    study: str | None
    kind: str
    step: int | None
    detail: str


@dataclass(frozen=True)
class _Link:
    label: str
    name: str
    toml: str
    data: Mapping[str, Any]
    command: str
    hardware: Mapping[str, Any]
    submitted_at: int
    position: int
    experiments: tuple[str, ...]


@dataclass(frozen=True)
class _About:
    """The header, beside the format."""

    sha256: str
    run: Any
    data: Mapping[str, Any]
    validation_fraction: float
    attempt: int
    last_epoch: int
    events: tuple[_Event, ...]
    studies: tuple[_Link, ...]
    ended_at: int | None
    numbers: str


@dataclass(frozen=True)
class StoredRun:
    """A run as its file has it; arrays by name, such as `params[0].dense.W`."""

    result: RunResult  # with its costs, without parameters and snapshots
    best: Tensors  # those that are kept
    last: Tensors  # as training left them, after the epoch `about["last_epoch"]`
    snapshots: Tensors  # with an axis of epochs in front
    snapshot_epochs: tuple[int, ...]
    about: dict[str, Any]


def paths(folder: Path) -> list[Path]:
    """The files of all runs in a store.

    Raises:
        StoreError: their folder cannot be read.
    """
    return [folder / FOLDER / name for name in names(folder / FOLDER) if _NAME.fullmatch(name)]


def write(
    path: Path,
    result: RunResult,
    *,
    data: Mapping[str, Any],
    validation_fraction: float,
    attempt: int,
    events: Sequence[Mapping[str, Any]],
    studies: Sequence[Mapping[str, Any]] = (),
    ended_at: int | None = None,
) -> str:
    """Writes a run that ended, atomically.

    Args:
        path: the file.
        result: the run, with parameters.
        data: "name", "source" and "digests" of the data.
        validation_fraction: of the split.
        attempt: how often the run was begun before.
        events: what happened to it.
        studies: those that it belongs to, as much as is needed to make their rows again.
        ended_at: when it ended, in milliseconds of UTC since 1970; None where nobody knows.

    Returns:
        The digest of its numbers, as `numbers_of` computes it.

    Raises:
        StoreError: the file cannot be written.
    """
    if result.last is None:
        raise ValueError(f"run {result.run_id} was read back without its parameters")
    snapshots = [name_tensors(s.params, s.state) for s in result.snapshots]
    tensors = _join(
        result,
        name_tensors(result.params, result.state),
        name_tensors(result.last.params, result.last.state),
        pack_snapshots("snapshots", [s.epoch for s in result.snapshots], snapshots),
    )
    numbers = _digest(tensors, result)
    about = {
        "format": FORMAT,
        "run": run_table(result, costs=False),
        "data": data,
        "validation_fraction": validation_fraction,
        "attempt": attempt,
        "last_epoch": result.last.epoch,
        "events": events,
        "studies": studies,
        "ended_at": ended_at,
        "numbers": numbers,
    }
    sealed.write(path, tensors, strict(about))
    return numbers


def read(path: Path) -> StoredRun:
    """Reads the file of a run.

    Raises:
        CheckpointError: it is not there, not such a file, or damaged; nothing is read in part.
    """
    tensors, about = sealed.read(path, FORMAT)
    try:
        return _stored(tensors, about)
    except (LookupError, TypeError, UnreadableError, ValueError) as error:
        raise CheckpointError(f"{path}: its header does not fit its numbers: {error}") from error


def numbers_of(stored: StoredRun) -> str:
    """SHA-256 of every number of a run, from its arrays and its outcome.

    It is equal for two trainings that did the same to the bit: when, where, how often interrupted
    and for which experiments is not in it.
    """
    epochs = np.array(stored.snapshot_epochs, np.int32)
    snapshots = {f"snapshots.{name}": array for name, array in stored.snapshots.items()}
    snapshots["snapshots.epoch"] = epochs
    return _digest(_join(stored.result, stored.best, stored.last, snapshots), stored.result)


def _join(result: RunResult, best: Tensors, last: Tensors, snapshots: Tensors) -> Tensors:
    return {
        **{f"best.{name}": array for name, array in best.items()},
        **{f"last.{name}": array for name, array in last.items()},
        **snapshots,
        **pack_costs("costs", result.costs),
    }


def _digest(tensors: Mapping[str, NDArray[Any]], result: RunResult) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        # Type and shape say how many bytes follow, so no two files give the same sequence.
        digest.update(_json([name, array.dtype.name, array.shape]))
        digest.update(array.tobytes())
    outcome = run_table(result, costs=False)
    del outcome["provenance"], outcome["experiments"]
    digest.update(_json(outcome))
    return digest.hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode() + b"\n"


def _stored(tensors: Tensors, about: dict[str, Any]) -> StoredRun:
    """The run of a file; every exception but a bug's says what does not fit."""
    header = read_value(_About, {key: about[key] for key in about.keys() - {"format"}})
    data_from(about)
    for link in about["studies"]:
        data_from(link)
        hardware_from(link)
        check_toml(link["toml"])
    costs = unpack_costs("costs", tensors)
    result = replace(run_from_table(header.run, costs=False), costs=costs)
    best, last = under("best", tensors), under("last", tensors)
    epochs, snapshots = unpack_snapshots("snapshots", tensors)
    parts = ("best.", "last.", "snapshots.", "costs.")
    if odd := [name for name in tensors if not name.startswith(parts)]:
        raise ValueError(f"{odd[0]} belongs to no part of a run")
    hp = result.hyperparams
    n_in = best["params[0].dense.W"].shape[-1]
    n_classes = best[f"params[{len(hp.hidden)}].dense.W"].shape[0]
    each = (
        {name: array[index] for name, array in snapshots.items()} for index in range(len(epochs))
    )
    for network in (best, last, *each):
        check_network(network, hp, n_in, n_classes)
    return StoredRun(result, best, last, snapshots, epochs, about)
