"""One file per completed run, with everything that is known about it.

Arrays: the best parameters and batch-norm state (`best.params[0].dense.W`), those at the end of
training (`last.…`), the snapshots stacked along an axis of epochs (`snapshots.epoch`,
`snapshots.params[0].dense.W`), and the cost points (`costs.step`). The header has everything else.
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
    epoch_type,
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
from jmlp.study.config import MAX_UPDATES, identity
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
    """The file's header, without its format."""

    sha256: str
    run: Any
    data: Mapping[str, Any]
    validation_fraction: float
    attempt: int
    last_epoch: float
    events: tuple[_Event, ...]
    studies: tuple[_Link, ...]
    ended_at: int | None
    numbers: str


@dataclass(frozen=True)
class StoredRun:
    """A run as read from its file, with its arrays by name, such as `params[0].dense.W`."""

    result: RunResult  # with its costs, without parameters and snapshots
    best: Tensors  # of the best epoch
    last: Tensors  # at the end of training, after the epoch `about["last_epoch"]`
    snapshots: Tensors  # with the epochs as first axis
    snapshot_epochs: tuple[float, ...]
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
    """Writes a completed run, atomically.

    Args:
        path: the file.
        result: the run, with parameters.
        data: "name", "source" and "digests" of the data.
        validation_fraction: the fraction of the data that was split off for validation.
        attempt: the number of the attempt, from 1.
        events: the run's events.
        studies: the studies that it belongs to, with what is needed to recreate their rows.
        ended_at: when it ended, in milliseconds of UTC since 1970; None if that is unknown.

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
        pack_snapshots(
            "snapshots",
            [s.epoch for s in result.snapshots],
            snapshots,
            result.hyperparams.evaluate_every,
        ),
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
        CheckpointError: it is missing, not a run's file, or damaged; nothing is read in part.
    """

    def check_shapes(outline: Tensors, about: dict[str, Any]) -> None:
        """Rejects a file that cannot be a valid run before reading gigabytes of it."""
        with _checkpoint_errors(path):
            _check_arrays(outline, _result(about))

    tensors, about = tensor_files.read(path, FORMAT, check=check_shapes)
    with _checkpoint_errors(path):
        return _stored(tensors, about)


@contextlib.contextmanager
def _checkpoint_errors(path: Path) -> Iterator[None]:
    """Turns the exceptions that invalid content causes into CheckpointError."""
    try:
        yield
    except (LookupError, TypeError, UnreadableError, ValueError) as error:
        raise CheckpointError(f"{path}: its header does not fit its numbers: {error}") from error


def numbers_of(stored: StoredRun, *, of_run: bool = True) -> str:
    """SHA-256 of every number of a run, from its arrays and its outcome.

    It is equal for two bitwise identical trainings: it does not depend on when and where they ran,
    how often they were interrupted, and for which experiments.

    Args:
        stored: the run.
        of_run: include what identifies the run: its id, hyperparameters and seeds.
    """
    snapshots = {f"snapshots.{name}": array for name, array in stored.snapshots.items()}
    kind = epoch_type(stored.result.hyperparams.evaluate_every)
    snapshots["snapshots.epoch"] = np.array(stored.snapshot_epochs, kind)
    tensors = _join(stored.result, stored.best, stored.last, snapshots)
    return _digest(tensors, stored.result, of_run=of_run)


def _join(result: RunResult, best: Tensors, last: Tensors, snapshots: Tensors) -> Tensors:
    return {
        **{f"best.{name}": array for name, array in best.items()},
        **{f"last.{name}": array for name, array in last.items()},
        **snapshots,
        **pack_costs("costs", result.costs, result.hyperparams.evaluate_every),
    }


def _digest(tensors: Mapping[str, NDArray[Any]], result: RunResult, *, of_run: bool = True) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        # Type and shape determine how many bytes follow, so no two files give the same sequence.
        digest.update(_json([name, array.dtype.name, array.shape]))
        digest.update(array.tobytes())
    outcome = run_table(result, costs=False)
    outcome["hyperparams"] = strict(identity(result.hyperparams))
    of_the_run = () if of_run else ("run_id", "hyperparams", "seed", "split_seed")
    for name in ("provenance", "experiments", "training_seconds", *of_the_run):
        del outcome[name]
    outcome.pop("contract", None)
    digest.update(_json(outcome))
    return digest.hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, allow_nan=False).encode() + b"\n"


def _stored(tensors: Tensors, about: dict[str, Any]) -> StoredRun:
    """The run in a file whose arrays have been checked."""
    result = replace(_result(about), costs=unpack_costs("costs", tensors))
    epochs, snapshots = unpack_snapshots("snapshots", tensors)
    best, last = under("best", tensors), under("last", tensors)
    return StoredRun(result, best, last, snapshots, epochs, about)


def _result(about: dict[str, Any]) -> RunResult:
    """The run in a header, without its costs; checks the whole header.

    Raises:
        UnreadableError: an entry is missing or invalid.
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
        raise UnreadableError('"studies" lists a study twice')
    result = run_from_table(header.run, costs=False)
    check_hyperparams(result.hyperparams)
    return result


def _check_arrays(tensors: Tensors, result: RunResult) -> None:
    """Checks names, shapes and types of a run's arrays, but not their values.

    Raises:
        LookupError: an array is missing.
        ValueError: an array is missing or unexpected, or has the wrong shape or type.
    """
    parts = ("best.", "last.", "snapshots.", "costs.")
    if odd := [name for name in tensors if not name.startswith(parts)]:
        raise ValueError(f"{odd[0]} belongs to no part of a run")
    hp = result.hyperparams
    every = hp.evaluate_every
    most = 1 + (hp.epochs if every == "epoch" else MAX_UPDATES // every)  # before the first update
    check_costs("costs", tensors, most, every)
    snapshot = check_snapshots("snapshots", tensors, most, every)
    best = under("best", tensors)
    n_in = best["params[0].dense.W"].shape[-1]
    n_classes = best[f"params[{len(hp.hidden)}].dense.W"].shape[0]
    for network in (best, under("last", tensors), *([snapshot] if snapshot else [])):
        check_network(network, hp, n_in, n_classes)
