"""One file a run that ended, with all that there is to know about it.

Arrays: the kept parameters and batch-norm state (`best.params[0].dense.W`), those that training
left (`last.…`), the snapshots stacked on an axis of epochs (`snapshots.epoch`,
`snapshots.params[0].dense.W`), and the cost points (`costs.step`). All else is in the header.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.errors import CheckpointError
from jmlp.nn.tensors import Tensors, check_network, name_tensors
from jmlp.results import tensor_files
from jmlp.results.serialization import UnreadableError, run_from_table, run_table, strict
from jmlp.results.serialization import read as read_value
from jmlp.store.packing import (
    check_costs,
    check_snapshots,
    pack_costs,
    pack_snapshots,
    under,
    unpack_costs,
    unpack_snapshots,
)
from jmlp.store.paths import RUN_FORMAT, path_of
from jmlp.store.rows import (
    check_fraction,
    check_hyperparams,
    check_time,
    check_toml,
    data_from,
    hardware_from,
)
from jmlp.system.files import names
from jmlp.training.records import RunResult

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
        ended_at: when it ended, in milliseconds of UTC since 1970; None where that is unknown.

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
    tensor_files.write(path, tensors, strict(about))
    return numbers


def read(path: Path) -> StoredRun:
    """Reads the file of a run.

    Raises:
        CheckpointError: it is not there, not such a file, or damaged; nothing is read in part.
    """

    def check_shapes(outline: Tensors, about: dict[str, Any]) -> None:
        """What cannot be such a run is refused before gigabytes of it are read."""
        with _fitting(path):
            _check_arrays(outline, _result(about))

    tensors, about = tensor_files.read(path, FORMAT, check=check_shapes)
    with _fitting(path):
        return _stored(tensors, about)


@contextlib.contextmanager
def _fitting(path: Path) -> Iterator[None]:
    """Every exception but a bug's says what does not fit."""
    try:
        yield
    except (LookupError, TypeError, UnreadableError, ValueError) as error:
        raise CheckpointError(f"{path}: its header does not fit its numbers: {error}") from error


def numbers_of(stored: StoredRun) -> str:
    """SHA-256 of every number of a run, from its arrays and its outcome.

    It is equal for two bitwise identical trainings: when, where, how often interrupted
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
    """The run of a file whose arrays were checked."""
    result = replace(_result(about), costs=unpack_costs("costs", tensors))
    epochs, snapshots = unpack_snapshots("snapshots", tensors)
    best, last = under("best", tensors), under("last", tensors)
    return StoredRun(result, best, last, snapshots, epochs, about)


def _result(about: dict[str, Any]) -> RunResult:
    """The run of a header, without its costs; looks at all of the header.

    Raises:
        UnreadableError: something in it is missing, or cannot be.
    """
    header = read_value(_About, {key: about[key] for key in about.keys() - {"format"}})
    data_from(about)
    check_fraction(header.validation_fraction)
    for at in (header.ended_at, *(event.at for event in header.events)):
        check_time(at)
    for link in about["studies"]:
        data_from(link)
        hardware_from(link)
        check_toml(link["toml"])
        check_time(link["submitted_at"])
    if len({link.label for link in header.studies}) < len(header.studies):
        raise UnreadableError('a study stands twice in "studies"')
    result = run_from_table(header.run, costs=False)
    check_hyperparams(result.hyperparams)
    return result


def _check_arrays(tensors: Tensors, result: RunResult) -> None:
    """Whether these are the arrays of such a run; looks at no value.

    Raises:
        LookupError: one is missing.
        ValueError: one is missing, too many, or of another shape or type.
    """
    parts = ("best.", "last.", "snapshots.", "costs.")
    if odd := [name for name in tensors if not name.startswith(parts)]:
        raise ValueError(f"{odd[0]} belongs to no part of a run")
    hp = result.hyperparams
    most = hp.epochs + 1  # before the first epoch, and after each
    check_costs("costs", tensors, most)
    snapshot = check_snapshots("snapshots", tensors, most)
    best = under("best", tensors)
    n_in = best["params[0].dense.W"].shape[-1]
    n_classes = best[f"params[{len(hp.hidden)}].dense.W"].shape[0]
    for network in (best, under("last", tensors), *([snapshot] if snapshot else [])):
        check_network(network, hp, n_in, n_classes)
