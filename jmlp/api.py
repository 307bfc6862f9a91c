"""The library's two loops: train one network, run a study. Both stand on the engine."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from jmlp import data, engine
from jmlp.checks import check
from jmlp.config import Experiment, Hyperparams, Study
from jmlp.data.dataset import Dataset, make_dataset
from jmlp.plan import data_facts, make_plan
from jmlp.results import Progress, RunResult


def fit(
    hp: Hyperparams,
    x: ArrayLike,
    y: ArrayLike,
    seed: int = 0,
    validation: float | tuple[ArrayLike, ArrayLike] = 0.2,
) -> RunResult:
    """Trains one network, with early stopping, and keeps its best parameters.

    Args:
        hp: hyperparameters.
        x: examples, one a row or of any shape after the first axis: `(N, ...)`. `uint8` is scaled
            to 0–1; floating-point numbers are used as they are.
        y: integer labels `(N,)`, 0 to C - 1.
        seed: of initial weights, batch order and dropout, 0 to 2**63 - 1.
        validation: the fraction of the examples to validate on (a random part of them, the same
            for every seed), or `(x, y)` of examples of their own.

    Returns:
        What happened. `result.params` and `result.state` are what `jmlp.predict` takes.

    Raises:
        ConfigError: hyperparameters that are not allowed, or do not go with the data.
        DataError: examples or labels that cannot be trained on.
    """
    check(hp)
    arrays = {"x_train": np.asarray(x), "y_train": np.asarray(y)}
    split = None
    if isinstance(validation, tuple):
        x_validation, y_validation = map(np.asarray, validation)
        n, n_validation = len(arrays["x_train"]), len(x_validation)
        arrays = {
            "x_train": np.concatenate([arrays["x_train"], x_validation]),
            "y_train": np.concatenate([arrays["y_train"], y_validation]),
        }
        fraction = n_validation / (n + n_validation)
        rows = np.arange(n + n_validation, dtype=np.int32)
        split = rows[:n], rows[n:]
    else:
        fraction = validation
    dataset = make_dataset("fit", arrays, "fit")
    experiment = Experiment("fit", hp, axes={}, seeds=(seed,), baseline={})
    study = Study("fit", (experiment,), data="x", validation_fraction=fraction)
    plan = make_plan(study, data_facts(dataset))
    results = [r for progress in engine.run(plan, dataset, split=split) for r in progress.results]
    return results[0]


def run_study(study: Study, dataset: Dataset | None = None) -> Iterator[Progress]:
    """Trains every run of a study; whoever stops consuming stops the training.

    Args:
        study: of `jmlp.load_study`.
        dataset: in place of the data that the study names.

    Yields:
        What is new, at least a few times a second; `progress.results` are the runs that ended.

    Raises:
        ConfigError: a configuration that does not go with the data, or needs too much memory.
        DataError: the data cannot be had.
        DeviceError: the device ran out of memory.
    """
    dataset = data.load(study.data) if dataset is None else dataset
    yield from engine.run(make_plan(study, data_facts(dataset)), dataset)
