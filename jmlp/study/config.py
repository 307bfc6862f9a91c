"""Hyperparameters and studies as frozen dataclasses.

Imports no JAX, so that reading and checking a study is instant. `rules` says what is allowed,
`file` reads TOML into these types, `jmlp.training.single_run` registers `Hyperparams` as a pytree.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

Value = Any  # a TOML value: str, int, float, bool, or a tuple of them
Cell = Mapping[str, Value]  # part of a configuration: {"batch_size": 128}

Optimizer = Literal["sgd", "momentum", "adam"]
Initialization = Literal["he", "normal"]
Schedule = Literal["constant", "linear"]  # of the learning rate


def _about(text: str, *, static: bool = False, added: bool = False) -> Mapping[str, Any]:
    """What is known of a hyperparameter beside its type and default.

    Args:
        text: its description in `--help`.
        static: it is compiled into the program; else it is an input of the program.
        added: it is missing in files of earlier versions, and has its default there.
    """
    return {"help": text, "static": static, "added": added}


@dataclass(frozen=True)
class Hyperparams:
    """All choices of one run except its seed and its data.

    Static fields are compiled into the program: one compile for each combination of values. Swept
    fields are data of the program: runs that differ only there train side by side in one program.
    """

    hidden: tuple[int, ...] = field(
        default=(20, 7, 5), metadata=_about("Units of each hidden layer.", static=True)
    )
    batch_size: int = field(default=128, metadata=_about("Examples of a mini-batch.", static=True))
    batch_norm: bool = field(default=False, metadata=_about("Batch normalisation.", static=True))
    optimizer: Optimizer = field(default="sgd", metadata=_about("The update rule.", static=True))
    initialization: Initialization = field(
        default="he",
        metadata=_about("Of weights: by He et al., or normal with weight_std.", static=True),
    )
    schedule: Schedule = field(
        default="constant",
        metadata=_about(
            "The learning rate: constant, or falling to 0 over epochs.", static=True, added=True
        ),
    )
    learning_rate: float = field(default=0.009, metadata=_about("The size of a step."))
    drop_rate: float | tuple[float, ...] = field(
        default=0.0,
        metadata=_about("Fraction of hidden units dropped; one, or one per hidden layer."),
    )
    momentum: float = field(default=0.9, metadata=_about("The weight of the old velocity."))
    weight_std: float = field(
        default=0.15, metadata=_about("The standard deviation of initial weights.")
    )
    epochs: int = field(default=100, metadata=_about("The limit of epochs."))
    patience: int | None = field(
        default=2,
        metadata=_about(
            'Epochs without a new best validation cost, or "none": train to the limit.'
        ),
    )


STATIC_FIELDS = tuple(f.name for f in fields(Hyperparams) if f.metadata.get("static"))
SWEPT_FIELDS = tuple(f.name for f in fields(Hyperparams) if not f.metadata.get("static"))
DEFAULTS: Mapping[str, Value] = {f.name: f.default for f in fields(Hyperparams)}
FLOAT_FIELDS = tuple(name for name, default in DEFAULTS.items() if isinstance(default, float))

# Hyperparameters that have an effect only where another one has this value.
USED_ONLY_WITH = {"momentum": ("optimizer", "momentum"), "weight_std": ("initialization", "normal")}


# Integers up to here are exactly a float.
MAX_EXACT_INTEGER = 2**53


def in_python_types(hp: Hyperparams) -> Hyperparams:
    """The same values as Python's own numbers and tuples: no NumPy scalars, no lists, no -0.0."""
    return Hyperparams(**{name: python_value(name, getattr(hp, name)) for name in DEFAULTS})


def python_value(name: str, value: Any) -> Value:
    """One hyperparameter's value likewise; an integer where a float is wanted is that float."""
    if hasattr(value, "tolist"):  # of NumPy, or of JAX: float32 becomes the float equal to it
        value = value.tolist()
    if isinstance(value, tuple | list):
        return tuple(python_value(name, v) for v in value)
    if name in FLOAT_FIELDS and type(value) is int and abs(value) <= MAX_EXACT_INTEGER:
        return float(value)
    return value + 0.0 if isinstance(value, float) else value


def one_rate(drop_rate: Value, hidden: tuple[int, ...]) -> Value:
    """Drop rates of all hidden layers as one number where they are equal."""
    if isinstance(drop_rate, tuple) and len(drop_rate) == len(hidden) and len({*drop_rate}) == 1:
        return drop_rate[0]
    return drop_rate


def canonical(hp: Hyperparams) -> Hyperparams:
    """The one form of hyperparameters that train the same network: runs are known by it.

    Python's own types; one drop rate where those of all layers are equal; defaults where a
    hyperparameter has no effect.
    """
    hp = in_python_types(hp)
    idle = {name: DEFAULTS[name] for name in USED_ONLY_WITH if not in_use(name, hp)}
    return replace(hp, drop_rate=one_rate(hp.drop_rate, hp.hidden), **idle)


@dataclass(frozen=True)
class Claim:
    """A sentence of the original study, in a form that results can answer.

    Exactly one of the two forms: `best` names the configuration said to be the best of its
    experiment; or `not_higher`, said not to beat `than` where all else is equal.
    """

    text: str
    best: Cell | None = None
    not_higher: Cell | None = None
    than: Cell | None = None


@dataclass(frozen=True)
class Reference:
    """Figures that others published for one configuration (accuracies from 0 to 1)."""

    where: Cell
    training_accuracy: float | None = None
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    stopped: int | None = None  # epochs


@dataclass(frozen=True)
class Experiment:
    """Hyperparameters, axes and seeds; gives one result table.

    `base` is the baseline's: for an axis it holds the baseline's value.
    """

    name: str
    base: Hyperparams
    axes: Mapping[str, tuple[Value, ...]]
    seeds: tuple[int, ...]
    baseline: Cell  # a value for every axis
    claims: tuple[Claim, ...] = ()
    reference: tuple[Reference, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Study:
    """A set of experiments on one data set."""

    name: str
    experiments: tuple[Experiment, ...]
    data: str = "mnist"  # "mnist", "synthetic", or a path
    validation_fraction: float = 0.2
    split_seed: int | Literal["seed"] = 0  # "seed": every run splits by its own seed
    smallest_difference: float = 0.005  # accuracy; differences inside it count as none
    title: str = ""
    notes: tuple[str, ...] = ()  # sentences for the report, such as what was fitted to what


@dataclass(frozen=True)
class Configuration:
    """One cell of an experiment's grid."""

    cell: Cell  # a value for every axis; empty where the experiment has no axis
    hyperparams: Hyperparams  # in their canonical form
    label: str


def in_use(
    name: str, base: Hyperparams, axes: Mapping[str, tuple[Value, ...]] | None = None
) -> bool:
    """Whether a hyperparameter has an effect, in at least one cell where there are axes."""
    if name not in USED_ONLY_WITH:
        return True
    other, needed = USED_ONLY_WITH[name]
    return needed in (axes or {}).get(other, (getattr(base, other),))


def configurations(experiment: Experiment) -> tuple[Configuration, ...]:
    """The cells of the grid in the order of the axes, the last axis fastest."""
    names = tuple(experiment.axes)
    axes = [[python_value(name, v) for v in values] for name, values in experiment.axes.items()]
    cells = [dict(zip(names, cell, strict=True)) for cell in itertools.product(*axes)]
    return tuple(
        Configuration(cell, canonical(replace(experiment.base, **cell)), label(cell))
        for cell in cells
    )


def matches(configuration: Configuration, cell: Cell) -> bool:
    """Whether a configuration has all of the cell's values, however they are written."""
    hp = configuration.hyperparams
    for name, value in cell.items():
        own = configuration.cell.get(name, getattr(hp, name))
        if own != value and _spelling(name, own, hp) != _spelling(name, value, hp):
            return False
    return True


def _spelling(name: str, value: Value, hp: Hyperparams) -> Value:
    value = python_value(name, value)
    return one_rate(value, hp.hidden) if name == "drop_rate" else value


def label(cell: Cell) -> str:
    """`batch norm no, drop rate 0.5`: how a configuration is named wherever it is shown."""
    parts = [f"{name.replace('_', ' ')} {value_text(value, name)}" for name, value in cell.items()]
    return ", ".join(parts) or "all runs"


def value_text(value: Value, name: str = "") -> str:
    """A value as people read it; different values of one hyperparameter read differently.

    With the hyperparameter's name a drop rate of 0 reads "none".
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (name == "drop_rate" and value == 0):
        return "none"
    if isinstance(value, tuple):
        return "\N{EN DASH}".join(value_text(v) for v in value)
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)
