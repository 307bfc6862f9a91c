"""The library's public functions: train a network, run a study, predict.

All arguments are checked here; `model` and `engine` rely on that.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from numpy.typing import ArrayLike, NDArray

from jmlp import data
from jmlp.data.dataset import (
    MOST_CLASSES,
    Dataset,
    as_array,
    check_examples,
    check_pixel_type,
    check_scale,
    make_dataset,
)
from jmlp.errors import ConfigError, DataError
from jmlp.nn import model
from jmlp.nn.model import Caches, Params, State
from jmlp.results import crosschecks
from jmlp.results.search import staged_plan
from jmlp.results.tables import study_tables
from jmlp.study.config import Experiment, Hyperparams, Study, configurations
from jmlp.study.file import checked_study
from jmlp.study.rules import FRACTION, SEED, Refused, Rule, check, integer, with_kind
from jmlp.training import engine
from jmlp.training.plan import data_facts, make_plan, without
from jmlp.training.records import Progress, RunResult

MOST_INPUTS = 2**31 - 1  # of a network; counted by int32


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
        x: examples, one per row, of any shape after the first axis: `(N, ...)`. `uint8` is scaled
            to 0–1; floating-point numbers are used unscaled.
        y: integer labels `(N,)`, 0 to C - 1.
        seed: seed of initial weights, batch order and dropout, 0 to 2**63 - 1.
        validation: the fraction of the examples to validate on (a random part, the same for every
            seed), or separate validation examples `(x, y)` of the same type and shape.

    Returns:
        The result of the run. Pass `result.params` and `result.state` to `jmlp.predict`.

    Raises:
        ConfigError: the hyperparameters are not allowed, or do not suit the data.
        DataError: the examples or labels cannot be trained on.

    Warns:
        UserWarning: the result may be misleading, for example after too few updates.
    """
    if not isinstance(hp, Hyperparams):
        raise ConfigError(f"hp: must be jmlp.Hyperparams, got {with_kind(hp)}")
    check(hp)
    seed = _read("seed", seed, SEED)
    arrays = {"x_train": as_array(x, "fit: x"), "y_train": as_array(y, "fit: y")}
    split = None
    if isinstance(validation, tuple | list):
        n = len(arrays["y_train"]) if arrays["y_train"].ndim else 0
        arrays = _join(arrays, validation)
        rows = np.arange(len(arrays["y_train"]), dtype=np.int32)
        split = rows[:n], rows[n:]
        fraction = len(split[1]) / len(rows)
    else:
        fraction = _read("validation", validation, FRACTION)
    dataset = make_dataset("fit", arrays, "fit", display_names={"x_train": "x", "y_train": "y"})
    experiment = Experiment("fit", hp, axes={}, seeds=(seed,), baseline={})
    study = Study("fit", (experiment,), data="x", validation_fraction=fraction)
    facts = data_facts(dataset)
    plan = make_plan(study, facts)
    crosschecks.refuse(study, facts)
    results = [r for progress in engine.run(plan, dataset, split=split) for r in progress.results]
    ended = [(configuration, results) for configuration in configurations(experiment)]
    for remark in crosschecks.remarks_after(study, experiment, ended, facts):
        warnings.warn(remark, stacklevel=2)
    return results[0]


def init(
    hp: Hyperparams,
    n_in: int,
    n_classes: int,
    key: Array,
    dtype: jnp.dtype | type[jnp.floating] = jnp.float32,
) -> tuple[Params, State]:
    """Draws the parameters of a new network and initialises its state.

    Args:
        hp: hyperparameters; uses `hidden`, `batch_norm`, `batch_norm_place`, `initialization` and
            `weight_std`.
        n_in: number of inputs, 784 for MNIST.
        n_classes: number of outputs, 10 for MNIST.
        key: a PRNG key.
        dtype: dtype of parameters and state.

    Raises:
        ConfigError: the hyperparameters or sizes are not allowed.
    """
    if not isinstance(hp, Hyperparams):
        raise ConfigError(f"hp: must be jmlp.Hyperparams, got {with_kind(hp)}")
    check(hp)
    n_in = _read("n_in", n_in, integer(1, MOST_INPUTS))
    n_classes = _read("n_classes", n_classes, integer(2, MOST_CLASSES))
    return model.init(hp, n_in, n_classes, key, dtype)


def predict(params: Params, state: State, x: ArrayLike) -> Array:
    """Logits of examples, without dropout and with running statistics.

    A pure function: it works with `jax.jit`, `jax.vmap` and `jax.grad`.

    Args:
        params: as returned by `init`, or from a result.
        state: the state that belongs to `params`.
        x: examples of the type and scale that the network was trained on: `uint8` is scaled to
            0–1, floating-point numbers are used unscaled. One per row, of any shape with `n_in`
            numbers after the first axis, such as `(N, 784)` or `(N, 28, 28)`; or one example
            without an axis for examples, `(784,)` or `(28, 28)`.

    Returns:
        `(N, n_classes)`, or `(n_classes,)` for one example.

    Raises:
        ConfigError: `params` and `state` do not form a network.
        DataError: `x` is not an array of numbers, has another shape or type, or is not finite.
            Values traced by JAX are not checked.
    """
    n_in, dtype = _inputs_of(params, state, "predict")
    rows, is_one = _examples(x, n_in, dtype, "predict")
    logits = model.predict(params, state, rows)
    return logits[0] if is_one else logits


def forward(
    params: Params,
    state: State,
    x: ArrayLike,
    key: Array | None,
    drop_rate: Array | float | tuple[float, ...],
) -> tuple[Array, State, Caches]:
    """The forward pass in training.

    Args:
        params: as returned by `init` or by an update.
        state: as returned by `init` or by the previous step.
        x: a mini-batch, as for `predict`; one example is a mini-batch of one.
        key: the PRNG key of this step's dropout; None leaves dropout out of the program.
        drop_rate: the fraction of hidden units set to zero: a scalar, or `(n_hidden_layers,)`.

    Returns:
        logits `(n_classes, N)`, one example per column; the new state; the caches for `backward`.

    Raises:
        ConfigError: `params` and `state` do not form a network, or a drop rate is not at least 0
            and below 1. Rates traced by JAX are not checked.
        DataError: see `predict`.
    """
    n_in, dtype = _inputs_of(params, state, "forward")
    _check_drop_rate(drop_rate, len(params) - 1)
    rows, _ = _examples(x, n_in, dtype, "forward")
    return model.forward(params, state, rows, key, drop_rate)


def _inputs_of(params: Any, state: Any, caller: str) -> tuple[int, Any]:
    """The number of inputs of a network, and its dtype."""
    try:
        weights = params[0].dense.W
        normalised = [layer.normalises for layer in params]
        has_state = [layer_state is not None for layer_state in state]
    except (AttributeError, IndexError, KeyError, TypeError):
        raise ConfigError(
            f"{caller}: params and state must come from jmlp.init or from a result "
            "(result.params, result.state)"
        ) from None
    if normalised != has_state:
        raise ConfigError(
            f"{caller}: state has running statistics for layers {_layer_numbers(has_state)}, but "
            f"params normalise layers {_layer_numbers(normalised)}: pass both from the same network"
        )
    return int(weights.shape[-1]), weights.dtype


def _check_drop_rate(drop_rate: Any, n_hidden: int) -> None:
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(drop_rate)):
        return
    try:
        rates = as_array(drop_rate, "forward: drop_rate")
    except DataError as error:
        raise ConfigError(str(error)) from error
    if rates.shape not in ((), (n_hidden,)) or not ((rates >= 0) & (rates < 1)).all():
        raise ConfigError(
            f"forward: drop_rate: must be from 0 to below 1, one or one per hidden layer "
            f"({n_hidden}), got {rates.tolist()}"
        )


def _layer_numbers(selected: Sequence[bool]) -> str:
    return ", ".join(str(layer) for layer, yes in enumerate(selected) if yes) or "none"


def _examples(x: Any, n_in: int, dtype: Any, caller: str) -> tuple[Array | NDArray[Any], bool]:
    """Examples as rows `(N, n_in)`, and whether `x` was a single one without an example axis."""
    where = f"{caller}: x"
    if isinstance(x, Array):
        array: Array | NDArray[Any] = x
    elif any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x)):  # a list of traced values
        array = jnp.asarray(x)
    else:
        array = as_array(x, where)
    check_pixel_type(array.dtype, where)
    shape = array.shape
    if len(shape) > 1 and math.prod(shape[1:]) == n_in:
        is_one = False
    elif math.prod(shape) == n_in and shape:
        is_one = True
    else:
        raise DataError(
            f"{where}: shape {shape}; the network expects {n_in} numbers per example: (N, {n_in}), "
            f"or (N, ...) with {n_in} numbers after the first axis, or one example of {n_in}"
        )
    rows = array.reshape((1 if is_one else shape[0], n_in))
    if not isinstance(rows, Tracer) and rows.dtype != np.uint8:
        _check_finite(np.asarray(rows), dtype, where)
    return rows, is_one


def _check_finite(rows: NDArray[Any], dtype: Any, where: str) -> None:
    with np.errstate(over="ignore"):
        finite = np.isfinite(rows.astype(dtype, copy=False)).all(axis=1)
    if not finite.all():
        raise DataError(
            f"{where}: {np.count_nonzero(~finite):,} of {len(rows):,} examples hold numbers that "
            f"are not finite in {np.dtype(dtype).name}, the first is example {finite.argmin()}"
        )


def _read(name: str, value: object, rule: Rule) -> Any:
    try:
        if isinstance(value, np.generic) or (
            isinstance(value, Array)
            and value.ndim == 0
            and not jnp.issubdtype(value.dtype, jax.dtypes.prng_key)  # a key has no value
        ):
            value = value.item()
        return rule.read(value)
    except Refused as refused:
        raise ConfigError(f"{name}: must be {rule.wanted}, got {refused}") from None


def _join(training: Mapping[str, NDArray[Any]], validation: Sequence[Any]) -> dict[str, Any]:
    """Concatenates training and validation examples."""
    if len(validation) != 2:
        raise ConfigError(f"validation: must be a fraction or (x, y), got {len(validation)} values")
    x_train, y_train = training["x_train"], training["y_train"]
    check_examples(x_train, y_train, "fit", "x", "y")
    x, y = (as_array(value, f"validation: {n}") for n, value in zip("xy", validation, strict=True))
    if x.ndim < 2 or x.shape[1:] != x_train.shape[1:] or _kind(x) != _kind(x_train):
        raise DataError(
            f"validation: {x.dtype} examples of shape {x.shape[1:]}, but those of x are "
            f"{x_train.dtype} of {x_train.shape[1:]}"
        )
    if len(x) == 0 or y.shape != (len(x),):
        raise DataError(
            f"validation: {len(x)} examples and labels of shape {y.shape}; there must be at "
            "least one example, and one label per example"
        )
    if y.dtype.kind not in "iu":
        raise DataError(
            f"validation: y: type {y.dtype}; labels must be integers, 0 for the first class"
        )
    if _kind(x) == "float":
        _check_finite(x.reshape(len(x), -1), np.float32, "validation: x")
    check_scale(x, x_train, "validation: x", "x")
    if y_train.dtype.kind in "iu" and len(unknown := np.setdiff1d(y, y_train)):
        raise DataError(
            f"validation: y: label {unknown[0]}, but x has no example of it: a network cannot "
            "learn a class that it never sees; leave it out, or train on it too"
        )
    # NumPy would promote int64 and uint64 to float.
    kind = np.result_type(y, y_train) if y.dtype.kind == y_train.dtype.kind else np.dtype(np.int64)
    return {
        "x_train": np.concatenate([x_train, x]),
        "y_train": np.concatenate([y_train, y], dtype=kind, casting="unsafe"),
    }


def _kind(x: NDArray[Any]) -> str:
    """Arrays of the same kind are treated alike: all floating-point types are one kind."""
    return "float" if x.dtype.kind == "f" else x.dtype.name


def run_study(study: Study, dataset: Dataset | None = None) -> Iterator[Progress]:
    """Trains every run of a study; training stops when the consumer stops iterating.

    A study with a search is trained in two stages, each with a progress of its own: when the first
    has ended, the winners are confirmed.

    Args:
        study: as returned by `jmlp.load_study`.
        dataset: replaces the data named by the study.

    Yields:
        Progress, at least a few times per second; `progress.results` are the runs that ended.

    Raises:
        ConfigError: the study could not be written as a study file, or a configuration does not
            suit the data or needs too much memory.
        DataError: the data cannot be loaded.
        DeviceError: the device ran out of memory.
    """
    study = checked_study(study)
    study_tables(study, [])  # raises if the results could not be shown
    dataset = data.load(study.data) if dataset is None else dataset
    facts = data_facts(dataset)
    plan = make_plan(study, facts)
    crosschecks.refuse(study, facts)
    ended: list[RunResult] = []
    for progress in engine.run(plan, dataset):
        ended += [
            replace(result, params=None, state=None, last=None, snapshots=())
            for result in progress.results
        ]
        yield progress
    confirmations = without(staged_plan(plan, ended), {run.run_id for run in plan.runs})
    if confirmations.groups:
        yield from engine.run(confirmations, dataset)
