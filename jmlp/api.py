"""The library's two loops: train one network, run a study. Both stand on the engine."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jmlp import data, engine
from jmlp.checks import FRACTION, SEED, Refused, Rule, check
from jmlp.config import Experiment, Hyperparams, Study
from jmlp.data.dataset import Dataset, make_dataset
from jmlp.errors import ConfigError, DataError
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
            for every seed), or `(x, y)` of examples of their own, of the same type and shape.

    Returns:
        What happened. `result.params` and `result.state` are what `jmlp.predict` takes.

    Raises:
        ConfigError: hyperparameters that are not allowed, or do not go with the data.
        DataError: examples or labels that cannot be trained on.
    """
    check(hp)
    _check_value("seed", seed, SEED)
    arrays = {"x_train": np.asarray(x), "y_train": np.asarray(y)}
    split = None
    if isinstance(validation, tuple):
        n = len(arrays["y_train"])
        arrays = _join(arrays, *map(np.asarray, validation))
        rows = np.arange(len(arrays["y_train"]), dtype=np.int32)
        split = rows[:n], rows[n:]
        fraction = len(split[1]) / len(rows)
    else:
        _check_value("validation", validation, FRACTION)
        fraction = validation
    dataset = make_dataset("fit", arrays, "fit")
    experiment = Experiment("fit", hp, axes={}, seeds=(seed,), baseline={})
    study = Study("fit", (experiment,), data="x", validation_fraction=fraction)
    plan = make_plan(study, data_facts(dataset))
    results = [r for progress in engine.run(plan, dataset, split=split) for r in progress.results]
    return results[0]


def _check_value(name: str, value: object, rule: Rule) -> None:
    try:
        rule.read(value)
    except Refused as refused:
        raise ConfigError(f"{name}: must be {rule.wanted}, got {refused}") from None


def _join(
    training: Mapping[str, NDArray[Any]], x: NDArray[Any], y: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Training examples, then those of a validation set."""
    x_train, y_train = training["x_train"], training["y_train"]
    if (x.dtype, x.shape[1:]) != (x_train.dtype, x_train.shape[1:]):
        raise DataError(
            f"validation: {x.dtype} examples of shape {x.shape[1:]}, but those of x are "
            f"{x_train.dtype} of {x_train.shape[1:]}"
        )
    if len(x) == 0 or y.shape != (len(x),):
        raise DataError(
            f"validation: {len(x)} examples and labels of shape {y.shape}; at least one example, "
            "and one label each are wanted"
        )
    return {"x_train": np.concatenate([x_train, x]), "y_train": np.concatenate([y_train, y])}


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
