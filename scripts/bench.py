#!/usr/bin/env python3
"""Measures speed and memory, and prints a table: .venv/bin/python scripts/bench.py [--json].

Each row is a process of its own with an empty compile cache. Times are of the whole loop: batch
order, steps, evaluation at each epoch, early-stopping bookkeeping, and what Python does in between.
Training time is taken from the end of the first epoch to that of the last but one, so that
compiling and the final accuracies are apart.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jmlp import environment
from jmlp.config import Experiment, Hyperparams, Study
from jmlp.study_file import load_study

EPOCHS = 12
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def dropout() -> dict[str, Any]:
    """The dropout experiment: ten lanes for each seed, one seed per core."""
    seeds = environment.default_cores()
    overrides = ["patience=none"]
    return train(
        load_study(
            "original", experiments=["dropout"], seeds=seeds, epochs=EPOCHS, overrides=overrides
        )
    )


def alone() -> dict[str, Any]:
    """One run at batch size 128, on one core."""
    hp = Hyperparams(epochs=EPOCHS, patience=None)
    return train(Study("alone", (Experiment("alone", hp, {}, (0,), {}),)), n_devices=1)


def one_thread() -> dict[str, Any]:
    """The same with one thread for all of XLA: its small products wait for no second one."""
    os.environ |= {"NPROC": "1", "JAX_NUM_CPU_DEVICES": "1"}
    return alone()


def whole() -> dict[str, Any]:
    """Every group of the original study, a few epochs of each: compile time and memory."""
    seeds = environment.default_cores()
    return train(load_study("original", seeds=seeds, epochs=2, overrides=["patience=none"]))


ROWS: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "dropout": ("dropout experiment, 10 configurations, batch 128", dropout),
    "alone": ("one run alone, batch 128", alone),
    "one-thread": ("the same with NPROC=1 JAX_NUM_CPU_DEVICES=1", one_thread),
    "whole": ("original study, all 9 groups, 2 epochs", whole),
}


def train(study: Study, n_devices: int | None = None) -> dict[str, Any]:
    """Trains a study in this process and says what it took."""
    with tempfile.TemporaryDirectory() as cache:
        environment.prepare("cpu", None, Path(cache))
        import jax

        from jmlp import data, engine
        from jmlp.plan import data_facts, make_plan

        compiling: list[float] = []
        jax.monitoring.register_event_duration_secs_listener(
            lambda event, seconds, **_: (
                compiling.append(seconds) if event.startswith("/jax/core/compile") else None
            )
        )
        epochs = study.experiments[0].base.epochs
        dataset = data.load(study.data)
        plan = make_plan(study, data_facts(dataset))
        devices = engine.find_devices("cpu")[:n_devices]
        ends: dict[int, float] = {}
        lanes = 0
        for progress in engine.run(plan, dataset, devices):
            for point in progress.points.values():
                ends[point.epoch] = time.perf_counter()
                lanes += point.epoch == 1
        steps = (epochs - 2) * (plan.n_training // plan.groups[0].hyperparams.batch_size)
        seconds = ends[epochs - 1] - ends[1]
    return {
        "microseconds_per_lane_and_step": 1e6 * seconds / steps / lanes if steps else None,
        "compile_seconds": sum(compiling),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT,
        "runs": len(plan.runs),
        "groups": len(plan.groups),
    }


def main() -> None:
    """Prints the table, or one row's figures as JSON where a row is named."""
    names = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    if names:
        print(json.dumps(ROWS[names[0]][1]()))
        return
    figures = {}
    for name in ROWS:
        done = subprocess.run(
            [sys.executable, __file__, name], stdout=subprocess.PIPE, check=True, text=True
        )
        figures[name] = json.loads(done.stdout)
    if "--json" in sys.argv:
        print(json.dumps(figures, indent=2))
        return
    print(
        f"{environment.cpu_model()}, {environment.default_cores()} of {os.cpu_count()} cores, "
        f"Python {environment.versions()['python']}, JAX {environment.versions()['jax']}\n"
    )
    print("| work | µs per lane and step | compile time | peak memory |")
    print("|---|---|---|---|")
    for name, (title, _) in ROWS.items():
        f = figures[name]
        one_group = f["groups"] == 1
        step = f"{f['microseconds_per_lane_and_step']:.0f}" if one_group else ""
        print(
            f"| {title} | {step} | {f['compile_seconds']:.1f} s | {f['peak_bytes'] / 1e9:.2f} GB |"
        )


if __name__ == "__main__":
    main()
