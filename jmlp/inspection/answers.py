"""What the stored networks of some runs answer about one example; made by `jmlp.inspection.asking`.

The app and the command show it as a strip: a column for each network of a run, or for those of all
seeds after the same epoch, and a row for each class.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jmlp.store.states import RunState

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RunAnswers:
    """The answers of one run's networks."""

    run_id: str
    seed: int
    state: RunState  # while it is "running", these are the networks so far
    epochs: tuple[float, ...]  # of the networks, ascending
    best: int | None  # the index of the kept network; None if the run diverged
    diverged_at: int | None  # the update
    probabilities: Floats  # (networks, classes); NaN for a network whose output is not finite


@dataclass(frozen=True)
class LeftOut:
    """A run that could not be asked."""

    run_id: str
    seed: int
    why: str


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of several runs whose networks take the same inputs."""

    classes: tuple[str, ...]
    runs: tuple[RunAnswers, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, eq=False)
class Column:
    """One column of the strip: a network of one run, or one of each of several."""

    epoch: float | None  # None: the kept network of each run, whatever its epoch
    is_best: bool  # whether these are the kept networks
    probabilities: Floats  # (classes,): the mean over the runs; NaN if none of them has an answer
    counts: NDArray[np.int64]  # (classes,): in how many runs a class is the answer

    @property
    def n_runs(self) -> int:
        """The number of runs that have a finite answer."""
        return int(self.counts.sum())

    @property
    def answer(self) -> int | None:
        """The class with the highest mean probability; None if there is no finite answer."""
        return int(self.probabilities.argmax()) if self.n_runs else None


def columns_of_run(run: RunAnswers) -> tuple[Column, ...]:
    """A column for each network of a run."""
    return tuple(
        _column(epoch, index == run.best, run.probabilities[index : index + 1])
        for index, epoch in enumerate(run.epochs)
    )


def columns_of_all(runs: Sequence[RunAnswers]) -> tuple[Column, ...]:
    """Columns of several runs together: means over the runs that have not diverged.

    There is a column for each epoch after which all runs that trained so long have a network, so
    those of the snapshots; and a last one for the kept networks, whose epochs differ.
    """
    sound = [run for run in runs if run.diverged_at is None and run.epochs]
    if not sound:
        return ()
    columns = []
    for epoch in sorted({epoch for run in sound for epoch in run.epochs}):
        so_long = [run for run in sound if run.epochs[-1] >= epoch]
        if all(epoch in run.epochs for run in so_long):
            rows = [run.probabilities[run.epochs.index(epoch)] for run in so_long]
            columns.append(_column(epoch, False, np.stack(rows)))
    kept = [run.probabilities[run.best] for run in sound if run.best is not None]
    if kept:
        columns.append(_column(None, True, np.stack(kept)))
    return tuple(columns)


def _column(epoch: float | None, is_best: bool, rows: Floats) -> Column:
    """A column of the networks in the rows, `(networks, classes)`."""
    finite = rows[np.isfinite(rows).all(axis=1)]
    counts = np.bincount(finite.argmax(axis=1), minlength=rows.shape[1])
    mean = finite.mean(axis=0) if len(finite) else np.full(rows.shape[1], np.nan)
    return Column(epoch, is_best, mean, counts.astype(np.int64))


# ---- JSON


def to_table(answers: Answers) -> dict[str, Any]:
    """The answers as JSON values; probabilities that are not finite are null."""
    return {
        "classes": list(answers.classes),
        "runs": [
            {
                "run_id": run.run_id,
                "seed": run.seed,
                "state": run.state,
                "epochs": list(run.epochs),
                "best": run.best,
                "diverged_at": run.diverged_at,
                "probabilities": [numbers(row) for row in run.probabilities],
            }
            for run in answers.runs
        ],
        "left_out": [
            {"run_id": one.run_id, "seed": one.seed, "why": one.why} for one in answers.left_out
        ],
    }


def from_table(table: Mapping[str, Any]) -> Answers:
    """The answers from what `to_table` returned."""
    n_classes = len(table["classes"])
    runs = [
        RunAnswers(
            **(run | {"epochs": tuple(run["epochs"])})
            | {"probabilities": np.array(run["probabilities"], float).reshape(-1, n_classes)}
        )
        for run in table["runs"]
    ]
    left_out = [LeftOut(**one) for one in table["left_out"]]
    return Answers(tuple(table["classes"]), tuple(runs), tuple(left_out))


def numbers(row: Floats) -> list[float | None]:
    """Numbers as JSON values; one that is not finite is null."""
    return [float(p) if np.isfinite(p) else None for p in row]


def to_bytes(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Pixels `(height, width)` as JSON values."""
    return {"shape": list(pixels.shape), "bytes": base64.b64encode(pixels.tobytes()).decode()}


def from_bytes(table: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Pixels from what `to_bytes` returned."""
    return np.frombuffer(base64.b64decode(table["bytes"]), np.uint8).reshape(table["shape"])
