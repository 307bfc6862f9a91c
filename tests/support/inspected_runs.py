"""Small runs that were really trained, in a store with their data, for inspection."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from helpers import N_EXAMPLES, N_TEST, SMALL_DATA, arrays, experiment, plan
from store_runs import end, submission

from jmlp import data
from jmlp.data import TableOptions, synthetic
from jmlp.data.contract import contract_of
from jmlp.data.dataset import Dataset
from jmlp.inspection import compute, records
from jmlp.inspection.records import Inspection, Part
from jmlp.nn.tensors import name_tensors
from jmlp.store import Store
from jmlp.store.checkpoints import Checkpoints, key_of
from jmlp.store.networks import Networks
from jmlp.study.config import Experiment
from jmlp.training import engine
from jmlp.training.plan import Plan, data_facts
from jmlp.training.records import RunResult

IMAGE_SHAPE = (4, 5)
# Networks after 0, 1, 2 and 3 updates, as `evaluate_every = 1` keeps them.
EVERY: dict[str, Any] = {"evaluate_every": 1, "epochs": 1, "patience": None}


def write_data(folder: Path, *, test_set: bool = True, floats: bool = False) -> Dataset:
    """The small data as a file, and read back."""
    (x_train, y_train), (x_test, y_test) = arrays(N_EXAMPLES), arrays(N_TEST, first=N_EXAMPLES)
    named: dict[str, Any] = {"x_train": x_train.reshape(-1, *IMAGE_SHAPE), "y_train": y_train}
    if test_set:
        named |= {"x_test": x_test.reshape(-1, *IMAGE_SHAPE), "y_test": y_test}
    if floats:
        named = {k: np.float32(v) / 255 if k[0] == "x" else v for k, v in named.items()}
    np.savez(folder / "small.npz", **named)
    return data.load(folder / "small.npz")


def write_digits(folder: Path, n: int = 1000) -> Dataset:
    """Synthetic digits as a file, and read back."""
    made = synthetic(n, 10)
    path = folder / "digits.npz"
    np.savez(path, x_train=made.x_train.reshape(-1, 28, 28), y_train=made.y_train)
    return data.load(path)


def submit(
    store: Store, dataset: Dataset, *experiments: Experiment, options: TableOptions | None = None
) -> Plan:
    """Puts the runs of some experiments into the queue, and says that a worker has begun them."""
    facts = data_facts(dataset)
    made = plan(*experiments, facts=facts)
    is_file = Path(dataset.source).is_file()
    table = {
        "name": "small" if is_file else dataset.name,
        "source": dataset.source,
        "digests": dict(dataset.digests),
        **({"path": dataset.source} if is_file else {}),
        **({} if options is None else {"table": asdict(options)}),
        "image_shape": dataset.image_shape,
        "n_classes": dataset.n_classes,
        "contract": asdict(contract_of(dataset)),
        "facts": {**asdict(facts), "digests": dict(facts.digests)},
    }
    store.submit(submission(made, data=table))
    store.begin(made.study.name, [run.run_id for run in made.runs])
    return made


def train(
    folder: Path, dataset: Dataset, *experiments: Experiment, options: TableOptions | None = None
) -> list[RunResult]:
    """A store in this folder with runs that have ended, with their parameters, in plan's order."""
    with Store(folder) as store:
        made = submit(store, dataset, *experiments, options=options)
        ended = {r.run_id: r for progress in engine.run(made, dataset) for r in progress.results}
        results = [ended[run.run_id] for run in made.runs]
        end(store, made.study.name, results)
    return results


def save_midway(store: Store, made: Plan, dataset: Dataset, *, epoch: int, step: int) -> None:
    """Trains up to a place between two chunks, and saves the cohort there as a worker does.

    Args:
        store: where.
        made: a plan of one cohort.
        dataset: to train on.
        epoch: the one in training; the last one done where `step` is 0.
        step: updates made in it.
    """
    training = engine.Training(made, dataset, engine.take_devices("cpu", 1))
    for _ in training:
        for copy in training.copies():
            if (copy.evaluation, copy.step) == (epoch, step):
                attempts = dict.fromkeys(copy.run_ids, 1)
                must = {"attempts": attempts, "can_drop": made.groups[0].can_drop}
                checkpoints = Checkpoints(store.folder / "checkpoints")
                key = key_of(copy.run_ids, copy.width)
                checkpoints.save(key, copy, {"must": must, "note": {}})
                return
    raise AssertionError(f"it never was at step {step} of epoch {epoch}")


def inspect(folder: Path, run_id: str, part: Part = "validation") -> Inspection:
    """What is seen inside a run, by way of the cached file."""
    return records.read(compute.inspect(folder, run_id, part, print))


def trained(folder: Path, dataset: Dataset, **hyperparams: Any) -> RunResult:
    """The one run of an experiment, trained into a new store in this folder."""
    (result,) = train(folder, dataset, experiment(**hyperparams))
    return result


def networks(data: Dataset = SMALL_DATA, seed: int = 3, **changes: Any) -> Networks:
    """The networks of a run that was really trained, after each of its first updates."""
    made = plan(experiment(seeds=(seed,), **EVERY | changes), facts=data_facts(data))
    (run,) = [r for progress in engine.run(made, data) for r in progress.results]
    return Networks(
        run_id=run.run_id,
        key="",
        hyperparams=run.hyperparams,
        seed=run.seed,
        split_seed=0,
        validation_fraction=0.2,
        data={},
        can_drop=run.provenance.can_drop,
        epochs=tuple(snapshot.epoch for snapshot in run.snapshots),
        tensors=tuple(name_tensors(s.params, s.state) for s in run.snapshots),
        best=0,
        diverged_at=run.diverged_at,
    )
