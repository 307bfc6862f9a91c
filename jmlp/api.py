"""The library's public functions: train a network, run a study, predict.

All arguments are checked here; `model` and `engine` rely on that.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from numpy.typing import ArrayLike, NDArray

from jmlp import data
from jmlp.data.arrays import own_dataset
from jmlp.data.contract import contract_of
from jmlp.data.dataset import (
    ARRAYS,
    MOST_CLASSES,
    Dataset,
    as_array,
    check_examples,
    check_labels,
    check_scale,
    digest,
)
from jmlp.data.frames import is_columns, read_columns, read_values
from jmlp.data.table import LABEL, TableOptions, as_classes, encode, encode_examples, indices_of
from jmlp.data.table_file import RawTable
from jmlp.errors import ConfigError, DataError
from jmlp.nn import cost as nn_cost
from jmlp.nn import model
from jmlp.nn import trace as nn_trace
from jmlp.nn.activations import of_function
from jmlp.nn.gradient import CostOptions
from jmlp.nn.model import Caches, Params, State
from jmlp.nn.optimizers import Transformation
from jmlp.nn.trace import Trace
from jmlp.results import crosschecks
from jmlp.results.examples import as_rows, check_finite
from jmlp.results.search import staged_plan
from jmlp.results.tables import ExperimentTable, study_tables
from jmlp.results.weights import network_of
from jmlp.study.config import (
    DEFAULTS,
    Experiment,
    Hyperparams,
    Study,
    changed,
    check,
    configurations,
)
from jmlp.study.file import checked_study
from jmlp.study.rules import (
    BOOLEAN,
    COLUMN,
    COLUMNS,
    FRACTION,
    MISSING,
    SEED,
    Missing,
    Refused,
    Rule,
    integer,
    python_number,
    with_kind,
)
from jmlp.training import engine
from jmlp.training.plan import Plan, data_facts, make_plan, table_options, without
from jmlp.training.records import Progress, RunResult

TABLE_RULES = {"label": COLUMN, "missing": MISSING, "leave_out": COLUMNS}  # of a frame
SPLIT_SEED = 0  # of `fit`: the validation part is the same for every seed
MOST_INPUTS = 2**31 - 1  # of a network; counted by int32


def fit(
    hp: Hyperparams,
    x: Any,
    y: Any = None,
    seed: int = 0,
    validation: float | tuple[Any, Any] = 0.2,
    *,
    label: str = "",
    missing: Missing = "error",
    leave_out: Sequence[str] = (),
    stratify: bool = True,
    weights: ArrayLike | None = None,
    optimizer: Any = None,
    activation: Callable[[Array], Array] | None = None,
) -> RunResult:
    """Trains one network, with early stopping, and keeps its best parameters.

    A frame is a table: its numbers are standardised by the training part, categories are one-hot,
    and the validation part is drawn class by class. So is an array of floating-point numbers with
    one row per example, `(N, n)`; all other arrays are pictures.

    Args:
        hp: hyperparameters.
        x: examples, one per row, of any shape after the first axis: `(N, ...)`. `uint8` is scaled
            to 0–1; floating-point numbers are standardised in rows, `(N, n)`, and used unscaled in
            pictures, `(N, h, w)`. Or a frame of pandas, polars or pyarrow, or a mapping of names to
            columns, with numbers and words.
        y: labels `(N,)` of any kind: integers, whole numbers, words, booleans. None: they are a
            column of the frame, which `label` names. Classes are their different values, in sorted
            order; `result.contract.class_names` has their names.
        seed: seed of initial weights, batch order and dropout, 0 to 2**63 - 1.
        validation: the fraction of the examples to validate on (a random part, the same for every
            seed), or separate validation examples `(x, y)` of the same type and shape; `(x, None)`
            if the labels are a column of the frame.
        label: the name of the label column, if `y` is None.
        missing: for a frame: a missing value is an error, or is replaced by the mean of the
            training part, or its row is dropped.
        leave_out: names of columns of a frame that are not features.
        stratify: whether the validation part of a table has the same shares of the classes as the
            training part; otherwise it is a random part, as that of pictures is.
        weights: how much each example of `x` counts in every cost, that of the updates and those
            of the evaluations, `(N,)`, from 0. They are scaled to a mean of 1 over the training
            part. Separate validation examples have the weight 1, and accuracies know no weights.
            They are a factor beside the weights of the classes (`class_weight`).
        optimizer: an optimiser of your own, in place of the hyperparameters `optimizer`,
            `learning_rate`, `schedule` and `warmup`: any object with `init(params)` and
            `update(grads, state, params)`, pure functions, such as an
            `optax.GradientTransformation`.
        activation: an activation function of your own for all hidden layers, in place of the
            hyperparameter: `f(Z)`, unit by unit, in JAX. Its derivative is that of `jax.vjp`.

            With either of these, nothing that can be written down identifies the run: the result
            has no `run_id` and cannot be saved. Studies, the store, checkpoints, `jmlp verify` and
            the command know only the optimisers and activations of `Hyperparams`.

    Returns:
        The result of the run: `result.predict(x)` are the classes of examples, `result.score(x, y)`
        is an accuracy, and `result.save(path)` writes the network to a file. Pass `result.params`
        and `result.state` to `jmlp.predict` for logits, with examples of the kind of `x`; of a
        table, with `result.contract.inputs_of(x)`.

    Raises:
        ConfigError: the hyperparameters are not allowed, or do not suit the data.
        DataError: the examples or labels cannot be trained on.

    Warns:
        UserWarning: the result may be misleading, for example after too few updates.
    """
    if not isinstance(hp, Hyperparams):
        raise ConfigError(f"hp: must be jmlp.Hyperparams, got {with_kind(hp)}")
    check(hp)
    own = _own_parts(hp, optimizer, activation)
    seed = _read("seed", seed, SEED)
    separate = tuple(validation) if isinstance(validation, tuple | list) else None
    if separate is not None and len(separate) != 2:
        raise ConfigError(f"validation: must be a fraction or (x, y), got {len(separate)} values")
    fraction = None if separate is not None else _read("validation", validation, FRACTION)
    stratify = _read("stratify", stratify, BOOLEAN)
    if is_columns(x):
        words = {"label": label or LABEL, "missing": missing, "leave_out": list(leave_out)}
        read = {name: _read(name, value, TABLE_RULES[name]) for name, value in words.items()}
        options = TableOptions(**read | {"leave_out": tuple(read["leave_out"])}, stratify=stratify)
        dataset, n = _table(x, y, separate, options, in_frame=bool(label))
    elif label or leave_out or missing != "error":
        raise ConfigError(
            "label, missing and leave_out are for frames, which have named columns; got x of type "
            f"{type(x).__name__}"
        )
    elif y is None:
        raise ConfigError("y: give the labels, or a frame as x and the name of its label column")
    else:
        dataset, n = _arrays(x, y, separate, stratify=stratify)
    split = None
    if fraction is None:
        rows = np.arange(len(dataset.y_train), dtype=np.int32)
        split = rows[:n], rows[n:]
        fraction = len(split[1]) / len(rows)
    if weights is not None:
        dataset = _weighted(dataset, weights, n, split, fraction)
    experiment = Experiment("fit", hp, axes={}, seeds=(seed,), baseline={})
    study = Study(
        "fit",
        (experiment,),
        data="x",
        split_seed=SPLIT_SEED,
        validation_fraction=fraction,
        stratify=stratify,
    )
    facts = data_facts(dataset)
    if split is not None:  # of which no remark about a random split holds
        facts = replace(facts, rare_rows=())
    plan = make_plan(study, facts)
    crosschecks.refuse(study, facts)
    if own:
        hp = changed(hp, **own)
        params, _ = model.init(hp, dataset.n_in, dataset.n_classes, jax.random.key(0))
        if isinstance(hp.optimizer, Transformation):
            hp.optimizer.check(params)
        plan = _without_identity(plan, own)
    records = engine.run(plan, dataset, split=split)
    results = [r for progress in _with_networks(records, dataset) for r in progress.results]
    ended = [(configuration, results) for configuration in configurations(experiment)]
    for remark in crosschecks.remarks_after(study, experiment, ended, facts):
        warnings.warn(remark, stacklevel=2)
    return results[0]


def _weighted(
    dataset: Dataset,
    weights: ArrayLike,
    n: int,
    split: tuple[NDArray[np.int32], NDArray[np.int32]] | None,
    fraction: float,
) -> Dataset:
    """The data with the weights of its first `n` examples; the others are for validation.

    Raises:
        DataError: there is not one weight per example, one is negative or not finite, or those of
            the training or the validation part are all 0.
    """
    given = as_array(weights, "fit: weights").astype(np.float64)
    if dataset.n_left_out:
        raise DataError(
            f"fit: weights: {dataset.n_left_out:,} rows with missing values were dropped, so it is "
            "unclear whose weights these are: drop the rows yourself, with their weights"
        )
    if given.shape != (n,):
        raise DataError(f"fit: weights: shape {given.shape}; must be ({n},), one per example of x")
    if not np.isfinite(given).all() or given.min() < 0:
        raise DataError("fit: weights: must be finite numbers from 0")
    training, validation = split or dataset.split(SPLIT_SEED, fraction)
    of_all = np.ones(len(dataset.y_train))
    of_all[:n] = given
    for part, rows in (("training", training), ("validation", validation)):
        if not of_all[rows].any():
            raise DataError(f"fit: weights: all examples of the {part} part have weight 0")
    of_all[:n] /= of_all[training].mean()
    scaled = of_all.astype(np.float32)
    return replace(dataset, weights=scaled, digests={**dataset.digests, "weights": digest(scaled)})


def _arrays(
    x: Any, y: Any, separate: tuple[Any, Any] | None, *, stratify: bool
) -> tuple[Dataset, int]:
    """The data set of arrays, and how many of its examples are not separate validation examples."""
    arrays = {"x_train": as_array(x, "fit: x"), "y_train": _label_array(y, "fit: y")}
    check_examples(arrays["x_train"], arrays["y_train"], "fit", "x", "y")
    n = len(arrays["y_train"])
    labels, classes = as_classes(arrays["y_train"], "fit: y")
    if separate is not None:
        arrays = _join(arrays, separate)
        labels = np.concatenate([labels, _known(arrays["y_train"][n:], arrays["y_train"][:n])])
    arrays["y_train"] = labels
    names = {"x_train": "x", "y_train": "y"}
    dataset = own_dataset(
        "fit", arrays, "fit", classes=classes, display_names=names, stratify=stratify
    )
    return dataset, n


def _table(
    x: Any, y: Any, separate: tuple[Any, Any] | None, options: TableOptions, *, in_frame: bool
) -> tuple[Dataset, int]:
    """The data set of a frame, likewise."""
    if in_frame == (y is not None):
        raise ConfigError(
            "label: name the label column of the frame, or give the labels as y: one of the two"
        )
    dataset = encode(_with_labels(x, y, options.label, "fit: x"), options, "fit")
    n = len(dataset.y_train)
    if separate is None or dataset.columns is None:
        return dataset, n
    other = _with_labels(*separate, options.label, "validation: x")
    x_new, y_new = encode_examples(dataset.columns, other)
    joined = np.concatenate([dataset.x_train, x_new]), np.concatenate([dataset.y_train, y_new])
    digests = {name: digest(array) for name, array in zip(ARRAYS, joined, strict=False)}
    return replace(
        dataset,
        x_train=joined[0],
        y_train=joined[1],
        digests={**dataset.digests, **digests},
    ), n


def _with_labels(frame: Any, labels: Any, name: str, source: str) -> RawTable:
    """A frame as a table; labels that are given by themselves become a column of it."""
    table = read_columns(frame, source)
    if labels is None:
        return table
    if name in table.names:
        raise DataError(f"{source}: a column is called {name}, as are the labels: rename it")
    column = read_values(labels, name, source)
    if len(column.values) != table.n_rows:
        raise DataError(
            f"{source}: {table.n_rows:,} rows, but {len(column.values):,} labels: one label per row"
        )
    return RawTable(source, (*table.columns, column))


def _label_array(y: Any, where: str) -> NDArray[Any]:
    """Labels of any kind as an array; words are objects."""
    try:
        array = np.asarray(y)
    except (TypeError, ValueError, RuntimeError):
        return as_array(y, where)  # explains why
    if array.dtype.kind in "OSUb" and array.ndim:
        return array.astype(object)
    return as_array(y, where)


def _known(labels: NDArray[Any], training: NDArray[Any]) -> NDArray[np.int32]:
    """The classes of labels that all occur among the training labels."""
    return np.searchsorted(np.unique(training), labels).astype(np.int32)


# Hyperparameters without effect beside an optimiser or an activation of the caller's.
REPLACED = {
    "optimizer": ("optimizer", "learning_rate", "schedule", "warmup"),
    "activation": ("activation",),
}


def _own_parts(hp: Hyperparams, optimizer: Any, activation: Any) -> dict[str, Any]:
    """What stands for names of hyperparameters in `fit`.

    Raises:
        ConfigError: a hyperparameter is set that has no effect beside it, or it is no activation.
    """
    given = {"optimizer": optimizer, "activation": activation}
    problems = [
        f"{name}: has no effect beside an {part} of your own: leave it out"
        for part, value in given.items()
        if value is not None
        for name in REPLACED[part]
        if getattr(hp, name) != DEFAULTS[name]
    ]
    if optimizer is not None and hp.backward_fault == "updated_weights":
        problems.append("backward_fault: 'updated_weights' needs an optimizer of Hyperparams")
    if activation is not None and not callable(activation):
        problems.append(f"activation: must be a function, got {with_kind(activation)}")
    if problems:
        raise ConfigError(problems)
    made = {
        "optimizer": None if optimizer is None else Transformation(optimizer),
        "activation": None if activation is None else of_function(activation),
    }
    return {name: value for name, value in made.items() if value is not None}


def _without_identity(plan: Plan, own: Mapping[str, Any]) -> Plan:
    """The plan of `fit` with objects for names of hyperparameters, and so without run id."""
    (group,) = plan.groups
    (cohort,) = group.cohorts
    (run,) = cohort.runs
    run = replace(run, run_id="", hyperparams=changed(run.hyperparams, **own))
    return replace(plan, groups=(replace(group, cohorts=(replace(cohort, runs=(run,)),)),))


def _with_networks(records: Iterable[Progress], dataset: Dataset) -> Iterator[Progress]:
    """Gives each result its contract, and its network."""
    of_data = contract_of(dataset)

    def complete(result: RunResult) -> RunResult:
        contract = result.contract or of_data
        network = None
        if result.status != "diverged":
            network = network_of(result, contract, dataset.digests)
        return replace(result, contract=contract, network=network)

    for progress in records:
        results = tuple(map(complete, progress.results))
        yield replace(progress, results=results) if results else progress


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
            0–1, floating-point numbers are used unscaled (of a table, they are those of
            `contract.inputs_of`). One per row, of any shape with `n_in` numbers after the first
            axis, such as `(N, 784)` or `(N, 28, 28)`; or one example without an axis for examples,
            `(784,)` or `(28, 28)`.

    Returns:
        `(N, n_classes)`, or `(n_classes,)` for one example.

    Raises:
        ConfigError: `params` and `state` do not form a network.
        DataError: `x` is not an array of numbers, has another shape or type, or is not finite.
            Values traced by JAX are not checked.
    """
    n_in, dtype = _inputs_of(params, state, "predict")
    rows, is_one = as_rows(x, n_in, dtype, "predict: x")
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
        logits `(N, n_classes)`; the new state; the caches for `backward`.

    Raises:
        ConfigError: `params` and `state` do not form a network, or a drop rate is not at least 0
            and below 1. Rates traced by JAX are not checked.
        DataError: see `predict`.
    """
    n_in, dtype = _inputs_of(params, state, "forward")
    _check_drop_rate(drop_rate, len(params) - 1)
    rows, _ = as_rows(x, n_in, dtype, "forward: x")
    logits, new_state, caches = model.forward(params, state, rows, key, drop_rate)
    return logits.T, new_state, caches


def cost(logits: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """The mean softmax cross-entropy of a mini-batch, and its derivative.

    A pure function, differentiated by hand: see `jmlp.nn.cost` for equations and source.

    Args:
        logits: as returned by `forward` or `predict`, `(N, n_classes)`.
        y: integer labels `(N,)`, 0 to C - 1.

    Returns:
        the cost in nats, and its derivative at the logits, `(N, n_classes)`, for `backward`.

    Raises:
        DataError: there is not one row of logits and one label per example, or a label is not an
            integer. Its range is not checked.
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(y)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or len(labels) == 0:
        raise DataError(
            f"cost: logits of shape {logits.shape} and labels of shape {labels.shape}; must be "
            "(N, n_classes) and (N,)"
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise DataError(f"cost: y: type {labels.dtype}; labels must be integers, 0 to C - 1")
    mean_cost, cache = nn_cost.forward(logits.T, labels)
    return mean_cost, nn_cost.backward(1.0, cache).T


def backward(dlogits: ArrayLike, caches: Caches) -> Params:
    """The backward pass: the gradient of the cost, with the structure of the parameters.

    Args:
        dlogits: the derivative of the cost at the logits, as returned by `cost`:
            `(N, n_classes)`.
        caches: as returned by `forward`.

    Raises:
        ConfigError: `caches` are not those of a forward pass.
        DataError: `dlogits` has another shape than the logits.
    """
    try:
        dense = caches[-1].dense
        shape = dense.A.shape[1], dense.params.W.shape[0]
    except (AttributeError, IndexError, TypeError):
        raise ConfigError("backward: caches must be those that jmlp.forward returns") from None
    columns = jnp.asarray(dlogits)
    if columns.shape != shape:
        raise DataError(
            f"backward: dlogits: shape {columns.shape}, must be that of the logits, {shape}: one "
            "example per row"
        )
    return model.backward(columns.T, caches)


def trace(
    params: Params,
    state: State,
    x: ArrayLike,
    y: ArrayLike,
    key: Array | None = None,
    drop_rate: Array | float | tuple[float, ...] = 0.0,
) -> Trace:
    """Every number of one forward and one backward pass, by its letter in the layers' equations.

    `trace(...).operations` are the operations in order, from the first layer to the cost. Each has
    its `equations`, its arrays by their letters (`operation["Z"]`, `operation["dW"]`; columns are
    examples, as in the equations), and `operation.explain("Z", i, j)`, the sum in numbers behind
    one of them. The gradient is that of `backward`.

    Args:
        params: as returned by `init` or by an update.
        state: as returned by `init` or by the previous step.
        x: a mini-batch, as for `predict`; one example is a mini-batch of one.
        y: integer labels `(N,)`, 0 to C - 1; or one label.
        key: the PRNG key of this step's dropout; None leaves dropout out.
        drop_rate: the fraction of hidden units set to zero: a scalar, or `(n_hidden_layers,)`.

    Raises:
        ConfigError: see `forward`.
        DataError: see `predict`; or there is not one label per example, or a label is no class.
    """
    n_in, dtype = _inputs_of(params, state, "trace")
    _check_drop_rate(drop_rate, len(params) - 1)
    rows, is_one = as_rows(x, n_in, dtype, "trace: x")
    labels = np.atleast_1d(np.asarray(y)) if is_one else np.asarray(y)
    n_classes = int(params[-1].dense.W.shape[0])
    labels = check_labels(labels, "trace: y", n_classes)
    if len(labels) != len(rows):
        raise DataError(f"trace: {len(labels)} labels in y, but x has {len(rows)} examples")
    options = CostOptions(None if key is None else drop_rate)
    return nn_trace.trace(params, state, rows, jnp.asarray(labels), key, options)


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


def _read(name: str, value: object, rule: Rule) -> Any:
    try:
        return rule.read(python_number(value))
    except Refused as refused:
        raise ConfigError(f"{name}: must be {rule.wanted}, got {refused}") from None


def _join(training: Mapping[str, NDArray[Any]], validation: Sequence[Any]) -> dict[str, Any]:
    """Concatenates training and validation examples."""
    x_train, y_train = training["x_train"], training["y_train"]
    x, y = as_array(validation[0], "validation: x"), _label_array(validation[1], "validation: y")
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
    if _kind(x) == "float":
        check_finite(x.reshape(len(x), -1), np.float32, "validation: x")
    check_scale(x, x_train, "validation: x", "x")
    if (y.dtype == object) != (y_train.dtype == object):
        raise DataError("validation: y: labels of another type than those of y")
    if len(unknown := np.setdiff1d(y, y_train)):
        raise DataError(
            f"validation: y: label {unknown[0]}, but x has no example of it: a network cannot "
            "learn a class that it never sees; leave it out, or train on it too"
        )
    return {"x_train": np.concatenate([x_train, x]), "y_train": np.concatenate([y_train, y])}


def _kind(x: NDArray[Any]) -> str:
    """Arrays of the same kind are treated alike: all floating-point types are one kind."""
    return "float" if x.dtype.kind == "f" else x.dtype.name


def run_study(
    study: Study,
    dataset: Any = None,
    test: Any = None,
) -> Iterator[Progress]:
    """Trains every run of a study; training stops when the consumer stops iterating.

    A study with a search is trained in stages, each with a progress of its own: when one has ended,
    the next round of its candidates follows, or the confirmation of the winners.

    Args:
        study: as returned by `jmlp.load_study`, or built from `jmlp.Study` and `jmlp.Experiment`.
        dataset: the data, in place of those named by the study: a `Dataset`; examples and labels
            `(x, y)`, arrays or frames as for `fit`; or a frame, whose label column is the `label`
            of the study. Frames are read by what the study says about its table.
        test: if `dataset` is `(x, y)` or a frame: separate examples of the same form, on which the
            kept parameters of each run are tested.

    Yields:
        Progress, at least a few times per second: `progress.points` has the evaluations made since
        the previous record, by run id, and `progress.results` the runs that ended. A run that is
        interrupted has no result.

    Raises:
        ConfigError: the study could not be written as a study file, or a configuration does not
            suit the data or needs too much memory.
        DataError: the data cannot be loaded, or not be trained on.
        DeviceError: the device ran out of memory.
    """
    study = checked_study(study)
    study_tables(study, [])  # raises if the results could not be shown
    if dataset is None:
        dataset = data.load(study.data, options=table_options(study))
    elif not isinstance(dataset, Dataset):
        dataset = _dataset(study, dataset, test)
        study = replace(study, data=dataset.name)
    elif test is not None:
        raise ConfigError("run_study: test: only beside data of the form (x, y), or a frame")
    elif dataset.stratify != study.stratify:
        raise ConfigError(
            "run_study: stratify: the study and its data differ: load them with "
            f"jmlp.data.TableOptions(stratify={study.stratify})"
        )
    facts = data_facts(dataset)
    plan = make_plan(study, facts)
    crosschecks.refuse(study, facts)
    ended: list[RunResult] = []
    done: set[str] = set()
    while (stage := without(plan, done)).groups:
        for progress in _with_networks(engine.run(stage, dataset), dataset):
            ended += [
                replace(result, params=None, state=None, last=None, snapshots=())
                for result in progress.results
            ]
            yield progress
        done = {run.run_id for run in plan.runs}
        plan = staged_plan(plan, ended)


def _dataset(study: Study, training: Any, test: Any) -> Dataset:
    """The data set made of the examples and labels given to `run_study`."""
    options = table_options(study)
    if is_columns(training):
        if not study.label:
            raise ConfigError(
                "run_study: dataset: name the label column of the frame, as in "
                "jmlp.Study(..., label='species'), or give (frame, labels)"
            )
        if test is not None and not is_columns(test):
            raise ConfigError(
                "run_study: test: must be a frame, as dataset is one, got a value of type "
                f"{type(test).__name__}"
            )
        more = None if test is None else read_columns(test, "run_study: test")
        return encode(read_columns(training, "run_study: dataset"), options, "frame", more)
    for name, pair in (("dataset", training), ("test", test)):
        if pair is not None and not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise ConfigError(
                f"run_study: {name}: must be (x, y), or a frame with a label column, got a value "
                f"of type {type(pair).__name__}"
            )
    if is_columns(training[0]):
        options = replace(options, label=options.label or LABEL)
        name = options.label
        table = _with_labels(training[0], training[1], name, "run_study: x")
        more = None if test is None else _with_labels(test[0], test[1], name, "run_study: test")
        return encode(table, options, "arrays", more)
    names = {"x_train": "x", "y_train": "y", "x_test": "x of test", "y_test": "y of test"}
    x, y = as_array(training[0], "run_study: x"), _label_array(training[1], "run_study: y")
    check_examples(x, y, "run_study", "x", "y")
    labels, classes = as_classes(y, "run_study: y")
    arrays = {"x_train": x, "y_train": labels}
    if test is not None:
        arrays["x_test"] = as_array(test[0], "run_study: x of test")
        where = "run_study: y of test"
        arrays["y_test"] = (
            indices_of(test[1], classes, where) if classes else as_array(test[1], where)
        )
    return own_dataset(
        "arrays", arrays, "run_study", classes=classes, display_names=names, stratify=study.stratify
    )


def tables(study: Study, results: Iterable[RunResult]) -> tuple[ExperimentTable, ...]:
    """The result tables of a study, one per experiment: means, intervals, comparisons, verdicts.

    `print(table)` shows one; the numbers are in `table.rows` and `table.differences`.

    Args:
        study: the study.
        results: the runs that have ended, in any order.

    Raises:
        ConfigError: the study could not be written as a study file.
    """
    return study_tables(checked_study(study), list(results))


def plots(study: Study, results: Iterable[RunResult]) -> list[Any]:
    """The plots of a study as figures of matplotlib, in the order of its report.

    For each experiment with a finished run: cost against epochs, cost against updates (both only of
    runs with cost curves), and accuracies. A notebook shows a figure that is the last value of a
    cell; `figure.savefig(path)` writes it, and `figure.get_label()` is its title.

    Args:
        study: the study.
        results: the runs that have ended, in any order.

    Raises:
        ConfigError: the study could not be written as a study file.
    """
    from jmlp.report import load_matplotlib

    load_matplotlib()
    from jmlp.report.plots import study_figures

    return study_figures(checked_study(study), list(results))
