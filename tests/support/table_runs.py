"""Hand-made runs for the tests of tables."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jmlp.study.config import Claim, Experiment, Hyperparams, Study, canonical
from jmlp.training.records import Provenance, RunResult

HP = Hyperparams()
SEEDS = (0, 1, 2, 3, 4)
CPU = Provenance("cpu", 8, "", {"jax": "0.10.0"}, False)
STUDY = Study("study", ())
# mean 0.92, s = 0.0158114, t = 2.776445: half-width 0.0196324; prediction 0.0480894
SPREAD = (0.90, 0.91, 0.92, 0.93, 0.94)


def finished(hp: Hyperparams, seed: int, accuracy: float, **changes: Any) -> RunResult:
    run = RunResult(
        run_id=f"{hash(canonical(hp))}-{seed}",
        hyperparams=hp,
        seed=seed,
        split_seed=0,
        experiments=("sizes",),
        status="finished",
        diverged_at=None,
        collapsed=False,
        best_epoch=40 + seed,
        stopped_epoch=42 + seed,
        reached_limit=False,
        training_accuracy=accuracy + 0.02,
        validation_accuracy=accuracy + 0.01,
        test_accuracy=accuracy,
        training_cost=0.2,
        validation_cost=1 - accuracy,
        test_cost=0.3,
        costs=(),
        provenance=CPU,
        params=None,
        state=None,
        last=None,
        snapshots=(),
    )
    return replace(run, **changes)


def diverged(hp: Hyperparams, seed: int, step: int) -> RunResult:
    numbers = [
        f"{part}_{what}"
        for part in ("training", "validation", "test")
        for what in ("accuracy", "cost")
    ]
    return finished(
        hp,
        seed,
        0.0,
        status="diverged",
        diverged_at=step,
        best_epoch=None,
        **dict.fromkeys(numbers),
    )


def size(batch_size: int) -> Hyperparams:
    return replace(HP, batch_size=batch_size)


def runs(hp: Hyperparams, accuracies: Sequence[float], **changes: Any) -> list[RunResult]:
    return [finished(hp, seed, a, **changes) for seed, a in enumerate(accuracies)]


def sizes(*values: int, **changes: Any) -> Experiment:
    axes = {"batch_size": values}
    return replace(Experiment("sizes", HP, axes, SEEDS, {"batch_size": 128}), **changes)


def shifted(difference: float, spread: float = 0.001) -> list[float]:
    """Accuracies whose differences to SPREAD are `difference` ± a little."""
    return [a + difference + spread * (i - 2) for i, a in enumerate(SPREAD)]


def grid(*claims: Claim) -> Experiment:
    """Two axes, and so one column for each."""
    axes = {"batch_norm": (False, True), "drop_rate": (0.0, 0.5)}
    return Experiment("final", HP, axes, SEEDS, {"batch_norm": False, "drop_rate": 0.0}, claims)


def cell(batch_norm: bool, drop_rate: float) -> Hyperparams:
    return replace(HP, batch_norm=batch_norm, drop_rate=drop_rate)


def grid_runs(norm_plain: float, norm_dropped: float) -> list[RunResult]:
    """Runs of a grid, with what batch norm adds without and with dropout."""
    return [
        *runs(cell(False, 0.0), SPREAD),
        *runs(cell(False, 0.5), SPREAD),
        *runs(cell(True, 0.0), shifted(norm_plain)),
        *runs(cell(True, 0.5), shifted(norm_dropped)),
    ]
