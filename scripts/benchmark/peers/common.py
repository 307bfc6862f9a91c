"""What the peers have in common: their tasks, their data, and what they report for each epoch.

A peer is a script that runs in an environment of its own. It reads its tasks as JSON from the
command line, trains each, and prints one line of JSON for each.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HIDDEN = (20, 7, 5)
CLASSES = 10
LEARNING_RATE = 0.009


@dataclass(frozen=True)
class Task:
    """One training."""

    batch_size: int
    epochs: int
    drop_rate: float = 0.0
    variant: str = ""  # of a peer that has two
    until: float | None = None  # test accuracy at which a training of 256-128 with Adam ends
    seed: int = 0


@dataclass(frozen=True)
class Data:
    """Pixels from 0 to 1, one example per row, float32; labels int32."""

    x: np.ndarray  # (48000, 784)
    y: np.ndarray  # (48000,)
    x_validation: np.ndarray  # (12000, 784)
    y_validation: np.ndarray
    x_test: np.ndarray  # (10000, 784)
    y_test: np.ndarray


Train = Callable[[Task, Data], Iterator[float]]


def main(train: Train) -> None:
    """Runs the tasks on the command line, on a single core if one is given.

    Args:
        train: trains a task: shuffles, makes all steps of an epoch, and yields after each epoch the
            validation accuracy; for a task with `until`, the test accuracy.
    """
    request = json.loads(sys.argv[1])
    if request["core"] is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {request["core"]})
    data = load(Path(request["data"]))
    for fields in request["tasks"]:
        task = Task(**fields)
        ends, accuracies = [], []
        for accuracy in train(task, data):
            ends.append(time.monotonic())
            accuracies.append(float(accuracy))
            if len(ends) == task.epochs or (task.until and accuracy >= task.until):
                break
        print(json.dumps({"ends": ends, "accuracies": accuracies}), flush=True)


def load(folder: Path) -> Data:
    """Reads the arrays and scales the pixels."""

    def pixels(name: str) -> np.ndarray:
        return np.load(folder / f"{name}.npy").astype(np.float32) / 255

    def labels(name: str) -> np.ndarray:
        return np.load(folder / f"{name}.npy").astype(np.int32)

    return Data(
        pixels("x"),
        labels("y"),
        pixels("x_validation"),
        labels("y_validation"),
        pixels("x_test"),
        labels("y_test"),
    )


def batches(rng: np.random.Generator, n: int, batch_size: int) -> Iterator[np.ndarray]:
    """The rows of each full mini-batch of one epoch, in a new order."""
    order = rng.permutation(n)
    for start in range(0, n - batch_size + 1, batch_size):
        yield order[start : start + batch_size]


def rates(drop_rate: float) -> tuple[float, ...]:
    """The drop rate of each hidden layer."""
    return (drop_rate,) * len(HIDDEN)
