"""Replays of runs that never were, and the data in a page."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from inspections import made_up
from report_runs import FACTS, sizes_runs, sizes_study

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


def run_replay(
    inspection: Inspection | None = None,
    points: Sequence[CostPoint] | None = None,
    **changes: Any,
) -> Replay:
    """The replay of a run."""
    run = sizes_runs()[0]
    shown = run.costs if points is None else points
    return of_run(row_of(run, **changes), shown, inspection or made_up(), DATA)


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
        run.run_id: replace(inspection or made_up(), run_id=run.run_id) for run in chosen
    }
    rows = {run.run_id: row_of(run) for run in runs}
    tables = study_tables(study, runs)
    return of_study(study, runs, tables, rows, inspections, FACTS, "a shelf", toml)


def data_in(page: str) -> Any:
    """What the script of a page reads."""
    (found,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL
    )
    return json.loads(found)
