"""jmlp's own part: one training in a process of its own, reported as one line of JSON.

    python ours.py '{"axis": "drop_rate", "values": [0, 0.5], "seeds": 2, "epochs": 8, ...}'

Times cover the whole loop: batch order, steps, evaluation at each epoch, early-stopping
bookkeeping, and the Python code in between.
"""

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from jmlp.study.config import Experiment, Hyperparams, Study
from jmlp.study.file import load_study
from jmlp.system import environment


def main() -> None:
    """Runs the training requested on the command line."""
    request = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as empty:
        cache = Path(request.get("cache") or empty)
        environment.prepare("cpu", request.get("cores"), cache)
        print(json.dumps(train(request)), flush=True)


def train(request: dict[str, Any]) -> dict[str, Any]:
    """Trains one experiment.

    Returns:
        The times (seconds of the monotonic clock) at which the first step, each epoch's last
        evaluation, every lane's evaluations (without number 0) and the last run ended; lane-epochs;
        and seconds of compilation.
    """
    import jax

    from jmlp import data
    from jmlp.data.dataset import make_dataset
    from jmlp.training import engine
    from jmlp.training.plan import data_facts, make_plan

    compiling: list[float] = []

    def note(event: str, duration_secs: float, **_: str | int) -> None:
        if event.startswith("/jax/core/compile"):
            compiling.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(note)
    dataset = data.load("mnist")
    if request.get("examples"):
        n = request["examples"]
        shape = (n, *dataset.image_shape)
        arrays = {"x_train": dataset.x_train[:n].reshape(shape), "y_train": dataset.y_train[:n]}
        dataset = make_dataset("part", arrays, "part")
    plan = make_plan(study_of(request), data_facts(dataset))
    first_step, ended, trained, accuracies = None, None, 0.0, []
    ends: dict[float, list[float]] = {}
    for progress in engine.run(plan, dataset, engine.find_devices("cpu")[: request.get("cores")]):
        now = time.monotonic()
        if first_step is None and progress.phase == "training" and not progress.points:
            first_step = now
        for point in progress.points.values():
            ends.setdefault(point.epoch, []).append(now)
        for result in progress.results:
            trained += result.stopped_epoch
            accuracies.append(result.test_accuracy)
            ended = now
    return {
        "first_step": first_step,
        "ends": [max(times) for _, times in sorted(ends.items())],
        "measured": sorted(at for epoch, times in ends.items() if epoch for at in times),
        "ended": ended,
        "lanes": len(plan.runs),
        "lane_epochs": trained,
        "test_accuracies": accuracies,
        "compile_seconds": sum(compiling),
    }


def study_of(request: dict[str, Any]) -> Study:
    """The requested study: a shipped one with other seeds, or an experiment on at most one axis."""
    if "study" in request:
        study = load_study(request["study"])
        seeds = tuple(request["seeds"])
        return replace(study, experiments=tuple(replace(e, seeds=seeds) for e in study.experiments))
    chosen = dict(request.get("hyperparams", {}))
    if "hidden" in chosen:
        chosen["hidden"] = tuple(chosen["hidden"])
    base = Hyperparams(epochs=request["epochs"], patience=None, **chosen)
    axes = {request["axis"]: tuple(request["values"])} if request.get("axis") else {}
    baseline = {name: values[0] for name, values in axes.items()}
    experiment = Experiment("bench", base, axes, tuple(range(request.get("seeds", 1))), baseline)
    return Study("bench", (experiment,))


if __name__ == "__main__":
    main()
