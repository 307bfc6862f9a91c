"""Reads the networks of a run over its epochs from a store.

The networks of a completed run are in its file; those of a run in training are in the newest
checkpoint of its cohort.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmlp.errors import CheckpointError, StoreError
from jmlp.nn.tensors import Tensors, check_network
from jmlp.results import tensor_files
from jmlp.results.serialization import UnreadableError, member
from jmlp.store import checkpoints, run_files
from jmlp.store.rows import RunRow
from jmlp.store.states import RUN_ENDED
from jmlp.store.store import Store
from jmlp.study.config import Hyperparams
from jmlp.training.records import CohortState, RunResult

_TRIES = 3  # a worker may replace the file that was found before it is read
_KEY_DIGITS = 32


@dataclass(frozen=True)
class Networks:
    """A run's networks, with their arrays by name, such as `params[0].dense.W`."""

    run_id: str
    key: str  # what `key_of` returns for the file that was read
    hyperparams: Hyperparams
    seed: int
    split_seed: int
    validation_fraction: float
    data: Mapping[str, Any]  # name or path, and digests
    can_drop: bool  # whether the program draws random numbers for dropout
    epochs: tuple[float, ...]  # ascending
    tensors: tuple[Tensors, ...]  # one entry per epoch
    best: int | None  # the index of the best network; None if the run diverged
    diverged_at: int | None  # the update; the last network is then the last finite one

    def index_of(self, epoch: float | None) -> int:
        """The index of the network nearest to an epoch; None: the best one, or else the last."""
        if epoch is None:
            return len(self.epochs) - 1 if self.best is None else self.best
        return min(range(len(self.epochs)), key=lambda e: abs(self.epochs[e] - epoch))


def key_of(store: Store, run_id: str) -> str:
    """A digest of what `read` would return, without reading it all: 32 hexadecimal digits.

    Raises:
        CheckpointError: the file of the run is missing or damaged.
        StoreError: there is no such run, or it has no networks yet.
    """
    row, path = _source(store, run_id)
    if row.state in RUN_ENDED:
        return _file_key(tensor_files.read_about(path, run_files.FORMAT))
    return _checkpoint_key(row, path)


def read(store: Store, run_id: str) -> Networks:
    """The networks of a run: its snapshots, the best one, and the last one.

    For a run in training, the last one is included only if its checkpoint is at an evaluation.

    Raises:
        CheckpointError: the file of the run, or its newest checkpoint, is missing or damaged.
        StoreError: there is no such run, or it has no networks yet.
    """
    for _ in range(_TRIES - 1):
        try:
            return _read(store, run_id)
        except CheckpointError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
    return _read(store, run_id)


def _read(store: Store, run_id: str) -> Networks:
    row, path = _source(store, run_id)
    if row.state in RUN_ENDED:
        return _of_file(run_files.read(path))
    state, about = checkpoints.read_state(path)
    key, about_run = _checkpoint_key(row, path), store.about_run(run_id)
    try:
        return _of_checkpoint(row, key, state, about, about_run)
    except (LookupError, TypeError, UnreadableError, ValueError) as error:
        raise CheckpointError(f"{path}: its header does not fit its numbers: {error}") from error


def _file_key(about: Mapping[str, Any]) -> str:
    return str(about.get("numbers"))[:_KEY_DIGITS]


def _checkpoint_key(row: RunRow, path: Path) -> str:
    found = json.dumps([row.run_id, row.attempt, path.parent.name, path.name])
    return hashlib.sha256(found.encode()).hexdigest()[:_KEY_DIGITS]


def _source(store: Store, run_id: str) -> tuple[RunRow, Path]:
    """The row of a run, and the file that contains its networks."""
    row = store.run(run_id)
    if row.state not in RUN_ENDED:
        if (path := _checkpoint(store.folder, row)) is not None:
            return row, path
        row = store.run(run_id)  # it may have ended just now
    if row.state not in RUN_ENDED:
        raise StoreError(
            f"run {run_id[:8]} has no snapshots yet ({row.state}): try again when it has trained "
            "for some seconds"
        )
    return row, run_files.path_of(store.folder, run_id)


def _checkpoint(folder: Path, row: RunRow) -> Path | None:
    """The newest checkpoint that contains the current attempt of a run."""
    found = []
    for path in checkpoints.Checkpoints(folder / "checkpoints").newest():
        try:
            must = member(tensor_files.read_about(path, checkpoints.FORMAT), "must", dict[str, Any])
            attempts = member(must, "attempts", dict[str, int])
            modified = path.stat().st_mtime_ns
        except (CheckpointError, OSError, UnreadableError):
            continue  # of another attempt, or just replaced
        if attempts.get(row.run_id) == row.attempt:
            found.append((modified, path))
    return max(found)[1] if found else None


def _of_file(stored: run_files.StoredRun) -> Networks:
    run = stored.result
    named = _by_epoch(stored.snapshot_epochs, stored.snapshots)
    if run.best_epoch is not None:
        named[run.best_epoch] = stored.best
    # The last network of a diverged run belongs to the epoch in which it diverged.
    last = run.stopped_epoch if run.diverged_at else stored.about["last_epoch"]
    return _networks(
        run,
        _file_key(stored.about),
        stored.about,
        {**named, last: stored.last},
        can_drop=run.provenance.can_drop,
        best_epoch=run.best_epoch,
        diverged_at=run.diverged_at,
    )


def _of_checkpoint(
    row: RunRow,
    key: str,
    found: CohortState,
    about: Mapping[str, Any],
    about_run: Mapping[str, Any],
) -> Networks:
    """One lane of a cohort in training."""
    lane = found.run_ids.index(row.run_id)
    state = {name: array[lane] for name, array in found.arrays.items()}
    named = {snapshot.epoch: snapshot.params for snapshot in found.snapshots[lane]}
    diverged_at = int(state[".diverged_at"]) if state[".diverged_at"] >= 0 else None
    when = found.evaluations
    best_epoch = None if diverged_at is not None else when.epoch(int(state[".best_evaluation"]))
    if best_epoch is not None:
        named[best_epoch] = _network(state, ".best_params", ".best_bn_state")
    last = _network(state, ".params", ".bn_state")
    if diverged_at is not None:
        named[when.epoch_of(diverged_at)] = last
    elif not state[".active"] or found.step == 0:
        named[when.epoch(int(state[".last_evaluation"]))] = last
    sizes = (
        last["params[0].dense.W"].shape[1],
        len(last[f"params[{len(row.hyperparams.hidden)}].dense.W"]),
    )
    for network in named.values():
        check_network(network, row.hyperparams, *sizes)
    return _networks(
        row,
        key,
        about_run,
        named,
        can_drop=member(about["must"], "can_drop", bool),
        best_epoch=best_epoch,
        diverged_at=diverged_at,
    )


def _networks(
    run: RunRow | RunResult,
    key: str,
    about: Mapping[str, Any],
    named: Mapping[float, Tensors],
    *,
    can_drop: bool,
    best_epoch: float | None,
    diverged_at: int | None,
) -> Networks:
    if diverged_at == 0:
        raise StoreError(
            f"run {run.run_id[:8]} produced non-finite numbers before its first step: there "
            "is nothing to inspect"
        )
    epochs = tuple(sorted(named))
    return Networks(
        run.run_id,
        key,
        run.hyperparams,
        run.seed,
        run.split_seed,
        about["validation_fraction"],
        about["data"],
        can_drop,
        epochs,
        tuple(named[epoch] for epoch in epochs),
        None if best_epoch is None else epochs.index(best_epoch),
        diverged_at,
    )


def _by_epoch(epochs: tuple[float, ...], stacked: Tensors) -> dict[float, Tensors]:
    return {
        epoch: {name: array[index] for name, array in stacked.items()}
        for index, epoch in enumerate(epochs)
    }


def _network(state: Tensors, params: str, bn_state: str) -> Tensors:
    """The arrays of one network in a lane's training state, named as by `name_tensors`."""
    return {
        f"{new}[{name.removeprefix(f'{old}[')}": array
        for new, old in (("params", params), ("state", bn_state))
        for name, array in state.items()
        if name.startswith(f"{old}[")
    }
