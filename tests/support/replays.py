"""Replays of runs that never were, and the data in a page."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from inspections import made_up, of_table
from report_runs import FACTS, sizes_runs, sizes_study

from jmlp.data.columns import Column
from jmlp.inspection.boundary_records import Boundary, classes
from jmlp.inspection.records import Inspection
from jmlp.replay.content import Replay, chosen_runs, of_run, of_study
from jmlp.results.tables import study_tables
from jmlp.store import RunRow
from jmlp.study.config import Study
from jmlp.training.records import CostPoint, RunResult

DATA = {"name": "small", "source": "a shelf", "digests": {"x_train": "ab12"}}


def row_of(run: RunResult, **changes: Any) -> RunRow:
    """The row of a run that has ended."""
    row = RunRow(
        number=1,
        run_id=run.run_id,
        hyperparams=run.hyperparams,
        seed=run.seed,
        split_seed=run.split_seed,
        state=run.status,
        epoch=run.stopped_epoch,
        step=None,
        attempt=1,
        failure=None,
        code=None,
        ended_at=0,
        result=run,
        studies=("mine",),
    )
    return replace(row, **changes)


LABEL = "mine-0a1b2c3d"  # of the study in the store


def run_replay(
    inspection: Inspection | None = None,
    points: Sequence[CostPoint] | None = None,
    boundary: Boundary | None = None,
    **changes: Any,
) -> Replay:
    """The replay of a run."""
    run = sizes_runs()[0]
    shown = run.costs if points is None else points
    return of_run(row_of(run, **changes), shown, inspection or made_up(), boundary, DATA)


def study_replay(
    study: Study | None = None,
    runs: Sequence[RunResult] | None = None,
    inspection: Inspection | None = None,
    toml: str = 'name = "mine"\n',
) -> Replay:
    """The replay of a study of three batch sizes, of which the smallest diverged once."""
    study, runs = study or sizes_study(), runs or sizes_runs()
    chosen = chosen_runs(study, runs)
    inspections = {
        run.run_id: (replace(inspection or made_up(), run_id=run.run_id), None) for run in chosen
    }
    rows = {run.run_id: row_of(run) for run in runs}
    tables = study_tables(study, runs)
    return of_study(study, LABEL, runs, tables, rows, inspections, FACTS, "a shelf", toml)


def plane(n_snapshots: int = 4, size: int = 128) -> tuple[Inspection, Boundary]:
    """The inspection and the boundary of networks on two numbers, with three classes."""
    made = of_table(n_snapshots)
    made = replace(
        made,
        columns=(Column("x"), Column("y</b>")),
        n_classes=3,
        weights=made.weights[:, :, :2],
        rows=made.rows[:, :2],
        image_shape=(2,),
        labels=made.labels % 3,
        predicted=made.predicted % 3,
    )
    x, y = np.linspace(-2, 3, size), np.linspace(0, 1, size)
    # Class 0 is likely on the left, class 2 on the right, and more so in later networks.
    steepness = 1 + np.arange(n_snapshots)[:, None, None, None]
    powers = np.exp(steepness * np.arange(3) * np.broadcast_to(x[:, None], (size, size, 1)))
    n = 300
    labels = np.arange(n) % 3
    return made, Boundary(
        run_id=made.run_id,
        epochs=made.epochs,
        best=made.best,
        diverged_at=None,
        columns=("x", "y</b>"),
        class_names=("0", "1", "2"),
        n_training=1000,
        n_validation=n,
        x=x,
        y=y,
        probability=(powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32),
        lines=np.empty((n_snapshots, 0, 3)),
        points=np.stack([np.linspace(-2, 3, n), np.linspace(0, 1, n)], axis=1),
        labels=labels.astype(np.int16),
        is_training=np.arange(n) < 10,
        predicted=np.stack([classes(np.eye(3)[labels])] * n_snapshots),
    )


def data_in(page: str) -> Any:
    """What the script of a page reads."""
    (found,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL
    )
    return json.loads(found)
