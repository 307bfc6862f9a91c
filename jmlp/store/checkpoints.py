"""Checkpoints of cohorts in training, one folder per cohort.

A file is named after the number of updates its cohort had made. The previous one is kept as well,
so that a damaged checkpoint costs one interval of training instead of all of it.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jmlp.errors import CheckpointError, StoreError
from jmlp.nn.tensors import Tensors
from jmlp.results import tensor_files
from jmlp.results.serialization import UnreadableError, read, strict
from jmlp.store.packing import (
    check_costs,
    check_snapshots,
    pack_costs,
    pack_snapshots,
    under,
    unpack_costs,
    unpack_snapshots,
)
from jmlp.system.files import names, remove_leftovers
from jmlp.training.records import CohortState, Evaluations, Snapshot

FORMAT = "jmlp-checkpoint-1"

# Arrays by the names that earlier versions gave them.
_RENAMED = {".best_epoch": ".best_evaluation", ".stopped_epoch": ".last_evaluation"}

_KEY = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[0-9]{12}\.safetensors")


@dataclass(frozen=True)
class _About:
    """The file's header, without its format."""

    sha256: str
    must: Mapping[str, Any]
    note: Mapping[str, Any]
    run_ids: tuple[str, ...]
    width: int
    evaluation: int
    step: int
    evaluations: Evaluations
    seconds: tuple[float, ...] | None = field(default=None, metadata={"added": True})


def key_of(run_ids: Sequence[str], width: int) -> str:
    """The name of a cohort's checkpoint folder: 32 hexadecimal digits.

    Args:
        run_ids: the ids of the cohort's runs, in any order.
        width: number of lanes of its program, including padding.
    """
    return hashlib.sha256(json.dumps([sorted(run_ids), width]).encode()).hexdigest()[:32]


class Checkpoints:
    """The checkpoints in a folder, to which only one process may write at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._refused: set[Path] = set()

    def save(self, key: str, state: CohortState, about: Mapping[str, Any]) -> Path:
        """Writes a checkpoint; once it is durable, removes all but it and the previous one.

        Args:
            key: the cohort's key, from `key_of`.
            state: everything needed to resume.
            about: "must", which has to match when resuming, and "note", for human readers.

        Raises:
            StoreError: it was not written, and the earlier ones are unchanged; or they could not be
                removed.
        """
        path = self.folder / key / f"{state.updates:012d}.safetensors"
        header = {
            "format": FORMAT,
            "must": about["must"],
            "note": about["note"],
            "run_ids": state.run_ids,
            "width": state.width,
            "evaluation": state.evaluation,
            "step": state.step,
            "evaluations": asdict(state.evaluations),
            "seconds": state.seconds,
        }
        tensor_files.write(path, _pack(state), strict(header))
        self._refused.discard(path)
        # A rejected checkpoint is no fallback, and one of a later update has been abandoned.
        before = [p for p in self.generations(key) if p < path and p not in self._refused]
        kept = {path, *before[-1:]}
        self._remove(p for p in self.generations(key) if p not in kept)
        return path

    def load(self, key: str, about: Mapping[str, Any]) -> tuple[CohortState | None, list[str]]:
        """The newest checkpoint that is intact and can be resumed from.

        Args:
            key: the cohort's key, from `key_of`.
            about: its "must" has to match that of the checkpoint.

        Returns:
            The checkpoint, or None; and for each newer one, why it is not used.

        Raises:
            StoreError: the folder cannot be read.
        """
        wanted = _flat(json.loads(json.dumps(strict(about["must"]))))
        refusals = []
        state = None
        for path in reversed(self.generations(key)):
            try:
                state = _read(path, key, wanted)
                break
            except CheckpointError as error:
                refusals.append(str(error))
                self._refused.add(path)
        instead = "there is no other one to resume from"
        if state is not None:
            instead = f"the one of update {state.updates} is used instead"
        return state, [f"{refusal}; {instead}" for refusal in refusals]

    def drop(self, key: str) -> None:
        """Removes all checkpoints of a cohort, the newest last.

        Raises:
            StoreError: one cannot be removed.
        """
        folder = self.folder / key
        remove_leftovers(folder)
        self._remove(self.generations(key))
        with contextlib.suppress(OSError):  # it is missing, or contains files that are not ours
            folder.rmdir()

    def keys(self) -> list[str]:
        """The keys of the cohorts that have checkpoints.

        Raises:
            StoreError: the folder cannot be read.
        """
        return [folder.name for folder in self.folders() if self.generations(folder.name)]

    def folders(self) -> list[Path]:
        """The folders of all cohorts, including those without checkpoints.

        Raises:
            StoreError: the parent folder cannot be read.
        """
        return [self.folder / name for name in names(self.folder) if _KEY.fullmatch(name)]

    def newest(self) -> list[Path]:
        """The newest checkpoint of each cohort.

        Raises:
            StoreError: a folder cannot be read.
        """
        found = [self.generations(key) for key in self.keys()]
        return [paths[-1] for paths in found if paths]

    def generations(self, key: str) -> list[Path]:
        """The checkpoints of one cohort, oldest first.

        Raises:
            StoreError: its folder cannot be read.
        """
        return [self.folder / key / n for n in names(self.folder / key) if _NAME.fullmatch(n)]

    def _remove(self, paths: Iterator[Path] | Sequence[Path]) -> None:
        for path in paths:
            try:
                path.unlink()
            except OSError as error:
                reason = error.strerror or error
                raise StoreError(f"{path}: cannot be removed: {reason}") from error
            self._refused.discard(path)


def _pack(state: CohortState) -> Tensors:
    tensors = {f"arrays.{name}": array for name, array in state.arrays.items()}
    every = state.evaluations.every
    for lane, (costs, snapshots) in enumerate(zip(state.costs, state.snapshots, strict=True)):
        tensors |= pack_costs(f"costs[{lane}]", costs, every)
        epochs, networks = [s.epoch for s in snapshots], [s.params for s in snapshots]
        tensors |= pack_snapshots(f"snapshots[{lane}]", epochs, networks, every)
    return tensors


def _read(path: Path, key: str, wanted: Mapping[str, str]) -> CohortState:
    """The state in a file; raises CheckpointError if training cannot resume from it."""
    state, about = read_state(path)
    if key_of(state.run_ids, state.width) != key:
        raise CheckpointError(f"{path}: has other runs or another width than its folder")
    if differences := _differences(_flat(about["must"]), wanted):
        raise CheckpointError(f"{path}: cannot be resumed from: {'; '.join(differences)}")
    return state


def read_state(path: Path) -> tuple[CohortState, dict[str, Any]]:
    """The state in a file, and its header.

    Raises:
        CheckpointError: it is missing, not a checkpoint, or damaged.
    """

    def check_shapes(outline: Tensors, about: dict[str, Any]) -> None:
        """Rejects a file that cannot be a valid checkpoint before reading gigabytes of it."""
        with _checkpoint_errors(path):
            _check_arrays(outline, _header(about))

    tensors, about = tensor_files.read(path, FORMAT, check=check_shapes)
    with _checkpoint_errors(path):
        return _unpack(tensors, _header(about)), about


@contextlib.contextmanager
def _checkpoint_errors(path: Path) -> Iterator[None]:
    """Turns the exceptions that invalid content causes into CheckpointError."""
    try:
        yield
    except (LookupError, TypeError, UnreadableError, ValueError) as error:
        raise CheckpointError(f"{path}: its header does not fit its numbers: {error}") from error


def _header(about: Mapping[str, Any]) -> _About:
    """The header of a checkpoint.

    Raises:
        UnreadableError: an entry is missing or invalid.
    """
    table = {key: about[key] for key in about.keys() - {"format"}}
    if "n_steps" in table:  # earlier versions evaluated by epoch, and counted epochs
        table["evaluation"] = table.pop("epoch")
        table["evaluations"] = asdict(Evaluations(table.pop("n_steps")))
    found = read(_About, table)
    if not (
        0 < len(set(found.run_ids)) == len(found.run_ids) <= found.width
        and found.evaluation >= 0
        and found.evaluations.n_steps > 0
        and 0 <= found.step <= found.evaluations.interval > 0
        and (found.seconds is None or len(found.seconds) == len(found.run_ids))
    ):
        raise UnreadableError("its lanes, or its position in the training, are impossible")
    return found


def _check_arrays(tensors: Tensors, found: _About) -> None:
    """Checks names, shapes and types of a checkpoint's arrays, but not their values.

    Raises:
        ValueError: an array is missing or unexpected, or has the wrong shape or type.
    """
    known = {"arrays"}
    for name, array in sorted(under("arrays", tensors).items()):
        if array.shape[:1] != (found.width,):
            raise ValueError(f"arrays.{name} is {array.shape}, wanted ({found.width}, …)")
    for lane in range(len(found.run_ids)):
        most = found.evaluation + 1  # from evaluation 0 on
        check_costs(f"costs[{lane}]", tensors, most, found.evaluations.every)
        check_snapshots(f"snapshots[{lane}]", tensors, most, found.evaluations.every)
        known |= {f"costs[{lane}]", f"snapshots[{lane}]"}
    if odd := [name for name in tensors if name.partition(".")[0] not in known]:
        raise ValueError(f"{odd[0]} belongs to no part of a checkpoint")


def _unpack(tensors: Tensors, found: _About) -> CohortState:
    lanes = range(len(found.run_ids))
    arrays = {_RENAMED.get(name, name): a for name, a in under("arrays", tensors).items()}
    return CohortState(
        found.run_ids,
        found.width,
        found.evaluation,
        found.step,
        found.evaluations,
        arrays,
        tuple(unpack_costs(f"costs[{lane}]", tensors) for lane in lanes),
        tuple(_snapshots(f"snapshots[{lane}]", tensors) for lane in lanes),
        found.seconds,
    )


def _snapshots(place: str, tensors: Tensors) -> tuple[Snapshot, ...]:
    epochs, stacked = unpack_snapshots(place, tensors)
    return tuple(
        Snapshot(epoch, {name: array[index] for name, array in stacked.items()}, None)
        for index, epoch in enumerate(epochs)
    )


def _flat(value: Any, place: str = "") -> dict[str, str]:
    """Flattens nested JSON to the text of each value by its path: `versions.jax`, `sizes[0]`."""
    if isinstance(value, dict) and value:
        items = [(f"{place}.{key}" if place else key, item) for key, item in value.items()]
    elif isinstance(value, list) and value:
        items = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
    else:
        return {place: json.dumps(value)}
    return {name: text for key, item in items for name, text in _flat(item, key).items()}


def _differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """`versions.jax was "0.10.0" and is now "0.12.0"`, for each that differs."""
    names = sorted(found.keys() | wanted.keys())
    return [
        f"{name} was {found.get(name, 'not there')} and is now {wanted.get(name, 'not there')}"
        for name in names
        if found.get(name) != wanted.get(name)
    ]
