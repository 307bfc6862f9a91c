"""Rows of the table: their options and figures, and those that compare speed within a training."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmark import environments
from benchmark.environments import PEERS, Peer

from jmlp.system import environment

HERE = Path(__file__).parent
N_TRAINING, N_VALIDATION, TRAINING_SAMPLE = 48_000, 12_000, 5_000
SIZES = (784, 20, 7, 5, 10)
BATCH_SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048)
TRAINING = 40  # epochs that the table counts as one training
DROP_RATES = [i / 10 for i in range(10)]


@dataclass(frozen=True)
class Options:
    """The options from the command line."""

    quick: bool
    peers: tuple[Peer, ...]

    @property
    def rounds(self) -> int:
        """The number of rounds; each measures all programs in turn: A, B, C, A, B, C."""
        return 1 if self.quick else 3


@dataclass
class Figures:
    """The results of a row by work and program, with one number per round."""

    unit: str
    more_is_better: bool
    found: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # work, program, rounds
    notes: list[str] = field(default_factory=list)
    series: bool = False  # works are named "NAME NUMBER", and each name is a line of the plot

    def add(self, work: str, who: str, value: float) -> None:
        """Adds the number of one round."""
        self.found.setdefault(work, {}).setdefault(who, []).append(value)


def say(text: str) -> None:
    """Prints a progress message."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def ours(**request: Any) -> dict[str, Any]:
    """Trains with jmlp in a process of its own, with an empty compile cache."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "ours.py"), json.dumps(request)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
    )
    return environments.lines(process)[0]


def seconds_per_epoch(ends: Sequence[float]) -> float:
    """The mean time from the end of the first epoch, which includes compilation, to the last."""
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def side_by_side(peer: Peer, tasks: Sequence[Mapping[str, Any]]) -> list[float]:
    """Epochs per second of each task, summed over all cores, with one process on each."""
    started = [environments.start(peer, tasks, core, 1) for core in environments.cores()]
    results = [environments.lines(process) for process in started]
    return [
        sum(1 / seconds_per_epoch(process[number]["ends"]) for process in results)
        for number in range(len(tasks))
    ]


def sweep_128(options: Options) -> Figures:
    """Measures the dropout experiment: trainings per minute at equal epochs."""
    figures = Figures("trainings/min", more_is_better=True)
    epochs = 4 if options.quick else 8
    n_cores = len(environments.cores())
    for _ in range(options.rounds):
        seeds = (1 if options.quick else 2) * n_cores
        done = ours(axis="drop_rate", values=DROP_RATES, seeds=seeds, epochs=epochs)
        # The last epoch's time includes the final accuracies; evaluation 0 comes first.
        rate = done["lanes"] / seconds_per_epoch(done["ends"][1:])
        figures.add("sweep_128", "jmlp", 60 * rate / TRAINING)
        figures.notes = [
            f"{done['lane_epochs']} lane-epochs trained and evaluated, 0 frozen",
            f"compile {done['compile_seconds']:.1f} s",
        ]
        for peer in options.peers:
            task = {"batch_size": 128, "epochs": 3, "drop_rate": 0.5 if peer.dropout else 0.0}
            (rate,) = side_by_side(peer, [task])
            figures.add("sweep_128", peer.name, 60 * rate / TRAINING)
            say(f"sweep_128: {peer.name} {60 * rate / TRAINING:.1f}")
    return figures


def sweep_sizes(options: Options) -> Figures:
    """Measures the batch-size experiment: trainings per minute at equal epochs, for each size."""
    figures = Figures("trainings/min", more_is_better=True)
    sizes = (16, 128, 2048) if options.quick else BATCH_SIZES
    seeds = 2 * len(environments.cores())
    tasks = [{"batch_size": size, "epochs": 2 if options.quick else 3} for size in sizes]
    for _ in range(options.rounds):
        for size in sizes:
            done = ours(hyperparams={"batch_size": size}, seeds=seeds, epochs=6)
            rate = done["lanes"] / seconds_per_epoch(done["ends"][1:])
            figures.add(f"sizes_{size}", "jmlp", 60 * rate / TRAINING)
        for peer in options.peers:
            for size, rate in zip(sizes, side_by_side(peer, tasks), strict=True):
                figures.add(f"sizes_{size}", peer.name, 60 * rate / TRAINING)
            say(f"sweep_sizes: {peer.name}")
    return figures


def alone(options: Options) -> Figures:
    """Measures one run at batch size 128: seconds per ten epochs, without compilation."""
    figures = Figures("s of 10 epochs", more_is_better=False)
    n_cores = len(environments.cores())
    for _ in range(options.rounds):
        done = ours(epochs=7)
        figures.add("alone", "jmlp", 10 * seconds_per_epoch(done["ends"][1:]))
        for peer in options.peers:
            times = []
            for threads in (1, n_cores):  # a careful user would try both
                process = environments.start(
                    peer, [{"batch_size": 128, "epochs": 3}], None, threads
                )
                (result,) = environments.lines(process)
                times.append(10 * seconds_per_epoch(result["ends"]))
            figures.add("alone", peer.name, min(times))
            say(f"alone: {peer.name} {min(times):.1f} s")
    return figures


def useful_flops(
    sizes: Sequence[int] = SIZES, n_training: int = N_TRAINING, n_validation: int = N_VALIDATION
) -> float:
    """Floating-point operations in the products of one lane and epoch, including evaluation."""
    weights = [a * b for a, b in pairwise(sizes)]
    steps = n_training // 128
    training = steps * 128 * 2 * (3 * sum(weights) - weights[0])
    evaluation = (min(n_training, TRAINING_SAMPLE) + n_validation) * 2 * sum(weights)
    return training + evaluation


PRODUCT = """
import time, numpy as np
best = 0
for n in (512, 1024, 2048):
    a, b = np.random.rand(n, n).astype(np.float32), np.random.rand(n, n).astype(np.float32)
    c = np.empty_like(a)
    for _ in range(max(5, 10 * (1024 // n) ** 3)):
        t = time.perf_counter()
        np.matmul(a, b, out=c)
        best = max(best, 2 * n**3 / (time.perf_counter() - t))
print(best)
"""


def limit(options: Options) -> Figures:
    """Compares the sweep's products with NumPy's best plain float32 product on all cores."""
    figures = Figures("share of the best product", more_is_better=True)
    n_cores = len(environments.cores())
    for _ in range(options.rounds):
        threads = {"OPENBLAS_NUM_THREADS": str(n_cores), "OMP_NUM_THREADS": str(n_cores)}
        python = str(environments.python(PEERS["numpy"]))
        product = subprocess.run(
            [python, "-c", PRODUCT], env=os.environ | threads, capture_output=True, check=True
        )
        best = float(product.stdout)
        done = ours(axis="drop_rate", values=DROP_RATES, seeds=2 * n_cores, epochs=5)
        rate = done["lanes"] / seconds_per_epoch(done["ends"][1:])
        useful = rate * useful_flops()
        figures.add("limit", "jmlp", useful / best)
        figures.notes = [f"{useful / 1e9:.0f} of {best / 1e9:.0f} GFLOP/s"]
    return figures


def machine() -> str:
    """The processor, cores and versions with which the rows were measured."""
    versions = environment.versions()
    return (
        f"{environment.cpu_model()}, {len(environments.cores())} of {os.cpu_count()} cores, "
        f"Python {versions['python']}, JAX {versions['jax']}"
    )
