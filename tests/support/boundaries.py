"""Boundaries of networks that never were, made without JAX; and a store with such runs."""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import store_runs
from tui_pilot import PROGRESS, ended_run

from jmlp.inspection.boundary_records import Boundary, classes
from jmlp.inspection.client import Inspector
from jmlp.store import Store
from jmlp.study.config import Experiment, Study
from jmlp.training.plan import Plan, make_plan

FACTS = replace(store_runs.FACTS, n_in=2, n_classes=2, pixel_bytes=4)
DATA = {
    **store_runs.DATA,
    "image_shape": [FACTS.n_in],
    "n_classes": FACTS.n_classes,
    "facts": json.loads(json.dumps(asdict(FACTS))),
}
EPOCHS = (0, 1, 2, 3)


def made_boundary(seed: int = 0, **changes: Any) -> Boundary:
    """Networks that separate the points left and right of a line, which each seed turns.

    Later networks are surer. Unit 0 has the line of the seed, unit 1 that of depth 0, unit 2 none.
    """
    x, y = np.linspace(-2, 2, 33), np.linspace(-1, 1, 33)
    normal = np.array([1.0, (seed - 1) * 0.8])

    def probability(places: Any) -> Any:
        steep = (0.2 + 2 * np.arange(len(EPOCHS))).reshape(-1, *[1] * (places.ndim - 1))
        right = 1 / (1 + np.exp(-steep * (places @ normal - 0.2)))
        return np.stack([1 - right, right], axis=-1).astype(np.float32)

    k = np.arange(60)
    points = np.stack([1.8 * np.sin(7 * k), 0.9 * np.cos(5 * k)], axis=1)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    made = Boundary(
        run_id=f"{seed}" * 64,
        epochs=EPOCHS,
        best=2,
        diverged_at=None,
        columns=("width", "depth"),
        class_names=("thin", "wide"),
        n_training=40,
        n_validation=20,
        x=x,
        y=y,
        probability=probability(grid),
        lines=np.tile([[*normal, -0.2], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]], (len(EPOCHS), 1, 1)),
        points=points,
        labels=(points[:, 0] > 0).astype(np.int16),
        is_training=k < 40,
        predicted=classes(probability(points)),
    )
    return replace(made, **changes)


class BoundaryStandIn:
    """Stands in for the process that computes boundaries."""

    def __init__(self, seeds: dict[str, int]) -> None:
        self.seeds = seeds
        self.asked: list[int] = []  # the seeds of the runs
        self.answer: Callable[[int], Boundary] = made_boundary

    def boundary(self, run_id: str, say: Any, stop: threading.Event) -> Boundary:
        self.asked.append(self.seeds[run_id])
        return self.answer(self.seeds[run_id])


def filled_plane(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, in_training: bool = False
) -> tuple[Plan, BoundaryStandIn]:
    """A store with three seeds of one configuration on data with two inputs.

    Args:
        folder: of the store.
        monkeypatch: puts a stand-in in place of the helper process.
        in_training: whether the last two seeds are in training.
    """
    experiment = Experiment("rates", store_runs.HP, {}, (0, 1, 2), {})
    made = make_plan(Study("plane", (experiment,), data="small"), FACTS)
    ended = [run for run in made.runs if not in_training or run.seed == 0]
    with Store(folder) as store:
        store.submit(store_runs.submission(made, data=DATA))
        store.begin("plane", [run.run_id for run in made.runs])
        store_runs.end(store, "plane", [ended_run(run) for run in ended])
        if in_training:
            record_epoch(store, made, 2)
        store.set_study("plane", "running" if in_training else "done")
    stand_in = BoundaryStandIn({run.run_id: run.seed for run in made.runs})
    monkeypatch.setattr(Inspector, "boundary", lambda _, *request: stand_in.boundary(*request))
    return made, stand_in


def record_epoch(store: Store, made: Plan, epoch: int) -> None:
    """What the worker writes when the last two seeds have reached an epoch."""
    training = [run.run_id for run in made.runs if run.seed]
    points = [(run_id, store_runs.point(epoch)) for run_id in training]
    store.record("plane", points, replace(PROGRESS, epoch=epoch))
