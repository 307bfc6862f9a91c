"""Made-up studies and runs, and stores full of them, for the tests of store and commands."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from table_runs import diverged, finished

from jmlp.nn.batchnorm import BatchNormState
from jmlp.nn.dense import DenseParams
from jmlp.nn.model import Layer
from jmlp.store import Store, StudyState, Submission, run_files
from jmlp.study.config import Experiment, Hyperparams, Study, Value
from jmlp.study.file import to_toml
from jmlp.training.plan import DataFacts, Plan, Run, make_plan
from jmlp.training.records import CostPoint, Progress, RunResult, Snapshot

HP = Hyperparams(hidden=(3,), batch_size=16, learning_rate=0.1, epochs=4)
FACTS = DataFacts(208, 60, 5, 3, {"x_train": "a1", "y_train": "b2"})
DATA = {
    "name": "small",
    "source": "made up",
    "digests": FACTS.digests,
    "image_shape": [1, FACTS.n_in],
    "n_classes": FACTS.n_classes,
    "facts": json.loads(json.dumps(asdict(FACTS))),
}
N_STEPS = 10  # of an epoch


def plan(
    name: str = "small",
    rates: Sequence[float] = (0.1, 0.2),
    n_seeds: int = 3,
    **hyperparams: Value,
) -> Plan:
    """Runs of some learning rates, each with some seeds."""
    axes = {"learning_rate": tuple(rates)}
    baseline = {"learning_rate": rates[0]}
    experiment = Experiment(
        "rates", replace(HP, **hyperparams), axes, tuple(range(n_seeds)), baseline
    )
    return make_plan(Study(name, (experiment,), data="small"), FACTS)


def submission(made: Plan, label: str = "", **changes: Any) -> Submission:
    """What `jmlp study` submits for a plan."""
    name = made.study.name
    submitted = Submission(
        label=label or name,
        name=name,
        toml=to_toml(made.study),
        data=DATA,
        command=f"jmlp study {name}.toml",
        hardware={"device": "cpu", "cores": 2},
        runs=made.runs,
    )
    return replace(submitted, **changes)


def point(epoch: int, cost: float = 1.0, batch_cost: float | None = 2.0) -> CostPoint:
    """A cost point; accuracies are made of the epoch."""
    return CostPoint(epoch, epoch * N_STEPS, batch_cost, cost, epoch / 10, cost / 2, epoch / 20)


def points(n: int) -> tuple[CostPoint, ...]:
    """The first points of a run, falling costs; the first has no mini-batch cost."""
    return tuple(point(e, 1 / (e + 1), None if e == 0 else 1.5 / (e + 1)) for e in range(n))


def result(run: Run, accuracy: float = 0.9, n_points: int = 5, **changes: Any) -> RunResult:
    """A run of a plan that was trained to the end, with parameters that are no one else's."""
    made = finished(
        run.hyperparams,
        run.seed,
        accuracy,
        run_id=run.run_id,
        split_seed=run.split_seed,
        experiments=run.experiments,
        costs=points(n_points),
    )
    return replace(made, **with_parameters(run), **changes)


def diverged_result(run: Run, step: int = 7, **changes: Any) -> RunResult:
    """A run of a plan that diverged; its last cost is not finite."""
    made = diverged(run.hyperparams, run.seed, step)
    return replace(
        made,
        run_id=run.run_id,
        split_seed=run.split_seed,
        experiments=run.experiments,
        costs=(*points(1), point(1, math.nan, math.inf)),
        **with_parameters(run),
        **changes,
    )


def with_parameters(run: Run) -> dict[str, Any]:
    """Kept ones, last ones and snapshots of a run, by the fields of a result."""
    sizes = (FACTS.n_in, *run.hyperparams.hidden, FACTS.n_classes)
    generator = np.random.default_rng(int(run.run_id[:8], 16))
    shapes = [(n_out, n_in) for n_in, n_out in pairwise(sizes)]

    def network() -> tuple[Any, Any]:
        layers = []
        for shape in shapes:
            W: Any = generator.normal(size=shape).astype(np.float32)
            b: Any = np.zeros((len(W), 1), np.float32)
            layers.append(Layer(DenseParams(W, b), None))
        state: tuple[BatchNormState | None, ...] = (None,) * (len(layers) - 1)
        return tuple(layers), state

    params, state = network()
    snapshots = tuple(Snapshot(epoch, *network()) for epoch in (0, 1))
    return {
        "params": params,
        "state": state,
        "last": Snapshot(4, *network()),
        "snapshots": snapshots,
    }


def end(store: Store, label: str, results: Sequence[RunResult]) -> None:
    """What the worker does with runs that ended: their files, then their rows."""
    for ended in results:
        path = run_files.path_of(store.folder, ended.run_id)
        run_files.write(path, ended, **store.about_run(ended.run_id))
    store.end(label, results)


def fill(
    folder: Path, made: Plan | None = None, *, n_diverged: int = 1, n_left: int = 0
) -> list[RunResult]:
    """Makes a store with one study that was trained.

    Args:
        folder: of the store.
        made: the study's plan.
        n_diverged: how many of the first runs diverged.
        n_left: how many of the last runs were interrupted in their second epoch.

    Returns:
        the runs that ended, with parameters, in the plan's order.
    """
    made = made or plan()
    label, n_ended = made.study.name, len(made.runs) - n_left
    ended = [
        diverged_result(run) if i < n_diverged else result(run, 0.9 + i / 1000)
        for i, run in enumerate(made.runs[:n_ended])
    ]
    with Store(folder) as store:
        store.submit(submission(made))
        store.set_study(label, "running", event="started")
        store.begin(label, [run.run_id for run in made.runs])
        left = [run.run_id for run in made.runs[n_ended:]]
        store.record(label, [(run_id, p) for run_id in left for p in points(2)], Progress(epoch=1))
        end(store, label, ended)
        store.set_runs(left, "queued")
        state: StudyState = "interrupted" if left else "done"
        store.set_study(label, state, event=state)
    return ended
