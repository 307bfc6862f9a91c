"""What a store is before and after its database is made again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from store_runs import points

from jmlp.store import Store
from jmlp.store.checkpoints import Checkpoints, key_of
from jmlp.training.plan import Plan
from jmlp.training.records import CohortState, Evaluations, Progress


def content(folder: Path) -> tuple[Any, ...]:
    """All that people see of a store; texts, because NaN is not equal to itself."""
    with Store(folder, viewer=True) as store:
        studies = [replace(s, id=0, state="done", progress=Progress()) for s in store.studies()]
        # The time in the row of a run that ended is a little later than that in its file.
        runs = {repr(replace(r, number=0, ended_at=None)) for r in store.runs()}
        results = {s.label: repr(store.results(s.label)) for s in studies}
        order = {s.label: [r.run_id for r in store.runs(s.label)] for s in studies}
        # What happened to runs; of studies only their submissions are in files.
        events = {
            (e.study, e.run_id, e.kind, e.step, e.detail)
            for e in store.events()
            if e.run_id or e.kind == "submitted"
        }
        return studies, runs, results, order, events


def checkpoint(folder: Path, made: Plan, n_points: int = 3) -> CohortState:
    """Saves where the last two runs of a plan were left."""
    ids = tuple(run.run_id for run in made.runs[-2:])
    costs = (points(n_points), points(n_points))
    arrays = {"step": np.arange(2)}
    state = CohortState(ids, 2, n_points - 1, 4, Evaluations(10), arrays, costs, ((), ()))
    about = {"must": {"numerics": n_points}, "note": {}}
    Checkpoints(folder / "checkpoints").save(key_of(ids, 2), state, about)
    return state
