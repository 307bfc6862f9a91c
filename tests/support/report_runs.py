"""Hand-made runs with cost curves, and a report of them, for the tests of the report."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from table_runs import diverged, finished

from jmlp.report import write_report
from jmlp.results.tables import study_tables
from jmlp.study.config import Claim, Experiment, Hyperparams, Reference, Study
from jmlp.training.plan import DataFacts
from jmlp.training.records import CostPoint, RunResult

FACTS = DataFacts(60000, 10000, 784, 10, {"x_train": "ab12", "y_train": "cd34"})
CREATED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
STEPS = 100  # updates an epoch


def point(epoch: int, cost: float) -> CostPoint:
    batch_cost = None if epoch == 0 else cost + 0.1
    return CostPoint(epoch, epoch * STEPS, batch_cost, cost - 0.125, 0.5, cost, 0.5)


def with_costs(run: RunResult, *costs: float) -> RunResult:
    """The run with these validation costs, from epoch 0 on; training costs are 0.125 lower."""
    points = tuple(point(epoch, cost) for epoch, cost in enumerate(costs))
    return replace(run, costs=points, stopped_epoch=len(costs) - 1)


def sizes_runs() -> list[RunResult]:
    """Three seeds at batch sizes 16, 64 and 128; one run of 16 diverged."""
    runs = []
    for i, size in enumerate((16, 64, 128)):
        hp = Hyperparams(batch_size=size)
        for seed in range(3):
            run = finished(hp, seed, 0.8 + 0.05 * i + 0.01 * seed)
            if (size, seed) == (16, 1):
                run = diverged(hp, seed, 150)
            runs.append(with_costs(run, 2.5, *[1.5 - 0.1 * i - 0.01 * seed] * (2 + seed)))
    return runs


def sizes_study(**changes: Any) -> Study:
    experiment = Experiment(
        "sizes",
        Hyperparams(),
        {"batch_size": (16, 64, 128)},
        (0, 1, 2),
        {"batch_size": 128},
        (Claim("128 is best", best={"batch_size": 128}),),
        (Reference({"batch_size": 16}, test_accuracy=0.1028, stopped=1),),
    )
    return replace(Study("mine", (experiment,)), **changes)


def write(folder: Path, study: Study, runs: list[RunResult], **changes: Any) -> list[Path]:
    settings: dict[str, Any] = {
        "facts": FACTS,
        "source": "a shelf",
        "study_toml": 'name = "mine"\n',
        "command": "jmlp study mine.toml",
        "created": CREATED,
    }
    return write_report(folder, study, runs, study_tables(study, runs), **settings | changes)
